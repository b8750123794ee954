"""The runner with a sink that follows a script: order, retries, isolation, books."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from bridge.delivery.runner import SinkRunner
from bridge.metrics import BridgeMetrics
from bridge.routing.config import RouteConfig
from bridge.routing.routed import RoutedEvent
from bridge.routing.table import RouteTable
from bridge.sinks.base import Failures, NotConnected, Rejected, Retry, Scope
from bridge.spool import dead_letters as letters
from bridge.spool.accounting import SinkCounts, count_messages
from bridge.spool.config import SpoolConfig
from bridge.spool.dead_letters import read_dead_letters
from bridge.spool.message import SpooledMessage
from bridge.spool.spool import Spool
from bridge.spool.store import SpoolStore
from edgewire.clock import SystemClock
from edgewire.errors import ConfigError, ServiceUnavailable
from tests.bridge.fakes import MemorySink, in_order, spooled
from tests.waiting import eventually

BUSY = Retry(cause="busy", reason="busy")


class HeldStore(SpoolStore):
    """Its commits wait while `let` is not set."""

    def __init__(self, path: Path, sinks: Sequence[str]) -> None:
        self.asked, self.let = threading.Event(), threading.Event()
        self.let.set()
        super().__init__(path, sinks)

    def commit(self, *args: Any) -> None:
        self.asked.set()
        assert self.let.wait(10)
        super().commit(*args)


class AdvancedClock(SystemClock):
    """A clock that a test moves on."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


class Stage:
    """A spool and one runner; `receive` is what the source would do."""

    def __init__(self, tmp_path: Path, sink: MemorySink, table: RouteTable | None = None) -> None:
        self.sink = sink
        self.metrics = BridgeMetrics()
        self.table = table or RouteTable()
        self.clock = AdvancedClock()
        self.store = store = HeldStore(tmp_path / "spool.db", [sink.name])
        self.spool = Spool(store, SpoolConfig(path=store.path), on_messages=self._distribute, on_commit=lambda _: None)
        self.runner = SinkRunner(sink, self.spool, self.table, self.metrics, self.clock, random.Random(1))

    def receive(self, *messages: SpooledMessage) -> None:
        self.spool.append_messages(list(messages), lambda: None)

    def books(self) -> SinkCounts:
        return count_messages(self.spool.path)[0]

    async def settled(self) -> SinkCounts:
        """The books when nothing is pending."""
        await self.spool.wait_idle()
        await eventually(lambda: not self.books().pending)
        assert self.books().balanced
        return self.books()

    def count(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"edgefleet_bridge_{name}", {"sink": "memory", **labels})

    def _distribute(self, messages: list[SpooledMessage]) -> None:
        if self.runner.can_accept(messages[0].id, len(messages)):
            self.runner.accept_messages([self.table.resolve(one) for one in messages])
        else:
            self.runner.wake_up()


@asynccontextmanager
async def staged(tmp_path: Path, sink: MemorySink, table: RouteTable | None = None) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path, sink, table)
    running = asyncio.create_task(stage.runner.run_sink(finish_s=5))
    try:
        yield stage
    finally:
        stage.runner.stop()
        await asyncio.wait([running])
        await stage.spool.close()
    await running


class Parted(MemorySink):
    """Several queues to one destination."""

    def queue_key(self, event: RoutedEvent) -> str | None:
        return f"here#{event.device_id}"


def messages(count: int, devices: int = 3) -> list[SpooledMessage]:
    return [spooled(number, f"dev-{number % devices}") for number in range(1, count + 1)]


async def test_messages_arrive_in_order_and_the_books_say_so(tmp_path: Path) -> None:
    sink = MemorySink()
    async with staged(tmp_path, sink) as stage:
        for one in messages(300):
            stage.receive(one)
        books = await stage.settled()
        assert (books.received, books.delivered) == (300, 300)
        assert len(sink.got) == 300
        assert in_order(sink.got)
        assert stage.count("delivered_total") == 300
    assert sink.closed


