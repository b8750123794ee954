"""Keeps account in docs/proof.md of how long each target was fuzzed: every campaign adds to what is there."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from tests.chaos.table import write_into
from tests.fuzz.campaign import FuzzOutcome
from tests.fuzz.target import ROOT
from tests.fuzz.targets import TARGETS

DOCUMENT = ROOT / "docs" / "proof.md"
BEGIN, END = "<!-- fuzz: begin -->", "<!-- fuzz: end -->"

_HEAD = [
    "| target | campaigns | CPU minutes | inputs | most branches | campaigns that found something | last |",
    "|---|---:|---:|---:|---:|---:|---|",
]
_ROW = re.compile(
    r"^\| `([\w-]+)` \| ([\d,]+) \| ([\d,.]+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \| ([\d-]*) \|$", re.MULTILINE
)


class TargetAccount(NamedTuple):
    """Tells what all campaigns of one target come to."""

    campaigns: int = 0
    cpu_minutes: float = 0.0
    """Of the processes that fuzzed it, user and system."""
    inputs: int = 0
    branches: int = 0
    """Those of the campaign that reached most."""
    findings: int = 0
    """Campaigns that ended with something found; what is mended stays counted."""
    last: str = ""
    """The date of the last one."""

    def plus(self, outcome: FuzzOutcome, date: str) -> "TargetAccount":
        """Return it with one campaign more."""
        return TargetAccount(
            self.campaigns + 1,
            self.cpu_minutes + outcome.cpu_s / 60,
            self.inputs + outcome.runs,
            max(self.branches, outcome.branches),
            self.findings + bool(outcome.fault),
            date,
        )


def read_accounts(text: str) -> dict[str, TargetAccount]:
    """Return what the table in a document says, by target."""
    between = text.partition(BEGIN)[2].partition(END)[0]

    def number(cell: str) -> int:
        return int(cell.replace(",", ""))

    return {
        name: TargetAccount(
            number(campaigns), float(minutes.replace(",", "")), *map(number, (inputs, branches, findings)), last
        )
        for name, campaigns, minutes, inputs, branches, findings, last in _ROW.findall(between)
    }


def account_table(accounts: dict[str, TargetAccount]) -> list[str]:
    """Return the lines of the table: every target that there is, and every other that was fuzzed once."""
    names = [*TARGETS, *(name for name in accounts if name not in TARGETS)]
    found = [accounts.get(name, TargetAccount()) for name in names]
    rows = [f"| `{name}` | {_cells(one)} | {one.last} |" for name, one in zip(names, found, strict=True)]
    together = TargetAccount(*(sum(column) for column in zip(*(one[:-1] for one in found), strict=True)))
    return [*_HEAD, *rows, f"| together | {_cells(together)} | |"]


def add_to_account(outcomes: Iterable[FuzzOutcome], document: Path = DOCUMENT) -> None:
    """Add campaigns to the table in a document. Raises `ValueError` where it has no place for one."""
    accounts, today = read_accounts(document.read_text(encoding="utf-8")), f"{datetime.now(UTC):%Y-%m-%d}"
    for outcome in outcomes:
        accounts[outcome.target] = accounts.get(outcome.target, TargetAccount()).plus(outcome, today)
    write_into(document, account_table(accounts), BEGIN, END)


def _cells(one: Sequence[float | str]) -> str:
    campaigns, minutes, *counts = one[:5]
    return f"{campaigns:,} | {minutes:,.2f} | " + " | ".join(f"{count:,}" for count in counts)
