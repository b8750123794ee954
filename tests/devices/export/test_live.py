"""The endless form of an export: what is due goes out together, at its time, once."""

from dataclasses import dataclass, field

import pytest

from devices.export.base import ExportWindow, ResumeState
from devices.export.stream import stream
from devices.scenario.scenario import Scenario
from devices.timeline.table import Batch
from devices.timeline.timeline import Timeline
from edgewire.clock import parse_ms
from edgewire.messages import CONTRACT

START_MS = parse_ms("2026-03-04T12:00:00Z")


@dataclass
class Clock:
    """Time passes only where it is waited for."""

    now_s: float = 5000.0

    def __call__(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> bool:
        self.now_s += seconds
        return False


@dataclass
class Slow:
    """A target that takes its time at the first of its puts."""

    clock: Clock
    first_takes_s: float = 0.0
    puts: list[tuple[float, list[int]]] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)

    def open(self, state: ResumeState | None) -> None: ...

    def write_batch(self, timeline: Timeline, batch: Batch) -> None:
        self.puts.append((self.clock.now_s - 5000.0, batch.due_ms))
        self.payloads += batch.payload
        if len(self.puts) == 1:
            self.clock.now_s += self.first_takes_s

    def write(self, window: ExportWindow) -> int:
        raise NotImplementedError

    def save_state(self) -> ResumeState:
        return {}

    def finish(self) -> None: ...

    def abandon(self) -> None: ...


def streamed(
    target: Slow,
    records: int = 300,
    interval_s: float | None = None,
    linger_s: float = 0.0,
    time_scale: float = 1.0,
) -> Timeline:
    scenario = Scenario(devices=[{"kind": kind, "count": 3, "interval": "1s"} for kind in CONTRACT])
    timeline = Timeline(scenario, START_MS)
    done = stream(
        timeline,
        target,
        interval_s=interval_s,
        records=records,
        now_s=target.clock,
        wait=target.clock.wait,
        linger_s=linger_s,
        time_scale=time_scale,
    )
    assert (done.records, done.finished) == (records, True)
    return timeline


@pytest.mark.slow
@pytest.mark.parametrize("linger_s", [0.0, 0.2])
@pytest.mark.parametrize("away_s", [0.0, 4.0])
@pytest.mark.parametrize("interval_s", [None, 0.01])
def test_every_message_is_put_once_in_order(linger_s: float, away_s: float, interval_s: float | None) -> None:
    target = Slow(Clock(), away_s)
    timeline = streamed(target, interval_s=interval_s, linger_s=linger_s)
    assert target.payloads == timeline.batch(START_MS, START_MS + 60_000).payload[:300]


@pytest.mark.parametrize("time_scale", [1.0, 60.0])
def test_messages_are_put_as_they_fall_due(time_scale: float) -> None:
    target = Slow(Clock())
    streamed(target, time_scale=time_scale)
    assert all(len(set(due)) == 1 for _, due in target.puts)
    assert all(at == pytest.approx((due[0] - START_MS) / 1000 / time_scale, abs=1e-6) for at, due in target.puts)


def test_with_a_linger_a_tick_is_one_put() -> None:
    target = Slow(Clock())
    streamed(target, linger_s=0.2)
    assert len(target.puts) < 120
    for at, due in target.puts:
        assert max(due) - min(due) <= 200
        assert at >= (max(due) - START_MS) / 1000 - 1e-6
        assert at <= (min(due) - START_MS) / 1000 + 0.2 + 1e-6


def test_what_fell_due_while_the_target_was_away_goes_out_in_few_pieces() -> None:
    target = Slow(Clock(), first_takes_s=4.0)
    streamed(target)
    late = [due for at, due in target.puts[1:] if at <= 4.5]
    assert sum(map(len, late[:8])) >= 50


def test_an_interval_is_one_put_a_message() -> None:
    target = Slow(Clock())
    streamed(target, records=40, interval_s=0.25, linger_s=0.2)
    assert [len(due) for _, due in target.puts] == [1] * 40
    assert [round(at, 6) for at, _ in target.puts] == [number * 0.25 for number in range(40)]
