"""Tells which edgefleet this is: its version, and whether mypyc has compiled it."""

from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec

from edgefleet import __version__


def describe_version() -> str:
    """Return the version, and `(compiled)` where what is imported is what hatch_build.py compiles."""
    session = find_spec("edgewire.mqtt.session")
    is_compiled = session is not None and (session.origin or "").endswith(tuple(EXTENSION_SUFFIXES))
    return f"{__version__}{' (compiled)' if is_compiled else ''}"
