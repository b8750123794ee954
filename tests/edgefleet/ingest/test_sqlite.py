"""What is particular to the SQLite store: its URL, its file, and what can be wrong with them."""

import os
import sqlite3
from pathlib import Path

import pytest

from edgefleet.ingest.store import Delivery, NewMessage, Query, StoreCounts, StoreError, StoreResult, open_store, sqlite
from edgefleet.ingest.store.sqlite import SqliteStore
from edgewire.errors import ConfigError


@pytest.mark.parametrize("url", ["", "edgefleet.db", "mysql://host/db", "sqlite://host/x.db", "sqlite:///"])
async def test_a_url_of_no_store_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="sqlite://"):
        await open_store(url)


async def test_urls_are_relative_with_three_slashes_and_absolute_with_four(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("sqlite:///relative.db", f"sqlite:///{tmp_path}/absolute.db"):
        await (await open_store(url)).close()
    assert sorted(os.listdir(tmp_path)) == ["absolute.db", "relative.db"]


async def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "no-such-folder" / "x.db", tmp_path):
        with pytest.raises(StoreError, match=str(path)):
            await SqliteStore.open(path)


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("These are no messages at all, but it is long enough to look for a header.\n" * 20)
    with pytest.raises(StoreError, match=r"notes\.txt.*not a database"):
        await SqliteStore.open(path)


async def test_a_newer_format_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "newer.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(StoreError, match="newer edgefleet"):
        await SqliteStore.open(path)


async def test_a_file_of_an_earlier_format_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "earlier.db"
    connection = sqlite3.connect(path)
    connection.executescript("""
        CREATE TABLE messages (
            cursor INTEGER PRIMARY KEY, device_id TEXT NOT NULL, boot INTEGER NOT NULL, seq INTEGER NOT NULL,
            kind TEXT NOT NULL, timestamp_ms INTEGER NOT NULL, received_ms INTEGER NOT NULL, payload TEXT NOT NULL
        );
        CREATE UNIQUE INDEX message_id ON messages (device_id, boot, seq);
        CREATE TABLE counts (
            kind TEXT PRIMARY KEY, stored INTEGER NOT NULL, redelivered INTEGER NOT NULL, rejected INTEGER NOT NULL
        ) WITHOUT ROWID;
        INSERT INTO messages VALUES (1, 'd', 1, 0, 'gps', 5, 6, '{"v":1}');
        INSERT INTO counts VALUES ('gps', 1, 0, 0);
        PRAGMA user_version=1;
    """)
    connection.close()
    store = await SqliteStore.open(path)
    assert [row.conflict_ms for row in await store.read(Query())] == [None]
    await store.add(Delivery(9, [NewMessage("d", 1, 0, "gps", 5, '{"v":2}')]))
    assert [row.conflict_ms for row in await store.read(Query(conflict_since_ms=9))] == [9]
    assert await store.counts() == {"gps": StoreCounts(1, 0, 0, 1)}
    await store.close()


async def test_conflicts_are_found_by_their_index(tmp_path: Path) -> None:
    """Of a store of a million messages that has none, nothing is read."""
    path = tmp_path / "x.db"
    await (await SqliteStore.open(path)).close()
    connection = sqlite3.connect(path)
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    sqlite._read(connection, Query(conflict_since_ms=5, device_ids=["d"], payload=False))
    connection.set_trace_callback(None)
    (plan, *_) = connection.execute(f"EXPLAIN QUERY PLAN {asked[0]}").fetchall()
    connection.close()
    assert "USING INDEX message_conflict" in plan[3], plan


async def test_a_failed_write_stores_nothing_and_the_next_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    store = await SqliteStore.open(path)
    other = sqlite3.connect(path, isolation_level=None)
    # What a full disk does, at the third message of the delivery.
    other.execute("""
        CREATE TRIGGER full BEFORE INSERT ON messages WHEN new.seq = 2
        BEGIN SELECT RAISE(ROLLBACK, 'database or disk is full'); END
    """)
    messages = [NewMessage("d", 1, seq, "gps", 0, "{}") for seq in range(4)]
    with pytest.raises(StoreError, match=r"x\.db: database or disk is full; check"):
        await store.add(Delivery(1, messages))
    assert await store.read(Query()) == []
    assert await store.counts() == {}
    other.execute("DROP TRIGGER full")
    other.close()
    assert await store.add(Delivery(1, messages)) == [StoreResult.STORED] * 4
    await store.close()


async def test_writes_are_flushed_before_they_are_answered(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "x.db")
    settings = [store._writer.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert settings == ["wal", 2]  # 2 = FULL
    await store.close()


async def test_a_reader_beside_the_service_sees_the_payload_as_json(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "x.db")
    await store.add(Delivery(1, [NewMessage("d", 1, 0, "gps", 0, '{"fix":"3d"}')]))
    other = sqlite3.connect(tmp_path / "x.db")
    assert other.execute("SELECT json_extract(payload, '$.fix') FROM messages").fetchone() == ("3d",)
    other.close()
    await store.close()
