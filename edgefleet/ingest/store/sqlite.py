"""Stores in SQLite: one file in WAL mode, one thread that writes and one that reads.

The event loop never waits for the disk: it hands work to the threads and awaits them. `synchronous=FULL` flushes each
commit, so what was answered as stored survives a power cut.
"""

import asyncio
import contextlib
import itertools
import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path
from typing import TypeVar

from edgefleet.ingest.store.base import (
    Delivery,
    NewMessage,
    Query,
    StoreCounts,
    StoredMessage,
    StoreError,
    StoreResult,
    compare_payloads,
)
from edgefleet.ingest.store.group_commit import GroupCommit
from edgewire.errors import ConfigError
from edgewire.output import require_file
from edgewire.redact import show_url

_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA cache_size=-65536",  # 64 MiB: the unique index is hit at random, by every device of the fleet
)

_MIGRATIONS = (
    (
        """
        CREATE TABLE messages (
            cursor INTEGER PRIMARY KEY,
            device_id TEXT NOT NULL,
            boot INTEGER NOT NULL,
            seq INTEGER NOT NULL,
            kind TEXT NOT NULL,
            timestamp_ms INTEGER NOT NULL,
            received_ms INTEGER NOT NULL,
            payload TEXT NOT NULL
        )
        """,
        "CREATE UNIQUE INDEX message_id ON messages (device_id, boot, seq)",
        """
        CREATE TABLE counts (
            kind TEXT PRIMARY KEY,
            stored INTEGER NOT NULL,
            redelivered INTEGER NOT NULL,
            rejected INTEGER NOT NULL
        ) WITHOUT ROWID
        """,
    ),
    # Whoever verifies a run asks for what came since it began, of a store that may hold years.
    ("CREATE INDEX message_received ON messages (received_ms)",),
    ("ALTER TABLE counts ADD COLUMN conflicts INTEGER NOT NULL DEFAULT 0",),
    # Whoever verifies a run asks which of its messages others came under the ids of: mostly of none.
    (
        "ALTER TABLE messages ADD COLUMN conflict_ms INTEGER",
        "CREATE INDEX message_conflict ON messages (conflict_ms) WHERE conflict_ms IS NOT NULL",
    ),
)
"""Step n brings a file from `user_version` n to n + 1. Steps are only ever added."""

_INSERT = """
    INSERT INTO messages (device_id, boot, seq, kind, timestamp_ms, payload, received_ms)
    VALUES {rows} ON CONFLICT DO NOTHING
"""
_ROW = "(?, ?, ?, ?, ?, ?, ?)"
_MANY_ROWS = 100
"""Rows a statement, where there are as many: after each one the thread gives up the GIL, and waits for the event loop
to hand it back."""
_INSERT_ONE, _INSERT_MANY = (_INSERT.format(rows=", ".join([_ROW] * rows)) for rows in (1, _MANY_ROWS))
_PAYLOAD = "SELECT payload FROM messages WHERE device_id = ? AND boot = ? AND seq = ?"
_CONFLICT = """
    UPDATE messages SET conflict_ms = max(coalesce(conflict_ms, 0), ?) WHERE device_id = ? AND boot = ? AND seq = ?
"""
_COUNT = """
    INSERT INTO counts (kind, stored, redelivered, rejected, conflicts) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (kind) DO UPDATE SET stored = stored + excluded.stored,
        redelivered = redelivered + excluded.redelivered, rejected = rejected + excluded.rejected,
        conflicts = conflicts + excluded.conflicts
"""
_SELECT = (
    "SELECT cursor, device_id, boot, seq, kind, timestamp_ms, received_ms, {payload}, conflict_ms FROM {table}"
    " WHERE {where} "
)
_PAGE = "ORDER BY cursor LIMIT :limit"

Result = TypeVar("Result")


