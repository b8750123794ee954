"""Loads a user's own module: a Python file that a scenario names, which runs with the rights of the program."""

import importlib.util
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from devices.world.random import Flags
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
    # Whatever a user's module raises is told with its name; one that exits would end the program as if all were done.
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{path}: cannot be loaded: {type(error).__name__}: {error}") from error
    return module


def call_type(where: str, rows: int, own: frozenset[str], function: Callable[..., Any], *given: Any) -> Any:
    """Return what a type of event of a user's module says: a flag a row and the columns of its attributes.

    A function that answers with the attributes alone gets these back. Raises `ConfigError`, with `where` before it, for
    what the function raises, an answer of another form or length, and an attribute that is one of the message's `own`.
    """
    try:
        answer = function(*given)
        if isinstance(answer, Mapping):
            return _columns(answer, rows, own)
        holds, attributes = answer
        flags: Flags = np.broadcast_to(np.asarray(holds, dtype=np.bool_), (rows,))
        return flags, _columns(attributes, rows, own)
    except (Exception, SystemExit) as error:
        said = str(error) if isinstance(error, ConfigError) else f"fails: {type(error).__name__}: {error}"
        raise ConfigError(f"{where} {said}") from error


def _columns(attributes: Mapping[str, Any], rows: int, own: frozenset[str]) -> dict[str, np.ndarray[Any, Any]]:
    for name in attributes:
        if name in own:
            raise ConfigError(f"gives '{name}', a field that the message has of its own: rename it")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ConfigError(f"gives '{name}', which is no name of a field: write lower_case")
    return {name: np.broadcast_to(np.asarray(values), (rows,)) for name, values in attributes.items()}
