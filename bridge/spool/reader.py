"""Reads a spool for the sinks, beside the one process that writes it."""

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from bridge.spool.message import SpooledMessage
from bridge.spool.sqlite import SpoolError, open_read_only, translate_errors

_REPLAYED = "message_id, received_ms, topic, payload, qos, retain, 0, properties"


class SpoolReader:
    """Reads messages in order. Each read is short, so that it never keeps the write-ahead log from being reset."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with translate_errors(path):
            self._database = open_read_only(path)

    def read_messages(self, after: int, *, limit: int, max_bytes: int) -> list[SpooledMessage]:
        """Return up to `limit` messages following id `after`; no more once their payloads reach `max_bytes`."""
        messages: list[SpooledMessage] = []
        size = 0
        with translate_errors(self._path):
            rows = self._database.execute("SELECT * FROM messages WHERE id > ? ORDER BY id LIMIT ?", (after, limit))
            for row in rows:
                messages.append(_message_of(row))
                size += len(row[3])
                if size >= max_bytes:
                    break
            rows.close()
        return messages

    def fetch_messages(self, sink: str, ids: Sequence[int]) -> list[SpooledMessage]:
        """Return these, in the order of `ids`; what is deleted must be a dead letter of the sink to be replayed."""
        listed = json.dumps(ids)
        found = self._select("SELECT * FROM messages WHERE id IN (SELECT value FROM json_each(?))", listed)
        if len(found) < len(ids):
            missing = json.dumps([number for number in ids if number not in found])
            found |= self._select(
                f"SELECT {_REPLAYED} FROM dead_letters WHERE sink = ? AND replay = 1"  # noqa: S608
                " AND message_id IN (SELECT value FROM json_each(?))",
                sink,
                missing,
            )
        try:
            return [found[number] for number in ids]
        except KeyError as error:
            raise SpoolError(f"{self._path}: the message {error} of '{sink}' is pending and not there") from None

    def read_replays(self, sink: str, after: int, limit: int) -> list[tuple[int, SpooledMessage]]:
        """Return dead letters of a sink that are to be replayed, with their numbers, from beyond number `after`."""
        with translate_errors(self._path):
            rows = self._database.execute(
                f"SELECT number, {_REPLAYED} FROM dead_letters"  # noqa: S608
                " WHERE sink = ? AND replay = 1 AND number > ? ORDER BY number LIMIT ?",
                (sink, after, limit),
            ).fetchall()
        return [(row[0], _message_of(row[1:])) for row in rows]

    def count_replays(self, sink: str) -> int:
        """Return how many dead letters of a sink are to be replayed."""
        with translate_errors(self._path):
            row = self._database.execute("SELECT count(*) FROM dead_letters WHERE sink = ? AND replay = 1", (sink,))
            count: int = row.fetchone()[0]
            return count

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _select(self, statement: str, *values: str) -> dict[int, SpooledMessage]:
        with translate_errors(self._path):
            return {row[0]: _message_of(row) for row in self._database.execute(statement, values)}


def read_metadata(path: Path, name: str) -> str | None:
    """Return what `SpoolStore.set_metadata` kept. Raises `SpoolError`."""
    with translate_errors(path), closing(open_read_only(path)) as database:
        row = database.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
    return row[0] if row else None


def _message_of(row: tuple[int, int, str, bytes, int, int, int, bytes | None]) -> SpooledMessage:
    number, received_ms, topic, payload, qos, retain, dup, properties = row
    return SpooledMessage(number, received_ms, topic, payload, qos, bool(retain), bool(dup), properties)
