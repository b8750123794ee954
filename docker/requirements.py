"""Prints what edgefleet needs with some of its extras, for pip: the image keeps that while the source changes.

    python docker/requirements.py export,kafka

Extras that an extra asks of edgefleet itself are in it.
"""

import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
_OURS = "edgefleet["


def requirements(extras: list[str]) -> list[str]:
    """Return the lines of `dependencies` and of the extras. Raises `KeyError` for one that there is not."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    found: list[str] = list(project["dependencies"])
    waiting, seen = list(extras), set[str]()
    while waiting:
        extra = waiting.pop()
        if extra in seen:
            continue
        seen.add(extra)
        for line in project["optional-dependencies"][extra]:
            if line.startswith(_OURS):
                waiting += line[len(_OURS) :].rstrip("]").split(",")
            else:
                found.append(line)
    return sorted(set(found))


if __name__ == "__main__":
    print(*requirements(sys.argv[1].split(",")), sep="\n")
