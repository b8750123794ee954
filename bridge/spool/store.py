"""Writes the spool file; nothing else does, but for what people do with dead letters.

What `commit` returned from survives a power cut. A message is deleted once every sink is done with it, and the totals
of a sink move in the same transaction as its cursor, so the books can be recomputed from the file at any time.

Synchronous, no threads, no asyncio: see `spool` for those.
"""

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bridge import failpoints
from bridge.spool import bitmap
from bridge.spool.message import CursorUpdate, DeadLetter, SpooledMessage
from bridge.spool.retention import Retention
from bridge.spool.sqlite import LAST_ID, SpoolError, acquire_lock, mark_closed, open_for_writing, translate_errors
from edgewire.errors import ConfigError
from edgewire.output import make_durable_folder, require_file

# Many rows a statement. `executemany` gives up the GIL once a row and then waits for a busy event loop to hand it back
# each time: measured ten times slower than this.
_ROW = "(?, ?, ?, ?, ?, ?, ?, ?)"
_MANY_ROWS = 256
_ANY_ROWS = 64
"""Up to here there is a statement for each number of rows, beyond for powers of two: SQLite keeps them compiled."""
_INSERTS = {
    rows: f"INSERT INTO messages VALUES {', '.join([_ROW] * rows)}"  # noqa: S608
    for rows in (*range(1, _ANY_ROWS + 1), 2 * _ANY_ROWS, _MANY_ROWS)
}

_OWNER = "client_id"
"""Name of the note that has whose spool it is."""


