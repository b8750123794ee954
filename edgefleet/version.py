"""Tells which edgefleet this is: its version, and whether mypyc has compiled it."""

from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from pathlib import Path

import edgewire
from edgefleet import __version__


def describe_version() -> str:
    """Return the version, and `(compiled)` where what is imported is what hatch_build.py compiles.

    The module is looked for in its folder, as finding it by its whole name would import the packages that it is in.
    """
    session = PathFinder.find_spec("session", [str(Path(folder) / "mqtt") for folder in edgewire.__path__])
    is_compiled = session is not None and (session.origin or "").endswith(tuple(EXTENSION_SUFFIXES))
    return f"{__version__}{' (compiled)' if is_compiled else ''}"
