"""A BME280 as a driver sees it: registers on an I²C bus, fed by an emulated sensor. Source: data sheet, section 5.

Time is an argument: the chip asks the clock it is given, and a conversion takes as long as the data sheet says.
"""

import errno
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from devices.sensors.bme280.chip import (
    H_RESET,
    P_RESET,
    STANDBY_MS,
    T_RESET,
    Calibration,
    Filter,
    Oversampling,
    Sampling,
    to_raw,
)
from devices.sensors.bme280.sensor import Bme280Sensor
from devices.world.random import Floats
from devices.world.world import World

EREMOTEIO: int = getattr(errno, "EREMOTEIO", errno.EIO)
"""What Linux says of a device on the bus that does not answer; other systems have no such number."""

AnalogSource = Callable[[Floats, Sampling], Floats]
"""Array of (°C, % and hPa; conversions) that conversions with this sampling, without the filter, measure at these times
(ms since 1970 UTC)."""

_CHIP_ID, _RESET_WORD = 0x60, 0xB6
_ID, _RESET, _CTRL_HUM, _STATUS, _CTRL_MEAS, _CONFIG, _DATA = 0xD0, 0xE0, 0xF2, 0xF3, 0xF4, 0xF5, 0xF7
_MEASURING, _IM_UPDATE = 0x08, 0x01
_START_UP_MS = 2.0
# Of the conversions between two reads, so many times the filter's coefficient are gone through: what was before them
# has e^-8 of the value.
_REMEMBERED = 8
# Code 0 skips the channel; it is converted all the same, only not shown.
_OVERSAMPLING: tuple[Oversampling, ...] = (1, 1, 2, 4, 8, 16, 16, 16)
_FILTER: tuple[Filter, ...] = (0, 2, 4, 8, 16, 16, 16, 16)
_STANDBY = {code: standby for standby, code in STANDBY_MS.items()}


