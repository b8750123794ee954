"""What is particular to the PostgreSQL store: its URL, its connection, and what can be wrong with them."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from edgefleet.ingest.store import Delivery, MessageStore, NewMessage, Query, StoreError, open_store
from edgefleet.ingest.store.postgres import PostgresStore
from edgewire.errors import ConfigError, ServiceUnavailable
from tests.services.fixtures import unavailable
from tests.services.postgres import PostgresProcess

pytestmark = pytest.mark.services


@pytest.fixture
def schema(postgres: str) -> Iterator[str]:
    """URL of an empty schema."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA particular")
        yield f"{postgres}?options=-csearch_path%3Dparticular"
        connection.execute("DROP SCHEMA particular CASCADE")


@pytest.fixture
async def store(schema: str) -> AsyncIterator[MessageStore]:
    store = await open_store(schema)
    yield store
    await store.close()


def messages(device: str, count: int) -> list[NewMessage]:
    return [NewMessage(device, 1, seq, "gps", 0, "{}") for seq in range(count)]


@pytest.mark.parametrize(
    ("url", "error", "sentence"),
    [
        ("postgresql://user@host:5432/x?no_such_option=1", ConfigError, "no PostgreSQL URL: invalid URI query"),
        (
            "postgresql://user:secret@127.0.0.1:1/edge",
            StoreError,
            r"store postgresql://127\.0\.0\.1:1/edge: .*refused.*check",
        ),
    ],
)
async def test_a_url_that_leads_nowhere_is_one_sentence(url: str, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence) as caught:
        await open_store(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_newer_format_is_left_alone(schema: str, store: MessageStore) -> None:
    with psycopg.connect(schema) as connection:
        connection.execute("UPDATE ingest_format SET version = 99")
    with pytest.raises(StoreError, match="newer edgefleet"):
        await open_store(schema)


async def test_the_service_outlives_a_restart_of_its_database() -> None:
    try:
        server = PostgresProcess()
    except ServiceUnavailable as error:
        unavailable(str(error))
    with server:
        store = await open_store(server.url)
        assert await store.add(Delivery(1, messages("d", 2))) == [True, True]
        server.kill()
        with pytest.raises(StoreError, match=r"store postgresql://127\.0\.0\.1"):
            await store.add(Delivery(1, messages("d", 3)))
        with pytest.raises(StoreError):
            await store.check()
        server.start()
        assert await store.add(Delivery(1, messages("d", 3))) == [False, False, True]
        assert len(await store.read(Query())) == 3
        await store.check()
        await store.close()


async def test_two_services_on_one_database_share_one_order(schema: str, store: MessageStore) -> None:
    other = await open_store(schema)
    adding = [
        (store, other)[number % 2].add(Delivery(1, messages(f"d-{number // 2}", number % 5 + 1)))
        for number in range(40)
    ]
    seen: list[int] = []
    done = False

    async def follow() -> None:
        last = False
        while not last:
            last = done
            seen.extend(row.cursor for row in await other.read(Query(after=seen[-1] if seen else 0)))

    following = asyncio.create_task(follow())
    answers = await asyncio.gather(*adding)
    done = True
    await following
    # Every id is new to one of the two, and whoever read page by page has missed none.
    stored = await store.read(Query())
    assert sum(map(sum, answers)) == len(stored) == len({(row.device_id, row.seq) for row in stored})
    assert seen == [row.cursor for row in stored]
    await other.close()


async def test_a_server_that_became_read_only_is_not_ready(store: MessageStore) -> None:
    assert isinstance(store, PostgresStore)
    store._writer.run(lambda connection: connection.execute("SET default_transaction_read_only = on"))
    with pytest.raises(StoreError, match="is read-only; name the primary"):
        await store.check()
    with pytest.raises(StoreError, match="read-only transaction"):
        await store.add(Delivery(1, messages("d", 1)))


async def test_a_row_is_json_for_sql(schema: str, store: MessageStore) -> None:
    await store.add(Delivery(1, [NewMessage("d", 1, 0, "gps", 0, '{"fix":"3d","note":"tab\\tand \\\\"}')]))
    with psycopg.connect(schema) as connection:
        row = connection.execute("SELECT payload::jsonb ->> 'note' FROM ingest_messages").fetchone()
    assert row == ("tab\tand \\",)
