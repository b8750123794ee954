"""What every store promises. A new store is one more parameter of `opener`."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgefleet.ingest.store import (
    Delivery,
    MessageStore,
    NewMessage,
    Query,
    StoreCounts,
    StoredMessage,
    StoreError,
    StoreResult,
    is_full,
    open_store,
)

STORED, KNOWN, CONFLICT = StoreResult

Opener = Callable[[Path], Awaitable[MessageStore]]
"""Opens the store that belongs to a folder: the same one for the same folder."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def opener(request: pytest.FixtureRequest) -> Opener:
    if request.param == "sqlite":
        return lambda folder: open_store(f"sqlite:///{folder / 'contract.db'}")
    server = request.getfixturevalue("postgres")

    async def open_schema(folder: Path) -> MessageStore:
        schema = f"s{hashlib.md5(str(folder).encode()).hexdigest()}"
        async with await psycopg.AsyncConnection.connect(server) as connection:
            await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}".encode())
        return await open_store(f"{server}?options=-csearch_path%3D{schema}")

    return open_schema


@pytest.fixture
async def store(opener: Opener, tmp_path: Path) -> AsyncIterator[MessageStore]:
    store = await opener(tmp_path)
    yield store
    await store.close()


def message(seq: int, *, device: str = "d-1", boot: int = 1, kind: str = "gps", timestamp_ms: int = 0) -> NewMessage:
    return NewMessage(device, boot, seq, kind, timestamp_ms or 1000 + seq, f'{{"seq":{seq}, "é":1}}')


async def test_a_message_is_kept_as_it_came(store: MessageStore) -> None:
    assert await store.add(Delivery(77, [message(3)])) == [STORED]
    (stored,) = await store.read(Query())
    assert stored == StoredMessage(stored.cursor, "d-1", 1, 3, "gps", 1003, 77, '{"seq":3, "é":1}')


async def test_an_id_is_stored_once(store: MessageStore) -> None:
    assert await store.add(Delivery(1, [message(1), message(2), message(1)])) == [STORED, STORED, KNOWN]
    assert await store.add(Delivery(2, [message(2), message(3)])) == [KNOWN, STORED]
    assert [row.seq for row in await store.read(Query())] == [1, 2, 3]
    assert [row.received_ms for row in await store.read(Query())] == [1, 1, 2]


@pytest.mark.parametrize("other", [message(1, device="d-2"), message(1, boot=2), message(2)])
async def test_every_part_of_the_id_counts(store: MessageStore, other: NewMessage) -> None:
    assert await store.add(Delivery(1, [message(1)])) == [STORED]
    assert await store.add(Delivery(1, [other])) == [STORED]


async def test_the_largest_numbers_fit(store: MessageStore) -> None:
    largest = message(10**15 - 1, boot=10**15 - 1, timestamp_ms=253402300799999)
    assert await store.add(Delivery(253402300799999, [largest])) == [STORED]
    (stored,) = await store.read(Query())
    assert (stored.boot, stored.seq, stored.timestamp_ms) == (10**15 - 1, 10**15 - 1, 253402300799999)


async def test_counts_are_by_kind(store: MessageStore) -> None:
    assert await store.counts() == {}
    await store.add(Delivery(1, [message(1), message(1), message(2, kind="people")], {"gps": 2, "unknown": 1}))
    await store.add(Delivery(1, [message(1)]))
    assert await store.counts() == {
        "gps": StoreCounts(1, 2, 2),
        "people": StoreCounts(1, 0, 0),
        "unknown": StoreCounts(0, 0, 1),
    }


async def test_a_known_id_with_other_content_is_a_conflict(store: MessageStore) -> None:
    first = message(1)._replace(payload='{"v":1,"on":true,"w":[0.5]}')
    await store.add(Delivery(1, [first]))
    same = [first._replace(payload=text) for text in ('{"on": true, "v": 1.0, "w": [5e-1]}', first.payload)]
    other = [
        first._replace(payload=text)
        for text in (
            '{"v":2,"on":true,"w":[0.5]}',
            '{"v":1,"on":1,"w":[0.5]}',
            '{"v":1,"on":true}',
            '{"v":1,"on":true,"w":[]}',
        )
    ]
    assert await store.add(Delivery(2, [*same, *other])) == [KNOWN] * 2 + [CONFLICT] * 4
    # Also within one delivery, where the first is the one that is kept.
    twice = [message(2), message(2)._replace(payload="{}"), message(2)]
    assert await store.add(Delivery(3, twice)) == [STORED, CONFLICT, KNOWN]
    assert [row.payload for row in await store.read(Query())] == [first.payload, message(2).payload]
    assert await store.counts() == {"gps": StoreCounts(stored=2, redelivered=3, rejected=0, conflicts=5)}


