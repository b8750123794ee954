"""Making the sinks of a spool file those of the configuration.

The spool file as its one writer sees it.

What `commit` returned from survives a power cut. A message is deleted once every sink is done with it, and the totals
of a sink move in the same transaction as its cursor, so the books can be recomputed from the file at any time.

Synchronous, no threads, no asyncio: see `writer` for those."""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

from bridge import failpoints
from bridge.spool import bitmap as blocks
from bridge.spool.message import CursorUpdate, DeadLetter, SpooledMessage
from bridge.spool.retention import Retention
from bridge.spool.sqlite import LAST_ID, SpoolError, lock, note_closed, open_for_writing, translate_errors
from edgewire.errors import ConfigError


def adopt(database: sqlite3.Connection, path: Path, sinks: Sequence[str], abandon: Collection[str]) -> None:
    """Forget the sinks that are configured no longer, and begin the books of new ones.

    Raises `ConfigError` for a sink that still has something pending and is not named in `abandon`. Its dead letters
    are kept either way. Call in a transaction.
    """
    last_id: int = database.execute(LAST_ID).fetchone()[0]
    for name, cursor in database.execute("SELECT name, cursor FROM sinks").fetchall():
        if name in sinks:
            continue
        if cursor < last_id and name not in abandon:
            pending = last_id - cursor - _done(database, name, cursor)
            raise ConfigError(
                f"{path}: holds {pending} messages for the sink '{name}', which is no longer"
                f" configured; configure it again, or give them up with spool.abandon: [{name}]"
            )
        database.execute("DELETE FROM sinks WHERE name = ?", (name,))
        database.execute("DELETE FROM blocks WHERE owner = ?", (name,))
    known = {name for (name,) in database.execute("SELECT name FROM sinks")}
    for name in sinks:
        if name not in known:
            _begin(database, name, last_id)


def _begin(database: sqlite3.Connection, name: str, last_id: int) -> None:
    """A new sink begins with the oldest message that is still here.

    Not received are those in between that are deleted; received, in a life of this name before, are its dead letters.
    """
    cursor: int = database.execute("SELECT coalesce(min(id) - 1, ?) FROM messages", (last_id,)).fetchone()[0]
    gone = _done(database, "", cursor)
    (letters,) = database.execute("SELECT count(*) FROM dead_letters WHERE sink = ?", (name,)).fetchone()
    start = cursor + gone - letters
    database.execute("INSERT INTO sinks (name, start, cursor) VALUES (?, ?, ?)", (name, start, cursor))
    database.execute(
        "INSERT INTO blocks (owner, block, bits) SELECT ?, block, bits FROM blocks WHERE owner = ''", (name,)
    )


def _done(database: sqlite3.Connection, owner: str, cursor: int) -> int:
    """How many ids beyond `cursor` the blocks of an owner have."""
    rows = database.execute("SELECT block, bits FROM blocks WHERE owner = ?", (owner,))
    return sum(blocks.above(blocks.from_disk(bits), block, cursor).bit_count() for block, bits in rows)


# Many rows a statement, in powers of two. `executemany` gives up the GIL once a row and then waits for a busy event
# loop to hand it back each time: measured ten times slower than this.
_ROW = "(?, ?, ?, ?, ?, ?, ?, ?)"


_INSERTS = [f"INSERT INTO messages VALUES {', '.join([_ROW] * 2**power)}" for power in range(9)]  # noqa: S608


