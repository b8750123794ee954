"""Changes CSV so that it stays CSV: its cells, columns and rows, and how they are written."""

import csv
import io
import random
from collections.abc import Callable

from tests.fuzz.text_changes import change_text

_SEPARATORS = ",;\t"
_BOM = b"\xef\xbb\xbf"
_MOST_ADDED = 8

_Rows = list[list[str]]


def mutate_csv(data: bytes, most_bytes: int, seed: int) -> bytes | None:
    """Return a table with one cell, column or row changed, or another way to write it, in `most_bytes` at most.

    None where it is no CSV, or what came of it is too long. The same seed makes the same of the same bytes.
    """
    chance = random.Random(seed)
    try:
        text = data.decode("utf-8-sig")
        separator = max(_SEPARATORS, key=text.partition("\n")[0].count)
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except (UnicodeDecodeError, csv.Error):
        return None
    if not any(rows):
        return None
    begin, end, quoting = _BOM if data.startswith(_BOM) else b"", "\n", csv.QUOTE_MINIMAL
    if chance.randrange(8):
        chance.choice(_CHANGES)(rows, chance)
    else:
        separator, begin = chance.choice(_SEPARATORS), chance.choice((b"", _BOM))
        end, quoting = chance.choice(("\n", "\r\n", "\r")), chance.choice((csv.QUOTE_ALL, csv.QUOTE_MINIMAL))
    made = io.StringIO()
    csv.writer(made, delimiter=separator, lineterminator=end, quoting=quoting).writerows(rows)
    written = begin + made.getvalue().encode()
    return written if len(written) <= most_bytes else None


def _change_cell(rows: _Rows, chance: random.Random) -> None:
    row = chance.choice([row for row in rows if row])
    at = chance.randrange(len(row))
    row[at] = change_text(row[at], [other[at] for other in rows if at < len(other)] + row, chance)


def _change_row(rows: _Rows, chance: random.Random) -> None:
    """Take a cell of one row away, put one there twice, or have two change places."""
    row = chance.choice([row for row in rows if row])
    one, other = (chance.randrange(len(row)) for _ in range(2))
    match chance.randrange(3):
        case 0:
            del row[one]
        case 1:
            row.insert(one, row[other])
        case _:
            row[one], row[other] = row[other], row[one]


def _change_column(rows: _Rows, chance: random.Random) -> None:
    """Take a column away, put one there twice, or have two change places, head and all."""
    width = max(map(len, rows))
    one, other = (chance.randrange(width) for _ in range(2))
    way = chance.randrange(3)
    for row in rows:
        if max(one, other) >= len(row):
            continue
        if way == 0:
            del row[one]
        elif way == 1:
            row.insert(one, row[other])
        else:
            row[one], row[other] = row[other], row[one]


def _rename_column(rows: _Rows, chance: random.Random) -> None:
    head = next(row for row in rows if row)
    at = chance.randrange(len(head))
    name = head[at]
    head[at] = chance.choice((name.upper(), f" {name} ", name[:-1], f"{name}_", "", chance.choice(head)))


def _change_rows(rows: _Rows, chance: random.Random) -> None:
    """Repeat a row, take some away, or have two change places."""
    one, other = (chance.randrange(len(rows)) for _ in range(2))
    match chance.randrange(4):
        case 0:
            rows[other:other] = [[*rows[one]] for _ in range(chance.randint(1, _MOST_ADDED))]
        case 1:
            del rows[one]
        case 2:
            del rows[one + 1 :]
        case _:
            rows[one], rows[other] = rows[other], rows[one]


_CHANGES: tuple[Callable[[_Rows, random.Random], None], ...] = (
    _change_cell,
    _change_cell,
    _change_cell,
    _change_row,
    _change_column,
    _rename_column,
    _change_rows,
)
