import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridge.spool import retention
from bridge.spool.accounting import count_messages, read_spool_report
from bridge.spool.config import SpoolConfig
from bridge.spool.message import CursorUpdate, SpooledMessage
from bridge.spool.retention import Retention
from bridge.spool.spool import CommitResult, Spool
from bridge.spool.sqlite import SpoolError
from bridge.spool.store import SpoolStore
from tests.bridge.fakes import spooled
from tests.waiting import eventually


class Watched(SpoolStore):
    """Commits when the test lets it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, ["s"])
        self.let = threading.Event()
        self.let.set()
        self.groups: list[int] = []

    def commit(self, messages=(), updates=()):  # type: ignore[no-untyped-def]
        assert self.let.wait(10)
        super().commit(messages, updates)
        self.groups.append(len(messages))


class Opened:
    """A spool and what it has told."""

    def __init__(self, store: Watched, **settings: object) -> None:
        config = SpoolConfig(path=store.path, **settings)  # type: ignore[arg-type]
        self.store = store
        self.told: list[object] = []
        self.commits: list[CommitResult] = []
        self.spool = Spool(store, config, on_messages=self._messages, on_commit=self.commits.append)

    def _messages(self, messages: list[SpooledMessage]) -> None:
        self.told.append([one.id for one in messages])

    def append(self, count: int, name: str = "done", size: int = 0) -> None:
        messages = [spooled(0, text="x" * size) for _ in range(count)]
        self.spool.append_messages(messages, lambda: self.told.append(name))


@asynccontextmanager
async def opened(tmp_path: Path, **settings: object) -> AsyncIterator[Opened]:
    one = Opened(Watched(tmp_path / "spool.db"), **settings)
    try:
        yield one
    finally:
        one.store.let.set()
        await one.spool.close()


async def test_done_is_called_after_the_commit_and_in_order(tmp_path: Path) -> None:
    async with opened(tmp_path) as one:
        one.store.let.clear()
        one.append(2, "first")
        one.append(3, "second")
        await asyncio.sleep(0.05)
        assert one.told == []
        assert one.spool.queued == 5
        assert one.spool.last_id == 0
        one.store.let.set()
        await one.spool.wait_idle()
        assert [what for what in one.told if isinstance(what, str)] == ["first", "second"]
        assert [number for what in one.told if isinstance(what, list) for number in what] == [1, 2, 3, 4, 5]
        assert (one.spool.queued, one.spool.last_id) == (0, 5)
        assert [message.id for message in one.spool.read_messages(2, 2)] == [3, 4]
        assert sum(commit.messages for commit in one.commits) == 5


async def test_what_waits_is_committed_in_groups(tmp_path: Path) -> None:
    async with opened(tmp_path, commit_messages=100, commit_interval="1s") as one:
        one.store.let.clear()
        for number in range(20):
            one.append(30, str(number))
        one.store.let.set()
        await one.spool.wait_idle()
        assert sum(one.store.groups) == 600
        assert max(one.store.groups) == 120
        assert len(one.store.groups) < 20


async def test_progress_alone_is_written_too(tmp_path: Path) -> None:
    async with opened(tmp_path) as one:
        one.append(3)
        await one.spool.wait_idle()
        one.spool.commit_cursor(CursorUpdate(sink="s", cursor=2, delivered=2))
        await eventually(lambda: count_messages(one.spool.path)[0].delivered == 2)


@pytest.mark.slow
async def test_the_file_shrinks_although_messages_come_without_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "KEEP_FREE_BYTES", 1 << 20)
    async with opened(tmp_path, commit_interval="20ms") as one:
        for _ in range(8):
            one.append(500, size=2000)
        await one.spool.wait_idle()
        one.spool.commit_cursor(CursorUpdate(sink="s", cursor=4000, delivered=4000))
        sizes = []
        async with asyncio.timeout(20):
            while not sizes or sizes[-1] > 3 << 20:
                one.append(10)
                sizes.append(read_spool_report(one.spool.path).file_bytes)
                await asyncio.sleep(0.02)
        assert max(sizes) > 8 << 20


@pytest.mark.slow
async def test_closing_writes_what_waits(tmp_path: Path) -> None:
    async with opened(tmp_path, commit_interval="1s") as one:
        one.append(1, "first")
        await one.spool.wait_idle()
        one.append(4, "last")
        one.spool.commit_cursor(CursorUpdate(sink="s", cursor=1, delivered=1))
    assert one.told[-2:] == ["last", [2, 3, 4, 5]]
    assert count_messages(one.spool.path)[0][:6] == ("s", 5, 1, 0, 0, 4)


async def test_a_full_spool_takes_nothing_until_there_is_room(tmp_path: Path) -> None:
    async with opened(tmp_path, max_bytes="200KiB", commit_messages=10) as one:
        one.append(40, "fits", size=8000)
        await eventually(lambda: one.spool.full)
        one.append(1, "waits")
        await one.spool.wait_idle()  # returns: there is nothing to wait for
        await asyncio.sleep(0.05)
        assert one.told[0] == "fits"
        assert "waits" not in one.told
        assert one.spool.queued == 1
        one.spool.commit_cursor(CursorUpdate(sink="s", cursor=1, delivered=1))
        await eventually(lambda: count_messages(one.spool.path)[0].delivered == 1)
        assert one.spool.full
        assert "waits" not in one.told
        one.spool.commit_cursor(CursorUpdate(sink="s", cursor=40, delivered=39))
        await eventually(lambda: "waits" in one.told)
        assert not one.spool.full


async def test_a_spool_that_is_full_at_the_start_says_so(tmp_path: Path) -> None:
    async with opened(tmp_path) as one:
        one.append(40, size=8000)
        await one.spool.wait_idle()
    async with opened(tmp_path, max_bytes="200KiB") as again:
        assert again.spool.full
        again.append(1)
        await asyncio.sleep(0.05)
        assert again.told == []


async def test_after_a_failed_write_nothing_is_done(tmp_path: Path) -> None:
    async with opened(tmp_path) as one:
        one.append(1, "before")
        await one.spool.wait_idle()
        pages = one.store._scalar("PRAGMA page_count")
        one.store._database.execute(f"PRAGMA max_page_count = {pages + 1}")
        one.append(10, "never", size=8000)
        with pytest.raises(SpoolError, match="the disk is full"):
            await asyncio.wait_for(asyncio.shield(one.spool.failure), 10)
        one.append(1, "nor this")
        await one.spool.wait_idle()
    assert one.told == ["before", [1]]
    assert count_messages(one.spool.path)[0].received == 1


@pytest.mark.parametrize("fault", [sqlite3.OperationalError("disk I/O error"), OverflowError("too large")])
async def test_whatever_the_writer_fails_with_is_told(
    tmp_path: Path, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> int:
        raise fault

    fault.sqlite_errorcode = sqlite3.SQLITE_IOERR  # type: ignore[attr-defined]
    async with opened(tmp_path) as one:
        monkeypatch.setattr(Retention, "measure", fail)
        one.append(1)
        with pytest.raises(SpoolError if isinstance(fault, sqlite3.Error) else OverflowError):
            async with asyncio.timeout(5):
                await asyncio.shield(one.spool.failure)
        await one.spool.wait_idle()


async def test_a_job_runs_after_the_progress_before_it_and_its_answer_comes_back(tmp_path: Path) -> None:
    async with opened(tmp_path) as one:
        one.append(3)
        await one.spool.wait_idle()
        one.spool.commit_cursor(CursorUpdate(sink="s", cursor=2, delivered=2))
        assert await one.spool.run_on_writer(lambda store: store.cursor("s")) == 2

        def fail(_: SpoolStore) -> None:
            raise SpoolError("no")

        with pytest.raises(SpoolError, match="no"):
            await one.spool.run_on_writer(fail)
        one.append(1)
        await one.spool.wait_idle()
        assert one.spool.last_id == 4


async def test_a_message_that_is_pending_for_too_long_stops_the_taking_until_it_is_done_with(tmp_path: Path) -> None:
    async with opened(tmp_path, max_age="1h", broker_queue=1000) as one:
        one.append(1, "old")  # received in 1970
        await eventually(lambda: one.spool.full is not None)
        assert "spool.max_age is less" in str(one.spool.full)
        assert "it keeps the session for 2 d" in one.spool.describe_broker_queue(2 * 86_400)
        assert one.spool.headroom_s() is not None
        one.append(1, "waits")
        await one.spool.wait_idle()
        assert one.told == ["old", [1]]
        one.spool.commit_cursor(CursorUpdate(sink="s", cursor=1, delivered=1))
        await eventually(lambda: "waits" in one.told)
