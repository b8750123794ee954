"""The spool as the event loop sees it: appending never blocks, and a thread of its own commits in groups.

Messages are committed in the order of `append`, and their `done` is called, on the loop, only after the commit. While
the spool is full messages wait uncommitted, so nothing of them is acknowledged; progress of the sinks is still written,
and makes room.

Reading happens on the loop: a few hundred rows take half a millisecond, while a thread would wait for the GIL at every
row of them.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from bridge.config import SpoolConfig
from bridge.spool.file import SpoolError
from bridge.spool.message import Settlement, Spooled
from bridge.spool.reader import Reader
from bridge.spool.store import Store

SETTLE_EVERY_S = 0.1
"""How long progress alone may wait for a commit. What a crash loses of it is delivered once more."""

_ROOM = 0.95
"""A full spool takes messages again below this share of its limit."""

_READ_BYTES = 4 << 20


class Commit(NamedTuple):
    """What was written, how long it took, and how much the spool holds now."""

    messages: int
    seconds: float
    used_bytes: int


Result = TypeVar("Result")


@dataclass(slots=True)
class _Group:
    messages: list[Spooled]
    done: Callable[[], None]


class Spool:
    """Owns the `Store`. Everything but `close` returns at once; call it from the loop it was made in."""

    def __init__(
        self,
        store: Store,
        config: SpoolConfig,
        *,
        on_messages: Callable[[list[Spooled]], None],
        on_commit: Callable[[Commit], None],
    ) -> None:
        """Call in the loop that will use it. `on_messages` gets every group once it is committed and acknowledged."""
        self.path = store.path
        self._store = store
        self._config = config
        self._reader = Reader(store.path)
        self._loop = asyncio.get_running_loop()
        self._on_messages = on_messages
        self._on_commit = on_commit
        self._next_id = store.last_id + 1
        self.last_id = store.last_id
        """Of the newest committed message."""
        self.queued = 0
        """Messages appended and not yet committed."""
        self.used_bytes = store.used_bytes()
        self.full = self.used_bytes >= config.max_bytes
        self.failure: asyncio.Future[None] = self._loop.create_future()
        """Ends with `SpoolError` when a write has failed; nothing is committed after that."""
        self._wake = threading.Condition()
        self._groups: deque[_Group] = deque()
        self._settlements: list[Settlement] = []
        self._jobs: deque[tuple[Callable[[Store], Any], asyncio.Future[Any]]] = deque()
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._thread = threading.Thread(target=self._write, name="spool-writer", daemon=True)
        self._thread.start()

    def append(self, messages: list[Spooled], done: Callable[[], None]) -> None:
        """Number `messages` and queue them; `done` is called when they are on disk, and never if they cannot be."""
        for number, message in enumerate(messages, self._next_id):
            message.id = number
        self._next_id += len(messages)
        self.queued += len(messages)
        self._idle.clear()
        with self._wake:
            self._groups.append(_Group(messages, done))
            self._wake.notify()

    async def configure(self, config: SpoolConfig) -> None:
        """Go on with other limits; the file stays where it is."""
        self._config = config
        await self.perform(lambda _: None)  # whether it is full is looked at with a commit

    def settle(self, settlement: Settlement) -> None:
        """Write progress with one of the next commits."""
        with self._wake:
            self._settlements.append(settlement)
            self._wake.notify()

    def cursor(self, sink: str) -> int:
        """Where a sink was when the spool was opened."""
        return self._store.cursor(sink)

    def read(self, after: int, limit: int) -> list[Spooled]:
        """Committed messages following id `after`, at most `limit` and a few megabytes. Raises `SpoolError`."""
        return self._reader.read(after, limit=limit, max_bytes=_READ_BYTES)

    async def idle(self) -> None:
        """Return when nothing appended waits for its commit, or can get one: the spool is full or has failed."""
        while self.queued and not self.full and not self.failure.done():
            self._idle.clear()
            await self._idle.wait()

    async def perform(self, job: Callable[[Store], Result]) -> Result:
        """Run `job` on the writer's thread, after the progress that was given to `settle` before; its answer.

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

    def _write(self) -> None:
        """The writer thread."""
        committed_at = time.monotonic()
        full = self.full
        while True:
            with self._wake:
                while (wait := self._due(committed_at, full)) is None or wait > 0:
                    self._wake.wait(wait)
                groups = [] if full else self._take_groups()
                settlements, self._settlements = self._settlements, []
                jobs = list(self._jobs)
                self._jobs.clear()
                if self._closing and not groups and not settlements and not jobs:
                    return
            started = time.monotonic()
            messages = groups[0].messages if len(groups) == 1 else [m for group in groups for m in group.messages]
            try:
                self._store.commit(messages, settlements)
                for job, done in jobs:
                    self._do(job, done)
                used = self._store.used_bytes()
            except SpoolError as error:
                self._loop.call_soon_threadsafe(self._failed, error)
                return
            committed_at = time.monotonic()
            limit = self._config.max_bytes
            full = used >= (limit * _ROOM if full else limit)
            commit = Commit(len(messages), committed_at - started, used)
            self._loop.call_soon_threadsafe(self._committed, messages, groups, commit, full)

    def _due(self, committed_at: float, full: bool) -> float | None:
        """Seconds until the next commit is due; None for not before something arrives. Called with the lock held."""
        if self._closing or self._jobs:
            return 0
        elapsed = time.monotonic() - committed_at
        if self._groups and not full:
            waiting = sum(len(group.messages) for group in self._groups)
            return 0 if waiting >= self._config.commit_messages else self._config.commit_interval / 1000 - elapsed
        return SETTLE_EVERY_S - elapsed if self._settlements else None

    def _do(self, job: Callable[[Store], Any], done: asyncio.Future[Any]) -> None:
        try:
            answer = job(self._store)
        except Exception as error:
            self._loop.call_soon_threadsafe(_end, done.set_exception, done, error)
        else:
            self._loop.call_soon_threadsafe(_end, done.set_result, done, answer)

    def _take_groups(self) -> list[_Group]:
        groups: list[_Group] = []
        messages = 0
        while self._groups and messages < self._config.commit_messages:
            groups.append(self._groups.popleft())
            messages += len(groups[-1].messages)
        return groups

    def _committed(self, messages: list[Spooled], groups: list[_Group], commit: Commit, full: bool) -> None:
        self.used_bytes = commit.used_bytes
        self.full = full
        self.queued -= len(messages)
        if not self.queued or full:
            self._idle.set()
        if messages:
            self.last_id = messages[-1].id
        for group in groups:
            group.done()
        if messages:
            self._on_messages(messages)
        self._on_commit(commit)

    def _failed(self, error: SpoolError) -> None:
        self._idle.set()
        if not self.failure.done():
            self.failure.set_exception(error)


def _end(set_outcome: Callable[[Any], None], done: asyncio.Future[Any], outcome: object) -> None:
    """Answer a job, unless whoever asked has gone."""
    if not done.done():
        set_outcome(outcome)
