"""Decides what an HTTP response means for the messages that were sent: delivered, rejected, or to be tried again. Pure.

What its status alone says is decided in `edgewire.http_status`, for all clients alike, where the configuration
(`success`) says nothing else.
"""

import re
from collections.abc import Collection
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import orjson

from bridge.sinks.base import Failure, Rejected, Remark, Retry, Scope
from bridge.sinks.http.success import NO_JSON, USUAL, AnswerRules, Fate, SuccessConfig, find_in_json
from edgewire.http_answer import error_said, is_html, one_printable_line
from edgewire.http_status import StatusClass, classify_status
from edgewire.redact import KnownSecrets

RETRY_AFTER_CAP_S = 3600.0
_SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?")
"""Whole ones, by the standard; some services write fractions."""

_REFUSED_ITEMS = ("rejected", "conflict")
"""What an account of a batch says of a message that is not stored: its data, or its id, which belongs to other data."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_SHOWN = 300
"""Characters of a reason that is repeated."""

_SHOWN_BYTES = 4 << 10
"""Of a body, looked at for a reason."""

_MULTI_STATUS = 207

_OF_ONE_MESSAGE = frozenset({408, 423, 425, 500})
"""As often the fault of the message as of the server, so of single posts only its device waits."""

_HALVED = frozenset({423, 500})
"""Answered a second time to the same batch, it is halved: it may be one message that the server fails on."""


_NO_SECRETS = KnownSecrets(())


class Response(NamedTuple):
    """Holds what is needed of an HTTP response."""

    url: str
    status: int
    retry_after_s: float | None
    body: bytes
    content_type: str = ""
    """Without parameters, in lower case."""
    too_large: bool = False
    """Whether there was more of the body than is read; `body` is its beginning."""
    note: str = ""
    """What else a person should know: where it redirects to, until when it wants to be left alone."""
    secrets: KnownSecrets = _NO_SECRETS
    """Hidden where its words are repeated; what became of a message is read from the body as it came."""


class Refused(NamedTuple):
    """Says that a batch is refused as a whole; one of its messages, or all, are at fault."""

    alone: Rejected | Retry
    """What that means for a message that is alone in its request."""
    at_once: bool
    """Whether to halve it now; else when the same batch has been refused a second time."""


def classify_response(response: Response, rules: AnswerRules = USUAL, *, resent: bool = False) -> Failure | None:
    """Return what became of a single post; None is delivered.

    It was `resent` where an earlier attempt may have been taken.
    """
    fate = _fate_of(response, rules, resent)
    if fate is not Fate.DELIVERED:
        return _failure(response, fate, rules, single=True)
    if not 200 <= response.status < 300:
        return _known(response, rules)
    success = rules.success
    if rules.reads_body and response.too_large:
        return _too_large(response)
    document = _document(response, always=rules.reads_body)
    if success and (fault := success.fault(response.content_type, document)):
        return _no_success(response, success, fault)
    if success and success.items is not None:
        found = _read_items(response, document, 1, rules, (0,) if resent else ())
        return found if isinstance(found, Retry) else found.get(0)
    if response.status == _MULTI_STATUS and not rules.reads_body:
        return _unread(response)
    return _doubt(response, rules, document)


def classify_batch_response(
    response: Response, lines: int, rules: AnswerRules = USUAL, *, resent: Collection[int] = ()
) -> dict[int, Failure] | Refused | Retry:
    """Return what became of a batch of `lines` messages: by line what is to be said of it; the others are delivered.

    A server that answers 2xx without an account of the lines has taken them all. Those lines were `resent` of which an
    earlier attempt may have been taken.
    """
    fate = _fate_of(response, rules, len(resent) == lines)
    if fate is not Fate.DELIVERED:
        failure = _failure(response, fate, rules, single=False)
        if isinstance(failure, Rejected):
            return Refused(failure, at_once=True)
        if failure.scope is Scope.DEVICE:
            return Refused(failure, at_once=False)
        return failure
    if not 200 <= response.status < 300:
        remark = _known(response, rules)
        return dict.fromkeys(range(lines), remark) if remark else {}
    if response.too_large:
        return _too_large(response)
    success = rules.success
    document = _document(response, always=True)
    if success and (fault := success.fault(response.content_type, document)):
        failed = _no_success(response, success, fault)
        if isinstance(failed, Retry) and failed.needs_operator:
            return failed
        return Refused(failed, at_once=isinstance(failed, Rejected))
    if success and success.items is not None:
        return _read_items(response, document, lines, rules, resent)
    account = _read_account(response, document, lines)
    if isinstance(account, Refused | Retry):
        return account
    if account is None and response.status == _MULTI_STATUS and not rules.reads_body:
        return _unread(response)
    found: dict[int, Failure] = {**(account or {})}
    if doubt := _doubt(response, rules, document, accounted=account is not None):
        found = dict.fromkeys(range(lines), doubt) | found
    return found


def retry_after_s(header: str | None, now_ms: int) -> float | None:
    """Return the seconds of a Retry-After header, a number or a date; None where there is none or it makes no sense."""
    if not header:
        return None
    if _SECONDS.fullmatch(header.strip()):
        return min(float(header), RETRY_AFTER_CAP_S)
    try:
        moment = parsedate_to_datetime(header)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return min(max(moment.timestamp() - now_ms / 1000, 0.0), RETRY_AFTER_CAP_S)
    except (ValueError, OverflowError, TypeError, IndexError):
        # A date of the year 99999999999 as well: what nobody can mean is no reason to wait.
        return None


# -- by status


def _fate_of(response: Response, rules: AnswerRules, resent: bool) -> Fate:
    ruled = rules.statuses.get(response.status)
    if ruled is not None:
        return ruled
    match classify_status(response.status):
        case StatusClass.TAKEN:
            return Fate.DELIVERED
        case StatusClass.DATA_REFUSED:
            return Fate.DEAD_LETTER
        case StatusClass.CONFLICT:
            return Fate.DELIVERED if resent else Fate.DEAD_LETTER
        case StatusClass.TRY_AGAIN:
            return Fate.RETRY
        case StatusClass.NEEDS_OPERATOR:
            return Fate.PAUSE


def _failure(response: Response, fate: Fate, rules: AnswerRules, *, single: bool) -> Rejected | Retry:
    cause, reason = str(response.status), _reason(response)
    if fate is Fate.DEAD_LETTER:
        return Rejected(reason + _conflict_advice(response.status, rules))
    if fate is Fate.PAUSE:
        return Retry(cause=cause, reason=reason, needs_operator=True)
    status = response.status
    ruled = status in rules.statuses and status < 500 and status != 429
    alone = ruled or status in (_OF_ONE_MESSAGE if single else _HALVED)
    return Retry(
        cause=cause,
        reason=reason,
        scope=Scope.DEVICE if alone else Scope.QUEUE,
        after_s=response.retry_after_s,
        maybe_taken=status >= 500 or 200 <= status < 300,
    )


def _known(response: Response, rules: AnswerRules) -> Remark | None:
    """Remark that a message counts as delivered although the status is none of 2xx, unless that is a rule."""
    if response.status in rules.statuses:
        return None
    return Remark("known", f"{_reason(response)}: it was sent before and counts as delivered")


def _conflict_advice(status: int, rules: AnswerRules) -> str:
    """Say what to do about a conflict that is none of a resend: whether the server has this message is not known."""
    if status in rules.statuses or classify_status(status) is not StatusClass.CONFLICT:
        return ""
    return f"; if it answers so to all that it has, write http.statuses: {{{status}: delivered}} and replay it"


# -- by what is in it


def _document(response: Response, *, always: bool) -> Any:
    """Return the JSON of a body, looked at where somebody asked for it, or where it says or seems to be JSON."""
    if not response.body or response.too_large:
        return NO_JSON
    body = response.body.removeprefix(_BYTE_ORDER_MARK)
    if not (always or response.content_type.endswith("json") or body.lstrip()[:1] in (b"{", b"[")):
        return NO_JSON
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return NO_JSON


def _doubt(response: Response, rules: AnswerRules, document: Any, *, accounted: bool = False) -> Remark | None:
    """Remark on an answer of 2xx that does not look like a success, where nothing says what one is."""
    if rules.reads_body:
        return None
    advice = "say in http.success what a success is"
    if said := error_said(document, accounted=accounted):
        what = f"{response.url} answers {response.status}, but says {response.secrets.hide(said)}"
        return Remark("error_in_answer", f"{what}: {advice}")
    if is_html(response.content_type, response.body) and not (rules.success and rules.success.content_type):
        what = f"{response.url} answers {response.status} with a page of HTML, as a login page would"
        return Remark("html", f"{what}: {advice}")
    return None


def _no_success(response: Response, success: SuccessConfig, fault: str) -> Rejected | Retry:
    said = f"{response.secrets.hide(fault)}{_ending(_text(response))}"
    reason = f"{response.url} answers {response.status}, but it is no success: {said}"
    if success.otherwise is Fate.DEAD_LETTER:
        return Rejected(reason)
    pause = success.otherwise is Fate.PAUSE
    scope = Scope.QUEUE if pause else Scope.DEVICE
    return Retry(cause="no_success", reason=reason, scope=scope, needs_operator=pause, maybe_taken=True)


def _too_large(response: Response) -> Retry:
    reason = f"{response.url} answers {response.status} with more than is read: look at it, or raise http.answer_limit"
    return Retry(cause="answer_too_large", reason=reason, needs_operator=True, maybe_taken=True)


def _unread(response: Response) -> Retry:
    reason = (
        f"{response.url} answers 207, which tells item by item what became of them, in a form that is not known:"
        " describe it in http.success.items"
    )
    return Retry(cause="207", reason=reason, needs_operator=True, maybe_taken=True)


def _read_account(response: Response, document: Any, lines: int) -> dict[int, Rejected] | Refused | Retry | None:
    """Return the lines that were rejected, by the account in the body; None where there is none."""
    items = document.get("items") if isinstance(document, dict) else None
    if not isinstance(items, list):
        return None
    rejected: dict[int, Rejected] = {}
    told = False
    for item in items:
        if isinstance(item, dict) and type(line := _position(item)) is int:
            told = True
            if item.get("status") in _REFUSED_ITEMS:
                rejected[line] = Rejected(
                    _shortened(response, str(item.get("error") or f"{response.url} gives no reason"))
                )
    if _count(document, "unlisted"):
        # Which they are is not said; halves of the batch are answered in full sooner or later.
        return Refused(Rejected(f"{response.url} refuses more messages than it lists"), at_once=True)
    taken, refused = _count(document, "stored", "known"), _count(document, "rejected", "conflicts")
    counted = all(type(document.get(name)) is int for name in ("stored", "known", "rejected"))
    if any(line not in range(lines) for line in rejected) or (
        counted and (taken + refused != lines or refused != len(rejected))
    ):
        return _bad_account(response, f"an account that does not fit the {lines} lines sent")
    return rejected if told or counted else None


def _read_items(
    response: Response, document: Any, lines: int, rules: AnswerRules, resent: Collection[int]
) -> dict[int, Failure] | Retry:
    """Return what `success.items` says of each message, its status read as that of an answer."""
    assert rules.success
    assert rules.success.items
    config = rules.success.items
    items = find_in_json(document, config.at)
    if not isinstance(items, list) or len(items) != lines:
        found = f"{len(items)} items" if isinstance(items, list) else "no list"
        return _bad_account(response, f"{found} at '{config.at}' for {lines} messages")
    result: dict[int, Failure] = {}
    for line, item in enumerate(items):
        status = find_in_json(item, config.status)
        if type(status) is not int or not 200 <= status <= 599:
            return _bad_account(response, f"an item without a status at '{config.status}'")
        why = find_in_json(item, config.reason)
        body = b"" if why is None else why.encode() if isinstance(why, str) else orjson.dumps(why)
        told = response._replace(status=status, body=body, content_type="")
        fate = _fate_of(told, rules, line in resent)
        if fate is not Fate.DELIVERED:
            result[line] = _failure(told, fate, rules, single=True)
        elif not 200 <= status < 300 and (remark := _known(told, rules)):
            result[line] = remark
    return result


def _bad_account(response: Response, what: str) -> Retry:
    return Retry(cause="account", reason=f"{response.url} gave {what}", maybe_taken=True)


def _count(account: dict[str, object], *names: str) -> int:
    return sum(count for name in names if type(count := account.get(name)) is int)


def _position(item: dict[str, object]) -> object:
    return item.get("line", item.get("index"))


# -- for people


def _reason(response: Response) -> str:
    note = f"; {response.note}" if response.note else ""
    return f"{response.url} answers {response.status}{_ending(_text(response))}{note}"


def _ending(text: str) -> str:
    return f": {text}" if text else ""


def _text(response: Response) -> str:
    """Return what a body says, as one line that is fit for a terminal."""
    if len(response.body) <= _SHOWN_BYTES:
        document = _document(response, always=True)
        if isinstance(document, dict) and isinstance(document.get("error"), str):
            return _shortened(response, document["error"])
    return _shortened(response, response.body[:_SHOWN_BYTES].decode(errors="replace"))


def _shortened(response: Response, text: str) -> str:
    text = one_printable_line(response.secrets.hide(text))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
