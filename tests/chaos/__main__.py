"""The chaos suite: without --only every fault ten times and more, ending with the table of docs/reliability.md."""

import argparse
import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.chaos.faults import FAULTS
from tests.chaos.needs import missing_for
from tests.chaos.parallel import execute_all
from tests.chaos.run import Fault, Result
from tests.chaos.table import table, write_into

DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"
_MIXES = 4
"""Rounds of `mix` for each round of the others."""


def main() -> int:
    arguments = _arguments()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    chosen = [fault for fault in FAULTS if not arguments.only or fault.name in arguments.only.split(",")]
    if not chosen:
        sys.exit(f"chaos: there is no fault '{arguments.only}'; there are {', '.join(fault.name for fault in FAULTS)}")
    lacks = {fault.name: missing_for(fault) for fault in chosen}
    for name, lacking in lacks.items():
        if lacking:
            print(f"left out: {name}; {lacking}")
    chosen = [fault for fault in chosen if not lacks[fault.name]]
    rounds = arguments.rounds or (1 if arguments.only else 10)
    print(f"seed {seed}, {rounds} rounds of {len(chosen)} faults, evidence of failures in {arguments.folder}")
    results: list[Result] = []
    started = time.monotonic()
    wanted = choose_runs(chosen, seed, rounds, is_mixed=arguments.minutes is not None, is_all=not arguments.only)
    for result in execute_all(wanted, arguments.folder, jobs=arguments.jobs, minutes=arguments.minutes):
        results.append(result)
        _print(len(results), result)
    lines = table(FAULTS, results, seed, time.monotonic() - started)
    print("\n".join(lines))
    failed = [result for result in results if not result.verdict.ok]
    if not arguments.only and not arguments.dry:
        write_into(DOCUMENT, lines)
        print(f"wrote {DOCUMENT}")
    print(f"{len(results)} runs, {len(failed)} failed")
    return 1 if failed else 0


def choose_runs(
    chosen: Sequence[Fault], seed: int, rounds: int, *, is_mixed: bool, is_all: bool
) -> Iterator[tuple[str, int]]:
    """Yield the fault and the seed of each run; `is_mixed`: in an order of its own in each round."""
    faults = list(chosen)
    for number in range(rounds):
        if is_mixed:
            random.Random(seed + number).shuffle(faults)
        for fault in faults:
            for extra in range(_MIXES if fault.name == "mix" and is_all else 1):
                yield fault.name, seed + number + 1000 * extra


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument(
        "--only",
        metavar="FAULT[,FAULT…]",
        help=f"only these of all faults, which are {', '.join(fault.name for fault in FAULTS)}",
    )
    parser.add_argument("--seed", type=int, help="of the first round; by default a random one, which is printed")
    parser.add_argument("--rounds", type=int, help="each fault so many times; 10, with --only 1")
    parser.add_argument(
        "--minutes", type=float, help="begin no run after so long, and take the faults in a random order"
    )
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time, each with services of its own")
    parser.add_argument("--dry", action="store_true", help="print the table only")
    parser.add_argument("--folder", type=Path, default=Path("build/chaos"), help="where failed runs are kept")
    return parser.parse_args()


def _print(number: int, result: Result) -> None:
    verdict = result.verdict
    print(
        f"{number:4} {'ok    ' if verdict.ok else 'FAILED'} {result.fault:18} seed {result.seed:<7}"
        f" {result.kills} kills {result.injected:3} faults {verdict.must:5} messages, {verdict.lost} lost,"
        f"{f' {verdict.taken} gone with the spool,' if verdict.taken else ''}"
        f" {verdict.http_duplicates}+{verdict.kafka_duplicates} duplicates, {verdict.out_of_order} out of order,"
        f" {result.seconds:.1f} s",
        flush=True,
    )
    for complaint in verdict.complaints:
        print(f"       {complaint}")
    if result.folder:
        print(f"       kept in {result.folder}; repeat it with")
        print(f"       make chaos CHAOS_ARGS='--only {result.fault} --seed {result.seed}'")


if __name__ == "__main__":
    sys.exit(main())
