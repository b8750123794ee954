"""`python -m benchmarks.compiled [build/compiled/tree]`: the fleet in Python and compiled, and the C floor, in turns.

`make test-compiled` makes the tree. One round is all three at saturation and at 3,000 a second; what is printed are
the medians of CPU a message, as fleets are measured beside other clients.
"""

import argparse
import os
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.fleet import CONNECTIONS, FLAT_OUT, MANY, RATE, ROUNDS, SECONDS, compile_floor, cost_us, measure

PLACES = {"saturation": (MANY, FLAT_OUT), f"{RATE:,} a second": (CONNECTIONS, RATE)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", nargs="?", type=Path, default=Path("build/compiled/tree"))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    costs: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        floor = compile_floor(Path(folder))
        clients: dict[str, tuple[str | Path, Path | None]] = {
            "C": (floor, None),
            "Python": ("edgefleet", Path.cwd()),
            "compiled": ("edgefleet", options.tree.resolve()),
        }
        for _ in range(options.rounds):
            for place, (connections, rate) in PLACES.items():
                for form, (client, tree) in clients.items():
                    result = measure(client, connections, rate, SECONDS, 1, tree)
                    costs.setdefault((place, form), []).append(cost_us(result))
    print(f"Medians of {options.rounds} rounds in turns, load {os.getloadavg()[0]:.0f}.\n")
    print("| | C | Python | compiled | against Python | against C |\n|---|---:|---:|---:|---:|---:|")
    for place in PLACES:
        least, before, now = (median(costs[place, form]) for form in ("C", "Python", "compiled"))
        row = [f"{one:.1f} µs" for one in (least, before, now)] + [f"{now / one:.2f} ×" for one in (before, least)]
        print(f"| {place} | {' | '.join(row)} |")


if __name__ == "__main__":
    main()