@pytest.mark.parametrize("at", [0, 57, 99, 100, 249])
async def test_in_a_large_delivery_one_that_is_known_costs_the_others_nothing(store: MessageStore, at: int) -> None:
    """Stores may write many in one statement; the second of two that are the same may be in another one."""
    many = [message(seq) for seq in range(250)]
    await store.add(Delivery(1, [many[at]]))
    other = many[at]._replace(payload='{"other": 1}')
    answer = await store.add(Delivery(2, [*many, other, *many]))
    wanted = [StoreResult.STORED] * 250 + [StoreResult.CONFLICT] + [StoreResult.KNOWN] * 250
    wanted[at] = StoreResult.KNOWN
    assert answer == wanted
    first = [many[at], *many[:at], *many[at + 1 :]]
    assert [row.seq for row in await store.read(Query())] == [one.seq for one in first]


async def test_an_empty_delivery_is_taken(store: MessageStore) -> None:
    assert await store.add(Delivery(1)) == []


@pytest.mark.parametrize("payload", [True, False])
async def test_ids_under_which_other_content_came_are_found_by_when_it_last_did(
    store: MessageStore, payload: bool
) -> None:
    first = [message(seq, device=device) for device in ("d-1", "d-2") for seq in range(5)]
    other = [one._replace(payload='{"other":1}') for one in first]
    await store.add(Delivery(10, first))
    assert await store.read(Query(conflict_since_ms=0)) == []
    assert await store.add(Delivery(30, [other[1], other[6]])) == [CONFLICT] * 2
    assert await store.add(Delivery(20, [other[1], other[2], first[3], other[2]])) == [CONFLICT] * 2 + [KNOWN, CONFLICT]

    async def found(**conditions: Any) -> list[tuple[str, int, int | None]]:
        rows = await store.read(Query(payload=payload, **conditions))
        return [(row.device_id, row.seq, row.conflict_ms) for row in rows]

    assert await found(conflict_since_ms=0) == [("d-1", 1, 30), ("d-1", 2, 20), ("d-2", 1, 30)]
    assert await found(conflict_since_ms=21) == [("d-1", 1, 30), ("d-2", 1, 30)]
    assert await found(conflict_since_ms=31) == []
    assert await found(conflict_since_ms=0, device_ids=["d-2"]) == [("d-2", 1, 30)]
    (page,) = await store.read(Query(conflict_since_ms=0, limit=1))
    assert await found(conflict_since_ms=0, after=page.cursor) == [("d-1", 2, 20), ("d-2", 1, 30)]
    assert [row.payload for row in await store.read(Query())] == [one.payload for one in first], "nothing else changes"
    await store.add(Delivery(40, [other[1]]))
    assert await found(conflict_since_ms=40) == [("d-1", 1, 40)]


async def test_pages_follow_the_order_of_arrival(store: MessageStore) -> None:
    await store.add(Delivery(1, [message(seq) for seq in (5, 1, 4, 2, 3)]))
    seen: list[int] = []
    after = 0
    while page := await store.read(Query(after=after, limit=2)):
        seen += [row.seq for row in page]
        assert all(row.cursor > after for row in page)
        after = page[-1].cursor
    assert seen == [5, 1, 4, 2, 3]


@pytest.mark.parametrize(
    ("query", "seqs"),
    [
        (Query(kind="people"), [2]),
        (Query(device_ids=["d-2"]), [3]),
        (Query(since_ms=1002), [2, 3]),
        (Query(until_ms=1002), [1]),
        (Query(since_ms=1001, until_ms=1003, kind="gps"), [1]),
        (Query(device_ids=["d-1", "d-2"]), [1, 2, 3]),
        (Query(device_ids=["d-9"]), []),
        (Query(device_ids=["d-1' OR 1=1 --"]), []),
        (Query(boot=1), [1, 2, 3]),
        (Query(boot=2, device_ids=["d-1"]), []),
    ],
)
async def test_filters(store: MessageStore, query: Query, seqs: list[int]) -> None:
    await store.add(Delivery(1, [message(1), message(2, kind="people"), message(3, device="d-2")]))
    assert [row.seq for row in await store.read(query)] == seqs


