"""What arrives beside the messages of a run: real sensors in standby's time, and answers to commands."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from edgefleet.verify.arrivals import Arrivals
from edgefleet.verify.checker import run_verdict
from edgefleet.verify.content_checker import ContentChecker
from edgefleet.verify.expected_contents import ExpectedContents, expect_contents
from edgefleet.verify.message_content import content_keys
from edgefleet.verify.message_index import MessageIndex
from edgefleet.verify.side_contents import Presence, SideContents
from edgefleet.verify.verdict import RunVerdict
from edgewire.run_record import DeviceRecord, RunRecord, SideMessage, StandbySpan
from tests.edgefleet.verify.test_expected_contents import BARE, NOON_MS, ran
from tests.run_records import SIM_STARTED_MS, STARTED_MS, run_record


@dataclass(frozen=True)
class Said:
    """A message, by whom, and whether it has arrived."""

    by_sensor: bool
    due_ms: int
    value: int
    arrived: bool

    def time_ms(self) -> int:
        return (SIM_STARTED_MS + self.due_ms) // 1000 * 1000


@st.composite
def histories(draw: st.DrawFn) -> list[Said]:
    """A device that leaves its place to a sensor for a while, with few values."""
    values = st.integers(0, draw(st.integers(0, 3)))
    is_there = st.sampled_from(draw(st.sampled_from([(True,), (True, True, False)])))
    interval = draw(st.sampled_from([400, 900, 3000]))
    said, due_ms = [], 1000
    for by_sensor in (False, True, False):
        for _ in range(draw(st.integers(1, 8))):
            due_ms += interval
            said.append(Said(by_sensor, due_ms, draw(values), draw(is_there)))
        due_ms += draw(st.sampled_from([0, 2500]))
    return said


def judged(said: list[Said], *, is_timed: bool, knows_sensor: bool = True) -> RunVerdict:
    index, checker = entered(said, is_timed=is_timed, knows_sensor=knows_sensor)
    return run_verdict(index, {"http": checker}, 5000, {})


def entered(said: list[Said], *, is_timed: bool, knows_sensor: bool = True) -> tuple[MessageIndex, ContentChecker]:
    own, others = ([one for one in said if one.by_sensor is by_sensor] for by_sensor in (False, True))
    record = DeviceRecord(device_id="a", kind="gps", site="s", boot=7, first_seq=0, last_seq=len(own) - 1)
    index = MessageIndex(replace(run_record(record), fixed_boots=False))
    columns = [np.zeros(len(index), np.int64) for _ in range(7)]
    expected = ExpectedContents(*columns)
    expected.devices["a"], expected.ids = 0, {"a"}
    for slot, one in enumerate(own):
        keys = content_keys("a", one.time_ms(), {"v": one.value})
        expected.values[slot], expected.shape[slot] = keys.values, keys.shape
        if is_timed:
            expected.whole[slot], expected.moment[slot] = keys.whole, keys.moment
        expected.due_ms[slot] = SIM_STARTED_MS + one.due_ms
    times = [SIM_STARTED_MS + one.due_ms for one in others]
    expected.sides = SideContents(presences={"a": [Presence(times[0], times[-1] + 200, times[-1])]})
    if knows_sensor:
        keyed = [content_keys("a", one.time_ms(), {"v": one.value}) for one in others]
        expected.sides.whole = np.array([keys.whole if is_timed else 0 for keys in keyed], np.int64)
        expected.sides.values = np.array([keys.values for keys in keyed], np.int64)
        expected.sides.due_ms = np.array(times, np.int64)
        expected.sides.device = np.zeros(len(others), np.int64)
        expected.sides.is_answer = np.zeros(len(others), np.bool_)
    else:
        expected.sides.unheard = {"a"}
    checker = ContentChecker(index, expected)
    there = [one for one in said if one.arrived]
    arrived = [STARTED_MS + one.due_ms + 20 for one in there]
    source: dict[str, Any] = {"format": "own", "name": "a"} | ({} if is_timed else {"time": "arrival"})
    fields: list[dict[str, Any] | None] = [{"device_id": "a", "v": one.value, "source": source} for one in there]
    stamps = [one.time_ms() if is_timed else at for one, at in zip(there, arrived, strict=True)]
    none = [0] * len(there)
    checker.add_arrivals(Arrivals("http", ["a"] * len(there), none, none, stamps, arrived, fields))
    return index, checker


@pytest.mark.slow
@settings(max_examples=30)
@given(histories(), st.booleans(), st.booleans())
def test_the_verdict_is_never_better_than_what_is_known(said: list[Said], is_timed: bool, knows_sensor: bool) -> None:
    found = judged(said, is_timed=is_timed, knows_sensor=knows_sensor)
    total = found.sinks["http"].total
    lost = sum(not one.by_sensor and not one.arrived for one in said)
    is_sensor_whole = all(one.arrived for one in said if one.by_sensor)
    event(f"{found.outcome}, {'some lost' if lost else 'none lost'}")

    def key(one: Said) -> tuple[int, int]:
        return one.time_ms() if is_timed else 0, one.value

    shared = {key(one) for one in said if one.by_sensor} & {key(one) for one in said if not one.by_sensor}
    if lost:
        assert found.outcome != "PASS" or (is_timed and shared and not knows_sensor)
    else:
        assert found.outcome != "FAIL"
        assert total.lost == 0
    if knows_sensor and not shared:
        # Nothing is left open where nobody says the same.
        assert (found.outcome, total.lost) == ("FAIL" if lost else "PASS", lost)
    if knows_sensor and is_sensor_whole and not lost:
        assert (found.outcome, total.duplicates) == ("PASS", 0)
    assert total.unexpected == 0


def test_what_says_the_same_does_not_end_the_wait_for_what_was_sent() -> None:
    ours, theirs, last = Said(False, 1000, 1, True), Said(True, 9000, 1, True), Said(False, 20_000, 1, False)
    _, waiting = entered([ours, theirs, last], is_timed=False)
    assert not waiting.complete
    _, done = entered([ours, theirs, replace(last, arrived=True)], is_timed=False)
    assert done.complete


def test_what_a_sensor_says_without_being_heard_is_no_copy_of_what_was_said_before() -> None:
    said = [
        Said(False, 1000, 1, True),
        Said(True, 9000, 1, True),
        Said(True, 12_000, 2, True),
        Said(False, 30_000, 3, True),
    ]
    found = judged(said, is_timed=False, knows_sensor=False)
    total = found.sinks["http"].total
    assert (found.outcome, total.duplicates, total.unexpected) == ("PASS", 0, 0)


def with_absence(record: RunRecord, **changes: Any) -> RunRecord:
    """The record of a run whose second device left its place after 6 s, and came back 4 s later."""
    first, second = record.devices
    boot = second.boot + 10
    before, after = replace(second, last_seq=2), replace(second, boot=boot, first_seq=0, last_seq=4)
    span = {"from_ms": NOON_MS + 6000, "to_ms": NOON_MS + 10_000, "boot": boot, "heard_ms": NOON_MS + 8000} | changes
    told = StandbySpan(device_id=second.device_id, kind="bme280", why="message of another sender", **span)
    return replace(record, devices=[first, before, after], standby=[told])


def judge(record: RunRecord, rows: list[tuple[str, int, dict[str, Any]]]) -> RunVerdict:
    index = MessageIndex(record)
    expected = expect_contents(record, index)
    checker = ContentChecker(index, expected)
    names, arrived, fields = ([row[place] for row in rows] for place in range(3))
    none = [0] * len(rows)
    checker.add_arrivals(Arrivals("http", names, none, none, arrived, arrived, fields))
    return run_verdict(index, {"http": checker}, 5000, {}, expected.gaps)


def sent(record: RunRecord) -> list[tuple[str, int, dict[str, Any]]]:
    """What the bridge would store of all that a record says was sent, of bare values."""
    index = MessageIndex(record)
    expected = expect_contents(record, index)
    rows = []
    for slot, content, _ in expected.contents(index, range(len(index))):
        name, due_ms = index.devices[index.device_at(slot)].device_id, int(expected.due_ms[slot])
        source = {"format": "own", "name": name, "time": "arrival"}
        rows.append((name, due_ms + 30, {"device_id": name, "timestamp": "", "source": source} | content))
    return rows


def test_what_is_said_after_a_return_is_computed_again() -> None:
    record, _ = ran({"topic": "b/{id}", "payload": {"from": "temperature_c"}})
    record = with_absence(record)
    rows = sent(record)
    counts = Counter(row[0] for row in rows)
    assert counts == {"d-1": 10, "d-2": 8}
    returned = [row[1] - 30 - NOON_MS for row in rows if row[0] == "d-2"]
    assert all(at < 6000 or at >= 10_000 for at in returned)
    assert judge(record, rows).outcome == "PASS"
    found = judge(record, rows[:-1])
    assert (found.outcome, found.sinks["http"].total.lost) == ("FAIL", 1)


def test_a_return_whose_boot_is_not_known_is_not_taken_for_granted() -> None:
    record, _ = ran(BARE)
    found = judge(with_absence(record, boot=None), [])
    assert "the scenario does not have them at these numbers" in found.gaps[0]


def test_what_a_sensor_said_is_nobodys_and_does_not_stand_for_what_is_lost() -> None:
    record, _ = ran({"topic": "b/{id}", "payload": {"from": "temperature_c"}})
    record = with_absence(record)
    rows = sent(record)
    ours = [row for row in rows if row[0] == "d-2"]
    # It says what the emulator said last, and something else.
    values = [ours[2][2]["temperature_c"], 77.5]
    topic = "b/d-2"
    said = [
        SideMessage(device_id="d-2", at_ms=NOON_MS + 6500 + 900 * number, topic=topic, payload=str(value),
                    is_answer=False)
        for number, value in enumerate(values)
    ]  # fmt: skip
    sensors = [(one[0], message.at_ms + 20, ours[0][2] | {"temperature_c": orjson.loads(message.payload)})
               for one, message in zip([ours[0]] * 2, said, strict=True)]  # fmt: skip
    record = replace(record, side_messages=said)
    found = judge(record, [*rows, *sensors])
    assert (found.outcome, found.untold, found.sinks["http"].total.unexpected) == ("PASS", [], 0)
    assert "2 more are answers to commands, or of real sensors" in found.sinks["http"].note
    # The emulator's is lost, and the sensor's is there: not PASS.
    lost = judge(record, [*(row for row in rows if row is not ours[2]), *sensors])
    assert lost.outcome == "INCOMPLETE"
    assert "d-2 say the same as a real sensor in its place" in lost.untold[0]
    # Of more that nobody knows of, any may stand for what was sent.
    partly = replace(record, side_messages=said[1:], side_messages_left_out={"d-2": 1})
    assert judge(partly, [*(row for row in rows if row is not ours[2]), *sensors]).outcome == "INCOMPLETE"


@pytest.mark.parametrize("is_known", [True, False])
def test_a_reading_that_was_asked_for_is_not_unexpected_where_the_record_has_it(is_known: bool) -> None:
    record, rows = ran(BARE)
    (first, *_) = rows
    answer = (first[0], first[1] + 700, first[2] | {"temperature_c": -40})
    told = SideMessage(device_id=first[0], at_ms=answer[1] - 10, topic=f"b/{first[0]}", payload="-40", is_answer=True)
    record = replace(record, side_messages=[told] if is_known else [])
    found = judge(record, [*rows, answer])
    assert (found.outcome, found.sinks["http"].total.unexpected) == (("PASS", 0) if is_known else ("INCOMPLETE", 1))


def test_an_answer_does_not_stand_for_the_reading_of_the_same_second() -> None:
    record, rows = ran(BARE)
    (first, *others) = rows
    value = str(first[2]["temperature_c"])
    told = SideMessage(
        device_id=first[0], at_ms=first[1] + 300, topic=f"b/{first[0]}", payload=value, is_answer=True
    )  # fmt: skip
    answer = (first[0], first[1] + 320, first[2])
    record = replace(record, side_messages=[told])
    assert judge(record, [*rows, answer]).outcome == "PASS"
    assert judge(record, [answer, *others]).outcome in ("FAIL", "INCOMPLETE")
    assert judge(record, [first, *others]).outcome != "FAIL", "an answer may be where nobody listens"


def test_a_side_message_that_nobody_can_read_is_passed_over() -> None:
    record, rows = ran(BARE)
    strange = [
        SideMessage(device_id=name, at_ms=NOON_MS, topic=topic, payload=payload, is_answer=False)
        for name, topic, payload in (("d-1", "b/d-1", "\xff"), ("d-1", "b/+", "x"), ("nobody", "b/x", "1"),
                                     ("d-1", "b/d-1", "\u1234"), ("d-1", "", ""))
    ]  # fmt: skip
    assert judge(replace(record, side_messages=strange), rows).outcome == "PASS"
