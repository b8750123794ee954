"""What holds for the sensors of all kinds: law 1, and the contract."""

from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.sensors.base import EventSensor, Population, Sensor
from devices.sensors.registry import KINDS
from devices.world.random import hash_bits
from devices.world.world import Site, World
from edgewire.clock import iso_ms, parse_ms
from edgewire.messages import CONTRACT

MONDAY_MS = parse_ms("2026-03-02T00:00:00Z")
DAY_MS = 86_400_000
SITES = (
    Site(name="a", latitude=48.9, longitude=2.4, timezone="Europe/Paris"),
    Site(name="b", latitude=49.1, longitude=2.9, timezone="Europe/Paris"),
    Site(name="c", latitude=-33.9, longitude=18.4, timezone="Africa/Johannesburg"),
)
FLEET = {number: SITES[number % 3].name for number in range(30)}
DEVICES = 12
kinds = st.sampled_from(list(KINDS))


def everyone() -> Population:
    numbers = np.arange(DEVICES)
    intervals = np.array([1_000, 10_000, 60_000, 3_600_000])[numbers % 4]
    return Population(hash_bits(1, "test/key", numbers), numbers % 3, intervals, numbers)


def part_of(population: Population, ids: np.ndarray) -> Population:
    return Population(
        population.keys[ids], population.sites[ids], population.interval_ms[ids], population.ordinals[ids]
    )


def sensor_of(kind: str, population: Population, **settings: Any) -> Sensor:
    return KINDS[kind].sensor(KINDS[kind].settings(**settings), population)


def rows(sensor: Sensor, world: World, ids: np.ndarray, times: np.ndarray) -> list[dict[str, Any]]:
    columns = sensor.sample(world, ids, times)
    values = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def check(kind: str, fields: dict[str, Any], time_ms: int) -> None:
    head = {"device_id": "x", "timestamp": iso_ms(time_ms), "boot": 1, "seq": 0}
    CONTRACT[kind].check(orjson.loads(orjson.dumps(head | fields)))


WORLD = World.build(42, SITES, FLEET)
versions = st.sampled_from([1, 2])
questions = st.lists(
    st.tuples(st.integers(0, DEVICES - 1), st.integers(MONDAY_MS, MONDAY_MS + 30 * DAY_MS)), min_size=1, max_size=12
)


@pytest.mark.slow
@settings(max_examples=16, deadline=None)
@given(versions, kinds, questions, st.data())
def test_a_row_is_the_same_in_any_company_order_and_population(
    version: int, kind: str, asked: list[tuple[int, int]], data: st.DataObject
) -> None:
    population = everyone()
    world = World.build(42, SITES, FLEET, version=version)
    ids, times = np.array(asked).T
    together = rows(sensor_of(kind, population), world, ids, times)
    order = np.array(data.draw(st.permutations(range(len(asked)))))
    assert rows(sensor_of(kind, population), world, ids[order], times[order]) == [together[row] for row in order]
    # Alone: another population, another world object with nothing kept.
    row = data.draw(st.integers(0, len(asked) - 1))
    single = sensor_of(kind, part_of(population, ids[row : row + 1]))
    fresh = World.build(42, SITES, FLEET, version=version)
    assert rows(single, fresh, np.zeros(1, dtype=np.int64), times[row : row + 1]) == [together[row]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.slow
def test_sites_keep_their_devices_readings_when_others_are_added(kind: str) -> None:
    times = MONDAY_MS + np.arange(20) * 3_700_000
    alone = World.build(42, SITES[:1], dict.fromkeys(range(0, 30, 3), "a"))
    ids = np.zeros(20, dtype=np.int64)
    population = part_of(everyone(), np.array([0]))
    assert rows(sensor_of(kind, population), alone, ids, times) == rows(sensor_of(kind, population), WORLD, ids, times)


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_and_devices_differ(kind: str) -> None:
    times = MONDAY_MS + 9 * 3_600_000 + np.arange(40) * 61_000
    population = everyone()
    zero = np.zeros(40, dtype=np.int64)
    first = rows(sensor_of(kind, population), WORLD, zero, times)
    assert first != rows(sensor_of(kind, population), World.build(43, SITES, FLEET), zero, times)
    neighbour = Population(
        population.keys[4:5], population.sites[:1], population.interval_ms[:1], population.ordinals[4:5]
    )
    assert first != rows(sensor_of(kind, neighbour), WORLD, zero, times)


SETTINGS: dict[str, list[dict[str, Any]]] = {
    "bme280": [{"noise_factor": 5}, {"profile": "outdoor"}, {"profile": "winter"}],
    "traffic": [{"night": "blind", "outage_chance": 1}, {"flow_factor": 10}],
    "gps": [{"cep_m": 80, "decimals": 8, "nmea": True}],
    "telematics": [{"braking_g": 0.05, "lateral_g": 0.02, "over_speed_mph": 0.1, "following_s": 20, "speeding_for": 0}],
    "people": [{"daily_customers": 1}, {"daily_customers": 20_000, "accuracy": 0.5}],
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_rows_keep_the_contract_at_any_hour_and_with_any_settings(kind: str) -> None:
    times = MONDAY_MS + np.arange(0, 14 * DAY_MS, 2 * 3_600_000 + 1_234_567)
    ids = np.arange(len(times)) % DEVICES
    for settings_ in [{}, *SETTINGS.get(kind, [])]:
        for row, time_ms in zip(rows(sensor_of(kind, everyone(), **settings_), WORLD, ids, times), times, strict=True):
            check(kind, row, int(time_ms))


@pytest.mark.slow
@pytest.mark.parametrize("latitude", [-90, 90])
@pytest.mark.parametrize("longitude", [-180, 180])
def test_rows_keep_the_contract_at_the_ends_of_the_earth(latitude: float, longitude: float) -> None:
    world = World.build(1, [Site(name="end", latitude=latitude, longitude=longitude, altitude_m=9000)], {0: "end"})
    times = MONDAY_MS + np.arange(0, DAY_MS, 1_234_567)
    population = part_of(everyone(), np.array([0, 3, 6, 9]))
    for kind in KINDS:
        for row in rows(sensor_of(kind, population), world, np.arange(len(times)) % 4, times):
            check(kind, row, MONDAY_MS)


@pytest.mark.parametrize("kind", KINDS)
def test_what_happens_keeps_the_contract(kind: str) -> None:
    sensor = sensor_of(kind, everyone())
    if not isinstance(sensor, EventSensor):
        return
    found = sensor.events(WORLD, np.arange(DEVICES), MONDAY_MS, MONDAY_MS + DAY_MS // 2)
    assert len(found.fields) > 1000
    for fields, time_ms in zip(found.fields[::17], found.time_ms[::17].tolist(), strict=True):
        check(kind, fields, time_ms)


def test_an_empty_batch_has_no_rows(population: Callable[..., Population]) -> None:
    none = np.empty(0, dtype=np.int64)
    for kind in KINDS.keys() - {"bme280"}:
        assert rows(sensor_of(kind, population(3)), WORLD, none, none) == []
