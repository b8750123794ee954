"""Exports that are killed, gone on with, and begun twice at once, at random: `make exports`; every one is compared.

python -m tests.exports --count 50 --seed 1
"""

import argparse
import random
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.exports.storm import Outcome, storm
from tests.services.s3 import running_s3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder, running_s3("lake") as url, ThreadPoolExecutor(2) as pool:
        outcomes = []
        for outcome in pool.map(
            lambda number: storm(random.Random(f"{seed}/{number}"), Path(folder) / str(number), url),
            range(arguments.count),
        ):
            print(outcome, flush=True)
            outcomes.append(outcome)
    return report(outcomes)


def report(outcomes: list[Outcome]) -> int:
    """Print how many there were of what; return 1 where one was not exact."""
    wrong = [outcome for outcome in outcomes if outcome.wrong]
    told = Counter(outcome.place for outcome in outcomes)
    kills, refused = sum(one.kills for one in outcomes), sum(one.refused for one in outcomes)
    print(f"{len(outcomes)} places ({dict(told)}): {kills} killed, {refused} refused, {len(wrong)} not exact")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
