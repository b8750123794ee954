"""Keeps a line of each whole proof in docs/proof.md, and adds them up: evidence grows with every run of the command."""

import re
from collections.abc import Sequence

from tests.proof.parts import PARTS

_ROW = re.compile(r"^\| \d{4}-\d\d-\d\d \|.*\|$", re.MULTILINE)
_SUMMED = slice(4, None)
"""Which columns are added up."""
_HEAD = [
    f"| proof of | commit | minutes | seed | {' | '.join(PARTS)} | lost or broken |",
    f"|---|---|---:|---:|{'---:|' * (len(PARTS) + 1)}",
]


def proof_row(date: str, commit: str, minutes: float, seed: int, tried: Sequence[int], lost: int) -> str:
    """Return the line of one proof: how often each part was tried, and what all of them lost."""
    counts = " | ".join(f"{count:,}" for count in (*tried, lost))
    return f"| {date} | `{commit}` | {minutes:.0f} | {seed} | {counts} |"


def earlier_rows(text: str) -> list[str]:
    """Return the lines of the proofs that are in a document, the oldest first."""
    return _ROW.findall(text)


def history_table(rows: Sequence[str]) -> list[str]:
    """Return the table of all proofs, with their sums."""
    counts = [[int(cell.replace(",", "")) for cell in _cells(row)[_SUMMED]] for row in rows]
    sums = " | ".join(f"{sum(column):,}" for column in zip(*counts, strict=True))
    return [*_HEAD, *rows, f"| together | | | | {sums} |"]


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]
