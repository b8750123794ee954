"""What is particular to the PostgreSQL store: its URL, its connection, and what can be wrong with them."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefleet.ingest.store import Delivery, MessageStore, NewMessage, Query, StoreError, StoreResult, open_store
from edgefleet.ingest.store.postgres import PostgresStore
from edgefleet.ingest.validation import NotJson, read_single
from edgewire.errors import ConfigError, ServiceUnavailable
from edgewire.messages import CONTRACT, ContractError
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


STORED, KNOWN, _ = StoreResult


def messages(device: str, count: int) -> list[NewMessage]:
    return [NewMessage(device, 1, seq, "gps", 0, "{}") for seq in range(count)]


@pytest.mark.parametrize(
    ("url", "error", "sentence"),
    [
        ("postgresql://user@host:5432/x?no_such_option=1", ConfigError, "no PostgreSQL URL: it cannot be read"),
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
        assert await store.add(Delivery(1, messages("d", 2))) == [STORED, STORED]
        server.kill()
        with pytest.raises(StoreError, match=r"store postgresql://127\.0\.0\.1"):
            await store.add(Delivery(1, messages("d", 3)))
        with pytest.raises(StoreError):
            await store.check()
        server.start()
        assert await store.add(Delivery(1, messages("d", 3))) == [KNOWN, KNOWN, STORED]
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
    assert (
        sum(answer.count(STORED) for answer in answers)
        == len(stored)
        == len({(row.device_id, row.seq) for row in stored})
    )
    assert seen == [row.cursor for row in stored]
    await other.close()


async def test_a_server_that_became_read_only_is_not_ready(store: MessageStore) -> None:
    assert isinstance(store, PostgresStore)
    store._writer.run(lambda connection: connection.execute("SET default_transaction_read_only = on"))
    with pytest.raises(StoreError, match="is read-only; name the primary"):
        await store.check()
    with pytest.raises(StoreError, match="read-only transaction"):
        await store.add(Delivery(1, messages("d", 1)))


ODD = [
    rb'{"v":"\u0000"}',
    rb'{"v":"\\u0000"}',
    rb'{"\u0000":1}',
    rb'{"v":"\ud83d\ude00 \uffff \u0001"}',
    b'{"v":"\xef\xbf\xbe \xf4\x8f\xbf\xbf"}',
    b'{"v":1e308}',
    b'{"v":-1e-308}',
    b'{"v":1e-999}',
    b'{"v":1e-9999}',
    b'{"v":1e-16384}',
    b'{"v":1e-999999999}',
    b'{"v":1e-99999999999999999999}',
    b'{"v":0e131073}',
    b'{"v":0e99999999999}',
    b'{"v":' + b"9" * 300 + b"}",
    b'{"v":0.' + b"1" * 990 + b"}",
    b'{"v":0.' + b"1" * 16_384 + b"}",
    b'{"v":' + b"0." + b"0" * 200_000 + b"1}",
    b'{"v":' + b"[" * 99 + b"]" * 99 + b"}",
    b'{"v":' + b"[" * 100 + b"]" * 100 + b"}",
    b'{"v":' + b"[" * 1000 + b"]" * 1000 + b"}",
    b'{"v":' + b'{"v":' * 1000 + b"1" + b"}" * 1001,
    b'{"v":"' + b"x" * 1_000_000 + b'"}',
    b'{"v":[' + b"{}," * 200_000 + b"1]}",
    b'{"' + b"k" * 100_000 + b'":1}',
    b'{"v":1,"v":2}',
    b"{}",
]
"""Fields of a message that somebody may send."""


@given(
    st.dictionaries(st.text(max_size=3), st.text(max_size=5) | st.floats(allow_nan=False) | st.integers(), max_size=3)
)
def odd_fields(fields: dict[str, object]) -> None:
    """Make a message of any fields, and remember it."""
    made.append(orjson.dumps({key: str(value) if isinstance(value, int) else value for key, value in fields.items()}))


made: list[bytes] = []


async def test_what_is_taken_can_be_asked_for_its_fields(
    schema: str, store: MessageStore, tmp_path: Path, bme280: Callable[..., dict[str, Any]]
) -> None:
    odd_fields()
    taken: list[NewMessage] = []
    for seq, fields in enumerate([*ODD, *made]):
        text = orjson.dumps(bme280(seq))[:-1] + (b"," if fields != b"{}" else b"") + fields[1:]
        with suppress(ContractError, NotJson):
            taken.append(read_single(CONTRACT["bme280"], text, "application/json"))
    assert len(ODD) // 3 < sum(message.seq < len(ODD) for message in taken) < len(ODD)
    sqlite = await open_store(f"sqlite:///{tmp_path / 'x.db'}")
    for one in (store, sqlite):
        assert await one.add(Delivery(1, taken)) == [STORED] * len(taken)
    await sqlite.close()
    with psycopg.connect(schema) as connection:
        in_postgres = connection.execute(
            "SELECT seq, (payload::jsonb ->> 'seq')::int, payload::jsonb ->> 'humidity' FROM ingest_messages"
        ).fetchall()
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        in_sqlite = connection.execute(
            "SELECT seq, json_extract(payload, '$.seq'), json_extract(payload, '$.humidity') FROM messages"
        ).fetchall()
    assert len(in_postgres) == len(in_sqlite) == len(taken)
    assert {(row[0], float(row[2])) for row in in_postgres} == {(row[0], float(row[2])) for row in in_sqlite}
    assert all(row[0] == row[1] for row in [*in_postgres, *in_sqlite])


async def test_a_database_that_cannot_hold_every_character_is_refused(postgres: str) -> None:
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    with pytest.raises(StoreError, match="/latin: the database has encoding LATIN1; make one with encoding UTF8"):
        await open_store(f"{postgres.rpartition('/')[0]}/latin")


async def test_a_row_is_json_for_sql(schema: str, store: MessageStore) -> None:
    await store.add(Delivery(1, [NewMessage("d", 1, 0, "gps", 0, '{"fix":"3d","note":"tab\\tand \\\\"}')]))
    with psycopg.connect(schema) as connection:
        row = connection.execute("SELECT payload::jsonb ->> 'note' FROM ingest_messages").fetchone()
    assert row == ("tab\tand \\",)
