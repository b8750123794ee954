"""`python -m benchmarks [PART …]`: runs the parts (all of them by default) and writes build/benchmarks.md.

What is worth keeping of it goes into benchmarks/RESULTS.md by hand, beside what other commands and days have measured.
"""

import importlib
import os
import platform
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "build" / "benchmarks.md"
PARTS = (
    "startup",
    "client",
    "fleet",
    "scale_out",
    "memory",
    "generate",
    "bridge",
    "bridge_http",
    "bridge_kafka",
    "ingest",
    "decode",
)


def machine() -> str:
    """The machine the figures are of."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.platform()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores of {model}, {memory_gib:.0f} GiB, {system}"


def main(names: list[str]) -> int:
    """Run the named parts, and return 1 where one failed.

    Each is written down as it ends, and one that fails costs no other its figures.
    """
    lines = ["# Results", "", f"`make bench` on {datetime.now(UTC):%Y-%m-%d}: {machine()}.", ""]
    lines += ["Figures of one run on a shared machine: compare within a table, not between machines.", ""]
    failed = 0
    for name in names:
        if name not in PARTS:
            sys.exit(f"benchmarks: there is no part '{name}'; there are {', '.join(PARTS)}")
    for name in names or PARTS:
        print(f"-- {name}", file=sys.stderr)
        try:
            lines += [*importlib.import_module(f"benchmarks.{name}").run(), ""]
        except (Exception, SystemExit) as error:
            failed = 1
            traceback.print_exc()
            lines += [f"## {name} has failed", "", f"{type(error).__name__}: {error}", ""]
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