async def test_what_was_pending_at_the_last_end_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    store = SpoolStore(path, ["memory"])
    store.commit(messages(700))
    store.close()
    sink = MemorySink()
    async with staged(tmp_path, sink) as stage:
        stage.receive(spooled(701, "dev-0"), spooled(702, "dev-1"))
        await stage.settled()
    assert len(sink.got) == 702
    assert in_order(sink.got)


async def test_a_window_bounds_what_is_in_memory(tmp_path: Path) -> None:
    sink = MemorySink(window=50, batch=10)
    sink.open.clear()
    async with staged(tmp_path, sink) as stage:
        stage.receive(*messages(400))
        await stage.spool.wait_idle()
        await eventually(lambda: stage.runner._budget.messages == 50)
        await asyncio.sleep(0.05)
        assert stage.runner._budget.messages == 50
        sink.open.set()
        await stage.settled()
    assert len(sink.got) == 400
    assert in_order(sink.got)


async def test_a_destination_that_is_down_is_asked_again_and_nothing_overtakes(tmp_path: Path) -> None:
    left = 20

    def down(_: str, batch: Sequence[RoutedEvent]) -> Failures:
        nonlocal left
        left -= 1
        return {} if left < 0 else dict.fromkeys(range(len(batch)), BUSY)

    sink = MemorySink(down, batch=7)
    async with staged(tmp_path, sink) as stage:
        for one in messages(100):
            stage.receive(one)
        await eventually(lambda: bool(stage.runner.problems))
        books = await stage.settled()
        assert books.delivered == 100
        assert stage.runner.problems == []
    assert len(sink.got) == 100
    assert in_order(sink.got)


async def test_a_poison_message_costs_itself_alone(tmp_path: Path) -> None:
    def poison(_: str, batch: Sequence[RoutedEvent]) -> Failures:
        return {position: Rejected("it is bad") for position, one in enumerate(batch) if one.message.id == 57}

    sink = MemorySink(poison)
    async with staged(tmp_path, sink) as stage:
        stage.receive(*messages(100))
        books = await stage.settled()
        assert (books.delivered, books.dead_lettered) == (99, 1)
        (letter,) = read_dead_letters(stage.spool.path)
        assert (letter.sink, letter.message_id, letter.reason, letter.attempts) == ("memory", 57, "it is bad", 1)
        assert stage.count("dead_letters_total") == 1
    assert len(sink.got) == 99


async def test_a_device_that_fails_for_ever_holds_up_no_other(tmp_path: Path) -> None:
    cured = False

    def sick(_: str, batch: Sequence[RoutedEvent]) -> Failures:
        busy = Retry(cause="500", reason="", scope=Scope.DEVICE)
        return {position: busy for position, one in enumerate(batch) if one.device_id == "dev-1" and not cured}

    sink = MemorySink(sick, batch=10)
    async with staged(tmp_path, sink) as stage:
        stage.receive(*messages(90))
        await eventually(lambda: len(sink.got) == 60)
        assert not any(one.startswith("dev-1:") for one in sink.got)
        assert (stage.count("retries_total", cause="500") or 0) > 0
        cured = True
        await stage.settled()
    assert len(sink.got) == 90
    assert in_order(sink.got)


async def test_a_device_whose_own_address_is_wrong_is_an_alarm_at_once(tmp_path: Path) -> None:
    mended = False

    def half(_: str, batch: Sequence[RoutedEvent]) -> Failures:
        missing = Retry(cause="404", reason="/d/dev-1 answers 404", scope=Scope.DEVICE, needs_operator=True)
        return {position: missing for position, one in enumerate(batch) if one.device_id == "dev-1" and not mended}

    sink = MemorySink(half, batch=10)
    async with staged(tmp_path, sink) as stage:
        with structlog.testing.capture_logs() as logged:
            stage.receive(*messages(30))
            await eventually(lambda: len(sink.got) == 20)
            await eventually(lambda: (stage.count("retries_total", cause="404") or 0) > 20)
        assert stage.runner.problems == ["device dev-1 must wait, the others go on: /d/dev-1 answers 404"]
        assert stage.count("devices_waiting") == 1
        alarms = [line for line in logged if line["log_level"] == "error"]
        assert [(line["device"], line["reason"]) for line in alarms] == [("dev-1", "/d/dev-1 answers 404")]
        mended = True
        await stage.settled()
        assert stage.runner.problems == []
        assert stage.count("devices_waiting") == 0
    assert in_order(sink.got)


