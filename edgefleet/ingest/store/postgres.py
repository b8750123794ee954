"""Stores in PostgreSQL: one connection that writes and one that reads, each in a thread of its own.

A group of deliveries is one COPY into a staging table and one INSERT from there, in one transaction. A connection that
was lost is made anew by the next call, so the service outlives a restart of its database.
"""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from typing import TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict

from edgefleet.ingest.store.base import (
    Delivery,
    Query,
    StoreCounts,
    StoredMessage,
    StoreError,
    StoreResult,
    compare_payloads,
)
from edgefleet.ingest.store.group_commit import GroupCommit
from edgewire.errors import ConfigError
from edgewire.redact import KnownSecrets, escape_hint, show_url
from edgewire.service_url import postgres_address

Result = TypeVar("Result")
Connection = psycopg.Connection[tuple[object, ...]]

_MIGRATIONS = (
    (
        """
        CREATE TABLE ingest_messages (
            cursor bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            device_id text NOT NULL,
            boot bigint NOT NULL,
            seq bigint NOT NULL,
            kind text NOT NULL,
            timestamp_ms bigint NOT NULL,
            received_ms bigint NOT NULL,
            payload text NOT NULL,
            CONSTRAINT message_id UNIQUE (device_id, boot, seq)
        )
        """,
        """
        CREATE TABLE ingest_counts (
            kind text PRIMARY KEY,
            stored bigint NOT NULL,
            redelivered bigint NOT NULL,
            rejected bigint NOT NULL
        )
        """,
    ),
    # Whoever verifies a run asks for what came since it began, of a store that may hold years. Rows lie in that order,
    # so a summary of their blocks does, and costs a writer nothing.
    ("CREATE INDEX ingest_received ON ingest_messages USING brin (received_ms) WITH (autosummarize = on)",),
    ("ALTER TABLE ingest_counts ADD COLUMN conflicts bigint NOT NULL DEFAULT 0",),
    # Whoever verifies a run asks which of its messages others came under the ids of: mostly of none.
    (
        "ALTER TABLE ingest_messages ADD COLUMN conflict_ms bigint",
        "CREATE INDEX ingest_conflict ON ingest_messages (conflict_ms) WHERE conflict_ms IS NOT NULL",
    ),
)
"""Step n brings a database from format n to n + 1. Steps are only ever added."""

_LOCK = 0x6564_6765
"""Advisory lock of the store's writers: cursors must grow in the order of commits, with several services too."""

_STAGING = """
    CREATE TEMPORARY TABLE ingest_staging (
        position int, device_id text, boot bigint, seq bigint, kind text, timestamp_ms bigint, payload text,
        received_ms bigint
    ) ON COMMIT DELETE ROWS
"""
_COPY = "COPY ingest_staging FROM STDIN"
_INSERT = """
    INSERT INTO ingest_messages (device_id, boot, seq, kind, timestamp_ms, payload, received_ms)
    SELECT device_id, boot, seq, kind, timestamp_ms, payload, received_ms FROM ingest_staging ORDER BY position
    ON CONFLICT DO NOTHING RETURNING device_id, boot, seq
"""
_DIFFERING = """
    SELECT position, m.payload FROM ingest_staging s JOIN ingest_messages m USING (device_id, boot, seq)
    WHERE m.payload <> s.payload
"""
_CONFLICT = """
    UPDATE ingest_messages m SET conflict_ms = greatest(m.conflict_ms, s.last_ms)
    FROM (
        SELECT device_id, boot, seq, max(received_ms) AS last_ms FROM ingest_staging WHERE position = ANY(%s)
        GROUP BY device_id, boot, seq
    ) AS s
    WHERE m.device_id = s.device_id AND m.boot = s.boot AND m.seq = s.seq
"""
_COUNT = """
    INSERT INTO ingest_counts AS c (kind, stored, redelivered, rejected, conflicts) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (kind) DO UPDATE SET stored = c.stored + excluded.stored,
        redelivered = c.redelivered + excluded.redelivered, rejected = c.rejected + excluded.rejected,
        conflicts = c.conflicts + excluded.conflicts
"""
_PAGE = """
    SELECT cursor, device_id, boot, seq, kind, timestamp_ms, received_ms, {payload}, conflict_ms
    FROM ingest_messages WHERE {where} ORDER BY cursor LIMIT %(limit)s
"""
_BOUNDED = """
    SELECT cursor, device_id, boot, seq, kind, timestamp_ms, received_ms, payload, conflict_ms FROM (
        SELECT *, sum(octet_length(payload)) OVER (ORDER BY cursor) - octet_length(payload) AS before
        FROM ({page}) AS page
    ) AS summed WHERE before < %(payload_bytes)s ORDER BY cursor
"""
"""A page up to the message with which its payloads reach a size; no others leave the server."""
_READ_ONLY = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean"


