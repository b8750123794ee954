"""The time line of a run: what is merged is not better than it was, and a killed run still has it."""

import asyncio
import math
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefleet.report.series_writer import SeriesWriter, recorded_series
from edgefleet.report.status_series import (
    FILE_NAME,
    MOST_EVENTS,
    StatusSeries,
    encode_line,
    merge_states,
    merge_two,
    series_head,
    series_state,
)
from edgewire import logs
from edgewire.errors import ConfigError
from tests.edgefleet.report.series import AT_MS, bridge_of, event_at, status_at
from tests.waiting import eventually

PERCENTILES = st.one_of(st.none(), st.floats(0, 1e6))


@st.composite
def runs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw the states of a run, a second or more from one to the next."""
    states, second = [], 0
    for _ in range(draw(st.integers(1, 20))):
        span = draw(st.integers(1, 5))
        second += span
        changes = {
            "sent_per_s": draw(st.floats(0, 1e6)),
            "puback_ms": {"p50": draw(PERCENTILES), "p99": draw(PERCENTILES)},
            "broker_is_away": draw(st.booleans()),
            "emitted": second,
        }
        states.append(series_state(status_at(second, **changes), 1000 * span))
    return states


@given(runs(), st.integers(1, 10))
def test_merged_states_say_of_the_whole_what_the_single_ones_did(states: list[dict[str, Any]], seconds: int) -> None:
    merged = merge_states(states, 1000 * seconds)
    for some in (merged, [*merge_states(merged, 1000 * seconds)]):
        assert sum(one["span_ms"] for one in some) == sum(one["span_ms"] for one in states)
        sent = [sum(one["sent_per_s"] * one["span_ms"] for one in each) for each in (some, states)]
        assert math.isclose(*sent, rel_tol=1e-9, abs_tol=1e-6)
        assert any(one["broker_is_away"] for one in some) == any(one["broker_is_away"] for one in states)
        highest = [max((one["puback_ms"]["p99"] or 0) for one in each) for each in (some, states)]
        assert highest[0] == highest[1]
        assert (some[-1]["at_ms"], some[-1]["emitted"]) == (states[-1]["at_ms"], states[-1]["emitted"])
    assert len({one["at_ms"] // (1000 * seconds) for one in merged}) == len(merged)


@given(runs(), st.integers(1, 8), st.integers(0, 10))
def test_there_are_never_more_states_than_are_wanted(states: list[dict[str, Any]], most: int, recent: int) -> None:
    series = StatusSeries(head=series_head(status_at(0)), states=states)
    series.condense(most, recent=recent)
    assert len(series.states) <= most
    kept = min(recent, len(states))
    if most > kept:
        assert series.states[len(series.states) - kept :] == states[len(states) - kept :]
    series.condense(100, most_bytes=10)
    assert len(series.states) == 1


def test_what_was_wrong_for_a_second_stays() -> None:
    flow = [{"place": "sink:http", "said": "Nothing gets through to http."}]
    wrong = series_state(status_at(1, bridge=bridge_of("open", 0.0), flow=flow, faults=[3]), 1000)
    right = series_state(status_at(2, bridge=bridge_of("closed", 30.0)), 2000)
    merged = merge_two(wrong, right)
    (sink,) = merged["bridge"]["sinks"]
    assert (sink["breaker"], sink["delivered_per_s"]) == ("open", 20.0)
    assert (merged["flow"], merged["faults"]) == (flow, [3])
    assert merge_two(right, series_state(status_at(3), 1000))["bridge"] is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"sent_per_s": "10"},  # a text that says a number is none where two are added
        {"emitted_per_s": 1e308},
        {"at_ms": 1 << 62},
        {"lag_ms": {"p50": 1.0, "p99": 2.0, "p95": "3"}},
        {"flow": [{"state": "away"}]},
        {"store": {"stored_per_s": "1"}},
        {"bridge": bridge_of("closed", 10.0) | {"received_per_s": "1"}},
    ],
)
def test_what_could_not_be_merged_is_not_read(wrong: dict[str, Any]) -> None:
    head = orjson.dumps(series_head(status_at(0)))
    line = encode_line("state", series_state(status_at(1, bridge=bridge_of("closed", 10.0)), 1000) | wrong)
    with pytest.raises(ConfigError, match=r"line 2 is no moment of a run: .*state\."):
        StatusSeries.parse(head + b"\n" + line, FILE_NAME)


def test_the_oldest_events_go_first_and_are_counted() -> None:
    events = [event_at(number, number) for number in range(MOST_EVENTS + 5)]
    series = StatusSeries(head=series_head(status_at(0)), events=events)
    series.condense(10)
    again = StatusSeries.parse(series.to_bytes(), FILE_NAME)
    assert [again.events[0]["number"], len(again.events), again.head["events_left_out"]] == [5, MOST_EVENTS, 5]


def test_a_line_that_was_cut_by_a_kill_is_left_out() -> None:
    head, state = orjson.dumps(series_head(status_at(0))), encode_line("state", series_state(status_at(1), 1000))
    assert len(StatusSeries.parse(head + b"\n" + state + state[:-5], FILE_NAME).states) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "line 1 does not say whose run it is of"),
        (b"[]\n", "line 1 does not say whose run it is of"),
        (b'{"format":2}\n', "was written by a newer edgefleet"),
        (b"%s\nnonsense\n", "line 2 is no moment of a run: no JSON"),
        (b'%s\n{"state":{"at_ms":1}}\n', "line 2 is no moment of a run"),
        (b'%s\n{"state":7}\n', "line 2 is no moment of a run"),
        (b'%s\n{"other":{}}\n', "line 2 is no moment of a run"),
        (b'%s\n{"event":{"number":1,"at_ms":1}}\n', "line 2 is no moment of a run"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(content.replace(b"%s", orjson.dumps(series_head(status_at(0)))))
    with pytest.raises(ConfigError, match=said) as caught:
        StatusSeries.load(path)
    assert str(caught.value).startswith(str(path))


# -- the writer


def read(path: Path) -> str:
    """Return what is in a file, if it is there."""
    return path.read_text() if path.exists() else ""


async def test_a_run_that_is_killed_has_its_time_line(tmp_path: Path) -> None:
    writer = SeriesWriter(tmp_path)
    async with recorded_series(writer):
        writer.add_event(event_at(0))
        for second in range(3):
            writer.add_state(status_at(second))
        await eventually(lambda: writer.path.exists() and writer.path.read_bytes().count(b"\n") == 5)
        # Nothing else happens to a process that is killed now.
        series = StatusSeries.load(writer.path)
    assert [one["span_ms"] for one in series.states] == [0, 1000, 1000]
    assert [one["text"] for one in series.events] == ["all 10 devices are connected"]
    assert "record" not in series.states[0]


async def test_a_long_run_has_few_states_and_loses_no_count(tmp_path: Path) -> None:
    writer = SeriesWriter(tmp_path, most_states=40)
    async with recorded_series(writer):
        for second in range(1, 500):
            writer.add_state(status_at(second))
            if second % 10 == 0:  # as many lines at a time as a disk that is slow for a while leaves
                await eventually(lambda now=second: str(AT_MS + 1000 * now) in read(writer.path))
    series = StatusSeries.load(writer.path)
    assert 10 <= len(series.states) <= 50
    assert series.states[-1]["emitted"] == 4990
    assert {round(one["sent_per_s"], 6) for one in series.states} == {10.0}
    assert series.states[-1]["span_ms"] == 1000


async def test_a_disk_that_takes_nothing_is_told_once_and_written_to_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("warning")
    writer = SeriesWriter(tmp_path)
    writer.path.mkdir()
    async with recorded_series(writer):
        said = ""
        for second in range(2):
            writer.add_state(status_at(second))
            await asyncio.sleep(0.05)
        said = capsys.readouterr().err
        writer.path.rmdir()
        writer.add_state(status_at(2))
    assert said.count("the time line of the run is not written") == 1
    assert len(StatusSeries.load(writer.path).states) == 3
