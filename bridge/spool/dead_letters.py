"""Lets people look at, replay and discard the dead letters of a spool file. Works with and without a bridge running.

SQLite lets one transaction in at a time, whichever process it comes from; so a command writes to the file itself, in
short transactions, and a running bridge looks for replays once a second. What is replayed is pending again for its
sink alone and goes behind what that has in hand; the letter is removed in the transaction that notes its delivery.
"""

import base64
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bridge.spool.message import DeadLetter
from bridge.spool.sqlite import open_read_only, open_shared, translate_errors
from edgewire.clock import iso_ms
from edgewire.messages import ContractError, MessageId
from edgewire.mqtt.filters import filter_matches

_FIELDS = (
    *("number", "sink", "message_id", "received_ms", "topic", "payload", "qos", "retain", "properties"),
    *("reason", "attempts", "dead_ms"),
)

_SELECT = f"SELECT {', '.join(_FIELDS)} FROM dead_letters"  # noqa: S608

MOST_NAMED = 1000
"""Letters that are named of those that were changed; they are all counted."""

_LETTERS_AT_ONCE = 500
"""Letters changed in one transaction: the bridge's own commits wait for it, a few milliseconds."""

_PAUSE_S = 0.02
"""Between two such transactions, for the bridge's commits."""


@dataclass(slots=True)
class LetterChange:
    """Says which dead letters were changed."""

    count: int = 0
    names: dict[str, list[str]] = field(default_factory=dict)
    """Sink -> what the first of its letters are known by, see `letter_name`."""

    @property
    def named(self) -> int:
        """Return how many are named."""
        return sum(map(len, self.names.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterSelection:
    """A choice of dead letters: those that fit everything that is given."""

    numbers: tuple[int, ...] = ()
    sink: str | None = None
    topic: str | None = None
    """Topic filter with the wildcards of MQTT."""
    reason: str | None = None
    """A part of the reason; case does not matter."""
    since_ms: int | None = None
    """Given up at this time or later."""
    until_ms: int | None = None
    """Given up before this time."""

    def where(self) -> tuple[str, list[object]]:
        """Return the condition in SQL and its values."""
        parts: list[str] = ["replay = 0"]
        values: list[object] = []
        for condition, value in (
            ("number IN (SELECT value FROM json_each(?))", json.dumps(self.numbers) if self.numbers else None),
            ("sink = ?", self.sink),
            ("instr(lower(reason), lower(?))", self.reason),
            ("dead_ms >= ?", self.since_ms),
            ("dead_ms < ?", self.until_ms),
            ("fits_filter(?, topic)", self.topic),
        ):
            if value is not None:
                parts.append(condition)
                values.append(value)
        return " AND ".join(parts), values


def read_dead_letters(
    path: Path, selection: DeadLetterSelection | None = None, *, sink: str | None = None, limit: int = 100
) -> list[DeadLetter]:
    """Return the newest dead letters of a selection, or of a sink, newest first. Raises `SpoolError`."""
    where, values = (selection or DeadLetterSelection(sink=sink)).where()
    with translate_errors(path), closing(open_read_only(path)) as database:
        _register_functions(database)
        rows = database.execute(f"{_SELECT} WHERE {where} ORDER BY number DESC LIMIT ?", (*values, limit))
        return [_letter(row) for row in rows]


def dead_letter_document(letter: DeadLetter) -> dict[str, Any]:
    """Return a dead letter as JSON; a payload that is no UTF-8 comes in base64."""
    fields = asdict(letter) | {"received": iso_ms(letter.received_ms), "dead": iso_ms(letter.dead_ms)}
    payload: bytes = fields.pop("payload")
    properties: bytes | None = fields.pop("properties")
    if properties:
        fields["properties"] = json.loads(properties)
    try:
        return fields | {"payload": payload.decode()}
    except UnicodeDecodeError:
        return fields | {"payload_base64": base64.b64encode(payload).decode()}


def read_dead_letters_after(path: Path, number: int, limit: int) -> list[DeadLetter]:
    """Return dead letters in the order in which they were given up, from beyond `number`. Raises `SpoolError`."""
    with translate_errors(path), closing(open_read_only(path)) as database:
        rows = database.execute(f"{_SELECT} WHERE number > ? ORDER BY number LIMIT ?", (number, limit))
        return [_letter(row) for row in rows]


def replay_dead_letters(path: Path, selection: DeadLetterSelection) -> LetterChange:
    """Make dead letters pending again for their sinks; return which. Raises `SpoolError`."""

    def change(database: sqlite3.Connection, listed: str) -> None:
        # Of a sink that is not configured any more nobody would take it.
        database.execute(
            "UPDATE dead_letters SET replay = 1 WHERE number IN (SELECT value FROM json_each(?))", (listed,)
        )

    return _change(path, selection, change, "AND sink IN (SELECT name FROM sinks)")


def discard_dead_letters(path: Path, selection: DeadLetterSelection) -> LetterChange:
    """Delete dead letters for good and count them as discarded; return which. Raises `SpoolError`."""

    def change(database: sqlite3.Connection, listed: str) -> None:
        chosen = "FROM dead_letters WHERE number IN (SELECT value FROM json_each(?))"
        database.execute(
            f"UPDATE sinks SET discarded = discarded + (SELECT count(*) {chosen} AND sink = sinks.name)",  # noqa: S608
            (listed,),
        )
        database.execute(f"DELETE {chosen}", (listed,))

    return _change(path, selection, change)


def _change(
    path: Path, selection: DeadLetterSelection, change: Callable[[sqlite3.Connection, str], None], condition: str = ""
) -> LetterChange:
    changed = LetterChange()
    with translate_errors(path), closing(open_shared(path)) as database:
        _register_functions(database)
        for numbers in _chunks(_numbers(database, selection, condition)):
            database.execute("BEGIN IMMEDIATE")
            try:
                # Meanwhile another command may have had some of them.
                still = [
                    number
                    for (number,) in database.execute(
                        "SELECT number FROM dead_letters WHERE replay = 0"
                        " AND number IN (SELECT value FROM json_each(?))",
                        (json.dumps(numbers),),
                    )
                ]
                names = _names(database, still[: max(0, MOST_NAMED - changed.count)])
                change(database, json.dumps(still))
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise
            changed.count += len(still)
            for sink, name in names:
                changed.names.setdefault(sink, []).append(name)
            time.sleep(_PAUSE_S)
    return changed


def _numbers(database: sqlite3.Connection, selection: DeadLetterSelection, condition: str) -> list[int]:
    where, values = selection.where()
    statement = f"SELECT number FROM dead_letters WHERE {where} {condition} ORDER BY number"  # noqa: S608
    return [number for (number,) in database.execute(statement, values)]


def _names(database: sqlite3.Connection, numbers: Sequence[int]) -> list[tuple[str, str]]:
    rows = database.execute(
        "SELECT sink, topic, payload FROM dead_letters"
        " WHERE number IN (SELECT value FROM json_each(?)) ORDER BY number",
        (json.dumps(numbers),),
    )
    return [(sink, letter_name(topic, payload)) for sink, topic, payload in rows]


def letter_name(topic: str, payload: bytes) -> str:
    """Return the id of a message by the contract, `{device_id}:{boot}:{seq}`; or its topic, where it has none."""
    try:
        fields = json.loads(payload)
        return str(MessageId.parse(f"{fields['device_id']}:{fields['boot']}:{fields['seq']}"))
    except (ContractError, ValueError, KeyError, TypeError, RecursionError):
        return topic


def _chunks(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), _LETTERS_AT_ONCE):
        yield numbers[start : start + _LETTERS_AT_ONCE]


def _register_functions(database: sqlite3.Connection) -> None:
    database.create_function("fits_filter", 2, filter_matches, deterministic=True)


def _letter(row: tuple[object, ...]) -> DeadLetter:
    fields = dict(zip(_FIELDS, row, strict=True))
    fields["retain"] = bool(fields["retain"])
    return DeadLetter(**fields)  # type: ignore[arg-type]
