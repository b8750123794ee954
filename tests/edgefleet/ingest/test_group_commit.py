"""Deliveries share transactions, and each sender learns its own outcome."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from edgefleet.ingest.store import Delivery, NewMessage, StoreBusy, StoreError, StoreResult
from edgefleet.ingest.store.group_commit import GROUP_MESSAGES, GroupCommit

STORED, KNOWN, _ = StoreResult


class Writer:
    """A database that writes when told to; it fails for deliveries received at time 13."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.may_write = threading.Event()

    def write(self, deliveries: Sequence[Delivery]) -> list[list[StoreResult]]:
        self.may_write.wait(10)
        self.groups.append([delivery.received_ms for delivery in deliveries])
        if any(delivery.received_ms == 13 for delivery in deliveries):
            raise StoreError("disk full")
        return [[(STORED, KNOWN)[delivery.received_ms % 2]] * len(delivery.messages) for delivery in deliveries]


def delivery(received_ms: int, size: int = 1) -> Delivery:
    return Delivery(received_ms, [NewMessage("d", 1, 0, "gps", 0, "{}")] * size)


async def start(commit: GroupCommit, *deliveries: Delivery) -> list[asyncio.Task[list[StoreResult]]]:
    """Deliveries under way, the first of them in a transaction that waits to be let go."""
    tasks = []
    for one in deliveries:
        tasks.append(asyncio.create_task(commit.add(one)))
        await asyncio.sleep(0.01)
    return tasks


async def test_what_arrives_during_a_write_shares_the_next() -> None:
    writer = Writer()
    with ThreadPoolExecutor(1) as executor:
        commit = GroupCommit(writer.write, executor)
        tasks = await start(commit, *(delivery(number) for number in range(4)))
        assert not any(task.done() for task in tasks)
        writer.may_write.set()
        assert await asyncio.gather(*tasks) == [[STORED], [KNOWN], [STORED], [KNOWN]]
        assert writer.groups == [[0], [1, 2, 3]]
        await commit.close()


async def test_a_failure_reaches_those_of_its_transaction_only() -> None:
    writer = Writer()
    with ThreadPoolExecutor(1) as executor:
        commit = GroupCommit(writer.write, executor)
        tasks = await start(commit, delivery(0), delivery(13), delivery(15))
        writer.may_write.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert outcomes[0] == [STORED]
        assert [type(outcome) for outcome in outcomes[1:]] == [StoreError, StoreError]
        assert await commit.add(delivery(2)) == [STORED]
        await commit.close()


async def test_the_queue_is_bounded_but_a_large_delivery_gets_through() -> None:
    writer = Writer()
    with ThreadPoolExecutor(1) as executor:
        commit = GroupCommit(writer.write, executor, waiting_messages=3)
        tasks = await start(commit, delivery(0), delivery(2, size=5))
        with pytest.raises(StoreBusy, match="5 messages already wait"):
            await commit.add(delivery(4))
        writer.may_write.set()
        assert await asyncio.gather(*tasks) == [[STORED], [STORED] * 5]
        assert await commit.add(delivery(4)) == [STORED]
        await commit.close()


async def test_a_transaction_ends_once_it_is_large() -> None:
    writer = Writer()
    with ThreadPoolExecutor(1) as executor:
        commit = GroupCommit(writer.write, executor)
        tasks = await start(commit, delivery(0), delivery(2, GROUP_MESSAGES), delivery(4), delivery(6))
        writer.may_write.set()
        await asyncio.gather(*tasks)
        assert writer.groups == [[0], [2], [4, 6]]
        await commit.close()


async def test_a_sender_that_gives_up_disturbs_nobody() -> None:
    writer = Writer()
    with ThreadPoolExecutor(1) as executor:
        commit = GroupCommit(writer.write, executor)
        tasks = await start(commit, delivery(0), delivery(2), delivery(4))
        tasks[1].cancel()
        writer.may_write.set()
        assert await tasks[2] == [STORED]
        await commit.close()
