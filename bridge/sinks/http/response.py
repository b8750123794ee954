"""Decides what an HTTP response means for the messages that were sent: delivered, rejected, or to be tried again. Pure.

What its status alone says is decided in `edgewire.http_status`, for all clients alike.
"""

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import orjson

from bridge.sinks.base import Rejected, Retry, Scope
from edgewire.http_status import StatusClass, classify_status

_RETRY_AFTER_CAP_S = 3600.0

_REFUSED_ITEMS = ("rejected", "conflict")
"""What an account of a batch says of a message that is not stored: its data, or its id, which belongs to other data."""

_SHOWN = 300
"""Characters of a reason that is repeated."""


class Response(NamedTuple):
    """Holds what is needed of an HTTP response."""

    url: str
    status: int
    retry_after_s: float | None
    body: bytes


class BatchRejected(NamedTuple):
    """Says that the server refuses a batch as a whole; at least one of its messages is at fault."""

    reason: str


def classify_response(response: Response) -> Rejected | Retry | None:
    """Return what became of a single post; None is delivered."""
    match classify_status(response.status):
        case StatusClass.TAKEN:
            return None
        case StatusClass.DATA_REFUSED:
            return Rejected(_reason(response))
        case found:
            # 500 is as often the fault of the message as of the server, so only its device waits.
            return _retry(response, found, Scope.DEVICE if response.status in (408, 425, 500) else Scope.QUEUE)


def classify_batch_response(response: Response, lines: int) -> dict[int, Rejected] | BatchRejected | Retry:
    """Return what became of a batch of `lines` messages: those rejected, by line or index; the others are delivered.

    A server that answers 2xx without an account of the lines has taken them all.
    """
    found = classify_status(response.status)
    if found is StatusClass.DATA_REFUSED:
        return BatchRejected(_reason(response))
    if found is not StatusClass.TAKEN:
        return _retry(response, found, Scope.QUEUE)
    try:
        account = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return {}
    items = account.get("items") if isinstance(account, dict) else None
    if not isinstance(items, list):
        return {}
    rejected: dict[int, Rejected] = {}
    for item in items:
        if isinstance(item, dict) and item.get("status") in _REFUSED_ITEMS and type(line := _position(item)) is int:
            rejected[line] = Rejected(_shortened(str(item.get("error") or f"{response.url} gives no reason")))
    if _count(account, "unlisted"):
        # Which they are is not said; halves of the batch are answered in full sooner or later.
        return BatchRejected(f"{response.url} refuses more messages than it lists")
    taken, refused = _count(account, "stored", "known"), _count(account, "rejected", "conflicts")
    if any(line not in range(lines) for line in rejected) or (
        all(type(account.get(name)) is int for name in ("stored", "known", "rejected"))
        and (taken + refused != lines or refused != len(rejected))
    ):
        return Retry(cause="account", reason=f"{response.url} gave an account that does not fit the {lines} lines sent")
    return rejected


def retry_after_s(header: str | None, now_ms: int) -> float | None:
    """Return the seconds of a Retry-After header, a number or a date; None where there is none or it makes no sense."""
    if not header:
        return None
    if header.strip().isdecimal():
        return min(float(header), _RETRY_AFTER_CAP_S)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(moment.timestamp() - now_ms / 1000, 0.0), _RETRY_AFTER_CAP_S)


def _count(account: dict[str, object], *names: str) -> int:
    return sum(count for name in names if type(count := account.get(name)) is int)


def _position(item: dict[str, object]) -> object:
    return item.get("line", item.get("index"))


def _retry(response: Response, found: StatusClass, scope: Scope) -> Retry:
    cause, reason = str(response.status), _reason(response)
    if found is StatusClass.NEEDS_OPERATOR:
        return Retry(cause=cause, reason=reason, needs_operator=True)
    return Retry(cause=cause, reason=reason, scope=scope, after_s=response.retry_after_s)


def _reason(response: Response) -> str:
    text = response.body.decode(errors="replace").strip()
    try:
        document = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        document = None
    if isinstance(document, dict) and isinstance(document.get("error"), str):
        text = document["error"]
    return f"{response.url} answers {response.status}{': ' + _shortened(text) if text else ''}"


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
