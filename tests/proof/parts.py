"""What a proof is made of: how each part is run, and how its own words are counted."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counts:
    """Tells how often something was tried, what that was in numbers, and what was wrong."""

    tried: int
    said: str
    lost: int
    """Messages, acknowledged states, exports or inputs: whatever the part promises to lose none of."""


@dataclass(frozen=True, slots=True)
class ProofPart:
    """Tells of one part."""

    what: str
    share: float
    """Of the minutes."""
    arguments: Callable[[float, int], list[str]]
    """Minutes and seed -> what follows `python -m`."""
    count: Callable[[str], Counts]
    """What it printed -> what it did. Where it printed nothing of the kind, nothing was tried."""


def _sum(pattern: str, text: str) -> list[int]:
    """Return the sums of the groups over all lines that match."""
    found = [tuple(map(int, match)) for match in re.findall(pattern, text, re.MULTILINE)]
    return [sum(column) for column in zip(*found, strict=True)] if found else []


def count_chaos(text: str) -> Counts:
    """Count runs of `tests.chaos`; one that failed for another reason than a loss counts as one as well."""
    runs = re.findall(r"^ *\d+ (ok|FAILED) ", text, re.MULTILINE)
    pattern = r"^ *\d+ (?:ok|FAILED) .*? (\d+) kills +(\d+) faults +(\d+) messages, (\d+) lost"
    kills, faults, messages, lost = _sum(pattern, text) or [0, 0, 0, 0]
    failed = runs.count("FAILED")
    return Counts(len(runs), f"{kills:,} kills, {faults:,} other faults, {messages:,} messages", max(lost, failed))


def count_power_loss(text: str) -> Counts:
    """Count recordings of `tests.power_loss`, and the states in which the power failed."""
    pattern = r"^\w+ +seed \d+ +(\d+) calls +(\d+) states +(\d+) broken"
    calls, states, broken = _sum(pattern, text) or [0, 0, 0]
    recordings = len(re.findall(pattern, text, re.MULTILINE))
    return Counts(recordings, f"{calls:,} calls, {states:,} different states of the disk", broken)


def count_exports(text: str) -> Counts:
    """Count the places of `tests.exports`."""
    places, kills, refused, wrong = (
        _sum(r"^(\d+) places .*: (\d+) killed, (\d+) refused, (\d+) not exact", text) or [0] * 4
    )
    return Counts(places, f"{kills:,} killed, {refused:,} begun twice and refused", wrong)


def count_fuzz(text: str) -> Counts:
    """Count the inputs of `tests.fuzz`."""
    found = re.search(r"^([\d,]+) runs, (\d+) findings", text, re.MULTILINE)
    targets = re.findall(r"^([\w-]+): [\d,]+ runs, ([\d,]+) branches", text, re.MULTILINE)
    branches = sum(int(one.replace(",", "")) for _, one in targets)
    if found is None:
        return Counts(0, "", 0)
    return Counts(int(found[1].replace(",", "")), f"{len(targets)} targets, {branches:,} branches", int(found[2]))


PARTS = {
    "chaos": ProofPart(
        "the bridge killed, and broker, ingest, Kafka, network, disk and clock failing under it",
        0.55,
        lambda minutes, seed: [
            "tests.chaos",
            "--rounds",
            "1000",
            "--minutes",
            f"{minutes:g}",
            "--seed",
            str(seed),
            "--jobs",
            str((os.cpu_count() or 1) + 1),
            "--dry",
        ],
        count_chaos,
    ),
    "power loss": ProofPart(
        "the power fails after each call of spool, file sink and a whole bridge",
        0.15,
        lambda minutes, seed: ["tests.power_loss", "--minutes", f"{minutes:g}", "--seed", str(seed), "--dry"],
        count_power_loss,
    ),
    "exports": ProofPart(
        "exports killed, gone on with, and begun twice at once; each compared byte by byte",
        0.1,
        # One takes some five seconds.
        lambda minutes, seed: ["tests.exports", "--count", str(max(int(minutes * 12), 2)), "--seed", str(seed)],
        count_exports,
    ),
    "fuzz": ProofPart(
        "bytes from outside, changed where they lead to branches that nothing had reached",
        0.2,
        lambda minutes, seed: ["tests.fuzz", "--minutes", f"{minutes:g}", "--seed", str(seed)],
        count_fuzz,
    ),
}
"""Name -> part, in the order in which they are run."""