@pytest.mark.parametrize("parts", [1, 2])
async def test_devices_that_fail_for_ever_never_take_all_probes_of_an_open_breaker(tmp_path: Path, parts: int) -> None:
    missing = Retry(cause="404", reason="none", scope=Scope.DEVICE, needs_operator=True)
    down, bad = True, {"dev-1", "dev-2"}

    def half(_: str, batch: Sequence[RoutedEvent]) -> Failures:
        broken = {n: missing for n, one in enumerate(batch) if one.device_id in bad}
        return (dict.fromkeys(range(len(batch)), BUSY) if down else {}) | broken

    class Halves(MemorySink):
        """The two that fail may be alone in a queue of the destination."""

        def queue_key(self, event: RoutedEvent) -> str | None:
            return f"here#{parts > 1 and event.device_id in ('dev-1', 'dev-2')}"

    sink = Halves(half, batch=10)
    async with staged(tmp_path, sink) as stage:
        stage.receive(*messages(60, devices=6))
        await eventually(lambda: stage.count("breaker_state", destination="here") == 2)
        down = False
        await eventually(lambda: len(sink.got) == 40)
        stage.receive(*(spooled(100 + n, f"dev-{n % 6}") for n in range(60)))
        await eventually(lambda: len(sink.got) == 80)
        assert in_order(sink.got)
        bad.clear()
        await stage.settled()
    assert in_order(sink.got)


@pytest.mark.slow
def test_the_queues_of_a_destination_have_their_turns_at_its_probe(tmp_path: Path) -> None:
    # On the loop of a bridge: its timers of the same millisecond are called in the order in which they were set.
    uvloop = pytest.importorskip("uvloop")
    missing = Retry(cause="404", reason="none", scope=Scope.DEVICE, needs_operator=True)

    class Halves(MemorySink):
        def queue_key(self, event: RoutedEvent) -> str | None:
            return f"here#{event.device_id == 'dev-1'}"

    async def bad_probes(folder: Path) -> int:
        down = True

        def half(queue_key: str, batch: Sequence[RoutedEvent]) -> Failures:
            failure = missing if queue_key == "here#True" else BUSY if down else None
            return dict.fromkeys(range(len(batch)), failure) if failure else {}

        sink = Halves(half, batch=10)
        async with staged(folder, sink) as stage:
            stage.receive(*messages(30))
            await eventually(lambda: stage.count("breaker_state", destination="here") == 2)
            down, before = False, len(sink.batches)
            await eventually(lambda: len(sink.got) == 20)
            return [queue_key for queue_key, _ in sink.batches[before:]].index("here#False")

    for number in range(12):
        (folder := tmp_path / str(number)).mkdir()
        assert uvloop.run(bad_probes(folder)) <= 4


async def test_lanes_do_not_wait_for_each_other(tmp_path: Path) -> None:
    mended = False

    def half(queue_key: str, batch: Sequence[RoutedEvent]) -> Failures:
        missing = Retry(cause="404", reason="not found", needs_operator=True)
        return dict.fromkeys(range(len(batch)), missing) if queue_key == "/ingest/gps" and not mended else {}

    sink = MemorySink(half)
    async with staged(tmp_path, sink) as stage:
        stage.receive(*(spooled(n, f"d{n % 2}", kind=("gps", "bme280")[n % 2]) for n in range(1, 41)))
        await eventually(lambda: len(sink.got) == 20)
        assert all(one.startswith("d1:") for one in sink.got)
        await eventually(lambda: "not found; the breaker of /ingest/gps is open" in str(stage.runner.problems))
        assert stage.count("paused", lane="/ingest/gps") == 1
        await eventually(lambda: stage.books()[:6] == ("memory", 40, 20, 0, 0, 20))
        mended = True
        await stage.settled()
        assert stage.count("paused", lane="/ingest/gps") == 0
    assert len(sink.got) == 40
    assert in_order(sink.got)


