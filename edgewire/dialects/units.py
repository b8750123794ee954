"""Turns a value in whatever unit a device names into the unit that its canonical name says.

A unit that is not known is never guessed: the value keeps it in its name and a remark tells.

Factors: BIPM SI Brochure, 9th edition, table 8, and NIST SP 811, appendix B.8, where mmHg and inHg are "conventional"
(133.322387415 Pa, 3386.389 Pa) and torr is 101325/760 Pa. Some are there in Russian, Ukrainian and Chinese as well, as
firmwares built in these languages write them (Tasmota's language files). The nautical mile is 1,852 m, the
mile 1,609.344 m, exactly.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

_SPACES = re.compile(r"\s+")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
_WRITTEN = str.maketrans(
    {"\N{MASCULINE ORDINAL INDICATOR}": "°", "\N{DEGREE CELSIUS}": "°C", "\N{DEGREE FAHRENHEIT}": "°F"}
)
"""What is written for a degree sign by mistake, or in one character."""
_ASCII = str.maketrans({"µ": "u", "μ": "u", "²": "2", "³": "3", "°": "deg", "%": "pct", "ω": "ohm"})

Linear = tuple[float, float]
"""Factor and offset: canonical = value x factor + offset."""

_SAME: Linear = (1, 0)

_TEMPERATURE: Mapping[str, Linear] = {
    "°c": _SAME,
    "°f": (5 / 9, -160 / 9),
    "k": (1, -273.15),
    "c": _SAME,
    "f": (5 / 9, -160 / 9),
    "cel": _SAME,
    "celsius": _SAME,
    "fahrenheit": (5 / 9, -160 / 9),
    "kelvin": (1, -273.15),
}
_PRESSURE: Mapping[str, Linear] = {
    "hpa": _SAME,
    "mbar": _SAME,
    "mb": _SAME,
    "bar": (1000, 0),
    "pa": (0.01, 0),
    "kpa": (10, 0),
    "mmhg": (1.33322387415, 0),
    "гпа": _SAME,
    "百帕": _SAME,
    "ммрт.ст.": (1.33322387415, 0),
    "мм.рт.ст.": (1.33322387415, 0),
    "毫米汞柱": (1.33322387415, 0),
    "torr": (1.33322368421, 0),
    "inhg": (33.86389, 0),
    "psi": (68.94757, 0),
}
_SPEED: Mapping[str, Linear] = {
    "km/h": _SAME,
    "kmh": _SAME,
    "kph": _SAME,
    "m/s": (3.6, 0),
    "mph": (1.609344, 0),
    "kn": (1.852, 0),
    "kt": (1.852, 0),
    "knots": (1.852, 0),
    "ft/s": (1.09728, 0),
    "yd/s": (3.29184, 0),
    "км/ч": _SAME,
    "км/год": _SAME,
    "м/с": (3.6, 0),
}
_LENGTH: Mapping[str, Linear] = {
    "m": _SAME,
    "km": (1000, 0),
    "cm": (0.01, 0),
    "mm": (0.001, 0),
    "ft": (0.3048, 0),
    "mi": (1609.344, 0),
}
_SIGNAL: Mapping[str, Linear] = {"dbm": _SAME}
_PERCENT: Mapping[str, Linear] = {"%": _SAME, "%rh": _SAME}
_VOLTAGE: Mapping[str, Linear] = {"v": _SAME, "mv": (0.001, 0)}
_CURRENT: Mapping[str, Linear] = {"a": _SAME, "ma": (0.001, 0)}
_POWER: Mapping[str, Linear] = {"w": _SAME, "kw": (1000, 0), "mw": (0.001, 0)}
_ENERGY: Mapping[str, Linear] = {
    "wh": _SAME,
    "kwh": (1000, 0),
    "mwh": (1e6, 0),
    "j": (1 / 3600, 0),
    "wmin": (1 / 60, 0),
}
_DURATION: Mapping[str, Linear] = {"s": _SAME, "ms": (0.001, 0), "min": (60, 0), "h": (3600, 0), "d": (86400, 0)}
_ANGLE: Mapping[str, Linear] = {"°": _SAME, "deg": _SAME, "rad": (57.29577951308232, 0)}

QUANTITIES: Mapping[str, Mapping[str, Linear]] = MappingProxyType(
    {
        "c": _TEMPERATURE,
        "hpa": _PRESSURE,
        "kmh": _SPEED,
        "m": _LENGTH,
        "dbm": _SIGNAL,
        "pct": _PERCENT,
        "v": _VOLTAGE,
        "a": _CURRENT,
        "w": _POWER,
        "wh": _ENERGY,
        "s": _DURATION,
        "deg": _ANGLE,
    }
)
"""End of a canonical name -> unit, in small letters -> how it is converted. `mW` and `MW` differ in nothing else than
their letters, as do `mWh` and `MWh`: see `_CASED`."""
_CASED: Mapping[str, Linear] = {"MW": (1e6, 0), "mW": (0.001, 0), "MWh": (1e6, 0), "mWh": (0.001, 0)}
_IN_PERCENT = frozenset({"humidity"})
"""Names of the message contract that do not end in their unit."""


def quantity_of(name: str) -> Mapping[str, Linear]:
    """Return the units that a canonical name takes; none where it has no unit."""
    if name in _IN_PERCENT:
        return _PERCENT
    return QUANTITIES.get(name.rpartition("_")[2], {})


def to_canonical(name: str, value: float, unit: str) -> float | None:
    """Return a value in the unit of its canonical name; None where this unit is not known for it.

    The result is rounded to nine decimals, which is finer than any sensor's step.
    """
    linear = linear_of(name, unit)
    if linear is _SAME or linear is None:
        return None if linear is None else value
    factor, offset = linear
    return round(value * factor + offset, 9)


def linear_units(name: str, unit: str) -> Linear:
    """Return factor and offset of a unit that is known for a canonical name: canonical = value x factor + offset.

    Raises `KeyError` for one that is not.
    """
    linear = linear_of(name, unit)
    if linear is None:
        raise KeyError(unit)
    return linear


def from_canonical(name: str, value: float, unit: str) -> float | None:
    """Return a value of a canonical name in another unit, the inverse of `to_canonical`; None for an unknown unit."""
    linear = linear_of(name, unit)
    if linear is None:
        return None
    factor, offset = linear
    return value if linear is _SAME else round((value - offset) / factor, 9)


def unit_suffix(unit: str) -> str:
    """Return a unit as the end of a name, for what is kept under a unit that is not known: `µg/m³` is `ug_m3`."""
    text = unit.strip().lower().translate(_ASCII)
    return _NOT_IN_NAMES.sub("_", text).strip("_") or "unit"


def numbered(name: str, number: int) -> str:
    """Return the canonical name of one of several values: `power_w` and 2 are `power2_w`."""
    stem, _, unit = name.rpartition("_")
    return f"{stem}{number}_{unit}" if stem else f"{name}{number}"


@lru_cache(4096)
def linear_of(name: str, unit: str) -> Linear | None:
    """Return factor and offset from a unit to that of a canonical name; None where this unit is not known for it."""
    written = _SPACES.sub("", unit).translate(_WRITTEN)
    if written in _CASED and name.endswith(("_w", "_wh")):
        return _CASED[written]
    return quantity_of(name).get(written.lower())
