"""Bursts of speeding: the vehicle really is driven faster, and every device that sees it says the same."""

from functools import partial
from typing import Any

import numpy as np
import orjson
import pytest

from devices.export.columns import split_by_schema, table_schemas
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from devices.world.components import components
from edgewire.clock import parse_ms

pytestmark = pytest.mark.slow

START_MS = parse_ms("2026-03-02T00:00:00Z")
FROM_MS, TO_MS = parse_ms("2026-03-02T09:00:00Z"), parse_ms("2026-03-02T10:00:00Z")
BEGIN_MS, END_MS = parse_ms("2026-03-02T08:30:00Z"), parse_ms("2026-03-02T10:30:00Z")
BURST = {"type": "burst", "from": "2026-03-02T09:00:00Z", "to": "2026-03-02T10:00:00Z"}
UNITS = [
    {"kind": "telematics", "count": 12, "interval": "10s"},
    {"kind": "gps", "count": 12, "interval": "5s"},
    {"kind": "traffic", "count": 40, "interval": "5m", "settings": {"flow_factor": 1e-9, "detection": 1}},
]
Rows = dict[tuple[str, int], dict[str, Any]]


def line(
    *faults: dict[str, Any], shard: Shard | None = None, devices: list[dict[str, Any]] = UNITS, world: int = 1
) -> Timeline:
    """Twelve vehicles, of which most are driven in these hours in the first world, and few in the second."""
    return Timeline(Scenario(seed=4, world=world, devices=devices, faults=faults), START_MS, shard)


def rows(timeline: Timeline, from_ms: int = BEGIN_MS, to_ms: int = END_MS, **how: bool) -> Rows:
    batch = timeline.batch(from_ms, to_ms, **how)
    names = [timeline.devices[position].device_id for position in batch.device]
    found = [orjson.loads(payload) | {"due_ms": due} for due, payload in zip(batch.due_ms, batch.payload, strict=True)]
    return dict(zip(zip(names, batch.seq, strict=True), found, strict=True))


def test_only_its_vehicles_drive_faster_and_only_then() -> None:
    baseline, boosted = rows(line()), rows(line(BURST | {"devices": ["telematics-0004", "telematics-0007"]}))
    assert set(baseline) == set(boosted)
    differing = [(key, row["due_ms"]) for key, row in boosted.items() if row != baseline[key]]
    units = {name for (name, _), _ in differing if not name.startswith("traffic")}
    assert units == {f"{kind}-{number:04d}" for kind in ("gps", "telematics") for number in (4, 7)}
    # A reading of telematics tells of the ten seconds before it.
    assert all(FROM_MS <= due < TO_MS + 10_000 for (name, _), due in differing if not name.startswith("traffic"))
    assert all(FROM_MS < due <= TO_MS + 300_000 for _, due in differing)

    def speeding(found: Rows) -> int:
        mine = [row for (name, _), row in found.items() if name in ("telematics-0004", "telematics-0007")]
        return sum("speeding" in row["events"] for row in mine if FROM_MS <= row["due_ms"] < TO_MS)

    assert speeding(boosted) > 2 * speeding(baseline) + 10


def test_the_vehicle_moves_as_vehicles_do() -> None:
    timeline = line(BURST | {"excess": 5})
    times = np.arange(BEGIN_MS, END_MS, 500)
    faster, driven = 0.0, 0
    for vehicle in range(12):
        zeros, ones = np.zeros_like(times), np.full_like(times, vehicle)
        moving = components(timeline.world).vehicles.motion(zeros, ones, times)
        usual = components(line().world).vehicles.motion(zeros, ones, times)
        north = (moving.latitude - moving.latitude[0]) * 111_320
        east = (moving.longitude - moving.longitude[0]) * 111_320 * np.cos(np.radians(48.8566))
        step = np.hypot(np.diff(east), np.diff(north))
        mean = (moving.speed_ms[1:] + moving.speed_ms[:-1]) / 2
        assert (step <= 0.5 * mean * 1.03 + 1.0).all()
        outside = (times < FROM_MS) | (times >= TO_MS)
        assert (moving.speed_ms == usual.speed_ms)[outside].all()
        if usual.on_trip.any():
            driven += 1
            faster = max(faster, moving.speed_ms.max() / usual.speed_ms.max())
    assert faster > 1.2
    assert driven > 5


def test_gps_telematics_and_cameras_see_the_same_drive() -> None:
    found = rows(line(BURST | {"excess": 4}))
    by_unit = {
        kind: {
            row["due_ms"]: row for (name, _), row in found.items() if name == f"{kind}-0004" and row["due_ms"] < TO_MS
        }
        for kind in ("gps", "telematics")
    }
    # The two units report at moments of their own; within a second the speed hardly changes but in a hard braking.
    pairs = [
        (row["speed_mph"] * 1.609344, by_unit["gps"][other]["speed_kmh"])
        for due, row in by_unit["telematics"].items()
        for other in by_unit["gps"]
        if abs(due - other) <= 1000 and by_unit["gps"][other]["speed_kmh"] is not None
    ]
    assert len(pairs) > 100
    assert np.median([abs(one - other) for one, other in pairs]) < 1.0
    baseline = rows(line())

    def top_speeds(messages: Rows) -> list[float]:
        return [
            row["max_speed"] for (name, _), row in messages.items()
            if name.startswith("traffic") and row["max_speed"] and FROM_MS + 300_000 < row["due_ms"] < TO_MS
        ]  # fmt: skip

    assert len(top_speeds(baseline)) > 20
    assert np.mean(top_speeds(found)) > 1.1 * np.mean(top_speeds(baseline))


