"""Gives a value that comes with a word and a unit the name and unit that it has here: `temperature` in °F.

What has no such name keeps its own, with its unit at the end.
"""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from edgewire.dialects.base import Value
from edgewire.dialects.own_format import known_fields
from edgewire.dialects.units import QUANTITIES, linear_of, quantity_of, to_canonical, unit_suffix

_NO_UNITS = frozenset({"", "#", "1", "count", "/"})
_ENDS = ("c", "hpa", "kmh", "m", "dbm", "pct", "v", "a", "wh", "w", "hz", "deg", "lx", "ppm", "ppb", "va", "var", "s")
"""Ends of canonical names, those first whose units others have too: `w` is watts, and not weeks."""
assert set(_ENDS) == set(QUANTITIES)
_SPOKEN: Mapping[str, str] = MappingProxyType(
    {"c": "°C", "hpa": "hPa", "kmh": "km/h", "m": "m", "dbm": "dBm", "pct": "%", "v": "V", "s": "s", "deg": "°"}
)
"""End of a name of the message contract -> its unit, as people write it."""
_UNNAMED: Mapping[str, str] = MappingProxyType(
    {
        "humidity": "pct", "latitude": "deg", "longitude": "deg", "avg_speed": "kmh", "min_speed": "kmh",
        "max_speed": "kmh", "uptime": "s",
    }
)  # fmt: skip
"""Field of the contract whose name has no unit at its end -> the end that says its unit."""


def measured_value(word: str, value: Value, unit: str) -> tuple[str, Value, str]:
    """Return the canonical name of a value, the value in its unit, and a remark, mostly empty.

    Raises `DialectError` for one that is more than a double holds.
    """
    name, quantity = _measured_name(word, unit)
    if isinstance(value, bool | str) or unit in _NO_UNITS:
        return name, value, ""
    converted = to_canonical(quantity, value, unit) if quantity else None
    return (name, value, f"{name}: unit {unit!r} is kept") if converted is None else (name, converted, "")


@lru_cache(4096)
def _measured_name(word: str, unit: str) -> tuple[str, str]:
    """Return the name of what is called by a word, in small letters with `_`, and one by which its unit is converted.

    The latter is empty where the unit is not known.
    """
    if unit in _NO_UNITS:
        return word, ""
    if word in _UNNAMED and linear_of(quantity := f"x_{_UNNAMED[word]}", unit) is not None:
        return word, quantity
    if word in known_fields() and quantity_of(word) and linear_of(word, unit) is not None:
        return word, word
    for end in _ENDS:
        if linear_of(f"x_{end}", unit) is not None:
            return (word if word.endswith(f"_{end}") else f"{word}_{end}"), f"x_{end}"
    return f"{word}_{unit_suffix(unit)}", ""


def spoken_name(field: str) -> tuple[str, str]:
    """Return the word for a field of the message contract, and its unit: `measured_value` gives the name back."""
    if field in _UNNAMED:
        return field, _SPOKEN[_UNNAMED[field]]
    word, _, end = field.rpartition("_")
    if word and end in _SPOKEN:
        return field if word in _UNNAMED else word, _SPOKEN[end]
    return field, ""
