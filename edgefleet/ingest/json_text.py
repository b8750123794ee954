r"""Finds in JSON what a store would refuse, or two readers would read differently. Pure.

A payload is kept as text and asked for its fields with `jsonb` in PostgreSQL and with `json_extract` in SQLite. The one
holds no NUL and no number of any length, the other reads nothing that is nested deeper than 1000: one such row would
fail a query over the whole table. Of a key that stands twice SQLite reads the first value, PostgreSQL and Python the
last.
"""

import json
import re
from collections.abc import Iterator

import orjson

from edgewire.messages import ContractError

MAX_DEPTH = 100
"""Levels of arrays and objects; a message has two or three."""
_MAX_DIGITS = 1000
"""`numeric` of PostgreSQL, which is behind a number in `jsonb`, has at most 16,383 digits after the point."""

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"')
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_EXPONENT = re.compile(rb"[0-9][eE][-+]?[0-9]{4,}(?=[\s,\]}]|$)")
_DIGITS = re.compile(rb"(?<![0-9.])[0-9.]{%d}" % (_MAX_DIGITS + 1))
_SHAPE = bytes(ord("0") if chr(byte).isdigit() else byte for byte in range(128)) + bytes(range(128, 256))
"""Maps every digit to 0: with the signs left out, `e0000` is then where a large exponent may be."""


def check_json_text(text: bytes, value: object) -> None:
    """Raise `ContractError` where JSON, decoded to `value`, could not be kept and read alike by every store."""
    if text.count(b"{") + text.count(b"[") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise ContractError(f"payload is nested deeper than {MAX_DEPTH} levels")
    if b"\\u0000" in text and _NUL.search(text):
        place = next((place for place, one in _texts(value) if "\0" in one), "payload")
        raise ContractError(f"{place!r} has the character \\u0000, which jsonb of PostgreSQL cannot hold")
    rewritten = orjson.dumps(value)
    if rewritten == text:
        return
    shape = text.translate(_SHAPE, b"+-")
    if b"e0000" in shape or b"E0000" in shape or len(text) > _MAX_DIGITS:
        _check_numbers(_STRING.sub(b'""', text))
    # A key that stood twice has lost two quotes; other escapes may have done so too.
    if text.count(b'"') != rewritten.count(b'"'):
        json.loads(text, object_pairs_hook=_refuse_twins, parse_int=str, parse_float=str)


def _check_numbers(bare: bytes) -> None:
    if found := _EXPONENT.search(bare):
        raise ContractError(f"payload has a number with an exponent of more than 3 digits, '…{_shown(found)}'")
    if found := _DIGITS.search(bare):
        raise ContractError(f"payload has a number of more than {_MAX_DIGITS} digits, '{_shown(found)}…'")


def _is_deeper(value: object, levels: int) -> bool:
    level = [value]
    for _ in range(levels):
        level = [inner for one in level for inner in _values(one) if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def _values(value: object) -> list[object]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _texts(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Return every key and every text, and where it stands."""
    if isinstance(value, dict):
        for key, inner in value.items():
            place = f"{path}.{key}" if path else key
            yield place, key
            yield from _texts(inner, place)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _texts(inner, f"{path}[{number}]")
    elif isinstance(value, str):
        yield path, value


def _refuse_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields: dict[str, object] = {}
    for key, value in pairs:
        if key in fields:
            raise ContractError(f"key {key[:64]!r} stands twice in one object; which value is meant cannot be told")
        fields[key] = value
    return fields


def _shown(found: re.Match[bytes]) -> str:
    return found[0][:20].decode()
