"""Changes a text that stands for a value, as a cell of CSV and an attribute or text of XML do."""

import random
from collections.abc import Sequence

_NUMBERS = (
    "0",
    "-0",
    "-1",
    "90",
    "-90.000001",
    "180",
    "-180.0",
    "1e308",
    "1e999",
    "NaN",
    "inf",
    "1_0",
    "٣",
    "0x1",
    "1,5",
)
_TIMES = (
    *("2026-03-04T12:00:00Z", "2026-03-29 02:30:00", "2026-10-25T02:30:00+01:00", "2026-02-30T25:00:00Z", "20260304"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1700000000", "1700000000123456789", "-62135596800"),
)
_WORDS = (
    "",
    " ",
    "a",
    "true",
    "off",
    "null",
    "n/a",
    "3d",
    "\x7f",
    "\u2028",
    "é" * 300,
    '"',
    "'",
    ",",
    ";",
    "\t",
    "a\nb",
    "{}",
)


def change_text(text: str, others: Sequence[str], chance: random.Random) -> str:
    """Return a neighbour of a text, another value, or one of `others`, which stand in the same file."""
    way = chance.randrange(6)
    if way == 0 and others:
        return chance.choice(others)
    if way == 1:
        cut = chance.randrange(len(text) + 1)
        return chance.choice((text[:cut], text[cut:], text[:cut] + "-" + text[cut:], text + text, f" {text} "))
    if way == 2 and (found := _number(text)) is not None:
        return chance.choice((f"{found + 1:g}", f"{found - 1:g}", f"{-found:g}", f"{found * 10!r}", f"{found / 3!r}"))
    if way == 3 and any(map(str.isdigit, text)):
        # Of a time this is another time, or none.
        at = chance.choice([at for at, sign in enumerate(text) if sign.isdigit()])
        return text[:at] + str(chance.randrange(10)) + text[at + 1 :]
    return chance.choice(chance.choice((_NUMBERS, _TIMES, _WORDS)))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
