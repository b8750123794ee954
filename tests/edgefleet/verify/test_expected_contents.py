"""What was said without ids is computed again from the record, and what cannot be is never taken for granted."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from devices.fleet.run_record import scenario_digest, spoken_scenario
from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgefleet.verify.arrivals import Arrivals
from edgefleet.verify.checker import run_verdict
from edgefleet.verify.content_checker import ContentChecker
from edgefleet.verify.expected_contents import expect_contents
from edgefleet.verify.message_content import content_keys, content_of, differing_fields
from edgefleet.verify.message_index import MessageIndex
from edgefleet.verify.verdict import RunVerdict
from edgewire.clock import parse_ms
from edgewire.run_record import DeviceRecord, PoweredPart, RunRecord

NOON_MS = parse_ms("2026-03-04T12:00:00Z")
SPAN_MS = 20_000
BARE = {"topic": "b/{id}", "payload": {"from": "temperature_c", "round": 0}}

Row = tuple[str, int, dict[str, Any]]


def ran(group: dict[str, Any], **changes: Any) -> tuple[RunRecord, list[Row]]:
    """The record of a run of two devices, and what of it is in a sink: name, arrival, fields."""
    plain = {"kind": "bme280", "count": 2, "interval": "2s", "id": "d-{n}"}
    # A room of the first world changes with each reading: a value tells which one it is.
    scenario = Scenario.model_validate({"seed": 5, "world": 1, "devices": [plain | group]})
    line = Timeline(scenario, NOON_MS, in_dialects=True)
    batch, seqs, rows = line.batch(NOON_MS, NOON_MS + SPAN_MS), {}, []
    for device, due_ms, seq, payload in zip(batch.device, batch.due_ms, batch.seq, batch.payload, strict=True):
        name = line.devices[device].device_id
        seqs.setdefault(name, []).append(seq)
        source = {"format": "own", "name": name, "time": "arrival"}
        fields = {"device_id": name, "boot": 1, "seq": len(rows), "temperature_c": orjson.loads(payload)}
        rows.append((name, due_ms + 30, fields | {"timestamp": "", "source": source}))
    devices = [
        DeviceRecord(device_id=name, kind="bme280", site="default", boot=line.boot, first_seq=own[0], last_seq=own[-1])
        for name, own in sorted(seqs.items())
    ]
    for name, value in changes.items():
        setattr(devices[1], name, value)
    record = RunRecord(
        run_id="r", scenario="x.yaml", seed=5, broker="mqtt://127.0.0.1", started_ms=NOON_MS,
        stopped_ms=NOON_MS + SPAN_MS, sim_started_ms=NOON_MS, fixed_boots=False, devices=devices,
        scenario_sha256=scenario_digest(scenario), spoken=spoken_scenario(scenario),
        powered=[PoweredPart(shard=(0, 1), power_on_ms=NOON_MS, begun_ms=NOON_MS)],
    )  # fmt: skip
    return record, rows


def judge(record: RunRecord, rows: list[Row]) -> RunVerdict:
    index = MessageIndex(record)
    expected = expect_contents(record, index)
    checker = ContentChecker(index, expected)
    names, arrived, fields = ([row[place] for row in rows] for place in range(3))
    none = [0] * len(rows)
    checker.add_arrivals(Arrivals("http", names, none, none, arrived, arrived, fields))
    return run_verdict(index, {"http": checker}, 5000, {}, expected.gaps)


def test_all_that_was_said_is_computed_again() -> None:
    record, rows = ran(BARE)
    assert judge(record, rows).outcome == "PASS"
    found = judge(record, rows[:3] + rows[4:])
    assert (found.outcome, found.sinks["http"].total.lost) == ("FAIL", 1)
    assert f"1 of {rows[3][0]}" in found.failures()[0]


def test_a_value_that_is_other_is_named_with_what_was_sent() -> None:
    record, rows = ran(BARE)
    sent = rows[6][2]["temperature_c"]
    rows[6] = (*rows[6][:2], rows[6][2] | {"temperature_c": 77})
    found = judge(record, rows)
    assert found.failures() == ["http: 1 arrived with other values than were sent: temperature_c in 1"]
    (example,) = found.sinks["http"].alterations.examples
    assert example.startswith(f"{rows[6][0]}:")
    assert example.endswith(f"temperature_c is 77, and {sent} was sent")


def test_whether_a_message_had_to_wait_is_none_of_its_values() -> None:
    assert content_of({"t": 1, "other": {"historical": True}}) == {"t": 1}
    assert content_of({"t": 1, "other": {"historical": True, "bytes": "AA"}}) == {"t": 1, "other": {"bytes": "AA"}}
    assert content_of({"historical": True, "other": {"historical": 7}}) == {
        "historical": True,
        "other": {"historical": 7},
    }


def test_a_number_is_the_same_whoever_writes_it() -> None:
    record, rows = ran(BARE)
    rows = [(*row[:2], row[2] | {"temperature_c": float(row[2]["temperature_c"])}) for row in rows]
    assert judge(record, rows).outcome == "PASS"


def test_a_value_beyond_what_json_holds_is_one_all_the_same() -> None:
    large, deep = content_of({"v": 1e22}), content_of({"v": orjson.loads("[" * 900 + "]" * 900)})
    assert len({content_keys("a", 1, one).whole for one in (large, deep)}) == 2
    assert content_keys("a", 1, large) == content_keys("a", 1, content_of({"v": 10**22 * 1.0}))
    assert differing_fields(large, deep) == ["v"]


def test_what_came_after_a_command_is_not_compared_and_what_came_before_is() -> None:
    record, rows = ran({"topic": "b/{id}", "payload": {"from": "temperature_c"}}, changed_ms=NOON_MS + 10_000)
    found = judge(record, rows)
    assert (found.outcome, found.sinks["http"].total.lost) == ("INCOMPLETE", 0)
    assert "messages of d-2 have no ids and cannot be computed again, as a command had changed" in found.gaps[0]
    missing = next(place for place, row in enumerate(rows) if row[0] == "d-2")
    assert judge(record, rows[:missing] + rows[missing + 1 :]).outcome == "FAIL"


def test_numbers_that_the_scenario_does_not_have_are_not_taken_for_granted() -> None:
    record, rows = ran(BARE, last_seq=40)
    found = judge(record, rows)
    assert found.outcome == "INCOMPLETE"
    assert "the scenario does not have them at these numbers" in found.gaps[0]


def tampered(record: RunRecord) -> None:
    assert record.spoken is not None
    record.spoken["seed"] = 6


def broken(record: RunRecord) -> None:
    record.spoken = {"devices": []}


@pytest.mark.parametrize(
    ("change", "said"), [(tampered, "is not the one that was run"), (broken, "in the record cannot be read: devices")]
)
def test_a_scenario_that_is_not_the_one_that_ran_proves_nothing(change: Callable[[RunRecord], None], said: str) -> None:
    record, rows = ran(BARE)
    change(record)
    found = judge(record, rows)
    assert found.outcome == "INCOMPLETE"
    assert said in found.gaps[0]


def test_a_format_that_says_of_no_device_is_not_compared() -> None:
    record, rows = ran({"topic": "b/{mac}", "payload": {"from": "temperature_c"}})
    found = judge(record, rows)
    assert found.outcome == "INCOMPLETE"
    assert "devices[0]: no decoder reads what its devices say" in found.gaps[0]


def test_another_speaker_of_the_same_name_makes_what_has_no_time_uncertain() -> None:
    record, rows = ran(BARE)
    stranger = (rows[0][0], rows[0][1] + 700, rows[0][2] | {"temperature_c": -40})
    found = judge(record, [*rows, stranger])
    assert (found.outcome, found.sinks["http"].total.unexpected) == ("INCOMPLETE", 1)
    assert "another run or device of the same names speaks as well" in found.untold[0]


def test_what_came_before_the_run_is_of_another() -> None:
    record, rows = ran(BARE)
    earlier = [(row[0], row[1] - 60_000, row[2]) for row in rows]
    found = judge(record, [*earlier, *rows[1:]])
    assert found.sinks["http"].total.lost == 1
    assert "came before it began" in found.sinks["http"].note


@pytest.mark.parametrize(("shift_ms", "unexpected"), [(-3_600_000, 0), (3_600_000, 0), (900, 10)])
def test_what_says_that_it_is_of_another_time_is_of_another_run(shift_ms: int, unexpected: int) -> None:
    form = {"topic": "b/{id}", "payload": {"t": "temperature_c", "ts": {"from": "timestamp", "as": "epoch_ms"}}}
    record, _ = ran(form)
    index = MessageIndex(record)
    expected = expect_contents(record, index)
    checker = ContentChecker(index, expected)
    said = [(index.devices[index.device_at(slot)].device_id, at, content)
            for slot, content, at in expected.contents(index, range(len(index)))]  # fmt: skip
    others = [(name, at + shift_ms, content | {"temperature_c": -40}) for name, at, content in said[: unexpected or 7]]
    names, times, contents = ([row[place] for row in said + others] for place in range(3))
    fields = [
        content | {"source": {"format": "own", "name": name}} for name, content in zip(names, contents, strict=True)
    ]
    none = [0] * len(names)
    checker.add_arrivals(Arrivals("http", names, none, none, times, [at + 30 for at in times], fields))
    found = run_verdict(index, {"http": checker}, 5000, {}, expected.gaps)
    total = found.sinks["http"].total
    assert (found.outcome, total.lost, total.unexpected) == ("PASS", 0, unexpected)
    assert ("7 messages under the names of its devices" in found.sinks["http"].note) is not bool(unexpected)
