"""How the receiver reads: seldom where messages come one by one, and all acknowledgements of a commit in one write."""

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

import pytest

from bridge.metrics import BridgeMetrics
from bridge.source import receiver
from bridge.source.receiver import Receiver
from bridge.spool.message import SpooledMessage
from bridge.spool.spool import Spool
from edgewire.clock import SystemClock
from edgewire.link import Link
from edgewire.mqtt import Message
from tests.bridge.fakes import payload
from tests.waiting import eventually


class StoppedClock(SystemClock):
    """Moves when a test moves it."""

    now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


class HeldSpool:
    """A spool that commits when it is told to."""

    def __init__(self) -> None:
        self.queued = 0
        self.full: str | None = None
        self.waiting: list[Callable[[], None]] = []

    def append_messages(self, messages: list[SpooledMessage], done: Callable[[], None]) -> None:
        self.queued += len(messages)
        self.waiting.append(done)

    def commit(self) -> None:
        self.queued = 0
        for done in self.waiting:
            done()
        self.waiting.clear()


class WatchedLink:
    """A link, and its session, that note what the receiver does with them."""

    def __init__(self) -> None:
        self.session = self
        self.is_read = True
        self.acked = 0
        self.writes: list[int] = []

    def ack_all(self, messages: Sequence[Message]) -> None:
        self.acked += len(messages)

    def flush(self) -> None:
        self.writes.append(self.acked)
        self.acked = 0

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True


class Stage:
    def __init__(self) -> None:
        self.spool = HeldSpool()
        self.clock = StoppedClock()
        self.link = WatchedLink()
        self.receiver = Receiver(cast("Spool", self.spool), BridgeMetrics(), self.clock)
        self.receiver.receive_maximum = 2000

    def receive(self, count: int = 1, after_s: float = 0.001) -> None:
        self.clock.now_s += after_s
        message = Message("edge/s/bme280/a/telemetry", payload(), 1, False, False, 1, {}, 0)
        self.receiver.on_messages(cast("Link", self.link), [message] * count)


async def test_what_comes_seldom_is_read_at_once() -> None:
    stage = Stage()
    for _ in range(5):
        stage.receive(after_s=0.1)
        assert stage.link.is_read


async def test_what_comes_often_is_read_in_fewer_turns() -> None:
    stage = Stage()
    stage.receive()
    assert stage.link.is_read
    for _ in range(3):
        stage.receive()
        assert not stage.link.is_read
        await eventually(lambda: stage.link.is_read)


async def test_where_much_waits_for_its_commit_reading_goes_on() -> None:
    stage = Stage()
    for _ in range(5):
        stage.receive(300)
        assert stage.link.is_read


async def test_a_broker_with_a_small_window_does_not_wait_for_a_pause() -> None:
    stage = Stage()
    stage.receiver.receive_maximum = 20
    stage.receive(2)
    stage.receive(3)
    assert stage.link.is_read, "it may wait for acknowledgements, and what follows them must be read at once"


async def test_a_pause_for_a_full_spool_is_not_ended_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "_READ_EVERY_S", 0.0)
    monkeypatch.setattr(receiver, "_OFTEN_S", 1.0)
    stage = Stage()
    stage.receive()
    stage.receive()
    stage.spool.full = "the spool is full"
    stage.receiver.apply_backpressure(cast("Link", stage.link))
    await asyncio.sleep(0.01)
    assert not stage.link.is_read
    stage.spool.full = None
    stage.receiver.apply_backpressure(cast("Link", stage.link))
    assert stage.link.is_read


async def test_the_acknowledgements_of_a_commit_leave_in_one_write() -> None:
    stage = Stage()
    for count in (3, 1, 7):
        stage.receive(count, after_s=1)
    assert not stage.receiver.all_acked
    stage.spool.commit()
    await eventually(lambda: stage.link.writes)
    assert stage.receiver.all_acked
    assert stage.link.writes == [11]