class Store:
    """The spool file, opened for writing. Raises `SpoolError` for whatever the file or the disk refuses."""

    def __init__(self, path: Path, sinks: Sequence[str], *, abandon: Collection[str] = ()) -> None:
        """Open or create `path`, with a cursor for each of `sinks`.

        A sink of the file that is no longer among them must have nothing pending, or be named in `abandon`; it is then
        forgotten. Otherwise `ConfigError`: its messages would neither be delivered nor leave the spool.
        """
        self.path = path
        with translate_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = lock(path)
            try:
                self._database = open_for_writing(path)
            except BaseException:
                self._lock.close()
                raise
            try:
                self.adopt(sinks, abandon)
            except BaseException:
                self.close()
                raise
            self.last_id = self._scalar(LAST_ID)
            """Of the newest message ever committed; 0 for none."""

    def cursor(self, sink: str) -> int:
        """This sink is done with the message of this id and with all before it."""
        return self._room.cursors[sink]

    def done_above(self, sink: str) -> dict[int, int]:
        """The blocks in which this sink is done with something beyond its cursor, as bits; see `blocks`."""
        return dict(self._room.done[sink])

    def used_bytes(self) -> int:
        """Bytes of the file that hold something; pages freed by deletion are used again and do not count."""
        with translate_errors(self.path):
            return self._room.used_bytes()

    def oldest_ms(self) -> int | None:
        """When the oldest message was received that some sink is not done with."""
        with translate_errors(self.path):
            row = self._database.execute(
                "SELECT received_ms FROM messages WHERE id > ? ORDER BY id LIMIT 1", (min(self._room.cursors.values()),)
            ).fetchone()
        return row[0] if row else None

    def commit(self, messages: Sequence[SpooledMessage] = (), settlements: Sequence[CursorUpdate] = ()) -> None:
        """Write messages (ids following `last_id`) and progress in one transaction; on return both are on disk.

        Deletes some of what every sink is done with. On `SpoolError` nothing was written.
        """
        with translate_errors(self.path), self._transaction():
            self._insert(messages)
            touched: set[int] = set()
            for settlement in settlements:
                touched |= self._settle(settlement)
            self._room.sweep(touched, self.last_id)
            self._room.prune()
            failpoints.committing(len(messages), len(settlements))
        failpoints.committed(len(messages), len(settlements))
        if messages:
            self.last_id = messages[-1].id

    def untidy(self) -> bool:
        """Whether `tidy` has something to do."""
        with translate_errors(self.path):
            return self._room.prunable() or self._room.shrinkable()

    def tidy(self) -> None:
        """Delete some more of what every sink is past, and give some free pages back to the file system."""
        with translate_errors(self.path):
            if self._room.prunable():
                with self._transaction():
                    self._room.prune()
            self._room.shrink()

    def close(self) -> None:
        """Close the file in good order, as far as it lets us, and let another process have it."""
        with suppress(SpoolError), translate_errors(self.path):
            note_closed(self._database)
        self._database.close()
        self._lock.close()

    def get_metadata(self, name: str) -> str | None:
        """What `set_metadata` kept under this name."""
        with translate_errors(self.path):
            row = self._database.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def set_metadata(self, name: str, value: str) -> None:
        """Keep a text from run to run."""
        with translate_errors(self.path), self._transaction():
            self._database.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    def adopt(self, sinks: Sequence[str], abandon: Collection[str] = ()) -> None:
        """Make the sinks of the file those of the configuration. Raises `ConfigError` as the constructor does."""
        with translate_errors(self.path):
            with self._transaction():
                adopt(self._database, self.path, sinks, abandon)
            self._room = Retention(self._database)

    def _insert(self, messages: Sequence[SpooledMessage]) -> None:
        start = 0
        while start < len(messages):
            power = min((len(messages) - start).bit_length(), len(_INSERTS)) - 1
            part = messages[start : start + 2**power]
            rows = ((m.id, m.received_ms, m.topic, m.payload, m.qos, m.retain, m.dup, m.properties) for m in part)
            self._database.execute(_INSERTS[power], tuple(chain.from_iterable(rows)))
            start += len(part)

    def _settle(self, settlement: CursorUpdate) -> set[int]:
        """Write progress; returns the blocks in which something may be deleted now."""
        sink = settlement.sink
        self._database.execute(
            "UPDATE sinks SET cursor = ?, delivered = delivered + ?, dropped = dropped + ? WHERE name = ?",
            (settlement.cursor, settlement.delivered, settlement.dropped, sink),
        )
        for number in settlement.replayed:
            self._database.execute(
                "DELETE FROM dead_letters WHERE sink = ? AND message_id = ? AND replay = 1", (sink, number)
            )
        for letter in settlement.dead_letters:
            self._bury(letter)
        above = {block: blocks.bits_of(flags) for block, flags in settlement.above.items()}
        return self._room.advance(sink, settlement.cursor, above)

    def _bury(self, letter: DeadLetter) -> None:
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
