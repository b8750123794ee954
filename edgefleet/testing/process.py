"""Gives the commands that run our modules in processes of their own, apart from the user's project."""

import sys
from pathlib import Path

_ISOLATED = Path(__file__).with_name("isolated.py")


def isolated_command(module: str, *arguments: str | Path) -> list[str | Path]:
    """Return the command that runs a module of ours, whatever folders of the same names the user's project has."""
    return [sys.executable, "-P", _ISOLATED, module, *arguments]
