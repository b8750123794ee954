"""Turns request bodies into messages, or into the reason why not. Pure: no HTTP, no store, no clock."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from edgefleet.ingest.store import NewMessage
from edgewire.errors import EdgefleetError
from edgewire.messages import ContractError, KindContract, MessageId, kind_of

UNKNOWN_KIND = "unknown"
"""Under which messages are counted whose kind cannot be told."""

_REASON_CHARACTERS = 300
"""A reason may quote the value that was refused, which may be as large as the body."""


class NotJson(EdgefleetError):
    """A body, or a line of a batch, is not JSON."""


class Rejection(NamedTuple):
    """A line of a batch that is not stored, and why."""

    line: int
    """From 0, as sent."""
    id: str | None
    """The message id, where the line says it."""
    error: str


@dataclass(slots=True)
class Batch:
    """What a batch body holds."""

    messages: list[NewMessage] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    """The line of each message."""
    rejections: list[Rejection] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    """By kind."""


def decode(payload: bytes) -> object:
    """The decoded JSON; raises `NotJson`."""
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise NotJson(f"not JSON: {error}") from None


def check(contract: KindContract, fields: object, payload: bytes, idempotency_key: str | None = None) -> NewMessage:
    """The message in a payload decoded to `fields`.

    Raises `ContractError` that names the field at fault, also where the key is not the id of the message.
    """
    try:
        message = contract.check(fields)
    except ContractError as error:
        raise ContractError(_shorten(str(error))) from None
    if idempotency_key is not None and idempotency_key != str(message.message_id):
        raise ContractError(
            f"header Idempotency-Key is {_shorten(idempotency_key)!r}, but the message id is '{message.message_id}'"
        )
    return NewMessage(
        message.device_id, message.boot, message.seq, contract.kind, message.timestamp_ms, payload.decode()
    )


def read_batch(body: bytes) -> Batch:
    """Messages of any kind, one a line; empty lines are skipped. Takes a few microseconds a line."""
    batch = Batch()
    for number, line in enumerate(body.split(b"\n")):
        payload = line.strip()
        if not payload:
            continue
        fields: object = None
        kind = UNKNOWN_KIND
        try:
            fields = decode(payload)
            contract = kind_of(fields)
            kind = contract.kind
            batch.messages.append(check(contract, fields, payload))
            batch.lines.append(number)
        except (NotJson, ContractError) as error:
            batch.rejections.append(Rejection(number, _id_in(fields), str(error)))
            batch.rejected[kind] += 1
    return batch


def _id_in(fields: object) -> str | None:
    if not isinstance(fields, dict):
        return None
    try:
        return str(MessageId.parse(f"{fields.get('device_id')}:{fields.get('boot')}:{fields.get('seq')}"))
    except ContractError:
        return None


def _shorten(text: str) -> str:
    return text if len(text) <= _REASON_CHARACTERS else text[:_REASON_CHARACTERS] + "…"
