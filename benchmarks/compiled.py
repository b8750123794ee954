"""`python -m benchmarks.compiled [build/compiled/tree]`: the fleet in Python and compiled, in turns.

`make test-compiled` makes the tree. One round is both forms at saturation and at 3,000 a second; what is printed are
the medians of CPU a message, as fleets are measured beside other clients.
"""

import argparse
import os
from pathlib import Path
from statistics import median

from benchmarks.fleet import CONNECTIONS, FLAT_OUT, MANY, RATE, ROUNDS, SECONDS, measure

PLACES = {"saturation": (MANY, FLAT_OUT), f"{RATE:,} a second": (CONNECTIONS, RATE)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", nargs="?", type=Path, default=Path("build/compiled/tree"))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    trees = {"Python": Path.cwd(), "compiled": options.tree.resolve()}
    costs: dict[tuple[str, str], list[float]] = {}
    for _ in range(options.rounds):
        for place, (connections, rate) in PLACES.items():
            for form, tree in trees.items():
                result = measure("edgefleet", connections, rate, SECONDS, 1, tree)
                costs.setdefault((place, form), []).append(result["cpu_s"] / max(1, result["acknowledged"]) * 1e6)
    print(f"Medians of {options.rounds} rounds in turns, load {os.getloadavg()[0]:.0f}.\n")
    print("| | Python | compiled | |\n|---|---:|---:|---:|")
    for place in PLACES:
        before, now = median(costs[place, "Python"]), median(costs[place, "compiled"])
        print(f"| {place} | {before:.1f} µs | {now:.1f} µs | {now / before:.2f} × |")


if __name__ == "__main__":
    main()
