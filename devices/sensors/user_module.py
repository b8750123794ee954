"""Loads a user's own module: a Python file that a scenario names, which runs with the rights of the program."""

import importlib.util
from pathlib import Path
from types import ModuleType

from edgewire.errors import ConfigError


def load_attribute(path: str, name: str) -> object:
    """Return an attribute of the module in a file; raises `ConfigError` that names the file and what is wrong."""
    module = _load(Path(path))
    if not hasattr(module, name):
        raise ConfigError(f"{path}: has no {name}")
    found: object = getattr(module, name)
    return found


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"edgefleet_user_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ConfigError(f"{path}: there is no such Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    # Whatever a user's module raises is told with its name.
    except Exception as error:
        raise ConfigError(f"{path}: cannot be loaded: {type(error).__name__}: {error}") from error
    return module
