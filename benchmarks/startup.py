"""How long the program takes to begin: the help of a command, beside Python and beside Typer and Rich alone.

CPU time, the least of several runs, as a machine that has other work too adds to it and takes nothing from it.
"""

import resource
import subprocess
import sys

RUNS = 7
COUNTED = (
    "import sys; sys.stdout = sys.stderr\ntry:\n    {code}\nfinally:\n    print(len(sys.modules), file=sys.__stdout__)"
)
CASES = (
    ("Python alone", "pass"),
    ("Typer and Rich alone", "import typer, typer.rich_utils"),
    ("edgefleet --version", "edgefleet --version"),
    ("edgefleet --help", "edgefleet --help"),
    ("edgefleet run --help", "edgefleet run --help"),
    ("edgefleet bridge run --help", "edgefleet bridge run --help"),
    ("edgefleet schema bme280", "edgefleet schema bme280"),
)


def run() -> list[str]:
    """The table as lines of Markdown."""
    rows = [(what, *_measure(code)) for what, code in CASES]
    return [
        "## Start",
        "",
        f"CPU of the whole process, the least of {RUNS} runs, and the modules that it has loaded at its end.",
        "",
        "| | CPU | modules |",
        "|---|---:|---:|",
        *(f"| {what} | {cpu_s * 1000:.0f} ms | {modules} |" for what, cpu_s, modules in rows),
    ]


def _measure(code: str) -> tuple[float, int]:
    if code.startswith("edgefleet "):
        code = f"sys.argv = {code.split()}; from edgefleet.__main__ import main; main()"
    command = [sys.executable, "-c", COUNTED.format(code=code)]
    found: list[tuple[float, int]] = []
    for _ in range(RUNS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found.append((cpu_s, int(done.stdout)))
    return min(found)


if __name__ == "__main__":
    print("\n".join(run()))