class PostgresStore:
    """Implements `MessageStore` in one PostgreSQL database. Made by `from_url`."""

    def __init__(self, writer: "_Session", reader: "_Session") -> None:
        self._writer, self._reader = writer, reader
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="ingest-write")
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix="ingest-read")
        self._group = GroupCommit(lambda deliveries: writer.run(lambda c: _write(c, deliveries)), self._write_thread)

    @classmethod
    async def from_url(cls, url: str) -> "PostgresStore":
        """Open the database of a URL: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, and make its tables."""
        try:
            postgres_address(url)
            conninfo_to_dict(url)
        except ValueError as error:
            raise ConfigError(f"--store {show_url(url)} is no PostgreSQL URL: {error}") from None
        except psycopg.Error:
            # Its text shows what it does not understand, which may be of the password.
            hint = escape_hint(url) or "; in a user name or password write % as %25"
            raise ConfigError(f"--store {show_url(url)} is no PostgreSQL URL: it cannot be read{hint}") from None
        writer, reader = _Session(url, writes=True), _Session(url, writes=False)
        try:
            await asyncio.to_thread(writer.run, lambda connection: _migrate(writer.place, connection))
        except BaseException:
            writer.close()
            raise
        return cls(writer, reader)

    async def add(self, delivery: Delivery) -> list[StoreResult]:
        """Store the messages, and return for each what became of it."""
        return await self._group.add(delivery)

    async def read(self, query: Query) -> list[StoredMessage]:
        """Return one page."""
        return await self._run(self._read_thread, self._reader, lambda connection: _read(connection, query))

    async def counts(self) -> dict[str, StoreCounts]:
        """Return the counts by kind."""
        return await self._run(self._read_thread, self._reader, _counts)

    async def check(self) -> None:
        """Raise `StoreError` unless the store could be written now."""
        read_only = await self._run(self._write_thread, self._writer, lambda c: c.execute(_READ_ONLY).fetchone())
        if read_only == (True,):
            raise StoreError(f"store {self._writer.place}: is read-only; name the primary server")

    async def close(self) -> None:
        """Finish what was accepted, then let go of the database."""
        await self._group.close()
        for thread, session in ((self._read_thread, self._reader), (self._write_thread, self._writer)):
            await asyncio.get_running_loop().run_in_executor(thread, session.close)
            thread.shutdown()

    async def _run(
        self, thread: ThreadPoolExecutor, session: "_Session", work: Callable[[Connection], Result]
    ) -> Result:
        return await asyncio.get_running_loop().run_in_executor(thread, lambda: session.run(work))


class _Session:
    """Holds a connection of one thread, made when it is needed and made again after it was lost."""

    def __init__(self, url: str, *, writes: bool) -> None:
        self._url = url
        self._writes = writes
        self._connection: Connection | None = None
        given = conninfo_to_dict(url)
        self._secrets = KnownSecrets([str(given.get("password") or "")])
        self.place = (
            f"postgresql://{given.get('host', 'localhost')}:{given.get('port', 5432)}/{given.get('dbname', '')}"
        )
        """The database, without who uses it."""

    def run(self, work: Callable[[Connection], Result]) -> Result:
        """Return the result of `work`; raises `StoreError` in place of what the database raises."""
        try:
            if self._connection is None or self._connection.closed:
                self._connection = self._open()
            return work(self._connection)
        except psycopg.Error as error:
            if self._connection is not None and self._connection.broken:
                self.close()
            reason = (error.diag.message_primary or str(error)).strip().splitlines()[0]
            raise StoreError(
                f"store {self.place}: {self._secrets.hide(reason)}; check that the server runs and what it has logged"
            ) from error

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> Connection:
        # Without the last two a server that vanished from the network would be waited for until TCP gives up.
        connection: Connection = psycopg.connect(
            self._url, autocommit=True, connect_timeout=10, tcp_user_timeout=20_000, keepalives_idle=10
        )
        try:
            if self._writes:
                # What was answered as stored survives a power cut, whatever the server's default is.
                connection.execute(
                    "SELECT set_config('synchronous_commit', 'on', false)"
                    " WHERE current_setting('synchronous_commit') = 'off'"
                )
                connection.execute(_STAGING)
        except BaseException:
            connection.close()
            raise
        return connection


