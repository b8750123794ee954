"""Gives the event loop its spool: appending never blocks, and a thread of its own commits in groups.

Messages are committed in the order of `append_messages`, and their `done` is called, on the loop, only after the
commit. While the spool is full messages wait uncommitted, so nothing of them is acknowledged; progress of the sinks is
still written, and makes room.

Reading happens on the loop: a few hundred rows take half a millisecond, while a thread would wait for the GIL at every
row of them.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple, TypeVar

from bridge.spool.capacity import BrokerQueueForecast, CapacityLimit
from bridge.spool.config import SpoolConfig
from bridge.spool.message import CursorUpdate, SpooledMessage
from bridge.spool.reader import SpoolReader
from bridge.spool.store import SpoolStore
from edgewire.clock import Clock, SystemClock

CURSOR_COMMIT_EVERY_S = 0.1
"""How long progress alone may wait for a commit. What a crash loses of it is delivered once more,"""

CURSOR_COMMIT_MESSAGES = 500
"""so it does not wait when it is of this many messages of a sink."""

_MAINTAIN_EVERY_S = 0.1
"""How often, while nothing waits for a commit, some room is made in the file."""

_SHRINK_EVERY_S = 0.5
"""How often the file is made smaller, where a backlog has left it too large, while messages come without a pause."""

_CHECK_AGE_EVERY_S = 1.0
"""How often the age of the oldest message is looked at, if it has a limit."""

_READ_BYTES = 4 << 20


class CommitResult(NamedTuple):
    """Tells what was written, how long it took, and how much the spool holds now."""

    messages: int
    seconds: float
    used_bytes: int
    full: str | None = None
    """Why nothing more is taken in; None when it is."""


Result = TypeVar("Result")


@dataclass(slots=True)
class _Group:
    messages: list[SpooledMessage]
    done: Callable[[], None]


class Spool:
    """Owns the `SpoolStore`. Everything but `close` returns at once; call it from the loop it was made in."""

    def __init__(
        self,
        store: SpoolStore,
        config: SpoolConfig,
        *,
        on_messages: Callable[[list[SpooledMessage]], None],
        on_commit: Callable[[CommitResult], None],
        clock: Clock | None = None,
    ) -> None:
        """Call in the loop that will use it. `on_messages` gets every group once it is committed and acknowledged."""
        self.path = store.path
        self._store = store
        self._config = config
        self._reader = SpoolReader(store.path)
        self._loop = asyncio.get_running_loop()
        self._on_messages = on_messages
        self._on_commit = on_commit
        self._next_id = store.last_id + 1
        self.last_id = store.last_id
        """Of the newest committed message."""
        self.queued = 0
        """Messages appended and not yet committed."""
        self._used_bytes = self.used_bytes = store.used_bytes()
        self._needs_maintenance = True
        self._clock = clock or SystemClock()
        self._capacity = CapacityLimit(config)
        self._forecast = BrokerQueueForecast(config.broker_queue)
        self.full = self._check_capacity()
        """Why nothing more is taken in; None when it is."""
        self.failure: asyncio.Future[None] = self._loop.create_future()
        """Ends with what a write has failed with, mostly a `SpoolError`; nothing is committed after that."""
        self._wake = threading.Condition()
        self._groups: deque[_Group] = deque()
        self._waiting = 0  # messages of the groups
        self._updates: dict[str, CursorUpdate] = {}
        self._on_durable: list[Callable[[], None]] = []
        self._progress = 0  # messages of the update with the most
        self._is_full = bool(self.full)  # as the writer knows it
        self._committed_at = time.monotonic()
        self._shrunk_at = time.monotonic()
        self._wakes_at = 0.0  # when the writer looks again by itself
        self._jobs: deque[tuple[Callable[[SpoolStore], Any], asyncio.Future[Any]]] = deque()
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._thread = threading.Thread(target=self._run_writer, name="spool-writer", daemon=True)
        self._thread.start()

    def append_messages(self, messages: list[SpooledMessage], done: Callable[[], None]) -> None:
        """Number `messages` and queue them; `done` is called when they are on disk, and never if they cannot be."""
        for number, message in enumerate(messages, self._next_id):
            message.id = number
        self._next_id += len(messages)
        self.queued += len(messages)
        self._idle.clear()
        with self._wake:
            self._groups.append(_Group(messages, done))
            self._waiting += len(messages)
            self._wake_writer()

    async def configure(self, config: SpoolConfig) -> None:
        """Go on with other limits; the file stays where it is."""
        self._config = config
        self._capacity.configure(config)
        self._forecast.queue = config.broker_queue
        await self.run_on_writer(lambda _: None)  # whether it is full is looked at with a commit

    def commit_cursor(self, update: CursorUpdate, done: Callable[[], None] | None = None) -> None:
        """Write progress with one of the next commits; `done` is called when it is on disk, never if it cannot be."""
        with self._wake:
            before = self._updates.get(update.sink)
            update = before.merged_with(update) if before else update
            self._updates[update.sink] = update
            self._progress = max(self._progress, update.delivered + len(update.dead_letters))
            if done:
                self._on_durable.append(done)
            self._wake_writer()

    def cursor(self, sink: str) -> int:
        """Return where a sink was when the spool was opened."""
        return self._store.cursor(sink)

    def read_messages(self, after: int, limit: int) -> list[SpooledMessage]:
        """Return committed messages following id `after`, at most `limit` and a few megabytes. Raises `SpoolError`."""
        return self._reader.read_messages(after, limit=limit, max_bytes=_READ_BYTES)

    def done_bitmaps(self, sink: str) -> dict[int, int]:
        """Return what a sink was done with beyond its cursor when the spool was opened; see `SpoolStore`."""
        return self._store.done_bitmaps(sink)

    def fetch_messages(self, sink: str, ids: Sequence[int]) -> list[SpooledMessage]:
        """Return these messages again, for a sink that is not done with them. Raises `SpoolError`."""
        return self._reader.fetch_messages(sink, ids)

    def read_replays(self, sink: str, after: int, limit: int) -> list[tuple[int, SpooledMessage]]:
        """Return dead letters that are to be replayed; see `SpoolReader.read_replays`."""
        return self._reader.read_replays(sink, after, limit)

    def count_replays(self, sink: str) -> int:
        """Return how many dead letters are to be replayed. Quick."""
        return self._reader.count_replays(sink)

    def headroom_s(self) -> float | None:
        """Return how long the broker's queue lasts while the spool is full, if that can be told."""
        return self._forecast.seconds_left(self._clock.monotonic())

    def describe_broker_queue(self, session_expiry_s: float) -> str:
        """Say what the broker can hold while the spool is full, for people."""
        return self._forecast.describe(self._clock.monotonic(), session_expiry_s)

    async def wait_idle(self) -> None:
        """Return when nothing appended waits for its commit, or can get one: the spool is full or has failed."""
        while self.queued and not self.full and not self.failure.done():
            self._idle.clear()
            await self._idle.wait()

    async def run_on_writer(self, job: Callable[[SpoolStore], Result]) -> Result:
        """Run `job` on the writer's thread, after what was given to `commit_cursor` before; return its answer.

        Raises what it raises. A job must be short: nothing is committed meanwhile.
        """
        done: asyncio.Future[Result] = self._loop.create_future()
        with self._wake:
            self._jobs.append((job, done))
            self._wake.notify()
        # After a failed write nobody answers any more; then this raises what `failure` does.
        waiting: list[asyncio.Future[Any]] = [done, self.failure]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            self.failure.result()
        return await done

    async def close(self) -> None:
        """Commit what is queued (unless the spool is full) and all progress, and close the file."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)
        self._reader.close()
        self._store.close()

    def _run_writer(self) -> None:
        """Commit, keep the file small and run jobs, in the writer's thread, until the spool is closed."""
        while True:
            with self._wake:
                while (due_at := self._due_at()) > (now := time.monotonic()):
                    self._wakes_at = due_at
                    self._wake.wait(None if due_at == inf else due_at - now)
                self._wakes_at = 0.0  # until it sleeps again nobody need wake it
                groups = [] if self._is_full else self._take_groups()
                updates, self._updates, self._progress = list(self._updates.values()), {}, 0
                on_durable, self._on_durable = self._on_durable, []
                jobs = list(self._jobs)
                self._jobs.clear()
                if self._closing and not groups and not updates and not jobs:
                    return
            started = time.monotonic()
            messages = groups[0].messages if len(groups) == 1 else [m for group in groups for m in group.messages]
            try:
                if messages or updates:
                    self._store.commit(messages, updates)
                    if started - self._shrunk_at >= _SHRINK_EVERY_S:
                        self._shrunk_at = started
                        self._store.shrink()
                elif not jobs:
                    self._store.maintain()
                for job, done in jobs:
                    self._run_job(job, done)
                if jobs:
                    self._store.measure()
                why_full = self._check_capacity()
                self._needs_maintenance = self._store.needs_maintenance()
            except Exception as error:
                # Also a fault of the program: nobody may wait for a thread that is gone.
                self._loop.call_soon_threadsafe(self._on_failure, error)
                return
            self._is_full = bool(why_full)
            self._committed_at = time.monotonic()
            commit = CommitResult(len(messages), self._committed_at - started, self._used_bytes, why_full)
            self._loop.call_soon_threadsafe(self._on_committed, messages, groups, on_durable, commit)

    def _wake_writer(self) -> None:
        """Wake the writer, unless it looks early enough by itself: each time costs as much as several messages do.

        Called locked.
        """
        if self._due_at() < self._wakes_at:
            self._wakes_at = 0.0
            self._wake.notify()

    def _check_capacity(self) -> str | None:
        self._used_bytes = self._store.used_bytes()
        oldest_ms = self._store.oldest_ms() if self._config.max_age is not None else None
        return self._capacity.check(self._used_bytes, oldest_ms, self._clock.now_ms())

    def _due_at(self) -> float:
        """Return when there is something to do, by `time.monotonic`; infinity for not before something arrives.

        Called locked.
        """
        if self._closing or self._jobs or self._progress >= CURSOR_COMMIT_MESSAGES:
            return 0.0
        if self._groups and not self._is_full:
            is_enough = self._waiting >= self._config.commit_messages
            return 0.0 if is_enough else self._committed_at + self._config.commit_interval / 1000
        if self._updates:
            return self._committed_at + CURSOR_COMMIT_EVERY_S
        if self._needs_maintenance:
            return self._committed_at + _MAINTAIN_EVERY_S
        return inf if self._config.max_age is None else self._committed_at + _CHECK_AGE_EVERY_S

    def _run_job(self, job: Callable[[SpoolStore], Any], done: asyncio.Future[Any]) -> None:
        try:
            answer = job(self._store)
        except Exception as error:
            self._loop.call_soon_threadsafe(_answer_job, done.set_exception, done, error)
        else:
            self._loop.call_soon_threadsafe(_answer_job, done.set_result, done, answer)

    def _take_groups(self) -> list[_Group]:
        groups: list[_Group] = []
        messages = 0
        while self._groups and messages < self._config.commit_messages:
            groups.append(self._groups.popleft())
            messages += len(groups[-1].messages)
        self._waiting -= messages
        return groups

    def _on_committed(
        self,
        messages: list[SpooledMessage],
        groups: list[_Group],
        on_durable: list[Callable[[], None]],
        commit: CommitResult,
    ) -> None:
        self.used_bytes = commit.used_bytes
        self.full = commit.full
        self._forecast.record_commit(commit.messages, bool(commit.full), self._clock.monotonic())
        self.queued -= len(messages)
        if not self.queued or self.full:
            self._idle.set()
        if messages:
            self.last_id = messages[-1].id
        for group in groups:
            group.done()
        for done in on_durable:
            done()
        if messages:
            self._on_messages(messages)
        self._on_commit(commit)

    def _on_failure(self, error: Exception) -> None:
        self._idle.set()
        if not self.failure.done():
            self.failure.set_exception(error)


def _answer_job(set_outcome: Callable[[Any], None], done: asyncio.Future[Any], outcome: object) -> None:
    """Answer a job, unless whoever asked has gone."""
    if not done.done():
        set_outcome(outcome)
