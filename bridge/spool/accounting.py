"""Counts what became of every message, from the spool file, beside the process that writes it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bridge.spool import bitmap
from bridge.spool.sqlite import LAST_ID, open_read_only, translate_errors


class SinkCounts(NamedTuple):
    """The books of one sink, in messages: received = delivered + dead_lettered + dropped + discarded + pending."""

    sink: str
    received: int
    delivered: int
    dead_lettered: int
    """Dead letters that are kept."""
    dropped: int
    """Left out by a rule."""
    pending: int
    """Dead letters that are being replayed included."""
    oldest_pending_ms: int | None
    """When the oldest pending message was received, milliseconds since 1970 UTC."""
    discarded: int = 0
    """Dead letters that an operator has dropped."""

    @property
    def balanced(self) -> bool:
        """Say whether every message received is accounted for."""
        return self.received == self.delivered + self.dead_lettered + self.dropped + self.discarded + self.pending


class SpoolReport(NamedTuple):
    """The books of all sinks, and the room that the spool takes."""

    sinks: list[SinkCounts]
    spool_bytes: int
    """The part of the file that holds something."""
    file_bytes: int
    """The file with the pages that are free."""

    @property
    def balanced(self) -> bool:
        """Say whether every message is accounted for, for every sink."""
        return all(one.balanced for one in self.sinks)

    def document(self, now_ms: int) -> dict[str, Any]:
        """Return the report as /ledger and `edgefleet bridge status --json` show it."""
        return {
            "balanced": self.balanced,
            "spool_bytes": self.spool_bytes,
            "file_bytes": self.file_bytes,
            "sinks": [
                {**one._asdict(), "balanced": one.balanced, "lag_s": lag_s(one.oldest_pending_ms, now_ms)}
                for one in self.sinks
            ],
        }


def lag_s(oldest_ms: int | None, now_ms: int) -> float:
    """Return how far behind a sink is whose oldest pending message was received then, in seconds."""
    return 0.0 if oldest_ms is None else max(0, now_ms - oldest_ms) / 1000


def read_spool_report(path: Path) -> SpoolReport:
    """Count the books of every sink from the file. Raises `SpoolError`."""
    with _snapshot(path) as database:
        last_id = _scalar(database, LAST_ID)
        sinks = [
            _sink_counts(database, last_id, *row)
            for row in database.execute(
                "SELECT name, start, cursor, delivered, dropped, discarded FROM sinks"
            ).fetchall()
        ]
        names = ("page_count", "freelist_count", "page_size")
        pages, free, size = (_scalar(database, f"PRAGMA {name}") for name in names)
        return SpoolReport(sorted(sinks), (pages - free) * size, pages * size)


def count_messages(path: Path) -> list[SinkCounts]:
    """Return the counts of every sink, by name. Raises `SpoolError`."""
    return read_spool_report(path).sinks


def read_lag(path: Path) -> list[tuple[str, int, int | None]]:
    """Return every sink's name, messages pending, and when the oldest was received (ms). Quick for any number."""
    with _snapshot(path) as database:
        last_id = _scalar(database, LAST_ID)
        return [
            (
                name,
                last_id - cursor - _count_done(database, name, cursor, kept=False) + _count_replays(database, name),
                _oldest_ms(database, cursor),
            )
            for name, cursor in database.execute("SELECT name, cursor FROM sinks").fetchall()
        ]


@contextmanager
def _snapshot(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the file as it is at one moment, however much is written meanwhile."""
    with translate_errors(path), closing(open_read_only(path)) as database:
        database.execute("BEGIN")
        yield database


def _sink_counts(
    database: sqlite3.Connection, last_id: int, name: str, start: int, cursor: int, *totals: int
) -> SinkCounts:
    delivered, dropped, discarded = totals
    rows = _scalar(database, "SELECT count(*) FROM messages WHERE id > ?", cursor)
    kept = _scalar(database, "SELECT count(*) FROM dead_letters WHERE sink = ? AND replay = 0", name)
    return SinkCounts(
        sink=name,
        received=last_id - start,
        delivered=delivered,
        dead_lettered=kept,
        dropped=dropped,
        discarded=discarded,
        pending=rows - _count_done(database, name, cursor, kept=True) + _count_replays(database, name),
        oldest_pending_ms=_oldest_ms(database, cursor),
    )


def _count_done(database: sqlite3.Connection, name: str, cursor: int, *, kept: bool) -> int:
    """Return how many messages beyond its cursor a sink is done with; those `kept` are not deleted yet."""
    statement = "SELECT block, bits FROM blocks WHERE owner = ?"
    deleted = dict(database.execute(statement, ("",)).fetchall()) if kept else {}
    nothing = bytes(bitmap.SIZE // 8)
    return sum(
        bitmap.bits_above(
            bitmap.from_disk(bits) & ~bitmap.from_disk(deleted.get(block, nothing)), block, cursor
        ).bit_count()
        for block, bits in database.execute(statement, (name,))
    )


def _count_replays(database: sqlite3.Connection, name: str) -> int:
    return _scalar(database, "SELECT count(*) FROM dead_letters WHERE sink = ? AND replay = 1", name)


def _oldest_ms(database: sqlite3.Connection, cursor: int) -> int | None:
    row = database.execute("SELECT received_ms FROM messages WHERE id > ? ORDER BY id LIMIT 1", (cursor,)).fetchone()
    return row[0] if row else None


def _scalar(database: sqlite3.Connection, statement: str, *values: int | str) -> int:
    value: int = database.execute(statement, values).fetchone()[0]
    return value
