"""Random fates of messages without ids: the verdict is that of a model which shares no code with it.

There are few values, and times are rounded to seconds, so that many messages say the same. What a model can know then
is how many of each there are.
"""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from edgefleet.verify.arrivals import Arrivals
from edgefleet.verify.checker import run_verdict
from edgefleet.verify.content_checker import ContentChecker
from edgefleet.verify.expected_contents import ExpectedContents
from edgefleet.verify.message_content import content_keys
from edgefleet.verify.message_index import MessageIndex
from edgewire.run_record import DeviceRecord
from tests.run_records import SIM_STARTED_MS, STARTED_MS, run_record

FATES = (
    ("delivered", "twice", "lost", "unconfirmed, delivered", "unconfirmed"),
    ("delivered", "lost", "other value", "late"),
    ("delivered", "lost", "other time"),
)


@dataclass(frozen=True)
class Said:
    """A message of a device, and what became of it."""

    device: str
    seq: int
    due_ms: int
    time_ms: int
    value: int
    fate: str


@dataclass(frozen=True)
class History:
    is_timed: bool
    said: tuple[Said, ...]

    @property
    def devices(self) -> list[str]:
        return sorted({one.device for one in self.said})


@st.composite
def histories(draw: st.DrawFn) -> History:
    is_timed = draw(st.booleans())
    # Without a time, only what comes in between tells equal messages apart.
    interval = 350 if is_timed else 2500
    fates = draw(st.sampled_from(FATES[: 3 if is_timed else 2]))
    said: list[Said] = []
    for name in draw(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3, unique=True)):
        for seq in range(draw(st.integers(1, 8))):
            due = 1000 + seq * interval
            value, fate = draw(st.integers(0, 2)), draw(st.sampled_from(fates))
            said.append(Said(name, seq, due, (SIM_STARTED_MS + due) // 1000 * 1000, value, fate))
    return History(is_timed, tuple(said))


Row = tuple[str, int, int, dict[str, Any]]


def rows(history: History) -> list[Row]:
    """Device, time, arrival and fields of all that a sink has, in the order of arrival."""
    found: list[Row] = []
    for number, one in enumerate(history.said):
        came_ms, value, time_ms = arrived_ms(one, history), one.value, one.time_ms
        match one.fate:
            case "lost" | "unconfirmed":
                continue
            case "other value":
                value = 1000 + number
            case "other time":
                time_ms += 100_000 + number
        source = {"format": "own", "name": one.device}
        if not history.is_timed:
            time_ms, source["time"] = came_ms, "arrival"
        fields = {"device_id": one.device, "boot": 5, "seq": number, "timestamp": "", "v": value, "source": source}
        found += [(one.device, time_ms, came_ms, fields)] * (1 + (one.fate == "twice"))
    found.append(("stranger", 0, STARTED_MS + 50, {"device_id": "stranger", "v": 1, "source": {"format": "own"}}))
    return sorted(found, key=lambda row: row[2])


COPIES = {"delivered": 1, "late": 1, "unconfirmed, delivered": 1, "twice": 2}


def arrived_ms(one: Said, history: History) -> int:
    return STARTED_MS + one.due_ms + (9000 + 2 * one.due_ms if one.fate == "late" else 20)


def model(history: History) -> dict[str, int]:
    """What is known of the counts, looking at all messages that say the same together."""

    def key(one: Said) -> tuple[object, ...]:
        return one.device, one.time_ms if history.is_timed else None, one.value

    keys = {key(one) for one in history.said}
    found: Counter[str] = Counter()
    for wanted in keys:
        of_key = [one for one in history.said if key(one) == wanted]
        came = sorted(arrival for one in of_key for arrival in [arrived_ms(one, history)] * COPIES.get(one.fate, 0))
        sent = [one for one in of_key if "unconfirmed" not in one.fate]
        came, stored = match(came, sent, history)
        came, unexpected = match(came, [one for one in of_key if "unconfirmed" in one.fate], history)
        altered = sum("other" in one.fate for one in sent)
        found.update(
            stored=stored,
            altered=altered,
            lost=len(sent) - stored - altered,
            unexpected=unexpected,
            unsent=len(of_key) - len(sent) - unexpected,
            duplicates=len(came),
        )
    return dict(found)


def match(came: list[int], said: list[Said], history: History) -> tuple[list[int], int]:
    """Return what is left of the arrivals, and how many are messages that say the same and were due before."""
    left, waiting = [], sorted(STARTED_MS + one.due_ms for one in said)
    for arrival in came:
        if waiting and (history.is_timed or waiting[0] <= arrival):
            waiting.pop(0)
        else:
            left.append(arrival)
    return left, len(said) - len(waiting)


def judged(history: History) -> tuple[MessageIndex, ExpectedContents]:
    devices = []
    for name in history.devices:
        own = [one for one in history.said if one.device == name]
        unsent = [(one.seq, one.seq) for one in own if "unconfirmed" in one.fate]
        devices.append(
            DeviceRecord(
                device_id=name, kind="gps", site="s", boot=7, first_seq=0, last_seq=len(own) - 1,
                unsent=unsent, unacknowledged=unsent,
            )
        )  # fmt: skip
    index = MessageIndex(replace(run_record(*devices), fixed_boots=False))
    columns = [np.zeros(len(index), np.int64) for _ in range(7)]
    expected = ExpectedContents(*columns)
    for one in history.said:
        at = index.position_of(one.device, 7)
        slot = int(index.start[at]) + one.seq
        keys = content_keys(one.device, one.time_ms, {"v": one.value})
        expected.values[slot], expected.shape[slot] = keys.values, keys.shape
        if history.is_timed:
            expected.whole[slot], expected.moment[slot] = keys.whole, keys.moment
        expected.due_ms[slot] = SIM_STARTED_MS + one.due_ms
        expected.devices[one.device] = at
        expected.ids.add(one.device)
    return index, expected


@pytest.mark.slow
@settings(max_examples=100)
@given(histories(), st.integers(0, 12))
def test_the_verdict_on_messages_without_ids_is_that_of_the_model(history: History, cut: int) -> None:
    index, expected = judged(history)
    checker = ContentChecker(index, expected)
    came = rows(history)
    for piece in (came[:cut], came[cut:]):
        names, times, arrived, fields = ([row[place] for row in piece] for place in range(4))
        none = [0] * len(piece)
        checker.add_arrivals(Arrivals("http", names, none, none, times, arrived, fields))
    counts = model(history)
    assert checker.complete or counts["stored"] < checker.sent or counts["unsent"] or counts["unexpected"]
    verdict = run_verdict(index, {"http": checker}, 5000, {})
    total = verdict.sinks["http"].total
    assert {name: getattr(total, name) for name in counts} == counts
    # Where no time tells them apart, a late message may seem to be an equal one that came after it.
    if history.is_timed and total.late is not None:
        assert total.late == sum(one.fate == "late" for one in history.said)
    is_missing = counts["lost"] + counts["altered"] + counts["unsent"]
    sent = counts["stored"] + counts["lost"] + counts["altered"]
    outcome = "FAIL" if is_missing or not sent else "PASS"
    event(outcome)
    assert verdict.outcome == outcome