class SpoolStore:
    """Holds the spool file open for writing. Raises `SpoolError` for whatever the file or the disk refuses."""

    def __init__(self, path: Path, sinks: Sequence[str], *, abandon: Collection[str] = ()) -> None:
        """Open or create `path`, with a cursor for each of `sinks`.

        A sink of the file that is no longer among them must have nothing pending, or be named in `abandon`; it is then
        forgotten. Otherwise `ConfigError`: its messages would neither be delivered nor leave the spool.
        """
        self.path = path
        with translate_errors(path):
            make_durable_folder(require_file(path).parent)
            self._lock = acquire_lock(path)
            try:
                self._database = open_for_writing(path)
            except BaseException:
                self._lock.close()
                raise
            try:
                self.reconcile_sinks(sinks, abandon)
            except BaseException:
                self.close()
                raise
            self.last_id = self._scalar(LAST_ID)
            """Of the newest message ever committed; 0 for none."""

    def cursor(self, sink: str) -> int:
        """Return the id up to which this sink is done with every message."""
        return self._retention.cursors[sink]

    def done_bitmaps(self, sink: str) -> dict[int, int]:
        """Return the blocks in which this sink is done with something beyond its cursor, as bits; see `bitmap`."""
        return dict(self._retention.done[sink])

    def used_bytes(self) -> int:
        """Return the bytes of the file that held something when it was last measured.

        Pages freed by deletion are used again and do not count.
        """
        return self._retention.used_bytes

    def measure(self) -> None:
        """Look how large the file is now; `commit` and `maintain` do so by themselves."""
        with translate_errors(self.path):
            self._retention.measure()

    def oldest_ms(self) -> int | None:
        """Return when the oldest message was received that some sink is not done with."""
        with translate_errors(self.path):
            row = self._database.execute(
                "SELECT received_ms FROM messages WHERE id > ? ORDER BY id LIMIT 1",
                (min(self._retention.cursors.values()),),
            ).fetchone()
        return row[0] if row else None

    def commit(self, messages: Sequence[SpooledMessage] = (), updates: Sequence[CursorUpdate] = ()) -> None:
        """Write messages (ids following `last_id`) and progress in one transaction; on return both are on disk.

        Deletes some of what every sink is done with. On `SpoolError` nothing was written.
        """
        with translate_errors(self.path), self._transaction():
            self._insert(messages)
            touched: set[int] = set()
            for update in updates:
                touched |= self._apply(update)
            self._retention.delete_above_cursor(touched, self.last_id)
            self._retention.delete_below_cursor()
            self._retention.measure()
            failpoints.committing(len(messages), len(updates))
        failpoints.committed(len(messages), len(updates))
        if messages:
            self.last_id = messages[-1].id

    def needs_maintenance(self) -> bool:
        """Say whether `maintain` has something to do."""
        retention = self._retention
        return (
            retention.can_delete_below_cursor()
            or retention.can_vacuum()
            or retention.can_delete_near_cursor(self.last_id)
        )

    def maintain(self) -> None:
        """Delete some more of what every sink is done with, and give some free pages back to the file system."""
        with translate_errors(self.path):
            retention = self._retention
            if retention.can_delete_below_cursor() or retention.can_delete_near_cursor(self.last_id):
                with self._transaction():
                    retention.delete_below_cursor()
                    retention.delete_near_cursor(self.last_id)
                    retention.measure()
            retention.vacuum()

    def shrink(self) -> None:
        """Give some free pages back to the file system beside the messages that come, if little of a backlog is left.

        Earlier it would move pages that are free soon, which costs delivery a tenth.
        """
        with translate_errors(self.path):
            if self._retention.is_mostly_free():
                self._retention.vacuum()

    def close(self) -> None:
        """Close the file in good order, as far as it lets us, and let another process have it."""
        with suppress(SpoolError), translate_errors(self.path):
            mark_closed(self._database)
        self._database.close()
        self._lock.close()

    def get_metadata(self, name: str) -> str | None:
        """Return what `set_metadata` kept under this name."""
        with translate_errors(self.path):
            row = self._database.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def set_metadata(self, name: str, value: str) -> None:
        """Keep a text from run to run."""
        with translate_errors(self.path), self._transaction():
            self._database.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    def replace_metadata(self, texts: Mapping[str, str | None]) -> None:
        """Keep several texts at once, and forget those that are None."""
        with translate_errors(self.path), self._transaction():
            for name, value in texts.items():
                if value is None:
                    self._database.execute("DELETE FROM notes WHERE name = ?", (name,))
                else:
                    self._database.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    def list_metadata(self, prefix: str) -> dict[str, str]:
        """Return what is kept under names that begin so, by the rest of the name."""
        with translate_errors(self.path):
            rows = self._database.execute(
                "SELECT name, value FROM notes WHERE substr(name, 1, ?) = ?", (len(prefix), prefix)
            ).fetchall()
        return {name[len(prefix) :]: value for name, value in rows}

    def claim(self, client_id: str) -> None:
        """Note by its client id whose spool this is.

        Raises `ConfigError` where it is another bridge's that has messages in it: they would go to our destinations.
        """
        former = self.get_metadata(_OWNER)
        if former == client_id:
            return
        with translate_errors(self.path):
            pending = max(_count_pending(self._database, self.last_id).values(), default=0)
        if former is not None and pending:
            raise ConfigError(
                f"{self.path}: is the spool of the bridge '{former}', with {pending} messages to deliver, and not of"
                f" '{client_id}'; set another spool.path, or let '{former}' run once more and drain it"
            )
        self.set_metadata(_OWNER, client_id)

    def reconcile_sinks(self, sinks: Sequence[str], abandon: Collection[str] = ()) -> None:
        """Make the sinks of the file those of the configuration. Raises `ConfigError` as the constructor does."""
        with translate_errors(self.path):
            with self._transaction():
                _reconcile_sinks(self._database, self.path, sinks, abandon)
            self._retention = Retention(self._database)

    def _insert(self, messages: Sequence[SpooledMessage]) -> None:
        start = 0
        while start < len(messages):
            left = min(len(messages) - start, _MANY_ROWS)
            count = left if left <= _ANY_ROWS else 1 << left.bit_length() - 1
            values: list[object] = []
            for m in messages[start : start + count]:
                values += (m.id, m.received_ms, m.topic, m.payload, m.qos, m.retain, m.dup, m.properties)
            self._database.execute(_INSERTS[count], values)
            start += count

    def _apply(self, update: CursorUpdate) -> set[int]:
        """Write progress; return the blocks in which something may be deleted now."""
        sink = update.sink
        self._database.execute(
            "UPDATE sinks SET cursor = ?, delivered = delivered + ?, dropped = dropped + ? WHERE name = ?",
            (update.cursor, update.delivered, update.dropped, sink),
        )
        for number in update.replayed:
            self._database.execute(
                "DELETE FROM dead_letters WHERE sink = ? AND message_id = ? AND replay = 1", (sink, number)
            )
        for letter in update.dead_letters:
            self._dead_letter(letter)
        done_bitmaps = {block: bitmap.bits_of(flags) for block, flags in update.done_bitmaps.items()}
        return self._retention.apply(sink, update.cursor, done_bitmaps)

    def _dead_letter(self, letter: DeadLetter) -> None:
        """Keep a dead letter; one that comes back from a replay takes its earlier attempts with it."""
        earlier = self._database.execute(
            "DELETE FROM dead_letters WHERE sink = ? AND message_id = ? AND replay = 1 RETURNING attempts",
            (letter.sink, letter.message_id),
        ).fetchall()
        self._database.execute(
            "INSERT INTO dead_letters (sink, message_id, received_ms, topic, payload, qos, retain, reason, attempts,"
            " dead_ms, properties) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                letter.sink,
                letter.message_id,
                letter.received_ms,
                letter.topic,
                letter.payload,
                letter.qos,
                letter.retain,
                letter.reason,
                letter.attempts + sum(attempts for (attempts,) in earlier),
                letter.dead_ms,
                letter.properties,
            ),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:  # after a full disk SQLite may have rolled back already
                self._database.execute("ROLLBACK")
            raise

    def _scalar(self, statement: str, *values: int) -> int:
        value: int = self._database.execute(statement, values).fetchone()[0]
        return value


