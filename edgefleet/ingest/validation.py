"""Turns request bodies into messages, or into the reason why not. Pure: no HTTP, no store, no clock."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from edgefleet.ingest.json_text import check_json_text
from edgefleet.ingest.store import NewMessage
from edgewire.errors import EdgefleetError
from edgewire.messages import ContractError, KindContract, MessageId, cloudevents, kind_of

NDJSON = "application/x-ndjson"
BATCH_FORMS = (NDJSON, "application/json", cloudevents.BATCH_CONTENT_TYPE)
"""Content types of a batch: one message a line, an array of messages, an array of events with the messages as data."""

UNKNOWN_KIND = "unknown"
"""Under which messages are counted whose kind cannot be told."""

MESSAGE_BYTES = 1 << 20
"""Of one message, alone or in a batch; the brokers' profiles take no larger packet."""
MAX_LINES = 50_000
"""Lines or entries of a batch; 8 MiB are some 30,000 messages."""
MAX_LISTED = 1000
"""Refused lines that a batch's answer lists; the others are only counted."""
_MAX_CONTAINERS = 500_000
"""Objects and arrays in one JSON text. An empty one takes two bytes there and about a hundred in memory."""
_MAX_COMMAS = 1_000_000
"""Nor more values than that, which take forty bytes each; the largest batch has no million fields."""

_REASON_CHARACTERS = 300
"""A reason may quote the value that was refused, which may be as large as the body."""


class NotJson(EdgefleetError):
    """Says that a body, or a line of a batch, is not JSON."""


class BatchTooLong(EdgefleetError):
    """Says that a body has too many lines, or too much in one JSON text, and is to be sent in parts."""


class Rejection(NamedTuple):
    """Says which line, or entry, of a batch is not stored, and why."""

    line: int
    """From 0, as sent."""
    id: str | None
    """The message id, where the line says it."""
    error: str


@dataclass(slots=True)
class BodyMessages:
    """Holds the messages of a batch body."""

    messages: list[NewMessage] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    """The line of each message."""
    rejections: list[Rejection] = field(default_factory=list)
    """The first `MAX_LISTED`."""
    rejected: Counter[str] = field(default_factory=Counter)
    """By kind."""


def decode_json(payload: bytes) -> object:
    """Return the decoded JSON; raises `NotJson`, or `BatchTooLong` for what would fill the memory."""
    if len(payload) > _MAX_CONTAINERS and payload.count(b"{") + payload.count(b"[") > _MAX_CONTAINERS:
        raise BatchTooLong(f"body has more than {_MAX_CONTAINERS} objects and arrays; send smaller batches")
    if len(payload) > _MAX_COMMAS and payload.count(b",") > _MAX_COMMAS:
        raise BatchTooLong(f"body has more than {_MAX_COMMAS} values; send smaller batches")
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise NotJson(f"not JSON: {error}") from None


def check_message(
    contract: KindContract, fields: object, payload: bytes, idempotency_key: str | None = None
) -> NewMessage:
    """Return the message in a payload decoded to `fields`.

    Raises `ContractError` that names the field at fault, also where the key is not the id of the message.
    """
    if len(payload) > MESSAGE_BYTES:
        raise ContractError(f"the message has {len(payload)} bytes; at most {MESSAGE_BYTES} are taken")
    try:
        message = contract.check(fields)
        check_json_text(payload, fields)
    except ContractError as error:
        raise ContractError(_shorten(str(error))) from None
    if idempotency_key is not None and idempotency_key != str(message.message_id):
        raise ContractError(
            f"Idempotency-Key or event id is {_shorten(idempotency_key)!r},"
            f" but the message id is '{message.message_id}'"
        )
    return NewMessage(
        message.device_id, message.boot, message.seq, contract.kind, message.timestamp_ms, payload.decode()
    )


def read_single(contract: KindContract, body: bytes, form: str, idempotency_key: str | None = None) -> NewMessage:
    """Return the one message of a body: as it is, or with the `form` of an event as its data."""
    if form == cloudevents.CONTENT_TYPE:
        event = decode_json(body)
        check_json_text(body, event)
        fields, payload, key = _opened(event)
        return check_message(contract, fields, payload, key if idempotency_key is None else idempotency_key)
    return check_message(contract, decode_json(body), body, idempotency_key)


def read_batch(body: bytes, form: str = NDJSON) -> BodyMessages:
    """Return messages of any kind, in one of `BATCH_FORMS`. Takes some ten microseconds a message.

    Raises `NotJson` where a body that should be one array is none, `ContractError` where it could not be kept as it
    came, `BatchTooLong` where it has too many; a line of NDJSON that is no JSON costs itself only.
    """
    batch = BodyMessages()
    if form == NDJSON:
        _check_length(body.count(b"\n"), "lines")
        for number, line in enumerate(body.split(b"\n")):
            if payload := line.strip():
                _add(batch, number, payload, _parsed)
        return batch
    entries = decode_json(body)
    if not isinstance(entries, list):
        raise NotJson(f"not a JSON array, as {form} should be")
    _check_length(len(entries), "entries")
    # An entry is written anew: what that would lose is refused here.
    check_json_text(body, entries)
    open_entry = _opened if form == cloudevents.BATCH_CONTENT_TYPE else _as_it_is
    for number, entry in enumerate(entries):
        _add(batch, number, entry, open_entry)
    return batch


def _check_length(count: int, what: str) -> None:
    if count > MAX_LINES:
        raise BatchTooLong(f"body has {count} {what}, and at most {MAX_LINES} are taken; send smaller batches")


_Opened = tuple[object, bytes, str | None]
"""Decoded payload, its text, and the message id that its envelope gives."""


def _add(batch: BodyMessages, number: int, entry: Any, open_entry: Callable[[Any], _Opened]) -> None:
    fields: object = None
    kind = UNKNOWN_KIND
    try:
        fields, payload, key = open_entry(entry)
        contract = kind_of(fields)
        kind = contract.kind
        batch.messages.append(check_message(contract, fields, payload, key))
        batch.lines.append(number)
    except (NotJson, ContractError) as error:
        if len(batch.rejections) < MAX_LISTED:
            batch.rejections.append(Rejection(number, _id_in(fields), str(error)))
        batch.rejected[kind] += 1


def _parsed(line: bytes) -> _Opened:
    if len(line) > MESSAGE_BYTES:
        raise ContractError(f"the line has {len(line)} bytes; at most {MESSAGE_BYTES} are taken")
    return decode_json(line), line, None


def _as_it_is(entry: object) -> _Opened:
    return entry, orjson.dumps(entry), None


def _opened(event: object) -> _Opened:
    """Return what a structured CloudEvent holds; its `id` is the message id."""
    if not isinstance(event, dict) or "data" not in event or not isinstance(event.get("id"), str):
        raise ContractError("not a CloudEvent with `id` and JSON `data`")
    return event["data"], orjson.dumps(event["data"]), event["id"]


def _id_in(fields: object) -> str | None:
    if not isinstance(fields, dict):
        return None
    try:
        return str(MessageId.parse(f"{fields.get('device_id')}:{fields.get('boot')}:{fields.get('seq')}"))
    except ContractError:
        return None


def _shorten(text: str) -> str:
    return text if len(text) <= _REASON_CHARACTERS else text[:_REASON_CHARACTERS] + "…"
