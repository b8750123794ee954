"""Runs chaos, power loss, export storms and fuzzing, and writes docs/proof.md: `make proof MINUTES=60`.

python -m tests.proof --minutes 15 --seed 1
"""

import argparse
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from tests.chaos.table import write_into
from tests.proof.history import earlier_rows, history_table, proof_row
from tests.proof.parts import PARTS, Counts

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "proof.md"
BEGIN, END = "<!-- proof: begin -->", "<!-- proof: end -->"

_PATIENCE_S = 1800
"""How much longer than its minutes a part may take: what has begun is done to its end."""


class PartOutcome(NamedTuple):
    """Tells how a part went."""

    name: str
    seed: int
    seconds: float
    code: int
    counts: Counts

    @property
    def is_clean(self) -> bool:
        """Whether it ended well, tried something, and lost nothing."""
        return self.code == 0 and self.counts.tried > 0 and self.counts.lost == 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="proof", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="in all; each part has its share of them")
    parser.add_argument("--seed", type=int, help="by default a random one, which is printed")
    parser.add_argument("--only", choices=PARTS, action="append", help="one of them; a proof, and its line, is of all")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1, 10**6)
    names = arguments.only or list(PARTS)
    outcomes = []
    for name in names:
        minutes = arguments.minutes * PARTS[name].share
        print(f"{name}, {minutes:.1f} minutes, seed {seed}", flush=True)
        outcomes.append(run_part(name, minutes, seed, ROOT / "build" / "proof"))
        print(f"  {_line(outcomes[-1])}", flush=True)
    lines = document(outcomes, [] if arguments.only else earlier_rows(DOCUMENT.read_text(encoding="utf-8")))
    if not arguments.only:
        write_into(DOCUMENT, lines, BEGIN, END)
    print("\n".join(lines))
    return 0 if all(one.is_clean for one in outcomes) else 1


def run_part(name: str, minutes: float, seed: int, folder: Path) -> PartOutcome:
    """Run a part in a process of its own, whose words are kept in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name.replace(' ', '-')}.log"
    started = time.monotonic()
    with log.open("wb") as file:
        command = [sys.executable, "-m", *PARTS[name].arguments(minutes, seed)]
        try:
            code = subprocess.run(
                command, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT, timeout=minutes * 60 + _PATIENCE_S
            ).returncode
        except subprocess.TimeoutExpired:
            code = -1
    counts = PARTS[name].count(log.read_text(errors="replace"))
    return PartOutcome(name, seed, time.monotonic() - started, code, counts)


def document(outcomes: Sequence[PartOutcome], earlier: Sequence[str] = ()) -> list[str]:
    """Return the lines of docs/proof.md that are the command's own; `earlier` are those of the proofs before this."""
    minutes, today = sum(one.seconds for one in outcomes) / 60, f"{datetime.now(UTC):%Y-%m-%d}"
    rows = [
        f"| {one.name}: {PARTS[one.name].what} | {one.counts.tried:,} | {one.counts.said} | {one.seed} |"
        f" {one.counts.lost:,} | {_verdict(one)} |"
        for one in outcomes
    ]
    tried, lost = [one.counts.tried for one in outcomes], sum(one.counts.lost for one in outcomes)
    is_whole = [one.name for one in outcomes] == list(PARTS)
    this = [proof_row(today, _commit(), minutes, outcomes[0].seed, tried, lost)] if is_whole else []
    proofs = [*earlier, *this]
    return [
        f"{today}, {minutes:.0f} minutes, commit `{_commit()}`, {platform.platform(terse=True)},"
        f" {os.cpu_count()} processors, Python {platform.python_version()}.",
        "",
        "| what was done | times | in numbers | seed | lost or broken | |",
        "|---|---:|---|---:|---:|---|",
        *rows,
        *(["", "All proofs, and how often each part was tried in them:", "", *history_table(proofs)] if proofs else []),
    ]


def _verdict(one: PartOutcome) -> str:
    if one.is_clean:
        return "held"
    if one.counts.tried == 0:
        return "**nothing was tried**"
    return "**FAILED**" if one.counts.lost or one.code > 0 else "**did not end**"


def _line(one: PartOutcome) -> str:
    return (
        f"{one.counts.tried:,} times, {one.counts.said}, {one.counts.lost} lost, {one.seconds:.0f} s: {_verdict(one)}"
    )


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