@pytest.mark.parametrize("when", [{}, {"rate": "10/day", "duration": "30m..1h", "from": None, "to": None}])
@pytest.mark.parametrize("interval", ["10s", "5m"])
def test_labels_name_exactly_the_messages_that_differ(when: dict[str, Any], interval: str) -> None:
    fault = {key: value for key, value in (BURST | when).items() if value is not None} | {"share": 0.8}
    devices = [UNITS[0] | {"interval": interval}, UNITS[1]]
    timeline = line(fault, devices=devices)
    begin, end = (FROM_MS - 3_600_000, TO_MS + 3_600_000)
    baseline, boosted = rows(line(devices=devices), begin, end), rows(timeline, begin, end)
    differing: dict[str, list[int]] = {}
    fields: dict[str, set[str]] = {"gps": set(), "telematics": set()}
    for (name, seq), row in boosted.items():
        if row != baseline[name, seq]:
            differing.setdefault(name, []).append(seq)
            fields[name.split("-")[0]] |= {key for key in row if row[key] != baseline[name, seq][key]}
    labels = timeline.labels(begin, end)
    assert len(labels) >= 6
    for label in labels:
        assert (label.type, label.layer, label.parameters) == ("burst", "physics", {"excess": 3.0})
        assert fields[label.kind] <= set(label.fields)
        mine = [seq for seq in differing[label.device_id] if label.first_seq <= seq <= label.last_seq]
        assert (min(mine), max(mine), len(mine)) == (label.first_seq, label.last_seq, label.messages)
        if not when:
            assert (label.start_ms, label.end_ms) == (FROM_MS, TO_MS)
    assert sum(label.messages for label in labels) == sum(map(len, differing.values()))


def test_the_clean_value_is_that_of_the_usual_drive() -> None:
    baseline, both = rows(line()), rows(line(BURST), clean=True)
    differs = 0
    for key, row in both.items():
        clean = {name.removeprefix("clean_"): value for name, value in row.items() if name.startswith("clean_")}
        assert bool(clean) == (not key[0].startswith("traffic"))
        assert all(baseline[key][name] == value for name, value in clean.items())
        differs += any(row[name] != value for name, value in clean.items())
    assert differs > 1000


@pytest.mark.parametrize("world", [1, 2])
def test_same_bytes_in_any_shard_and_from_any_moment(world: int) -> None:
    faults = [
        {"type": "burst", "rate": "12/day", "duration": "20m..1h", "share": 0.6},
        {"type": "burst", "kind": "gps", "rate": "12/day", "duration": "20m..1h", "excess": 5},
    ]
    made = partial(line, *faults, world=world)
    whole, labels = rows(made()), made().labels(BEGIN_MS, END_MS)
    spread: Rows = {}
    shards = [made(shard=Shard(index, 3)) for index in range(3)]
    for shard in shards:
        spread |= rows(shard)
    assert spread == whole
    together = [label for shard in shards for label in shard.labels(BEGIN_MS, END_MS)]
    assert sorted(map(str, together)) == sorted(map(str, labels))
    assert len({(label.kind, label.parameters["excess"]) for label in labels}) >= 2 * (3 - world)
    later = rows(made(), FROM_MS + 123_456)
    assert later == {key: row for key, row in whole.items() if row["due_ms"] >= FROM_MS + 123_456}


def test_units_of_one_vehicle_share_their_random_bursts() -> None:
    labels = line({"type": "burst", "rate": "6/day", "duration": "1h"}).labels(START_MS, END_MS)
    times: dict[str, dict[str, set[int]]] = {"gps": {}, "telematics": {}}
    for label in labels:
        times[label.kind].setdefault(label.device_id[-4:], set()).add(label.start_ms)
    assert len(times["gps"]) > 6
    assert times["gps"] == times["telematics"]
    assert len({min(starts) for starts in times["gps"].values()}) > 6


def test_exports_give_a_clean_value_the_type_of_its_field() -> None:
    timeline = line(BURST)
    tables = [table for table in timeline.tables(BEGIN_MS, END_MS, clean=True) if table.kind != "traffic"]
    for schema, table in split_by_schema(table_schemas(timeline), tables):
        types = {column.name: column.type for column in schema.widened(table).columns}
        clean = [name for name in types if name.startswith("clean_")]
        assert len(clean) >= 8
        assert all(types[name] is types[name.removeprefix("clean_")] for name in clean)
