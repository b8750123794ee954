"""Commits in groups: deliveries that arrive while a transaction is being written share the next one.

A commit costs a disk flush whatever its size, so under load the cost of a message falls with the number of senders,
and a single sender waits for nothing but its own commit.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import NamedTuple

from edgefleet.ingest.store.base import Delivery, StoreBusy, StoreError, StoreResult

Answer = list[StoreResult]
Write = Callable[[Sequence[Delivery]], list[Answer]]
"""Writes deliveries in one transaction and answers each; blocks, so it is called in `executor` only."""

GROUP_MESSAGES = 10_000
"""A transaction is closed once it has this many; the deliveries behind it would wait too long."""
WAITING_MESSAGES = 200_000
"""Bound of the queue. At 300 bytes a message this is about 60 MB."""


class _Waiting(NamedTuple):
    delivery: Delivery
    answer: asyncio.Future[Answer]


class GroupCommit:
    """Runs `write` on one group at a time, from its creation (inside a running loop) until `close`."""

    def __init__(self, write: Write, executor: Executor, *, waiting_messages: int = WAITING_MESSAGES) -> None:
        self._write = write
        self._executor = executor
        self._bound = waiting_messages
        self._queue: deque[_Waiting] = deque()
        self._queued_messages = 0
        self._wake = asyncio.Event()
        self._closing = False
        self._task = asyncio.create_task(self._run(), name="ingest.group_commit")

    async def add(self, delivery: Delivery) -> Answer:
        """Return the answer of `write`, after its transaction; raises what `write` raises, or `StoreBusy`."""
        if self._closing:
            raise StoreError("the store is closing; send the messages again once the service is back")
        size = len(delivery.messages)
        # A delivery larger than the bound is let in when nothing else waits: it could never be otherwise.
        if self._queued_messages and self._queued_messages + size > self._bound:
            raise StoreBusy(f"{self._queued_messages} messages already wait to be stored; try again in a second")
        waiting = _Waiting(delivery, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._queued_messages += size
        self._wake.set()
        return await waiting.answer

    async def close(self) -> None:
        """Write what is queued, then end."""
        self._closing = True
        self._wake.set()
        await self._task

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while not (self._closing and not self._queue):
            self._wake.clear()
            while group := self._take():
                try:
                    answers = await loop.run_in_executor(self._executor, self._write, [one.delivery for one in group])
                except Exception as error:
                    # Whatever went wrong belongs to those who wait for it; the next group may do better.
                    for one in group:
                        if not one.answer.done():
                            one.answer.set_exception(error)
                else:
                    for one, answer in zip(group, answers, strict=True):
                        if not one.answer.done():
                            one.answer.set_result(answer)
            if not self._closing:
                await self._wake.wait()

    def _take(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        size = 0
        while self._queue and size < GROUP_MESSAGES:
            group.append(self._queue.popleft())
            size += len(group[-1].delivery.messages)
        self._queued_messages -= size
        return group
