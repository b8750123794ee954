"""A calendar of random faults: the same bytes in any company, only what it names is changed, and the labels say so."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.faults.labels import Label, write_labels
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from devices.sensors.fields import numeric_fields
from devices.timeline.timeline import Timeline
from edgewire.clock import parse_ms
from edgewire.errors import ConfigError

NOON_MS = parse_ms("2026-03-04T12:00:00Z")
START_MS = parse_ms("2026-03-02T07:00:00Z")
MINUTE_MS = 60_000
KINDS = ("bme280", "gps", "telematics", "traffic", "people")
Rows = dict[tuple[str, int], tuple[int, bytes]]
"""Device and seq -> due time and payload."""

when = st.one_of(
    st.just({"from": "2026-03-04T12:00:40Z", "to": "2026-03-04T12:02:00Z"}),
    st.just({"from": "2026-03-04T12:01:00Z"}),
    # Often enough to be there within minutes.
    st.just({"rate": "20/h", "duration": "5s..2m"}),
    st.just({"rate": "1/min", "duration": "10s"}),
)
whom = st.sampled_from([{}, {"share": 0.5}])
effects = st.sampled_from(
    [
        {"type": "bias", "offset": 3},
        {"type": "gain", "factor": 0.5},
        {"type": "drift", "per_hour": 60},
        {"type": "spike", "size": 2, "chance": 0.4},
        {"type": "noise", "sigma": 2},
        {"type": "stuck_at"},
        {"type": "quantise", "step": 3},
        {"type": "clip", "low": 1, "high": 20},
    ]
)


@st.composite
def faults(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(KINDS))
    special: list[dict[str, Any]] = [
        {"type": "dropout", "chance": 0.6},
        {"type": "clock_step", "offset": "-1h"},
        {"type": "clock_drift"},
        *([{"type": "code_fault"}] if kind == "bme280" else []),
        *([{"type": "gps_loss"}] if kind in ("gps", "telematics") else []),
    ]
    values = st.builds(lambda effect, field: effect | {"field": field}, effects, st.sampled_from(numeric_fields(kind)))
    fault: dict[str, Any] = draw(st.one_of(values, st.sampled_from(special)))
    return fault | {"kind": kind} | draw(when) | draw(whom)


scenarios = st.builds(
    lambda seed, calendar: Scenario(
        seed=seed,
        devices=[{"kind": kind, "count": 2, "interval": "7s"} for kind in KINDS],
        faults=calendar,
    ),
    st.integers(0, 2**40),
    st.lists(faults(), min_size=1, max_size=4),
)


def rows(line: Timeline, from_ms: int = NOON_MS, to_ms: int = NOON_MS + 3 * MINUTE_MS) -> Rows:
    batch = line.batch(from_ms, to_ms)
    names = [line.devices[position].device_id for position in batch.device]
    keys = zip(names, batch.seq, strict=True)
    return dict(zip(keys, zip(batch.due_ms, batch.payload, strict=True), strict=True))


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(scenario=scenarios, shards=st.integers(2, 4), cut=st.integers(1, 3 * MINUTE_MS - 1))
def test_same_bytes_and_labels_in_any_shard_window_and_later_start(scenario: Scenario, shards: int, cut: int) -> None:
    end = NOON_MS + 3 * MINUTE_MS
    line = Timeline(scenario, START_MS)
    whole, labels = rows(line), line.labels(NOON_MS, end)
    parts = [Timeline(scenario, START_MS, Shard(index, shards)) for index in range(shards)]
    together: Rows = {}
    for part in parts:
        together |= rows(part)
    assert together == whole

    def order(label: Label) -> Any:
        return label.start_ms, label.device_id, label.type, label.fields, str(label.parameters)

    spread = [label for part in parts for label in part.labels(NOON_MS, end)]
    assert sorted(spread, key=order) == sorted(labels, key=order)
    later = rows(Timeline(scenario, START_MS), NOON_MS + cut)
    assert later == {key: row for key, row in whole.items() if row[0] >= NOON_MS + cut}
    small = [rows(line, begin, min(begin + 11_000, end)) for begin in range(NOON_MS, end, 11_000)]
    assert {key: row for part in small for key, row in part.items()} == whole


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(scenario=scenarios)
def test_labels_name_exactly_the_messages_that_differ(scenario: Scenario) -> None:
    one = scenario.model_copy(update={"faults": scenario.faults[:1]})
    line = Timeline(one, START_MS)
    clean, faulty = rows(Timeline(scenario.model_copy(update={"faults": ()}), START_MS)), rows(line)
    assert set(faulty) <= set(clean)
    fault = one.faults[0]
    allowed = {
        *fault.affected_fields,
        *(("ts", "time", "entry_time", "exit_time") if "timestamp" in fault.affected_fields else ()),
    }
    differing: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for (name, seq), (due, payload) in clean.items():
        now = faulty.get((name, seq))
        if now is None:
            assert fault.affected_fields == ()
        elif now[1] == payload:
            continue
        else:
            true, wrong = orjson.loads(payload), orjson.loads(now[1])
            assert {field for field in true if true[field] != wrong[field]} <= allowed
        differing[name].append((seq, due))
    labels = line.labels(NOON_MS, NOON_MS + 3 * MINUTE_MS)
    # Sentences are in messages only where the setting asks for them.
    fields = tuple(name for name in fault.affected_fields if name != "nmea")
    for label in labels:
        mine = [
            (seq, due)
            for seq, due in differing[label.device_id]
            if label.start_ms <= due and (label.end_ms is None or due < label.end_ms + fault.trail_ms)
        ]
        assert (label.first_seq, label.last_seq, label.messages) == (min(mine)[0], max(mine)[0], len(mine))
        assert (label.kind, label.fields, label.boot) == (fault.kind, fields, line.boot)
    assert sum(label.messages for label in labels) == sum(map(len, differing.values()))


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(scenario=scenarios)
def test_the_clean_value_beside_the_faulty_one(scenario: Scenario) -> None:
    line, good = Timeline(scenario, START_MS), Timeline(scenario.model_copy(update={"faults": ()}), START_MS)
    clean = {key: orjson.loads(payload) for key, (_, payload) in rows(good).items()}
    batch = line.batch(NOON_MS, NOON_MS + 3 * MINUTE_MS, clean=True)
    changeable = {fault.kind: set[str]() for fault in scenario.faults}
    for fault in scenario.faults:
        changeable[fault.kind] |= set(fault.affected_fields)
    for position, seq, payload in zip(batch.device, batch.seq, batch.payload, strict=True):
        device, row = line.devices[position], orjson.loads(payload)
        true = clean[device.device_id, seq]
        found = {name: value for name, value in row.items() if name.startswith("clean_")}
        fields = changeable.get(device.kind, set()) & set(true)
        if device.kind == "people" and true["event_type"] != "count":
            fields &= {"timestamp"}
        assert found == {f"clean_{name}": true[name] for name in fields}


def test_faults_that_overlap_are_labelled_each_by_what_it_adds() -> None:
    window = {"kind": "bme280", "from": "2026-03-04T12:01:00Z", "to": "2026-03-04T12:02:00Z"}
    calendar = [
        {"type": "bias", "field": "humidity", "offset": 500, **window},
        {"type": "clip", "field": "humidity", "high": 100, **window},
        {"type": "clip", "field": "humidity", "high": 200, **window},
    ]
    devices = [{"kind": "bme280", "count": 1, "interval": "10s"}]
    labels = Timeline(Scenario(devices=devices, faults=calendar), START_MS).labels(NOON_MS, NOON_MS + 3 * MINUTE_MS)
    # The last one has nothing left to clip, so no message shows it.
    assert [(label.type, label.messages, label.layer) for label in labels] == [
        ("bias", 6, "sensor"),
        ("clip", 6, "sensor"),
    ]
    assert [label.parameters for label in labels] == [{"offset": 500.0}, {"low": None, "high": 100.0}]


def test_random_faults_have_their_rate() -> None:
    devices = [{"kind": "bme280", "count": 40, "interval": "1m"}]
    fault = {"type": "bias", "kind": "bme280", "field": "humidity", "offset": 1, "rate": "3/day", "duration": "10m..1h"}
    labels = Timeline(Scenario(devices=devices, faults=[fault]), START_MS).labels(
        NOON_MS, NOON_MS + 5 * 1440 * MINUTE_MS
    )
    # 600 expected; five deviations of a Poisson count are 122, and a device may have one at either edge.
    assert 478 < len(labels) < 722 + 40
    assert len({label.device_id for label in labels}) == 40
    lengths = np.array([label.end_ms - label.start_ms for label in labels if label.end_ms is not None])
    assert abs(lengths.mean() / (35 * MINUTE_MS) - 1) < 0.1


def test_a_share_of_the_devices_has_it() -> None:
    devices = [{"kind": "bme280", "count": 400, "interval": "1m"}]
    fault = {"type": "bias", "kind": "bme280", "field": "humidity", "offset": 1, "share": 0.25, "from": "2026-03-01"}
    labels = Timeline(Scenario(devices=devices, faults=[fault]), START_MS).labels(NOON_MS, NOON_MS + MINUTE_MS)
    # Binomial, 400 at 0.25: five deviations are 43.
    assert 57 < len({label.device_id for label in labels}) < 143


def test_another_entry_does_not_move_random_windows() -> None:
    devices = [{"kind": "bme280", "count": 5, "interval": "1m"}]
    common = {"kind": "bme280", "field": "humidity", "rate": "10/day", "duration": "20m"}
    bias, gain = {"type": "bias", "offset": 1, **common}, {"type": "gain", "factor": 1.1, **common}

    def windows(*calendar: dict[str, Any]) -> list[tuple[str, int]]:
        line = Timeline(Scenario(devices=devices, faults=calendar), START_MS)
        found = line.labels(NOON_MS, NOON_MS + 1440 * MINUTE_MS)
        return [(label.device_id, label.start_ms) for label in found if label.type == "bias"]

    assert windows(gain, bias) == windows(bias)
    assert len(windows(bias)) > 20
    # Two entries that are alike have windows of their own.
    assert len(set(windows(bias, bias))) > 1.5 * len(windows(bias))


def test_nothing_before_power_on_and_nothing_without_faults() -> None:
    devices = [{"kind": "bme280", "count": 2, "interval": "10s"}]
    fault = {"type": "bias", "kind": "bme280", "field": "humidity", "offset": 1, "from": "2026-03-01"}
    labels = Timeline(Scenario(devices=devices, faults=[fault]), NOON_MS).labels(
        NOON_MS - MINUTE_MS, NOON_MS + MINUTE_MS
    )
    assert [(label.first_seq, label.last_seq, label.end_ms) for label in labels] == [(0, 5, None)] * 2
    assert Timeline(Scenario(devices=devices), NOON_MS).labels(NOON_MS, NOON_MS + MINUTE_MS) == []


def test_labels_as_a_file(tmp_path: Path) -> None:
    devices = [{"kind": "bme280", "count": 2, "interval": "10s"}]
    fault = {
        "type": "gain",
        "kind": "bme280",
        "field": "humidity",
        "factor": 2,
        "from": "2026-03-04",
        "to": "2026-03-05",
    }
    labels = Timeline(Scenario(devices=devices, faults=[fault]), NOON_MS).labels(NOON_MS, NOON_MS + MINUTE_MS)
    path = tmp_path / "run" / "labels.jsonl"
    write_labels(path, labels)
    first = orjson.loads(path.read_bytes().splitlines()[0])
    assert first == {
        "device_id": "bme280-0001",
        "kind": "bme280",
        "boot": labels[0].boot,
        "type": "gain",
        "fields": ["humidity"],
        "parameters": {"factor": 2.0},
        "layer": "sensor",
        "start_ms": parse_ms("2026-03-04"),
        "end_ms": parse_ms("2026-03-05"),
        "first_seq": 0,
        "last_seq": 5,
        "messages": 6,
    }
    with pytest.raises(ConfigError, match="the labels cannot be written"):
        write_labels(path / "below-a-file.jsonl", labels)