@pytest.mark.parametrize(
    ("query", "seqs"),
    [
        (Query(received_since_ms=20), [3, 2]),
        (Query(received_since_ms=20, device_ids=["d-1"]), [3, 2]),
        (Query(received_since_ms=31), []),
        (Query(received_until_ms=20), [1, 4]),
        (Query(received_since_ms=10, received_until_ms=30), [1, 2]),
    ],
)
async def test_filters_by_arrival(store: MessageStore, query: Query, seqs: list[int]) -> None:
    """A clock that was set back, or a slow request, puts an older time behind a newer one."""
    for received_ms, seq in ((10, 1), (30, 3), (9, 4), (20, 2)):
        await store.add(Delivery(received_ms, [message(seq)]))
    assert [row.seq for row in await store.read(query)] == seqs
    seen, after = [], 0
    while page := await store.read(replace(query, after=after, limit=1)):
        after = page[-1].cursor
        seen += [row.seq for row in page]
    assert seen == seqs


async def test_payloads_are_left_out_on_request(store: MessageStore) -> None:
    await store.add(Delivery(1, [message(1)]))
    assert [row.payload for row in await store.read(Query(payload=False))] == [None]


async def test_a_page_ends_before_it_is_too_large(store: MessageStore) -> None:
    await store.add(Delivery(1, [message(seq)._replace(payload=f'["{"é" * 498}"]') for seq in range(7)]))
    query = Query(payload_bytes=2500)
    first = await store.read(query)
    assert (len(first), is_full(first, query)) == (3, True)
    query = Query(payload_bytes=2500, after=first[-1].cursor, limit=2)
    second = await store.read(query)
    assert ([row.seq for row in second], is_full(second, query)) == ([3, 4], True)
    query = Query(payload_bytes=2500, after=second[-1].cursor)
    assert not is_full(await store.read(query), query)
    assert len(await store.read(Query(payload=False, payload_bytes=1))) == 7


async def test_senders_at_the_same_time_each_get_their_own_answer(store: MessageStore) -> None:
    deliveries = [Delivery(1, [message(seq), message(seq + 1)]) for seq in range(100)]
    answers = await asyncio.gather(*(store.add(delivery) for delivery in deliveries))
    assert sum(answer.count(STORED) for answer in answers) == 101
    assert sorted(row.seq for row in await store.read(Query())) == list(range(101))


async def test_what_was_stored_is_there_after_reopening(opener: Opener, tmp_path: Path) -> None:
    for expected in ([STORED], [KNOWN]):
        store = await opener(tmp_path)
        assert await store.add(Delivery(1, [message(1)])) == expected
        await store.close()


async def test_closing_finishes_what_was_accepted(opener: Opener, tmp_path: Path) -> None:
    store = await opener(tmp_path)
    adding = [asyncio.create_task(store.add(Delivery(1, [message(seq)]))) for seq in range(20)]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*adding) == [[STORED]] * 20
    with pytest.raises(StoreError, match="closing"):
        await store.add(Delivery(1, [message(99)]))


async def test_an_open_store_is_ready(store: MessageStore) -> None:
    await store.check()


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.integers(0, 5)), max_size=8)))
@pytest.mark.slow
def test_any_deliveries_leave_the_set_of_their_ids(
    opener: Opener, tmp_path_factory: pytest.TempPathFactory, deliveries: list[list[tuple[str, int, int]]]
) -> None:
    async def run() -> None:
        store = await opener(tmp_path_factory.mktemp("store"))
        known: set[tuple[str, int, int]] = set()
        for ids in deliveries:
            messages = [message(seq, device=device, boot=boot) for device, boot, seq in ids]
            for one, result in zip(ids, await store.add(Delivery(1, messages)), strict=True):
                assert result is (KNOWN if one in known else STORED)
                known.add(one)
        assert {row[1:4] for row in await store.read(Query())} == known
        await store.close()

    asyncio.run(run())
