"""Run a module of ours whatever else is called so: `python -P isolated.py MODULE ARGUMENT…`.

A user's project may have a folder `devices` or `bridge` of its own, on PYTHONPATH too, and variables for edgefleet that
are not meant for its tests. Imports nothing but the standard library before it has put things in order.
"""

import os
import runpy
import sys

OURS = ("edgewire", "devices", "bridge", "edgefleet")
VARIABLES = ("EDGEFLEET_", "FLEET_", "BRIDGE_")
"""What the variables begin with that would change a scenario or a command."""


def put_first(root: str) -> None:
    """Look for modules in the folder `root` before any other in `sys.path` that has a package of one of our names.

    Processes that are started from here inherit it.
    """
    folders = [folder for folder in sys.path if os.path.abspath(folder) != root]
    others = (at for at, folder in enumerate(folders) if any(_is_module(folder, name) for name in OURS))
    folders.insert(next(others, len(folders)), root)
    sys.path[:] = folders


def _is_module(folder: str, name: str) -> bool:
    path = os.path.join(folder, name)
    return os.path.exists(os.path.join(path, "__init__.py")) or os.path.exists(f"{path}.py")


if __name__ == "__main__":
    put_first(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    # What is meant for a command of the user's is not meant for this one.
    for name in [name for name in os.environ if name.startswith(VARIABLES)]:
        del os.environ[name]
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
