"""The spool file as its one writer sees it.

What `commit` returned from survives a power cut. A message is deleted once every sink is past it, and the totals of a
sink move in the same transaction as its cursor, so the books can be recomputed from the file at any time.

Synchronous, no threads, no asyncio: see `writer` for those.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from bridge import failpoints
from bridge.spool.file import LAST_ID, explained, lock, open_for_writing
from bridge.spool.message import Settlement, Spooled
from edgewire.errors import ConfigError

# Many rows a statement, in powers of two. `executemany` gives up the GIL once a row and then waits for a busy event
# loop to hand it back each time: measured ten times slower than this.
_ROW = "(?, ?, ?, ?, ?, ?, ?, ?)"
_INSERTS = [f"INSERT INTO messages VALUES {', '.join([_ROW] * 2**power)}" for power in range(9)]  # noqa: S608

_PRUNE_AT_ONCE = 5_000
"""Messages deleted in one commit, which bounds how long it takes."""


class Store:
    """The spool file, opened for writing. Raises `SpoolError` for whatever the file or the disk refuses."""

    def __init__(self, path: Path, sinks: Sequence[str], *, abandon: Collection[str] = ()) -> None:
        """Open or create `path`, with a cursor for each of `sinks`.

        A sink of the file that is no longer among them must have nothing pending, or be named in `abandon`; it is then
        forgotten. Otherwise `ConfigError`: its messages would neither be delivered nor leave the spool.
        """
        self.path = path
        with explained(path):
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
            self._pruned = self._scalar("SELECT coalesce(min(id) - 1, ?) FROM messages", self.last_id)
            self._page_size = self._scalar("PRAGMA page_size")

    def cursor(self, sink: str) -> int:
        """The newest message that this sink is done with, as it is with everything before it."""
        return self._cursors[sink]

    def used_bytes(self) -> int:
        """Bytes of the file that hold something; pages freed by deletion are used again and do not count."""
        return (self._scalar("PRAGMA page_count") - self._scalar("PRAGMA freelist_count")) * self._page_size

    def commit(self, messages: Sequence[Spooled] = (), settlements: Sequence[Settlement] = ()) -> None:
        """Write messages (ids following `last_id`) and progress in one transaction; on return both are on disk.

        Deletes some of what every sink is past. On `SpoolError` nothing was written.
        """
        with explained(self.path), self._transaction():
            self._insert(messages)
            for settlement in settlements:
                self._settle(settlement)
            self._prune()
            failpoints.committing(len(messages), len(settlements))
        failpoints.committed(len(messages), len(settlements))
        if messages:
            self.last_id = messages[-1].id

    def close(self) -> None:
        """Close the file and let another process have it."""
        self._database.close()
        self._lock.close()

    def _insert(self, messages: Sequence[Spooled]) -> None:
        start = 0
        while start < len(messages):
            power = min((len(messages) - start).bit_length(), len(_INSERTS)) - 1
            part = messages[start : start + 2**power]
            rows = ((m.id, m.received_ms, m.topic, m.payload, m.qos, m.retain, m.dup, m.properties) for m in part)
            self._database.execute(_INSERTS[power], tuple(chain.from_iterable(rows)))
            start += len(part)

    def _settle(self, settlement: Settlement) -> None:
        dead = settlement.dead_letters
        self._database.execute(
            "UPDATE sinks SET cursor = ?, delivered = delivered + ?, dropped = dropped + ?,"
            " dead_lettered = dead_lettered + ? WHERE name = ?",
            (settlement.cursor, settlement.delivered, settlement.dropped, len(dead), settlement.sink),
        )
        if dead:
            self._database.executemany(
                "INSERT INTO dead_letters (sink, message_id, received_ms, topic, payload, reason, attempts, dead_ms,"
                " properties) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        d.sink,
                        d.message_id,
                        d.received_ms,
                        d.topic,
                        d.payload,
                        d.reason,
                        d.attempts,
                        d.dead_ms,
                        d.properties,
                    )
                    for d in dead
                ],
            )
        self._cursors[settlement.sink] = settlement.cursor

    def _prune(self) -> None:
        upto = min(min(self._cursors.values()), self._pruned + _PRUNE_AT_ONCE)
        if upto > self._pruned:
            self._database.execute("DELETE FROM messages WHERE id <= ?", (upto,))
            self._pruned = upto

    def note(self, name: str) -> str | None:
        """What `take_note` kept under this name."""
        with explained(self.path):
            row = self._database.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def take_note(self, name: str, value: str) -> None:
        """Keep a text from run to run."""
        with explained(self.path), self._transaction():
            self._database.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    def adopt(self, sinks: Sequence[str], abandon: Collection[str] = ()) -> None:
        """Make the sinks of the file those of the configuration. Raises `ConfigError` as the constructor does."""
        with explained(self.path):
            self._adopt(sinks, abandon)
            self._cursors: dict[str, int] = dict(self._database.execute("SELECT name, cursor FROM sinks").fetchall())

    def _adopt(self, sinks: Sequence[str], abandon: Collection[str]) -> None:
        last_id = self._scalar(LAST_ID)
        # A new sink begins with the oldest message that is still here.
        oldest = self._scalar("SELECT coalesce(min(id) - 1, ?) FROM messages", last_id)
        with self._transaction():
            for name, cursor in self._database.execute("SELECT name, cursor FROM sinks").fetchall():
                if name in sinks:
                    continue
                if cursor < last_id and name not in abandon:
                    raise ConfigError(
                        f"{self.path}: holds {last_id - cursor} messages for the sink '{name}', which is no longer"
                        f" configured; configure it again, or give them up with spool.abandon: [{name}]"
                    )
                self._database.execute("DELETE FROM sinks WHERE name = ?", (name,))
            for name in sinks:
                self._database.execute(
                    "INSERT INTO sinks (name, start, cursor) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                    (name, oldest, oldest),
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