class Bme280Registers:
    """The register file of one chip."""

    def __init__(self, calibration: Calibration, source: AnalogSource, now_ms: Callable[[], float]) -> None:
        """`calibration` is that of one unit; `now_ms` tells the time in ms since 1970 UTC."""
        self._calibration, self._source, self._now = calibration, source, now_ms
        self._trimming = _trimming(calibration)
        self._silent = False
        self._due_ms: float | None = None
        self._filtered: tuple[float, float] | None = None
        self._soft_reset()

    @classmethod
    def for_device(
        cls, sensor: Bme280Sensor, world: World, device: int, now_ms: Callable[[], float]
    ) -> "Bme280Registers":
        """Return the chip of an emulated device (its position in the sensor's population)."""
        ids = np.array([device])

        def measured(times_ms: Floats, sampling: Sampling) -> Floats:
            times = times_ms.astype(np.int64)
            return sensor.analog_values(world, np.repeat(ids, len(times)), times, sampling)[0]

        return cls(sensor.calibration(device), measured, now_ms)

    def power_cycle(self) -> None:
        """Power off and on: all registers at their reset values, and the chip answers again."""
        self._silent = False
        self._soft_reset()

    def stop_responding(self) -> None:
        """Acknowledge nothing any more until the power is cycled."""
        self._silent = True

    def read(self, register: int, length: int) -> list[int]:
        """Read bytes from a register on. A read of several bytes sees one conversion, never halves of two."""
        self._acknowledge()
        self._run(self._now())
        file = self._trimming | {
            _ID: _CHIP_ID,
            _CTRL_HUM: self._ctrl_hum,
            _STATUS: self._status(),
            _CTRL_MEAS: self._ctrl_meas,
            _CONFIG: self._config,
            **{_DATA + offset: byte for offset, byte in enumerate(self._data)},
        }
        return [file.get((register + offset) & 0xFF, 0) for offset in range(length)]

    def write(self, register: int, value: int) -> None:
        """Write one byte; what is not writable stays as it is."""
        self._acknowledge()
        now = self._now()
        self._run(now)
        if register == _RESET and value == _RESET_WORD:
            self._soft_reset()
        elif register == _CTRL_HUM:
            self._ctrl_hum = value & 0x07
        elif register == _CONFIG and self._mode != 3:  # in normal mode writes may be ignored (section 5.4.6)
            self._config = value & 0xFD
            self._filtered = None
        elif register == _CTRL_MEAS:
            self._ctrl_meas = value & 0xFF
            self._humidity_in_force = self._ctrl_hum
            self._due_ms = now + self._sampling.conversion_ms if self._mode else None

    def _acknowledge(self) -> None:
        if self._silent:
            raise OSError(EREMOTEIO, "Remote I/O error")

    def _soft_reset(self) -> None:
        self._ctrl_hum = self._humidity_in_force = self._ctrl_meas = self._config = 0
        self._data = _data(P_RESET, T_RESET, H_RESET)
        self._ready_ms = self._now() + _START_UP_MS
        self._due_ms = None
        self._filtered = None

    @property
    def _mode(self) -> int:
        """Return 0 asleep, 1 and 2 forced, 3 normal."""
        return self._ctrl_meas & 0x03

    @property
    def _sampling(self) -> Sampling:
        return Sampling(
            _OVERSAMPLING[self._ctrl_meas >> 5],
            _OVERSAMPLING[self._ctrl_meas >> 2 & 0x07],
            _OVERSAMPLING[self._humidity_in_force],
            _FILTER[self._config >> 2 & 0x07],
        )

    def _status(self) -> int:
        now = self._now()
        converting = self._due_ms is not None and self._due_ms - self._sampling.conversion_ms <= now
        return (_MEASURING if converting else 0) | (_IM_UPDATE if now < self._ready_ms else 0)

    def _run(self, now: float) -> None:
        """Finish what was due until now: of many conversions of normal mode, the last is what the registers hold."""
        if self._due_ms is None or now < self._due_ms:
            return
        if self._mode == 3:
            period = self._sampling.conversion_ms + _STANDBY[self._config >> 5]
            done = self._due_ms + (now - self._due_ms) // period * period
            count = min((now - self._due_ms) // period, _REMEMBERED * self._sampling.filter)
            self._convert(done - period * np.arange(count, -1, -1))
            self._due_ms = done + period
        else:
            self._convert(np.array([self._due_ms]))
            self._ctrl_meas &= 0xFC
            self._due_ms = None

    def _convert(self, times_ms: Floats) -> None:
        """Convert at these times one after the other: each is a step of the filter, whatever time is between them."""
        sampling = self._sampling
        temperature, humidity, pressure = self._source(times_ms, replace(sampling, filter=0))
        for warm, heavy in zip(temperature.tolist(), pressure.tolist(), strict=True):
            if self._filtered is None or not sampling.filter:
                self._filtered = warm, heavy
            else:
                before_c, before_hpa = self._filtered
                kept = sampling.filter - 1
                self._filtered = (
                    (before_c * kept + warm) / sampling.filter,
                    (before_hpa * kept + heavy) / sampling.filter,
                )
        assert self._filtered is not None
        cleared, pressed = (np.array([value]) for value in self._filtered)
        raw = to_raw(self._calibration, sampling, cleared, humidity[-1:], pressed)
        # What is skipped keeps its reset value (oversampling code 0, section 5.4).
        self._data = _data(
            int(raw.p[0]) if self._ctrl_meas >> 2 & 0x07 else P_RESET,
            int(raw.t[0]) if self._ctrl_meas >> 5 else T_RESET,
            int(raw.h[0]) if self._humidity_in_force else H_RESET,
        )


def _data(pressure: int, temperature: int, humidity: int) -> list[int]:
    """Return registers 0xF7 to 0xFE."""
    p, t = pressure << 4, temperature << 4
    return [p >> 16, p >> 8 & 0xFF, p & 0xFF, t >> 16, t >> 8 & 0xFF, t & 0xFF, humidity >> 8, humidity & 0xFF]


def _trimming(calibration: Calibration) -> dict[int, int]:
    """Return registers 0x88 to 0xA1 and 0xE1 to 0xE7 (table 16)."""
    chip = {name: int(getattr(calibration, name)[0]) for name in calibration.__dataclass_fields__}
    words = [chip[name] & 0xFFFF for name in (*(f"t{n}" for n in range(1, 4)), *(f"p{n}" for n in range(1, 10)))]
    low = [byte for word in words for byte in (word & 0xFF, word >> 8)]
    h2, h4, h5 = chip["h2"] & 0xFFFF, chip["h4"] & 0xFFF, chip["h5"] & 0xFFF
    high = [h2 & 0xFF, h2 >> 8, chip["h3"] & 0xFF, h4 >> 4, h5 << 4 & 0xF0 | h4 & 0x0F, h5 >> 4, chip["h6"] & 0xFF]
    return {
        **{0x88 + offset: byte for offset, byte in enumerate(low)},
        0xA1: chip["h1"] & 0xFF,
        **{0xE1 + offset: byte for offset, byte in enumerate(high)},
    }
