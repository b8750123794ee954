"""Takes the cells of rows into columns, each as its field has it."""

from array import array
from typing import Any

import numpy as np

from devices.replay.block import RecordedTexts, Values
from devices.replay.targets import ReplayTarget
from edgewire.config_errors import closest
from edgewire.errors import ConfigError

_FLAGS = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "on": 1.0, "off": 0.0, "yes": 1.0, "no": 0.0}
_MOST_WORDS = 100_000
_LONGEST_TEXT = 1000
_NAN = float("nan")


class CellColumn:
    """Collects the values of a column."""

    def __init__(self, target: ReplayTarget, column: str) -> None:
        self._target = target
        self._column = column
        self._numbers = array("d")
        self._codes = array("i")
        self._words: dict[str, int] = {}

    def take(self, place: str, cell: Any) -> None:
        """Take a cell; raises `ConfigError` with its place where the field does not take it."""
        target = self._target
        if cell is None or (isinstance(cell, float) and cell != cell) or (is_nan(cell) and target.type != "text"):
            if not target.is_nullable:
                said = f"{self._column} has no value, and {target.name} always has one: leave the row out, or the field"
                raise ConfigError(f"{place}: {said}")
            self._numbers.append(_NAN)
            self._codes.append(-1)
        elif target.type == "text":
            self._codes.append(self._word(place, cell))
        else:
            self._numbers.append(self._number(place, cell))

    def values(self) -> Values:
        """Return what was taken."""
        if self._target.type == "text":
            return RecordedTexts(np.array(self._codes, dtype=np.int32), tuple(self._words))
        return np.array(self._numbers)

    def _word(self, place: str, cell: Any) -> int:
        text = str(cell)
        if (known := self._words.get(text)) is not None:
            return known
        words = self._target.words
        if words and text not in words:
            hint = closest(text, words) or f"; there are {', '.join(words)}"
            raise ConfigError(f"{place}: {self._column} is '{text[:40]}', which {self._target.name} never is{hint}")
        if len(text) > _LONGEST_TEXT or len(self._words) >= _MOST_WORDS:
            raise ConfigError(f"{place}: {self._column} has texts that are too long, or too many different ones")
        return self._words.setdefault(text, len(self._words))

    def _number(self, place: str, cell: Any) -> float:
        found: float | None
        if self._target.type == "flag":
            found = float(cell) if isinstance(cell, bool) else _FLAGS.get(str(cell).lower())
            if found is None:
                raise ConfigError(f"{place}: {self._column} is '{str(cell)[:40]}': write true or false")
            return found
        try:
            found = None if isinstance(cell, bool | list | dict) else float(cell)
        except (ValueError, OverflowError):
            found = None
        if found is None:
            raise ConfigError(f"{place}: {self._column} is '{str(cell)[:40]}', and {self._target.name} is a number")
        if fault := self._target.fault(found):
            raise ConfigError(f"{place}: {self._column} is {str(cell)[:40]}, and {fault}")
        return found


def is_nan(cell: Any) -> bool:
    """Return whether a text says that there is no number."""
    return isinstance(cell, str) and cell.lower() in ("nan", "null", "none", "na", "n/a", "")
