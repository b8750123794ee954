"""What a sink would get twice after a crash is bounded, also where the spool's disk stands still."""

import asyncio
import shutil
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.delivery.repeat_limit import REPEATED_MESSAGES, RepeatLimit
from bridge.routing.routed import RoutedEvent
from bridge.sinks.base import NO_FAILURES, Failures
from bridge.spool.accounting import count_messages
from bridge.spool.store import SpoolStore
from tests.bridge.delivery.test_runner import messages, staged
from tests.bridge.fakes import MemorySink
from tests.waiting import eventually

BATCH, QUEUES = 500, 2
"""As HTTP has them by default."""


@given(st.lists(st.integers(1, 700), max_size=40))
def test_writes_may_begin_again_exactly_when_enough_is_committed(batches: list[int]) -> None:
    limit, told = RepeatLimit(), 0

    def listen() -> None:
        nonlocal told
        told += 1
        assert not limit.is_reached

    limit.listeners.append(listen)
    open_batches: list[int] = []
    for batch in batches:
        limit.record_settled(batch)
        open_batches.append(batch)
        assert limit.is_reached == (sum(open_batches) > REPEATED_MESSAGES)
        if limit.is_reached:
            before = told
            while open_batches:
                limit.record_committed(open_batches.pop())
            assert told == before + 1


class TwoQueues(MemorySink):
    """Two queues to one destination, by device."""

    def queue_key(self, event: RoutedEvent) -> str | None:
        return f"here#{int(event.device_id.removeprefix('dev-')) % QUEUES}"


async def nothing_more(sink: MemorySink) -> None:
    """Return when no write begins any more."""
    before = -1
    while before != len(sink.got):
        before = len(sink.got)
        for _ in range(200):
            await asyncio.sleep(0)


@pytest.mark.parametrize("settled", [0, 1500])
async def test_a_kill_in_a_backlog_repeats_2000_messages_at_the_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settled: int
) -> None:
    """The disk stands still at the worst moment; the file is taken as a kill would leave it, and a bridge goes on."""
    path, killed = tmp_path / "spool.db", tmp_path / "killed"
    with closing(SpoolStore(path, ["memory"])) as store:
        store.commit(messages(8000, devices=40))
    disk = threading.Lock()
    for name in ("commit", "maintain"):
        monkeypatch.setattr(SpoolStore, name, held_by(disk, getattr(SpoolStore, name)))
    sink = TwoQueues(window=20_000, batch=BATCH)

    def stop_when_settled(_queue: str, batch: Sequence[RoutedEvent]) -> Failures:
        if settled and len(sink.got) + len(batch) >= settled:
            sink.open.clear()
        return NO_FAILURES

    sink.script = stop_when_settled
    if not settled:
        sink.open.clear()
    async with staged(tmp_path, sink) as stage:
        await eventually(lambda: len(sink.got) >= settled and count_messages(path)[0].delivered == len(sink.got))
        await asyncio.to_thread(disk.acquire)
        sink.script = None
        sink.open.set()
        await nothing_more(sink)
        await asyncio.to_thread(copy_spool, path, killed)
        had = list(sink.got)
        disk.release()
        await stage.settled()
    assert len(sink.got) == len(set(sink.got)) == 8000
    again = TwoQueues(window=20_000, batch=BATCH)
    async with staged(killed, again) as stage:
        await stage.settled()
    assert set(had) | set(again.got) == set(sink.got)
    repeated = set(had) & set(again.got)
    assert 1000 < len(repeated) <= 2000


def held_by(lock: threading.Lock, write: Callable[..., None]) -> Callable[..., None]:
    """Return a way of writing that waits for the lock."""

    def held(*given: Any) -> None:
        with lock:
            write(*given)

    return held


def copy_spool(path: Path, folder: Path) -> None:
    folder.mkdir()
    for file in path.parent.glob(f"{path.name}*"):
        shutil.copy(file, folder / file.name)


async def test_progress_of_many_messages_does_not_wait_for_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.spool.spool.CURSOR_COMMIT_EVERY_S", 1000.0)
    with closing(SpoolStore(tmp_path / "spool.db", ["memory"])) as store:
        store.commit(messages(4000, devices=40))
    sink = TwoQueues(window=20_000, batch=BATCH)
    async with staged(tmp_path, sink):
        await eventually(lambda: count_messages(tmp_path / "spool.db")[0].delivered >= 3000)
