"""The emulated register file, judged by the unmodified RPi.bme280 driver."""

import bme280
import numpy as np
import pytest

from devices.sensors.base import Population
from devices.sensors.bme280.bus import EmulatedBus
from devices.sensors.bme280.chip import Calibration, Sampling
from devices.sensors.bme280.registers import Bme280Registers
from devices.sensors.bme280.sensor import Bme280Sensor, Bme280Settings
from devices.world.world import Site, World
from edgewire.clock import parse_ms

START_MS = parse_ms("2026-03-02T12:00:00Z")
ADDRESS = 0x76
CTRL_HUM, STATUS, CTRL_MEAS, CONFIG, DATA = 0xF2, 0xF3, 0xF4, 0xF5, 0xF7
RESET_DATA = [0x80, 0, 0, 0x80, 0, 0, 0x80, 0]

# The driver makes its timestamps with `datetime.utcnow`.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


class Bench:
    """One chip on a bus, and a clock that only the test and the driver's sleeps move."""

    def __init__(self, version: int = 2, **chip: object) -> None:
        self.now_ms = float(START_MS)
        self.world = World.build(7, [Site(name="a", latitude=48, longitude=2)], version=version)
        keys = np.arange(3).astype(np.uint64)
        here = Population(keys, np.zeros(3, dtype=np.int64), np.full(3, 10_000), np.arange(3))
        self.sensor = Bme280Sensor(Bme280Settings(decimals=6, **chip), here)
        self.chip = Bme280Registers.for_device(self.sensor, self.world, 1, lambda: self.now_ms)
        self.bus = EmulatedBus({ADDRESS: self.chip})

    def sleep(self, seconds: float) -> None:
        self.now_ms += seconds * 1000

    def write(self, register: int, value: int) -> None:
        self.bus.write_byte_data(ADDRESS, register, value)

    def data(self) -> list[int]:
        return self.bus.read_i2c_block_data(ADDRESS, DATA, 8)

    def status(self) -> int:
        return self.bus.read_byte_data(ADDRESS, STATUS)