class SqliteStore:
    """Implements `MessageStore` in one SQLite file. Made by `open`."""

    def __init__(self, path: Path, writer: sqlite3.Connection, reader: sqlite3.Connection) -> None:
        self._path = path
        self._writer, self._reader = writer, reader
        # A connection serves one thread at a time: one thread each.
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="ingest-write")
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix="ingest-read")
        self._group = GroupCommit(self._write, self._write_thread)

    @classmethod
    async def from_url(cls, url: str) -> "SqliteStore":
        """Open the file of a URL: `sqlite:///relative/path` or `sqlite:////absolute/path`."""
        path = url.removeprefix("sqlite:///")
        if path == url or not path:
            raise ConfigError(
                f"store '{show_url(url)}' names no file: write sqlite:///PATH, such as sqlite:///edgefleet.db"
            )
        return await cls.open(Path(path))

    @classmethod
    async def open(cls, path: Path) -> "SqliteStore":
        """Open or make the file; raises `StoreError` where it is no store of ours or cannot be written."""
        writer, reader = await asyncio.to_thread(_open, path)
        return cls(path, writer, reader)

    async def add(self, delivery: Delivery) -> list[StoreResult]:
        """Store the messages, and return for each what became of it."""
        return await self._group.add(delivery)

    async def read(self, query: Query) -> list[StoredMessage]:
        """Return one page."""
        return await self._in_thread(self._read_thread, lambda: _read(self._reader, query))

    async def counts(self) -> dict[str, StoreCounts]:
        """Return the counts by kind."""
        return await self._in_thread(self._read_thread, lambda: _counts(self._reader))

    async def check(self) -> None:
        """Raise `StoreError` unless the store could be written now."""
        await self._in_thread(self._write_thread, lambda: _check(self._writer))

    async def close(self) -> None:
        """Finish what was accepted, then let go of the file."""
        await self._group.close()
        for thread, connection in ((self._read_thread, self._reader), (self._write_thread, self._writer)):
            await self._in_thread(thread, connection.close)
            thread.shutdown()

    async def _in_thread(self, thread: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, work)
        except sqlite3.Error as error:
            raise _error(self._path, error) from error

    def _write(self, deliveries: Sequence[Delivery]) -> list[list[StoreResult]]:
        try:
            return _write(self._writer, deliveries)
        except sqlite3.Error as error:
            raise _error(self._path, error) from error


def _error(path: Path, error: sqlite3.Error) -> StoreError:
    return StoreError(f"store {path}: {error}; check the file, its folder's permissions and the free space on its disk")


def _open(path: Path) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    connections: list[sqlite3.Connection] = []
    try:
        require_file(path)
    except OSError as error:
        raise StoreError(f"store {path}: cannot be used: {error.strerror}") from None
    try:
        for _ in range(2):
            # Transactions are ours alone (isolation_level=None); each connection stays with one thread at a time.
            connections.append(sqlite3.connect(path, isolation_level=None, check_same_thread=False))
            for pragma in _PRAGMAS:
                connections[-1].execute(pragma)
        _migrate(path, connections[0])
    except sqlite3.Error as error:
        _close_all(connections)
        raise _error(path, error) from error
    except StoreError:
        _close_all(connections)
        raise
    return connections[0], connections[1]


def _close_all(connections: Sequence[sqlite3.Connection]) -> None:
    for connection in connections:
        connection.close()


