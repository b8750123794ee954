"""What an HTTP answer means for the messages that were sent: delivered, rejected, or to be tried again. Pure.

What is not known to be about the data is not held against it: only 400, 413 and 422 may cost a message, everything else
is retried.
"""

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import orjson

from bridge.sinks.base import Rejected, Retry, Scope

_DATA = frozenset({400, 413, 422})


_BUSY = frozenset({408, 425, 429})


_RETRY_AFTER_CAP_S = 3600.0


_SHOWN = 300


class Answer(NamedTuple):
    """An HTTP response."""

    url: str
    status: int
    retry_after_s: float | None
    body: bytes


class BadBatch(NamedTuple):
    """The server refuses the batch as a whole; at least one of its messages is at fault."""

    reason: str


def read_answer(answer: Answer) -> Rejected | Retry | None:
    """What became of a single post; None is delivered."""
    if 200 <= answer.status < 300:
        return None
    if answer.status in _DATA:
        return Rejected(_reason(answer))
    # 500 is as often the fault of the message as of the server, so only its device waits.
    return _retry(answer, Scope.DEVICE if answer.status in (408, 425, 500) else Scope.QUEUE)


def read_batch_answer(answer: Answer, lines: int) -> dict[int, Rejected] | BadBatch | Retry:
    """What became of a batch of `lines` messages: those rejected, by line or index; the others are delivered.

    A server that answers 2xx without an account of the lines has taken them all.
    """
    if answer.status in _DATA:
        return BadBatch(_reason(answer))
    if not 200 <= answer.status < 300:
        return _retry(answer, Scope.QUEUE)
    try:
        said = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return {}
    items = said.get("items") if isinstance(said, dict) else None
    if not isinstance(items, list):
        return {}
    rejected: dict[int, Rejected] = {}
    for item in items:
        if isinstance(item, dict) and item.get("status") == "rejected" and type(line := _position(item)) is int:
            rejected[line] = Rejected(_cut(str(item.get("error") or f"{answer.url} gives no reason")))
    counts = [said.get(name) for name in ("stored", "known", "rejected")]
    numbers = [count for count in counts if type(count) is int]
    if any(line not in range(lines) for line in rejected) or (
        len(numbers) == 3 and (sum(numbers) != lines or numbers[2] != len(rejected))
    ):
        return Retry(cause="account", reason=f"{answer.url} gave an account that does not fit the {lines} lines sent")
    return rejected


def _position(item: dict[str, object]) -> object:
    return item.get("line", item.get("index"))


def retry_after_s(header: str | None, now_ms: int) -> float | None:
    """Seconds of a Retry-After header, which is a number or a date; None where there is none or it makes no sense."""
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


def _retry(answer: Answer, scope: Scope) -> Retry:
    if answer.status >= 500 or answer.status in _BUSY:
        return Retry(cause=str(answer.status), reason=_reason(answer), scope=scope, after_s=answer.retry_after_s)
    # 401, 403, 404, a redirect: the address or the credentials are wrong, not the data.
    return Retry(cause=str(answer.status), reason=_reason(answer), needs_operator=True)


def _reason(answer: Answer) -> str:
    text = answer.body.decode(errors="replace").strip()
    try:
        said = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        said = None
    if isinstance(said, dict) and isinstance(said.get("error"), str):
        text = said["error"]
    return f"{answer.url} answers {answer.status}{': ' + _cut(text) if text else ''}"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