async def test_when_one_lane_of_a_destination_gets_through_the_others_try_again(tmp_path: Path) -> None:
    told: list[str] = []

    def down(queue_key: str, batch: Sequence[RoutedEvent]) -> Failures:
        # Every part is told once to wait, one of them for an hour.
        if queue_key in told:
            return {}
        told.append(queue_key)
        after_s = 3600.0 if len(told) == 1 else 0.0
        return dict.fromkeys(range(len(batch)), Retry(cause="503", reason="", after_s=after_s))

    sink = Parted(down)
    async with staged(tmp_path, sink) as stage:
        stage.receive(*messages(30, devices=2))
        await stage.settled()
    assert len(sink.got) == 30


async def test_an_open_breaker_lets_one_probe_through_and_nothing_else(tmp_path: Path) -> None:
    mended = False
    broken = Retry(cause="503", reason="it is down")
    sink = Parted(lambda _, batch: {} if mended else dict.fromkeys(range(len(batch)), broken), batch=10)
    async with staged(tmp_path, sink) as stage:
        state = lambda: stage.count("breaker_state", destination="here")  # noqa: E731
        stage.receive(*messages(90))
        await eventually(lambda: state() == 2)
        first = len(sink.batches)
        await eventually(lambda: len(sink.batches) > first + 5)
        # The writes of the other queues that were under way when it opened may still be among them.
        assert all(len(ids) == 1 for _, ids in sink.batches[first + 3 :])
        assert stage.count("breaker_opened_total", destination="here") == 1
        assert stage.runner.problems == ["it is down; the breaker of here is open, a probe is sent now and then"]
        mended = True
        await stage.settled()
        assert state() == 0
        assert stage.runner.problems == []
    assert len(sink.got) == 90
    assert in_order(sink.got)


async def test_when_every_device_fails_it_is_the_destination(tmp_path: Path) -> None:
    mended = False
    sick = Retry(cause="500", reason="oops", scope=Scope.DEVICE)
    sink = MemorySink(lambda _, batch: {} if mended else dict.fromkeys(range(len(batch)), sick))
    async with staged(tmp_path, sink) as stage:
        stage.receive(*messages(90, devices=30))
        await eventually(lambda: (stage.count("breaker_opened_total", destination="/api/v1/sensors/bme280") or 0) > 0)
        mended = True
        await stage.settled()
    assert in_order(sink.got)


@pytest.mark.parametrize("scope", list(Scope))
async def test_what_waits_gives_up_its_memory_and_holds_up_nobody(tmp_path: Path, scope: Scope) -> None:
    mended = False

    def half(queue_key: str, batch: Sequence[RoutedEvent]) -> Failures:
        bad = Retry(cause="404", reason="not found", scope=scope, needs_operator=scope is Scope.QUEUE)
        sick = (one.message.id % 2 and not mended for one in batch)
        return {position: bad for position, one in enumerate(sick) if one}

    sink = MemorySink(half, window=40, batch=10)
    kinds = ("gps", "bme280") if scope is Scope.QUEUE else ("gps", "gps")
    async with staged(tmp_path, sink) as stage:
        for start in range(1, 1001, 20):
            stage.receive(*(spooled(n, f"d{n % 2}", kind=kinds[n % 2]) for n in range(start, start + 20)))
        await eventually(lambda: len(sink.got) == 500)
        assert all(one.startswith("d0:") for one in sink.got)
        assert stage.runner._budget.messages <= 40
        await eventually(lambda: stage.books()[:6] == ("memory", 1000, 500, 0, 0, 500))
        mended = True
        await stage.settled()
        assert stage.runner._budget.messages == 0
    assert len(sink.got) == 1000
    assert in_order(sink.got)


