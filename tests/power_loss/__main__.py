"""Records spool, files and a whole bridge, and lets the power fail after each call: docs/reliability.md."""

import argparse
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos.table import write_into
from tests.power_loss.bridge_recording import record_bridge
from tests.power_loss.replay import Outcome, Recording, complaints_of, record_workload, replay

DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- power loss: begin -->", "<!-- power loss: end -->"

WORKLOADS: dict[str, tuple[str, Callable[[int, Path], Recording]]] = {
    "spool": (
        "`SpoolStore`: commits, progress of two sinks, dead letters, checkpoints, closed and opened again",
        lambda seed, folder: record_workload("spool", seed, 40, folder),
    ),
    "files": (
        "files of the file sink in new folders: rotated, compressed in a second thread, opened again",
        lambda seed, folder: record_workload("files", seed, 90, folder),
    ),
    "bridge": (
        "`edgefleet bridge run` with the file sink: what it has acknowledged to the broker",
        lambda seed, folder: record_bridge(seed, 120, folder),
    ),
}


def main() -> int:
    arguments = _arguments()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    started = time.monotonic()
    outcomes: list[Outcome] = []
    print(f"from seed {seed} on")
    while not outcomes or (arguments.minutes and time.monotonic() - started < arguments.minutes * 60):
        for name, (_, record) in WORKLOADS.items():
            if arguments.only in (None, name):
                with tempfile.TemporaryDirectory() as folder:
                    outcomes.append(replay(record(seed, Path(folder)), Path(folder)))
                print(_line(outcomes[-1]), flush=True)
        seed += 1
    wrong = complaints_of(outcomes)
    if not arguments.only and not arguments.dry:
        _write_table(outcomes)
    print("\n".join(wrong[:20]))
    print(f"{sum(one.states for one in outcomes)} states, {len(wrong)} broken promises")
    return 1 if wrong else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="power-loss", description=__doc__)
    parser.add_argument("--only", choices=WORKLOADS, help="one of them")
    parser.add_argument("--seed", type=int, help="of the first recordings; by default a random one, which is printed")
    parser.add_argument("--minutes", type=float, default=0.0, help="go on with further seeds for so long")
    parser.add_argument("--dry", action="store_true", help="do not write the table into docs/reliability.md")
    return parser.parse_args()


def _line(outcome: Outcome) -> str:
    return (
        f"{outcome.workload:8} seed {outcome.seed:<7} {outcome.calls:6} calls {outcome.states:7} states"
        f" {len(outcome.complaints):4} broken"
    )


def _write_table(outcomes: Sequence[Outcome]) -> None:
    rows: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        rows[outcome.workload].append(outcome)
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d}, from seed {outcomes[0].seed} on.",
        "",
        "| recorded | recordings | calls | different states | broken promises |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, (text, _) in WORKLOADS.items():
        found = rows[name]
        counts = (len(found), *(sum(values) for values in zip(*map(_counts, found), strict=True)))
        lines.append(f"| {text} | " + " | ".join(f"{count:,}" for count in counts) + " |")
    write_into(DOCUMENT, lines, BEGIN, END)
    print(f"wrote {DOCUMENT}")


def _counts(outcome: Outcome) -> tuple[int, int, int]:
    return outcome.calls, outcome.states, len(outcome.complaints)


if __name__ == "__main__":
    sys.exit(main())