def _migrate(place: str, connection: Connection) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        # One message with a character that it has not would fail for ever, and with it all that are written together.
        raise StoreError(f"store {place}: the database has encoding {encoding}; make one with encoding UTF8")
    with connection.transaction():
        # The lock comes before the look: two services may open a new database at the same time.
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute("CREATE TABLE IF NOT EXISTS ingest_format (version int NOT NULL)")
        row = connection.execute("SELECT version FROM ingest_format").fetchone()
        version = int(str(row[0])) if row else 0
        if version > len(_MIGRATIONS):
            raise StoreError(f"store {place}: was written by a newer edgefleet (format {version}); update this one")
        for step in _MIGRATIONS[version:]:
            for statement in step:
                connection.execute(statement)
        if row is None:
            connection.execute("INSERT INTO ingest_format VALUES (%s)", (len(_MIGRATIONS),))
        elif version < len(_MIGRATIONS):
            connection.execute("UPDATE ingest_format SET version = %s", (len(_MIGRATIONS),))


def _write(connection: Connection, deliveries: Sequence[Delivery]) -> list[list[StoreResult]]:
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        results = iter(_insert(connection, deliveries))
        answers = [list(itertools.islice(results, len(delivery.messages))) for delivery in deliveries]
        counts = _account(deliveries, answers)
        if counts:
            with connection.cursor() as cursor:
                cursor.executemany(_COUNT, [(kind, *astuple(count)) for kind, count in sorted(counts.items())])
    return answers


def _insert(connection: Connection, deliveries: Sequence[Delivery]) -> list[StoreResult]:
    """Return what became of each message."""
    messages = [message for delivery in deliveries for message in delivery.messages]
    if not messages:
        return []
    with connection.cursor() as cursor:
        position = 0
        with cursor.copy(_COPY) as copy:
            for delivery in deliveries:
                for message in delivery.messages:
                    copy.write_row((position, *message, delivery.received_ms))
                    position += 1
        new = set(cursor.execute(_INSERT).fetchall())
        is_new = []
        for message in messages:
            key = (message.device_id, message.boot, message.seq)
            # Of an id that comes twice the first is the new one.
            is_new.append(key in new)
            new.discard(key)
        results = [StoreResult.STORED if one else StoreResult.KNOWN for one in is_new]
        if not all(is_new):
            for at, stored in cursor.execute(_DIFFERING).fetchall():
                results[int(str(at))] = compare_payloads(str(stored), messages[int(str(at))].payload)
            if conflicts := [at for at, result in enumerate(results) if result is StoreResult.CONFLICT]:
                cursor.execute(_CONFLICT, (conflicts,))
        return results


def _account(deliveries: Sequence[Delivery], answers: Sequence[Sequence[StoreResult]]) -> dict[str, StoreCounts]:
    counts: defaultdict[str, StoreCounts] = defaultdict(StoreCounts)
    for delivery, answer in zip(deliveries, answers, strict=True):
        for message, result in zip(delivery.messages, answer, strict=True):
            counts[message.kind].count(result)
        for kind, number in delivery.rejected.items():
            counts[kind].rejected += number
    return counts


_CONDITIONS = {
    "after": "cursor > %(after)s",
    "kind": "kind = %(kind)s",
    "device_ids": "device_id = ANY(%(device_ids)s)",
    "boot": "boot = %(boot)s",
    "since_ms": "timestamp_ms >= %(since_ms)s",
    "until_ms": "timestamp_ms < %(until_ms)s",
    # In the order of arrival, from the first that came so late. Without the sum, PostgreSQL might look for that one
    # from the beginning of the table.
    "received_since_ms": (
        "cursor >= (SELECT min(cursor + 0) FROM ingest_messages WHERE received_ms >= %(received_since_ms)s)"
        " AND received_ms >= %(received_since_ms)s"
    ),
    "received_until_ms": "received_ms < %(received_until_ms)s",
    "conflict_since_ms": "conflict_ms >= %(conflict_since_ms)s",
}


def _read(connection: Connection, query: Query) -> list[StoredMessage]:
    given = {name: value for name in _CONDITIONS if (value := getattr(query, name)) not in (None, ())}
    where = " AND ".join(_CONDITIONS[name] for name in given)
    if query.device_ids:
        given["device_ids"] = list(query.device_ids)
    select = _PAGE.format(payload="payload" if query.payload else "NULL", where=where)
    if query.payload:
        select = _BOUNDED.format(page=select)
    rows = connection.execute(select.encode(), given | {"limit": query.limit, "payload_bytes": query.payload_bytes})
    return [StoredMessage._make(row) for row in rows]


def _counts(connection: Connection) -> dict[str, StoreCounts]:
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        rows = cursor.execute("SELECT kind, stored, redelivered, rejected, conflicts FROM ingest_counts").fetchall()
    return {kind: StoreCounts(*numbers) for kind, *numbers in rows}