async def test_a_restart_sends_nothing_again_that_was_delivered_beyond_the_cursor(tmp_path: Path) -> None:
    mended = False

    def half(queue_key: str, batch: Sequence[RoutedEvent]) -> Failures:
        missing = Retry(cause="404", reason="not found", needs_operator=True)
        return dict.fromkeys(range(len(batch)), missing) if queue_key == "/ingest/gps" and not mended else {}

    first = MemorySink(half)
    async with staged(tmp_path, first) as stage:
        stage.receive(*(spooled(n, f"d{n % 2}", kind=("gps", "bme280")[n % 2]) for n in range(1, 101)))
        await eventually(lambda: stage.books()[:6] == ("memory", 100, 50, 0, 0, 50))
    mended = True
    second = MemorySink(half)
    async with staged(tmp_path, second) as stage:
        stage.receive(spooled(101, "d1"))
        books = await stage.settled()
    assert (len(first.got), len(second.got)) == (50, 51)
    assert in_order(second.got)
    assert (books.received, books.delivered) == (101, 101)


@pytest.mark.slow
async def test_a_slow_destination_holds_up_no_other(tmp_path: Path) -> None:
    class Slow(MemorySink):
        async def write(self, queue_key: str, batch: Sequence[RoutedEvent]) -> Failures:
            if queue_key == "/ingest/gps":
                await slow.wait()
            return await super().write(queue_key, batch)

    slow = asyncio.Event()
    sink = Slow(window=40, batch=10)
    async with staged(tmp_path, sink) as stage:
        stage.receive(*(spooled(n, f"d{n % 2}", kind=("gps", "bme280")[n % 2]) for n in range(1, 401)))
        await eventually(lambda: len(sink.got) == 200)
        slow.set()
        await stage.settled()
    assert in_order(sink.got)


@pytest.mark.slow
async def test_replayed_dead_letters_reach_the_sink_that_refused_them_and_the_books_balance(tmp_path: Path) -> None:
    fixed = False

    def picky(_: str, batch: Sequence[RoutedEvent]) -> Failures:
        return {p: Rejected("bad") for p, one in enumerate(batch) if one.message.id % 10 == 0 and not fixed}

    sink = MemorySink(picky)
    async with staged(tmp_path, sink) as stage:
        stage.receive(*messages(100))
        assert (await stage.settled()).dead_lettered == 10
        assert letters.replay_dead_letters(stage.spool.path, letters.DeadLetterSelection(numbers=(1, 2))).count == 2
        assert stage.books().pending == 2
        books = await stage.settled()  # refused again
        assert (books.delivered, books.dead_lettered) == (90, 10)
        again = read_dead_letters(stage.spool.path, limit=2)
        assert [one.attempts for one in again] == [2, 2]
        fixed = True
        assert letters.discard_dead_letters(stage.spool.path, letters.DeadLetterSelection(numbers=(3,))).count == 1
        assert letters.replay_dead_letters(stage.spool.path, letters.DeadLetterSelection(reason="BAD")).count == 9
        books = await stage.settled()
        assert (books.delivered, books.dead_lettered, books.discarded) == (99, 0, 1)
    assert len(sink.got) == len(set(sink.got)) == 99


async def test_what_cannot_be_routed_is_a_dead_letter_and_its_neighbours_go_on(tmp_path: Path) -> None:
    sink = MemorySink()
    bad = spooled(2)
    bad.payload = b"not json"
    async with staged(tmp_path, sink) as stage:
        stage.receive(spooled(1), bad, spooled(3))
        books = await stage.settled()
        assert (books.delivered, books.dead_lettered) == (2, 1)
        (letter,) = read_dead_letters(stage.spool.path)
        assert letter.reason.startswith("payload is not JSON")
        assert (letter.attempts, letter.payload) == (0, b"not json")
    assert sink.got == ["a:1:1", "a:1:3"]


async def test_what_a_rule_leaves_out_is_counted(tmp_path: Path) -> None:
    table = RouteTable([RouteConfig(topic="edge/+/gps/#", http="/gps"), RouteConfig(topic="#")])
    sink = MemorySink()
    async with staged(tmp_path, sink, table) as stage:
        stage.receive(*(spooled(n, kind=("gps", "bme280")[n % 2]) for n in range(1, 11)))
        books = await stage.settled()
        assert (books.delivered, books.dropped) == (5, 5)
        assert stage.count("dropped_total") == 5