def _reconcile_sinks(database: sqlite3.Connection, path: Path, sinks: Sequence[str], abandon: Collection[str]) -> None:
    """Forget the sinks that are configured no longer, and begin the books of new ones.

    Raises `ConfigError` for a sink that still has something pending and is not named in `abandon`. Its dead letters
    are kept either way. Call in a transaction.
    """
    last_id: int = database.execute(LAST_ID).fetchone()[0]
    for name, cursor in database.execute("SELECT name, cursor FROM sinks").fetchall():
        if name in sinks:
            continue
        if cursor < last_id and name not in abandon:
            pending = _count_pending(database, last_id)[name]
            raise ConfigError(
                f"{path}: holds {pending} messages for the sink '{name}', which is no longer"
                f" configured; configure it again, or give them up with spool.abandon: [{name}]"
            )
        database.execute("DELETE FROM sinks WHERE name = ?", (name,))
        database.execute("DELETE FROM blocks WHERE owner = ?", (name,))
    known = {name for (name,) in database.execute("SELECT name FROM sinks")}
    for name in sinks:
        if name not in known:
            _add_sink(database, name, last_id)


def _add_sink(database: sqlite3.Connection, name: str, last_id: int) -> None:
    """Let a new sink begin with the oldest message that is still here.

    Not received are those in between that are deleted; received, in a life of this name before, are its dead letters.
    """
    cursor: int = database.execute("SELECT coalesce(min(id) - 1, ?) FROM messages", (last_id,)).fetchone()[0]
    gone = _count_done(database, "", cursor)
    (letters,) = database.execute("SELECT count(*) FROM dead_letters WHERE sink = ?", (name,)).fetchone()
    start = cursor + gone - letters
    database.execute("INSERT INTO sinks (name, start, cursor) VALUES (?, ?, ?)", (name, start, cursor))
    database.execute(
        "INSERT INTO blocks (owner, block, bits) SELECT ?, block, bits FROM blocks WHERE owner = ''", (name,)
    )


def _count_pending(database: sqlite3.Connection, last_id: int) -> dict[str, int]:
    """Return how many messages each sink of the file is not done with."""
    rows = database.execute("SELECT name, cursor FROM sinks").fetchall()
    return {name: last_id - cursor - _count_done(database, name, cursor) for name, cursor in rows}


def _count_done(database: sqlite3.Connection, owner: str, cursor: int) -> int:
    """Return how many ids beyond `cursor` the blocks of an owner have."""
    rows = database.execute("SELECT block, bits FROM blocks WHERE owner = ?", (owner,))
    return sum(bitmap.bits_above(bitmap.from_disk(bits), block, cursor).bit_count() for block, bits in rows)
