"""Reads objects whose keys somebody has chosen: the data of an event, what a decoder made of the bytes of a sensor.

Such a name keeps its meaning and its unit where it is one of ours (`temperature_c`); of any other nothing is guessed.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from edgewire.dialects.base import DialectError, Value
from edgewire.dialects.values import LEAST_WHOLE, MOST_WHOLE, NO_VALUE, shown

_LIMITS: Mapping[str, float] = MappingProxyType({"latitude": 90, "longitude": 180})
_MAX_VALUES = 1000


def plain_values(body: Mapping[str, Any]) -> tuple[dict[str, Value], dict[str, object]]:
    """Return the values of an object, and what of it is none: lists and objects. Raises `DialectError`."""
    if len(body) > _MAX_VALUES:
        raise DialectError(f"{len(body):,} values in one message, more than the {_MAX_VALUES:,} allowed")
    values: dict[str, Value] = {}
    extra: dict[str, object] = {}
    for name, value in body.items():
        if isinstance(value, dict | list):
            extra[name] = value
        elif (found := plain_value(value)) is not None:
            values[name] = found
    check_place(values)
    return values, extra


def plain_value(value: object) -> Value | None:
    """Return a value as it is; None for what stands where there is none."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if LEAST_WHOLE <= value <= MOST_WHOLE else float(value) if abs(value) < 1 << 1000 else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return None if value.strip().lower() in NO_VALUE else value
    return None


def check_place(values: Mapping[str, Value]) -> None:
    """Raise `DialectError` for a latitude or longitude that is none on Earth."""
    for name, limit in _LIMITS.items():
        value = values.get(name)
        if value is not None and (isinstance(value, bool | str) or not -limit <= value <= limit):
            raise DialectError(f"a {name} is {shown(value)}, which is nowhere")