async def test_a_sink_that_loses_its_connection_is_connected_again(tmp_path: Path) -> None:
    breaks = 3

    def breaking(_: str, batch: Sequence[RoutedEvent]) -> Failures:
        nonlocal breaks
        if len(sink.batches) % 2 and breaks:
            breaks -= 1
            raise NotConnected("broken")
        return {}

    sink = MemorySink(breaking, batch=5)
    async with staged(tmp_path, sink) as stage:
        stage.receive(*messages(60))
        await stage.settled()
        assert sink.connects == 4
        assert sink.closed == 3
    assert len(sink.got) == 60
    assert in_order(sink.got)


async def test_a_sink_that_cannot_be_connected_is_tried_again(tmp_path: Path) -> None:
    class Late(MemorySink):
        async def connect(self) -> None:
            await super().connect()
            if self.connects < 4:
                self.connected = False
                raise ServiceUnavailable("it is not there")

    sink = Late()
    async with staged(tmp_path, sink) as stage:
        stage.receive(*messages(10))
        await eventually(lambda: stage.runner.problems == ["it is not there"])
        await stage.settled()
        assert stage.runner.problems == []
    assert len(sink.got) == 10


async def test_a_fault_of_the_program_costs_no_message(tmp_path: Path) -> None:
    faults = 2

    def faulty(_: str, batch: Sequence[RoutedEvent]) -> Failures:
        nonlocal faults
        if faults:
            faults -= 1
            raise KeyError("what nobody thought of")
        return {}

    sink = MemorySink(faulty)
    # Captured, because structlog as it comes spends seconds on a pretty traceback.
    with structlog.testing.capture_logs() as logged:
        async with staged(tmp_path, sink) as stage:
            stage.receive(*messages(10))
            await stage.settled()
            assert stage.count("retries_total", cause="internal") == 20
    assert [line["event"] for line in logged if line.get("exc_info")] == ["the sink failed"] * 2
    assert in_order(sink.got)


async def test_want_of_memory_ends_the_runner(tmp_path: Path) -> None:
    def exhausted(_: str, batch: Sequence[RoutedEvent]) -> Failures:
        raise MemoryError

    stage = Stage(tmp_path, MemorySink(exhausted))
    with structlog.testing.capture_logs() as logged:
        running = asyncio.create_task(stage.runner.run_sink(finish_s=5))
        stage.receive(*messages(10))
        with pytest.raises(MemoryError):
            await asyncio.wait_for(running, 30)
    await stage.spool.close()
    assert not [line for line in logged if line.get("exc_info")]


async def test_a_configuration_that_cannot_work_ends_the_runner(tmp_path: Path) -> None:
    class Wrong(MemorySink):
        async def connect(self) -> None:
            raise ConfigError("kafka.properties: no")

    stage = Stage(tmp_path, Wrong())
    with pytest.raises(ConfigError, match=r"kafka.properties: no"):
        await stage.runner.run_sink(finish_s=5)
    await stage.spool.close()


async def test_stopping_lets_the_write_under_way_end_and_begins_no_other(tmp_path: Path) -> None:
    sink = MemorySink(batch=10)
    sink.open.clear()
    stage = Stage(tmp_path, sink)
    running = asyncio.create_task(stage.runner.run_sink(finish_s=5))
    stage.receive(*messages(30))
    await stage.spool.wait_idle()
    await eventually(lambda: sink.asked == 1)
    stage.runner.stop()
    sink.open.set()
    await running
    await stage.spool.close()
    assert len(sink.got) == 10
    assert stage.books()[:6] == ("memory", 30, 10, 0, 0, 20)


async def test_a_write_that_does_not_end_is_given_up_and_stays_pending(tmp_path: Path) -> None:
    sink = MemorySink()
    sink.open.clear()
    stage = Stage(tmp_path, sink)
    running = asyncio.create_task(stage.runner.run_sink(finish_s=0.02))
    stage.receive(*messages(30))
    await stage.spool.wait_idle()
    await eventually(lambda: sink.asked == 1)
    stage.runner.stop()
    await running
    await stage.spool.close()
    assert stage.books().pending == 30


