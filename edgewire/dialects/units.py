"""Turns a value in whatever unit a device names into the unit that its canonical name says.

A unit that is not known is never guessed: the value keeps it in its name and a remark tells.

Factors: BIPM SI Brochure, 9th edition, table 8, and NIST SP 811, appendix B.8, where mmHg, inHg and the inch of water
are "conventional" (133.322387415 Pa, 3386.389 Pa, 249.08891 Pa), torr is 101325/760 Pa, a calorie is thermochemical
(4.184 J) and a Btu that of the International Table (1055.05585262 J). Some are there in Russian, Ukrainian and Chinese
as well, as firmwares built in these languages write them (Tasmota's language files). The nautical mile is 1,852 m, the
mile 1,609.344 m, exactly.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from edgewire.dialects.values import scaled

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
    "inh2o": (2.4908891, 0),
    "inh₂o": (2.4908891, 0),
    "psi": (68.94757, 0),
    "cbar": (10, 0),
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
    "m/min": (0.06, 0),
    "mm/s": (0.0036, 0),
    "in/s": (0.09144, 0),
    "км/ч": _SAME,
    "км/год": _SAME,
    "м/с": (3.6, 0),
}
_LENGTH: Mapping[str, Linear] = {
    "m": _SAME,
    "km": (1000, 0),
    "cm": (0.01, 0),
    "mm": (0.001, 0),
    "in": (0.0254, 0),
    "ft": (0.3048, 0),
    "yd": (0.9144, 0),
    "mi": (1609.344, 0),
    "nmi": (1852, 0),
}
_SIGNAL: Mapping[str, Linear] = {"dbm": _SAME}
_PERCENT: Mapping[str, Linear] = {"%": _SAME, "%rh": _SAME}
_VOLTAGE: Mapping[str, Linear] = {"v": _SAME, "kv": (1000, 0), "µv": (1e-6, 0), "uv": (1e-6, 0)}
_CURRENT: Mapping[str, Linear] = {"a": _SAME, "ka": (1000, 0), "µa": (1e-6, 0), "ua": (1e-6, 0)}
_POWER: Mapping[str, Linear] = {
    "w": _SAME,
    "kw": (1000, 0),
    "gw": (1e9, 0),
    "tw": (1e12, 0),
    "btu/h": (1055.05585262 / 3600, 0),
}
_ENERGY: Mapping[str, Linear] = {
    "wh": _SAME,
    "kwh": (1000, 0),
    "gwh": (1e9, 0),
    "twh": (1e12, 0),
    "j": (1 / 3600, 0),
    "kj": (1 / 3.6, 0),
    "gj": (1e6 / 3.6, 0),
    "cal": (4.184 / 3600, 0),
    "kcal": (4.184 / 3.6, 0),
    "gcal": (4.184e6 / 3.6, 0),
    "wmin": (1 / 60, 0),
}
_DURATION: Mapping[str, Linear] = {
    "s": _SAME,
    "ms": (0.001, 0),
    "µs": (1e-6, 0),
    "us": (1e-6, 0),
    "min": (60, 0),
    "h": (3600, 0),
    "d": (86400, 0),
    "w": (604800, 0),
}
_FREQUENCY: Mapping[str, Linear] = {"hz": _SAME, "khz": (1000, 0), "ghz": (1e9, 0)}
_APPARENT_POWER: Mapping[str, Linear] = {"va": _SAME, "kva": (1000, 0)}
_REACTIVE_POWER: Mapping[str, Linear] = {"var": _SAME, "kvar": (1000, 0)}
_ILLUMINANCE: Mapping[str, Linear] = {"lx": _SAME, "lux": _SAME, "klx": (1000, 0)}
_PARTS_PER_MILLION: Mapping[str, Linear] = {"ppm": _SAME, "ppb": (0.001, 0)}
_PARTS_PER_BILLION: Mapping[str, Linear] = {"ppb": _SAME, "ppm": (1000, 0)}
_CONCENTRATION: Mapping[str, Linear] = {
    "µg/m³": _SAME,
    "µg/m3": _SAME,
    "ug/m³": _SAME,
    "ug/m3": _SAME,
    "mg/m³": (1000, 0),
    "mg/m3": (1000, 0),
}
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
        "hz": _FREQUENCY,
        "va": _APPARENT_POWER,
        "var": _REACTIVE_POWER,
        "lx": _ILLUMINANCE,
        "ppm": _PARTS_PER_MILLION,
        "ppb": _PARTS_PER_BILLION,
    }
)
"""End of a canonical name -> unit, in small letters -> how it is converted. With milli and mega see
`_PREFIXED`."""
_PREFIXES: Mapping[str, float] = {"m": 0.001, "M": 1e6}
_PREFIXED: Mapping[str, Mapping[str, float]] = {
    "v": {"v": 1},
    "a": {"a": 1},
    "w": {"w": 1},
    "wh": {"wh": 1, "j": 1 / 3600, "cal": 4.184 / 3600},
    "hpa": {"pa": 0.01},
    "hz": {"hz": 1},
    "va": {"va": 1},
    "var": {"var": 1},
}
"""End of a canonical name -> unit that is written behind milli and mega, and its factor. These two differ in nothing
but the size of their letter, and are a thousand million apart."""
_IN_PERCENT = frozenset({"humidity"})
"""Names of the message contract that do not end in their unit."""


def quantity_of(name: str) -> Mapping[str, Linear]:
    """Return the units that a canonical name takes; none where it has no unit."""
    if name in _IN_PERCENT:
        return _PERCENT
    if name.endswith("_ug_m3"):
        return _CONCENTRATION
    return QUANTITIES.get(name.rpartition("_")[2], {})


def to_canonical(name: str, value: float, unit: str) -> float | None:
    """Return a value in the unit of its canonical name; None where this unit is not known for it.

    Raises `DialectError` for one that a double does not hold.
    """
    linear = linear_of(name, unit)
    if linear is _SAME or linear is None:
        return None if linear is None else value
    return scaled(value, *linear)


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
    factor = _PREFIXED.get(name.rpartition("_")[2], {}).get(written[1:].lower())
    if factor is not None and written[0] in _PREFIXES:
        return factor * _PREFIXES[written[0]], 0
    return quantity_of(name).get(written.lower().replace("μ", "µ"))


def known_units(name: str) -> list[str]:
    """Return the units that a canonical name takes, as an error lists them."""
    prefixed = _PREFIXED.get(name.rpartition("_")[2], {})
    return sorted([*quantity_of(name), *(prefix + unit for prefix in _PREFIXES for unit in prefixed)])