def _migrate(path: Path, connection: sqlite3.Connection) -> None:
    # The lock comes before the look: two processes may open a new file at the same time.
    connection.execute("BEGIN IMMEDIATE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(_MIGRATIONS):
        raise StoreError(f"store {path}: was written by a newer edgefleet (format {version}); update this one")
    for statement in itertools.chain.from_iterable(_MIGRATIONS[version:]):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version={len(_MIGRATIONS)}")
    connection.execute("COMMIT")


def _write(connection: sqlite3.Connection, deliveries: Sequence[Delivery]) -> list[list[StoreResult]]:
    counts: defaultdict[str, StoreCounts] = defaultdict(StoreCounts)
    answers = []
    cursor = connection.cursor()
    cursor.execute("BEGIN IMMEDIATE")
    try:
        for delivery in deliveries:
            answer: list[StoreResult] = []
            for at in range(0, len(delivery.messages), _MANY_ROWS):
                answer += _insert_many(cursor, delivery.messages[at : at + _MANY_ROWS], delivery.received_ms)
            for message, result in zip(delivery.messages, answer, strict=True):
                counts[message.kind].count(result)
            answers.append(answer)
            for kind, number in delivery.rejected.items():
                counts[kind].rejected += number
        cursor.executemany(_COUNT, [(kind, *astuple(count)) for kind, count in counts.items()])
        cursor.execute("COMMIT")
    except BaseException:
        # A full disk may already have rolled back.
        if connection.in_transaction:
            cursor.execute("ROLLBACK")
        raise
    return answers


def _insert_many(cursor: sqlite3.Cursor, messages: Sequence[NewMessage], received_ms: int) -> list[StoreResult]:
    """Insert a group at once where all of it is new, and else one message after the other."""
    if len(messages) == _MANY_ROWS:
        cursor.execute("SAVEPOINT many")
        cursor.execute(_INSERT_MANY, [value for message in messages for value in (*message, received_ms)])
        all_new = cursor.rowcount == _MANY_ROWS
        if not all_new:
            cursor.execute("ROLLBACK TO many")
        cursor.execute("RELEASE many")
        if all_new:
            return [StoreResult.STORED] * _MANY_ROWS
    return [_insert(cursor, message, received_ms) for message in messages]


def _insert(cursor: sqlite3.Cursor, message: NewMessage, received_ms: int) -> StoreResult:
    cursor.execute(_INSERT_ONE, (*message, received_ms))
    if cursor.rowcount == 1:
        return StoreResult.STORED
    (payload,) = cursor.execute(_PAYLOAD, message[:3]).fetchone()
    result = compare_payloads(payload, message.payload)
    if result is StoreResult.CONFLICT:
        cursor.execute(_CONFLICT, (received_ms, *message[:3]))
    return result


_CONDITIONS = {
    "after": "cursor > :after",
    "kind": "kind = :kind",
    "device_ids": "device_id IN (SELECT value FROM json_each(:device_ids))",
    "boot": "boot = :boot",
    "since_ms": "timestamp_ms >= :since_ms",
    "until_ms": "timestamp_ms < :until_ms",
    "received_since_ms": "+received_ms >= :received_since_ms",
    "received_until_ms": "received_ms < :received_until_ms",
    "conflict_since_ms": "conflict_ms >= :conflict_since_ms",
}
# The pages of what came since then begin at the first that did. SQLite takes one lower bound of the cursor to the place
# where it begins to read, so both are in one; and without the plus it would look for the first from the beginning of
# the table instead of in the index. max() of nothing is nothing: then there are no rows.
_AFTER_BOTH = "cursor > max(:after, (SELECT min(+cursor) FROM messages WHERE received_ms >= :received_since_ms) - 1)"


def _read(connection: sqlite3.Connection, query: Query) -> list[StoredMessage]:
    given = {name: value for name in _CONDITIONS if (value := getattr(query, name)) not in (None, ())}
    conditions, table = _CONDITIONS, "messages"
    if query.conflict_since_ms is not None:
        # Else SQLite would read the table in the order of its cursors, or all rows of those devices.
        table += " INDEXED BY message_conflict"
    elif query.received_since_ms is not None:
        conditions = _CONDITIONS | {"after": _AFTER_BOTH}
    where = " AND ".join(conditions[name] for name in given)
    select = _SELECT.format(payload="payload" if query.payload else "NULL", table=table, where=where) + _PAGE
    if query.device_ids:
        given["device_ids"] = json.dumps(list(query.device_ids))
    page: list[StoredMessage] = []
    size = 0
    with contextlib.closing(connection.execute(select, given | {"limit": query.limit})) as rows:
        for row in rows:
            page.append(StoredMessage._make(row))
            size += len((page[-1].payload or "").encode())
            if size >= query.payload_bytes:
                break
    return page


def _counts(connection: sqlite3.Connection) -> dict[str, StoreCounts]:
    rows = connection.execute("SELECT kind, stored, redelivered, rejected, conflicts FROM counts")
    return {kind: StoreCounts(*numbers) for kind, *numbers in rows}


def _check(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("ROLLBACK")