async def test_a_random_sink_never_breaks_the_order_or_the_books(tmp_path: Path) -> None:
    rng = random.Random(7)

    def moody(_: str, batch: Sequence[RoutedEvent]) -> Failures:
        failures: dict[int, Retry | Rejected] = {}
        stuck: set[str] = set()
        for position, one in enumerate(batch):
            if one.device_id in stuck:
                failures[position] = Retry(cause="wait", reason="", scope=Scope.DEVICE)
            elif (draw := rng.random()) < 0.05:
                failures[position] = Retry(cause="wait", reason="", scope=Scope.DEVICE)
                stuck.add(one.device_id)
            elif draw < 0.08:
                failures[position] = Rejected("bad")
        return failures if rng.random() > 0.1 else dict.fromkeys(range(len(batch)), BUSY)

    sink = MemorySink(moody, window=60, batch=20)
    async with staged(tmp_path, sink) as stage:
        for start in range(0, 600, 25):
            kinds = ("gps", "bme280")
            stage.receive(*(spooled(n, f"{kinds[n % 2]}-{n % 5}", kind=kinds[n % 2]) for n in range(start, start + 25)))
            await asyncio.sleep(0.002)
        books = await stage.settled()
    assert books.delivered == len(sink.got)
    assert books.delivered + books.dead_lettered == 600
    assert in_order(sink.got)


@pytest.mark.slow
async def test_a_replay_that_is_delivered_and_not_yet_written_down_is_not_taken_again(tmp_path: Path) -> None:
    sink = MemorySink(lambda _, batch: {at: Rejected("BAD") for at in range(len(batch))})
    async with staged(tmp_path, sink) as stage:
        stage.receive(spooled(1))
        await eventually(lambda: stage.books().dead_lettered == 1)
        sink.script = None
        sink.open.clear()
        assert letters.replay_dead_letters(stage.spool.path, letters.DeadLetterSelection(numbers=(1,))).count == 1
        await eventually(lambda: bool(stage.runner._acks.replaying))
        stage.store.let.clear()
        stage.store.asked.clear()
        sink.open.set()
        await eventually(lambda: not stage.runner._acks.replaying)
        stage.clock.ahead_s += 1
        stage.runner.wake_up()
        await eventually(stage.store.asked.is_set)
        await asyncio.sleep(0.02)
        stage.store.let.set()
        books = await stage.settled()
        await asyncio.sleep(0.05)
        await stage.spool.run_on_writer(lambda _: None)  # what was delivered twice is written down with it
        assert (stage.books().delivered, stage.books().balanced) == (books.delivered, True) == (1, True)
    assert sink.got == ["a:1:1"]


async def test_the_first_dead_letter_is_an_increase_to_prometheus(tmp_path: Path) -> None:
    async with staged(tmp_path, MemorySink()) as stage:
        assert stage.count("dead_letters_total") == 0
        assert stage.metrics.registry.get_sample_value("edgefleet_bridge_reloads_total", {"outcome": "refused"}) == 0


async def test_what_is_committed_before_a_runner_begins_waits_for_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path, MemorySink())
    assert not stage.runner.can_accept(1, 1)
    stage.receive(spooled(1))
    await stage.spool.wait_idle()
    running = asyncio.create_task(stage.runner.run_sink(finish_s=5))
    assert (await stage.settled()).delivered == 1
    stage.runner.stop()
    await running
    await stage.spool.close()


async def test_a_batch_that_is_not_full_waits_for_others_only_soon_after_the_one_before(tmp_path: Path) -> None:
    sink = MemorySink(batch=10)
    sink.linger_s = 1000.0
    async with staged(tmp_path, sink) as stage:
        stage.receive(spooled(1, "dev-0"))
        await eventually(lambda: len(sink.got) == 1)
        stage.receive(*messages(5)[1:])
        await stage.spool.wait_idle()
        await asyncio.sleep(0.05)
        assert len(sink.got) == 1
        stage.receive(*messages(14)[5:])
        await eventually(lambda: len(sink.got) == 11)
    assert [len(ids) for _, ids in sink.batches] == [1, 10]
