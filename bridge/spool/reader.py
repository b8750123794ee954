"""Reading a spool beside the one process that writes it: messages for sinks, books and dead letters for people."""

from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from bridge.spool.file import LAST_ID, explained, open_read_only
from bridge.spool.message import DeadLetter, Spooled


class SinkBooks(NamedTuple):
    """The books of one sink, in messages: received = delivered + dead_lettered + dropped + pending."""

    sink: str
    received: int
    delivered: int
    dead_lettered: int
    dropped: int
    pending: int
    oldest_pending_ms: int | None
    """When the oldest pending message was received, milliseconds since 1970 UTC."""

    @property
    def balanced(self) -> bool:
        """Whether every message received is accounted for."""
        return self.received == self.delivered + self.dead_lettered + self.dropped + self.pending


class Reader:
    """Reads messages in order. Each read is short, so that it never keeps the write-ahead log from being reset."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with explained(path):
            self._database = open_read_only(path)

    def read(self, after: int, *, limit: int, max_bytes: int) -> list[Spooled]:
        """Up to `limit` messages following id `after`; no more once their payloads reach `max_bytes`."""
        messages: list[Spooled] = []
        size = 0
        with explained(self._path):
            rows = self._database.execute("SELECT * FROM messages WHERE id > ? ORDER BY id LIMIT ?", (after, limit))
            for number, received_ms, topic, payload, qos, retain, dup, properties in rows:
                messages.append(Spooled(number, received_ms, topic, payload, qos, bool(retain), bool(dup), properties))
                size += len(payload)
                if size >= max_bytes:
                    break
            rows.close()
        return messages

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def read_books(path: Path) -> list[SinkBooks]:
    """The books of every sink, counted from the file. Raises `SpoolError`."""
    statement = (
        f"SELECT name, ({LAST_ID}) - start, delivered, dead_lettered, dropped,"  # noqa: S608
        " (SELECT count(*) FROM messages WHERE id > cursor),"
        " (SELECT received_ms FROM messages WHERE id > cursor ORDER BY id LIMIT 1) FROM sinks ORDER BY name"
    )
    with explained(path), closing(open_read_only(path)) as database:
        return [SinkBooks(*row) for row in database.execute(statement)]


def read_lag(path: Path) -> list[tuple[str, int, int | None]]:
    """Of every sink: name, messages pending, and when the oldest was received (ms). Quick however many there are."""
    statement = (
        f"SELECT name, ({LAST_ID}) - cursor,"  # noqa: S608
        " (SELECT received_ms FROM messages WHERE id > cursor ORDER BY id LIMIT 1) FROM sinks"
    )
    with explained(path), closing(open_read_only(path)) as database:
        return database.execute(statement).fetchall()


def read_note(path: Path, name: str) -> str | None:
    """What `Store.take_note` kept. Raises `SpoolError`."""
    with explained(path), closing(open_read_only(path)) as database:
        row = database.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
    return row[0] if row else None


def read_dead_letters(path: Path, *, sink: str | None = None, limit: int = 100) -> list[DeadLetter]:
    """The newest dead letters, newest first. Raises `SpoolError`."""
    fields = ("sink", "message_id", "received_ms", "topic", "payload", "reason", "attempts", "dead_ms", "properties")
    statement = (
        f"SELECT {', '.join(fields)} FROM dead_letters"  # noqa: S608
        " WHERE sink = coalesce(?, sink) ORDER BY number DESC LIMIT ?"
    )
    with explained(path), closing(open_read_only(path)) as database:
        rows = database.execute(statement, (sink, limit))
        return [DeadLetter(**dict(zip(fields, row, strict=True))) for row in rows]