@pytest.fixture(params=[1, 2])
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(request.param)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(("code", "times"), [(1, 1), (3, 4), (5, 16)])
def test_the_real_driver_reads_what_the_sensor_publishes(
    code: int, times: int, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(version, oversampling_t=times, oversampling_p=times, oversampling_h=times, profile="outdoor")
    monkeypatch.setattr(bme280.time, "sleep", bench.sleep)
    params = bme280.load_calibration_params(bench.bus, ADDRESS)
    for _ in range(30):
        bench.now_ms += 600_000.0
        measured_ms = int(bench.now_ms + Sampling(times, times, times).conversion_ms)
        reading = bme280.sample(bench.bus, ADDRESS, params, code)
        row = bench.sensor.sample(bench.world, np.array([1]), np.array([measured_ms]))
        # The same counts; only the last of six decimals may differ.
        assert reading.temperature == pytest.approx(row["temperature_c"][0], abs=1e-6)
        assert reading.humidity == pytest.approx(row["humidity"][0], abs=1e-6)
        assert reading.pressure == pytest.approx(row["pressure_hpa"][0], abs=1e-6)


def test_the_driver_reads_the_units_own_constants(bench: Bench) -> None:
    params = bme280.load_calibration_params(bench.bus, ADDRESS)
    own = Calibration.for_keys(np.array([1], dtype=np.uint64))
    assert {name: params[f"dig_{name.upper()}"] for name in own.__dataclass_fields__} == {
        name: getattr(own, name)[0] for name in own.__dataclass_fields__
    }


def test_ctrl_hum_counts_from_the_next_write_to_ctrl_meas(bench: Bench) -> None:
    bench.write(CTRL_MEAS, 0b001_001_01)
    bench.write(CTRL_HUM, 1)
    bench.now_ms += 100
    assert bench.data()[6:] == RESET_DATA[6:]
    bench.write(CTRL_MEAS, 0b001_001_01)
    bench.now_ms += 100
    assert bench.data()[6:] != RESET_DATA[6:]


def test_a_forced_conversion_takes_its_time_and_goes_to_sleep(bench: Bench) -> None:
    bench.write(CTRL_HUM, 1)
    bench.write(CTRL_MEAS, 0b001_001_10)
    bench.now_ms += 7.9
    assert bench.status() & 0x08
    assert bench.data() == RESET_DATA
    # 8.0 ms typically, all at x1 (section 9.1).
    bench.now_ms += 0.2
    first = bench.data()
    assert not bench.status() & 0x08
    assert first != RESET_DATA
    assert bench.bus.read_byte_data(ADDRESS, CTRL_MEAS) & 0x03 == 0
    bench.now_ms += 3_600_000
    assert bench.data() == first


def test_normal_mode_converts_again_after_the_standby(bench: Bench) -> None:
    bench.write(CTRL_HUM, 1)
    bench.write(CONFIG, 5 << 5)
    bench.write(CTRL_MEAS, 0b001_001_11)
    bench.now_ms += 9
    first = bench.data()
    bench.now_ms += 990
    assert bench.data() == first
    assert not bench.status() & 0x08
    bench.now_ms += 20
    assert bench.data() != first
    bench.write(CONFIG, 0)
    assert bench.bus.read_byte_data(ADDRESS, CONFIG) == 5 << 5


def test_a_soft_reset_forgets_settings_and_data(bench: Bench) -> None:
    bench.write(CTRL_HUM, 1)
    bench.write(CTRL_MEAS, 0b001_001_01)
    bench.now_ms += 20
    assert bench.data() != RESET_DATA
    bench.write(0xE0, 0xB5)
    assert bench.data() != RESET_DATA
    bench.write(0xE0, 0xB6)
    assert bench.data() == RESET_DATA
    assert bench.status() == 0x01
    assert bench.bus.read_byte_data(ADDRESS, 0xE0) == 0
    bench.now_ms += 2
    assert bench.status() == 0
    assert bench.bus.read_byte_data(ADDRESS, CTRL_HUM) == 0
    assert bench.bus.read_byte_data(ADDRESS, 0xD0) == 0x60


def test_the_filter_register_quiets_the_pressure(monkeypatch: pytest.MonkeyPatch) -> None:
    spread = []
    for config in (0, 3 << 2):
        bench = Bench(weather_events=False)
        monkeypatch.setattr(bme280.time, "sleep", bench.sleep)
        params = bme280.load_calibration_params(bench.bus, ADDRESS)
        bench.write(CONFIG, config)
        readings = []
        for _ in range(150):
            bench.now_ms += 200
            readings.append(bme280.sample(bench.bus, ADDRESS, params).pressure)
        spread.append(np.std(np.diff(readings)))
    assert spread[0] > 1.1 * spread[1]


def test_a_silent_chip_answers_after_a_power_cycle(bench: Bench) -> None:
    bench.chip.stop_responding()
    with pytest.raises(OSError, match="Remote I/O") as caught:
        bme280.load_calibration_params(bench.bus, ADDRESS)
    assert caught.value.errno == 121
    with pytest.raises(OSError, match="Remote I/O"):
        bench.write(0xE0, 0xB6)
    bench.chip.power_cycle()
    assert bench.data() == RESET_DATA


def test_nobody_answers_at_another_address(bench: Bench) -> None:
    with pytest.raises(OSError, match="Remote I/O"):
        bench.bus.read_byte_data(0x77, 0xD0)
    with pytest.raises(ValueError, match="32"):
        bench.bus.read_i2c_block_data(ADDRESS, 0x88, 33)


def pressure_counts(bench: Bench, every_ms: int, *, forced: bool) -> np.ndarray:
    """Return the counts of pressure of 1,400 reads, less what is slower than noise."""
    found = []
    for _ in range(1500):
        if forced:
            bench.write(CTRL_MEAS, 0b00100101)
        bench.now_ms += every_ms
        found.append(int.from_bytes(bytes(bench.data()[:3]), "big") >> 4)
    course = np.polyfit(np.arange(1400), found[100:], 3)
    return np.asarray(found[100:] - np.polyval(course, np.arange(1400)))


STILL = {
    "temperature_c": {"low": 18, "high": 28, "drift": 1e-6},
    "pressure_hpa": {"low": 900, "high": 1100, "drift": 1e-6},
    "weather_events": False,
    "daily_pattern": False,
    "ageing": 0,
}


@pytest.mark.slow
@pytest.mark.parametrize("every_ms", [200, 60_000])
def test_the_filter_counts_in_conversions_however_often_it_is_read(every_ms: int) -> None:
    # BST-BME280-DS001-10, section 3.4.4: y = (y_old (c - 1) + x) / c, so a lag of one keeps 15 of 16 parts.
    bench = Bench(**STILL)
    bench.write(CTRL_HUM, 1)
    bench.write(CONFIG, 4 << 2)
    noise = pressure_counts(bench, every_ms, forced=True)
    assert np.corrcoef(noise[1:], noise[:-1])[0, 1] == pytest.approx(0.9375, abs=0.03)


@pytest.mark.slow
def test_the_filter_goes_through_conversions_of_normal_mode_that_nobody_read() -> None:
    bench = Bench(**STILL)
    bench.write(CTRL_HUM, 1)
    bench.write(CONFIG, 4 << 2)
    bench.write(CTRL_MEAS, 0b00100111)
    # Standby 0.5 ms after 8 ms: five conversions lie between two reads of 43 ms.
    noise = pressure_counts(bench, 43, forced=False)
    assert np.corrcoef(noise[1:], noise[:-1])[0, 1] == pytest.approx(0.9375**5, abs=0.1)
