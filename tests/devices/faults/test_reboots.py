"""Reboots and late timers are functions of the time: the same bytes in any company, from whichever moment."""

from collections import defaultdict
from itertools import pairwise

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.export.columns import split_by_schema, table_schemas
from devices.export.csv import csv_rows
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from devices.sensors.base import EPOCH_MS, boot_number
from devices.timeline.timeline import Timeline
from edgewire.clock import parse_ms
from edgewire.errors import ConfigError

NOON_MS = parse_ms("2026-03-04T12:00:00Z")
KINDS = ("bme280", "gps", "telematics", "traffic", "people")

reboots = st.one_of(
    st.just({"from": "2026-03-04T12:00:20Z", "to": "2026-03-04T12:00:23Z"}),
    st.just({"rate": "2/min", "duration": "1s..5s"}),
    st.just({"rate": "40/h", "duration": "10s..1m"}),
)


def scenario(jitter_ms: int, *windows: dict[str, str]) -> Scenario:
    return Scenario(
        seed=9,
        devices=[
            {"kind": kind, "count": 2, "interval": "2s"}
            | ({"jitter": f"{jitter_ms}ms"} if kind not in ("traffic", "people") else {})
            for kind in KINDS
        ],
        faults=[window | {"type": "reboot", "kind": kind, "share": 0.7} for kind in KINDS for window in windows],
    )


Rows = dict[tuple[str, int, int], tuple[int, bytes]]


def rows(timeline: Timeline, from_ms: int, to_ms: int) -> Rows:
    """Device, boot and seq -> due time and payload."""
    batch = timeline.batch(from_ms, to_ms)
    columns = zip(batch.device, batch.boot, batch.seq, batch.due_ms, batch.payload, strict=True)
    return {
        (timeline.devices[device].device_id, boot, seq): (due, payload) for device, boot, seq, due, payload in columns
    }


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(
    jitter_ms=st.sampled_from([0, 500, 1999]),
    windows=st.lists(reboots, min_size=1, max_size=2),
    cuts=st.lists(st.integers(0, 90_000), max_size=4),
    powered_on=st.sampled_from([NOON_MS, NOON_MS - 3_600_000]),
)
def test_the_same_messages_for_any_split(
    jitter_ms: int, windows: list[dict[str, str]], cuts: list[int], powered_on: int
) -> None:
    planned = scenario(jitter_ms, *windows)
    whole = rows(Timeline(planned, powered_on), NOON_MS, NOON_MS + 90_000)
    edges = [NOON_MS, *(NOON_MS + cut for cut in sorted(cuts)), NOON_MS + 90_000]
    pieces: Rows = {}
    for index in range(3):
        line = Timeline(planned, powered_on, Shard(index, 3))
        for begin, end in pairwise(edges):
            pieces |= rows(line, begin, end)
    assert pieces == whole
    seqs: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for (name, boot, seq), (due_ms, payload) in whole.items():
        seqs[name, boot].append(seq)
        assert NOON_MS <= due_ms < NOON_MS + 90_000
        fields = orjson.loads(payload)
        assert (fields["device_id"], fields["boot"], fields["seq"]) == (name, boot, seq)
        assert parse_ms(fields["timestamp"]) == due_ms >= EPOCH_MS + 1000 * (boot - 1)
    for (_, boot), found in seqs.items():
        # From the first one in the window; from 0 where the boot is younger.
        assert found == list(range(found[0], found[0] + len(found)))
        if boot_number(NOON_MS) < boot:
            assert found[0] == 0


def test_a_device_that_is_down_takes_no_readings() -> None:
    planned = scenario(0, {"from": "2026-03-04T12:00:20Z", "to": "2026-03-04T12:00:40Z"})
    timeline = Timeline(planned, NOON_MS)
    down = [
        name for (name, boot, _), _ in rows(timeline, NOON_MS, NOON_MS + 60_000).items() if boot > timeline.boot
    ]  # fmt: skip
    assert down
    assert not [
        name for (name, *_), (due, _) in rows(timeline, NOON_MS + 20_000, NOON_MS + 40_000).items() if name in down
    ]  # fmt: skip
    labels = timeline.labels(NOON_MS, NOON_MS + 60_000)
    assert {label.device_id for label in labels} == set(down)
    assert {(label.type, label.boot, label.messages, label.first_seq) for label in labels} == {
        ("reboot", boot_number(NOON_MS + 40_000), 0, None)
    }


def test_tables_say_the_boot_of_every_row() -> None:
    planned = scenario(0, {"from": "2026-03-04T12:00:20Z", "to": "2026-03-04T12:00:25Z"})
    timeline = Timeline(planned, NOON_MS)
    schemas = table_schemas(timeline)
    said: set[tuple[str, int, int]] = set()
    for schema, table in split_by_schema(schemas, timeline.tables(NOON_MS, NOON_MS + 60_000)):
        for line in csv_rows(timeline, table, schema.columns).decode().splitlines():
            name, _, boot, seq = line.split(",")[:4]
            said.add((name, int(boot), int(seq)))
    assert said == set(rows(timeline, NOON_MS, NOON_MS + 60_000))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"jitter": "2s"}, "shorter than the interval"),
        ({"kind": "people", "jitter": "1s"}, "counts what passed"),
    ],
)
def test_jitter_that_makes_no_sense_is_refused(change: dict[str, str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Scenario(devices=[{"kind": "bme280", "count": 1, "interval": "2s"} | change])


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"type": "half_open", "from": "2026-03-04"}, "must end"),
        ({"type": "reboot", "rate": "1/h", "duration": "500ms"}, "takes a second"),
        ({"type": "reboot", "from": "2026-03-04T12:00:00Z", "to": "2026-03-04T12:00:00.5Z"}, "takes a second"),
        ({"type": "reboot", "rate": "1/h", "duration": "5s", "reason": "boredom"}, "power_on"),
    ],
)
def test_a_fault_of_a_link_that_makes_no_sense_is_refused(fault: dict[str, str], reason: str) -> None:
    with pytest.raises((ValueError, ConfigError), match=reason):
        Scenario(devices=[{"kind": "gps", "count": 1}], faults=[fault | {"kind": "gps"}])


def test_ntp_sets_a_drifting_clock_right_again_and_again() -> None:
    fault = {"type": "clock_drift", "kind": "gps", "per_hour": "36s", "sync_every": "20s", "from": "2026-03-04T12:00Z"}
    timeline = Timeline(Scenario(devices=[{"kind": "gps", "count": 1, "interval": "5s"}], faults=[fault]), NOON_MS)
    found = rows(timeline, NOON_MS, NOON_MS + 60_000).values()
    errors = [parse_ms(orjson.loads(payload)["timestamp"]) - due for due, payload in found]
    since = [(due - NOON_MS) % 20_000 for due, _ in found]
    assert errors == [round(gone * 0.01) for gone in since]
    assert max(errors) > 100
