"""Reads a payload that differs from an earlier one of its topic in numbers alone without taking it apart. Pure.

Devices write the same text again and again with other numbers in it. Where a decoder says which of them it takes as
they are (`SteadyPayload`), a regular expression tells another such payload, and what the decoder made of the first is
the text into which its numbers go. A number matches only as it would be written again, so the outcome is the same to
the byte; whatever else differs is another case, and is read by the decoder.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from edgewire.dialects.base import Arrival, NumberForm, SteadyPayload, TimeSource

_FRACTION = rb"(?:\.(?:\d{0,8}[1-9]|0))?"
_SMALL = rb"0\.(?:\d{0,3}[1-9]|0)"
_POSITIVE = rb"[1-9]\d{0,5}" + _FRACTION + rb"|[1-9]\d{6,14}"
_SIGNED = rb"-?[1-9]\d{0,5}" + _FRACTION + rb"|-?[1-9]\d{6,14}|-?" + _SMALL + rb"|0"
# Fifteen digits, and no zeros at the end: what orjson reads and writes again as the same text. Less than 1e-4 it may
# write with an exponent.
_FORMS: dict[NumberForm, tuple[bytes, int]] = {
    NumberForm.ANY: (_SIGNED, 12),
    NumberForm.NOT_NEGATIVE: (_POSITIVE + rb"|" + _SMALL + rb"|0", 12),
    NumberForm.NOT_MINUS_ONE: (rb"(?!-1(?:\.0)?(?![\d.]))(?:" + _SIGNED + rb")", 12),
    NumberForm.LATITUDE: (rb"-?(?:[1-8]\d|[1-9])" + _FRACTION + rb"|-?" + _SMALL + rb"|0", 12),
    NumberForm.LONGITUDE: (rb"-?(?:1[0-7]\d|[1-9]\d|[1-9])" + _FRACTION + rb"|-?" + _SMALL + rb"|0", 12),
    NumberForm.PRESSURE: (rb"(?:[3-9]\d\d|1\d\d\d)" + _FRACTION, 512),
}
"""The expression of a number, and the whole part of an example."""
_TEXT_TIME = rb'"([^"\\\x00-\x1f\x7f-\xff]{1,40})"'
_NUMBER_TIME = rb"([1-9]\d{0,9}(?:\.(?:\d{0,3}[1-9]|0))?|[1-9]\d{10,14})"
_TOKEN = re.compile(rb'\s*("(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+)')
_LONGEST, _MOST_NUMBERS = 1000, 30
_KNOWN_PATTERNS = 2000
_NUMBER = re.compile(rb"-?\d[\d.]*")

Path = tuple[str | int, ...]


class PayloadShape(NamedTuple):
    """Tells payloads of one shape, and what they say."""

    match: Callable[[bytes, int], re.Match[bytes] | None]
    """Of what follows the part that is the same up to the first number: that may name the device."""
    body: bytes
    """What follows the number of the message in its body, with the places of numbers."""
    numbers: Callable[[tuple[bytes, ...]], tuple[bytes, ...]] | None
    """Takes the numbers, in the order of the body, out of the groups; None where there are none."""
    time_at: int
    """The group of the time; -1 where that of arrival counts."""
    is_text: bool
    """Whether the time is a text."""
    read_time: Callable[[Any, Arrival], tuple[int, TimeSource, str]] | None


class Marked(NamedTuple):
    """Is a payload with an example in the place of each number that may differ, and the expression of its like."""

    payload: bytes
    prefix: bytes
    """Up to the first place."""
    pattern: bytes
    """Of what follows."""
    examples: list[tuple[int, bytes]]
    """Group and text of each."""
    time_at: int
    is_text: bool


def mark_payload(payload: bytes, steady: SteadyPayload) -> Marked | None:
    """Return the payload with examples; None where it is not written as it would be written again."""
    if len(payload) > _LONGEST or not steady.numbers:
        return None
    pattern, marked, examples = list[bytes](), list[bytes](), list[tuple[int, bytes]]()
    seen: set[Path] = set()
    at, groups, time_at, time, is_text = 0, 0, -1, b"", False
    for path, start, end in _scalars(payload):
        if path in seen:
            return None  # a key that comes twice
        seen.add(path)
        token = payload[start:end]
        if path == steady.time:
            time, is_text = token, token[:1] == b'"'
            expression, example = (_TEXT_TIME if is_text else _NUMBER_TIME), token
            time_at = groups
            if not re.fullmatch(expression, token):
                return None
        elif path in steady.numbers and _NUMBER.fullmatch(token) and len(examples) < _MOST_NUMBERS:
            form, whole = _FORMS[steady.numbers[path]]
            expression, example = b"(" + form + b")", b"%d.%03d1" % (whole, 100 + len(examples))
            examples.append((groups, example))
        else:
            continue
        groups += 1
        pattern += re.escape(payload[at:start]), expression
        marked += payload[at:start], example
        at = end
    if (steady.time is not None and time_at < 0) or not examples:
        return None
    if time_at >= 0:
        examples.append((time_at, time))  # some keep it among their values as well
    pattern.append(re.escape(payload[at:]))
    return Marked(b"".join([*marked, payload[at:]]), marked[0], b"".join(pattern[1:]), examples, time_at, is_text)


def shape_of(marked: Marked, said: bytes, steady: SteadyPayload) -> PayloadShape | None:
    """Return the shape of payloads like a marked one, of which a body says this; None where it tells too little."""
    places: list[tuple[int, int, int]] = []
    for group, example in marked.examples:
        if example[:1] == b'"' and example in said:
            return None  # a text of which the quotes are not its own
        found = list(re.finditer(rb"(?<![\d.])" + re.escape(example) + rb"(?![\d.eE])", said))
        if len(found) > 1:
            return None
        places += [(one.start(), one.end(), group) for one in found]
    places.sort()
    body, at = list[bytes](), 0
    for start, end, _ in places:
        body += said[at:start].replace(b"%", b"%%"), b"%b"
        at = end
    body.append(said[at:].replace(b"%", b"%%"))
    order = [group for _, _, group in places]
    take: Any = None
    if order:
        # Of one index it gives no tuple.
        take = itemgetter(*order) if len(order) > 1 else itemgetter(slice(order[0], order[0] + 1))
    return PayloadShape(
        _matching(marked.pattern), b"".join(body), take, marked.time_at, marked.is_text, steady.read_time
    )


@lru_cache(_KNOWN_PATTERNS)
def _matching(pattern: bytes) -> Callable[[bytes, int], re.Match[bytes] | None]:
    """Return what matches a whole payload from a place on; making it takes a hundred times as long as using it."""
    return re.compile(pattern).fullmatch


def read_shape_time(shape: PayloadShape, said: bytes, arrival: Arrival) -> tuple[int, TimeSource, str]:
    """Return the time that stands in a payload, and where it is from."""
    assert shape.read_time is not None
    return shape.read_time(said.decode() if shape.is_text else orjson.loads(said), arrival)


def _scalars(payload: bytes) -> Iterator[tuple[Path, int, int]]:
    """Yield path, start and end of each text and number of a JSON payload, which is one."""
    levels: list[Any] = []  # the key that is open in each object, the position in each list
    wants_key: list[bool] = []
    for token in _TOKEN.finditer(payload):
        text, start, end = token[1], token.start(1), token.end(1)
        if text in (b"{", b"["):
            levels.append("" if text == b"{" else 0)
            wants_key.append(text == b"{")
        elif text in (b"}", b"]"):
            levels.pop()
            wants_key.pop()
        elif text == b",":
            if type(levels[-1]) is int:
                levels[-1] += 1
            else:
                wants_key[-1] = True
        elif text == b":":
            wants_key[-1] = False
        elif levels and wants_key[-1]:
            levels[-1] = orjson.loads(text)
        else:
            yield tuple(levels), start, end
