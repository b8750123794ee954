"""Fuzzes what reads bytes from outside: `make fuzz`. Finds are in build/fuzz/found, the account in docs/proof.md.

python -m tests.fuzz --minutes 5 --only mqtt
"""

import argparse
import random
import sys
from pathlib import Path

from tests.fuzz.account import add_to_account
from tests.fuzz.campaign import fuzz
from tests.fuzz.target import ROOT
from tests.fuzz.targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=13, help="in all; each target has its part of it")
    parser.add_argument("--only", choices=TARGETS, action="append", help="one of them; again for another")
    parser.add_argument("--seed", type=int, help="by default a random one, which is printed")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "fuzz", help="what is kept, and gone on with")
    parser.add_argument("--dry", action="store_true", help="do not add to the account in docs/proof.md")
    arguments = parser.parse_args()
    names = arguments.only or list(TARGETS)
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1, 2**31)
    seconds = max(int(arguments.minutes * 60 / len(names)), 1)
    print(f"seed {seed}, {seconds} s for each of {len(names)}", flush=True)
    outcomes = []
    for name in names:
        outcomes.append(fuzz(name, seconds, seed, arguments.folder))
        print(outcomes[-1], flush=True)
        # After each, so that what was done counts where the rest is broken off.
        if not arguments.dry:
            add_to_account(outcomes[-1:])
    wrong = [one for one in outcomes if one.fault]
    print(f"{sum(one.runs for one in outcomes):,} runs, {len(wrong)} findings")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
