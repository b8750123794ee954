"""What is compared of the other sensors: rooms and neighbours of BME280s, shops, cameras; filter and status of all."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson

from benchmarks.realism.trip_statistics import MONDAY_MS, PLACE
from devices.firmware.config import Build, FirmwareConfig
from devices.firmware.firmware import Firmware
from devices.scenario.scenario import Scenario
from devices.sensors.base import Population
from devices.sensors.bme280.registers import Bme280Registers
from devices.sensors.bme280.sensor import Bme280Sensor, Bme280Settings
from devices.timeline.timeline import Timeline
from devices.world.random import hash_bits
from devices.world.world import DAY_MS, HOUR_MS, MINUTE_MS, World

_STILL = {"noise": False, "tolerance": 0, "ageing": 0}
_AT_REST = {
    "temperature_c": {"low": 18, "high": 28, "drift": 1e-6},
    "pressure_hpa": {"low": 900, "high": 1100, "drift": 1e-6},
    "weather_events": False,
    "daily_pattern": False,
    "ageing": 0,
}
_COLOURED = ("blue", "red", "green", "brown")
# Registers of the data sheet, section 5.3; pressure in a forced conversion, filter 16.
_CTRL_HUM, _CTRL_MEAS, _CONFIG, _DATA = 0xF2, 0xF4, 0xF5, 0xF7
_READS, _SETTLED = 3000, 100


def bme280_statistics(version: int, seed: int, days: int = 2) -> Iterator[tuple[str, float]]:
    """Yield what the table has of BME280s of a world, by name."""
    for every_ms in (1000, 10_000, 60_000):
        columns = _readings(version, seed, every_ms, days, 0)
        inside = np.array([row["in_weather_event"] for row in columns["metadata"]], dtype=np.int64)
        yield f"room, storms a day read every {every_ms // 1000} s", float((np.diff(inside) > 0).sum() / days)
        if every_ms == 10_000:
            change = np.abs(np.diff(np.asarray(columns["pressure_hpa"], dtype=np.float64)))
            yield "room, greatest change of the pressure in 10 s (hPa)", float(change.max())
    units = [
        np.asarray(
            _readings(version, seed, 10 * MINUTE_MS, 20 * days, unit, profile="outdoor", **_STILL)["temperature_c"]
        )
        for unit in range(4)
    ]
    apart = [(units[one] - units[other]).std() for one in range(4) for other in range(one)]
    yield "two units of a site outdoors, sd of the difference (°C)", float(np.mean(apart))
    yield "register path, filter 16: autocorrelation from one conversion to the next", _filtered(version, seed)


def _readings(version: int, seed: int, every_ms: int, days: int, unit: int, **settings: Any) -> dict[str, Any]:
    sensor = Bme280Sensor(Bme280Settings(**settings), _population(4, every_ms))
    times = MONDAY_MS + np.arange(0, days * DAY_MS, every_ms)
    return dict(sensor.sample(World.build(seed, [PLACE], version=version), np.full(len(times), unit), times))


def _population(count: int, every_ms: int) -> Population:
    keys = hash_bits(0, "realism/unit", np.arange(count))
    return Population(keys, np.zeros(count, dtype=np.int64), np.full(count, every_ms), np.arange(count))


def _filtered(version: int, seed: int) -> float:
    """Return how alike the noise of one conversion is to that of the next, on the chip's bus."""
    now = [float(MONDAY_MS)]
    sensor = Bme280Sensor(Bme280Settings.model_validate(_AT_REST), _population(1, 10_000))
    chip = Bme280Registers.for_device(sensor, World.build(seed, [PLACE], version=version), 0, lambda: now[0])
    chip.write(_CTRL_HUM, 1)
    chip.write(_CONFIG, 4 << 2)
    counts = []
    for _ in range(_READS):
        chip.write(_CTRL_MEAS, 0b00100101)
        now[0] += 200
        counts.append(int.from_bytes(bytes(chip.read(_DATA, 3)), "big") >> 4)
    rows = np.arange(_READS - _SETTLED)
    noise = counts[_SETTLED:] - np.polyval(np.polyfit(rows, counts[_SETTLED:], 3), rows)
    return float(np.corrcoef(noise[1:], noise[:-1])[0, 1])


def status_statistics(firmware: FirmwareConfig, hours: int = 24) -> Iterator[tuple[str, float]]:
    """Yield how often a device that stays connected says its status."""
    device = Firmware("gps-0001", 4711, 7, 0, Build(firmware))
    said = 1
    device.schedule_status(0)
    for now_ms in range(0, hours * HOUR_MS, 1000):
        if device.is_status_due(now_ms):
            said += 1
            device.schedule_status(now_ms)
    yield "status messages of a device that stays connected, an hour", said / hours


def _messages(version: int, seed: int, begin_ms: int, hours: int, kind: str, count: int, **settings: Any) -> list[Any]:
    group = {"kind": kind, "count": count, "interval": "60s", "settings": settings}
    scenario = Scenario.model_validate({"seed": seed, "world": version, "sites": [PLACE], "devices": [group]})
    batch = Timeline(scenario, MONDAY_MS).batch(begin_ms, begin_ms + hours * HOUR_MS)
    return sorted(map(orjson.loads, batch.payload), key=lambda row: (row["device_id"], row["seq"]))


def shop_statistics(version: int, seed: int, doors: int = 4) -> Iterator[tuple[str, float]]:
    """Yield what the table has of people counters of a world: a weekday."""
    day = _messages(version, seed, MONDAY_MS + DAY_MS, 24, "people", doors)
    hours = np.array([int(row["time"][11:13]) for row in day if row["event_type"] == "entry"])
    counts = [row for row in day if row["event_type"] == "count"]
    yield "people who come from 20 to 9 h (%)", 100 * float(((hours < 9) | (hours >= 20)).mean())
    yield "people who come from 2 to 4 h, a day and door", float(((hours >= 2) & (hours < 4)).sum() / doors)
    yield "least that a counter says are inside", min(row["occupancy"] for row in counts)
    at_night = [row["total_entries"] for row in counts if row["timestamp"][11:13] == "03"]
    yield "total that a counter shows at 3 h", float(np.mean(at_night))


def camera_statistics(version: int, seed: int, cameras: int = 12) -> Iterator[tuple[str, float]]:
    """Yield what the table has of cameras of a world: three hours by day and three at night."""
    found = {}
    for name, hour in (("day", 12), ("night", 0)):
        begin_ms = MONDAY_MS + DAY_MS + hour * HOUR_MS
        true, seen = (
            _messages(version, seed, begin_ms, 3, "traffic", cameras, outage_chance=0, **settings)
            for settings in ({"detection": 1}, {})
        )
        found[name] = _coloured(seen)
        if name == "day":
            more = [one["vehicle_count"] > other["vehicle_count"] for one, other in zip(seen, true, strict=True)]
            yield "readings of cameras with more vehicles than passed (%)", 100 * float(np.mean(more))
    yield "coloured vehicles that cameras see, night beside day", found["night"] / found["day"]


def _coloured(messages: list[Any]) -> float:
    colours: Counter[str] = Counter()
    for row in messages:
        colours.update(row["color_counts"])
    return sum(colours[name] for name in _COLOURED) / colours.total()
