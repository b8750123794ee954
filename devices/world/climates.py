"""Climates as normals by month: of Köppen's classes, or of a place that a user gives."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from devices.world.random import Floats

MONTHS = 12


@dataclass(frozen=True, slots=True, eq=False)
class Normals:
    """Holds twelve values each, January first."""

    temperature_c: Floats
    """Mean of all hours."""
    range_c: Floats
    """Mean of the days' maximum less their minimum."""
    spread_c: Floats
    """Deviation of the daily means from one day to another."""
    humidity: Floats
    """Mean relative humidity of all hours, in percent."""
    pressure_hpa: Floats
    """Mean at sea level."""
    pressure_spread_hpa: Floats
    """Deviation of all hours."""
    rain_share: float
    """Share of the hours with rain."""
    dew_point_spread_c: Floats | None = None
    """Deviation of the daily means of the dew point; none: as is usual at the temperature."""
    dew_point_correlation: Floats | None = None
    """Of the daily means of temperature and dew point; none: as is usual in the season."""

    def half_a_year_later(self) -> "Normals":
        """Return those of the other hemisphere."""
        return replace(self, **{name: np.roll(getattr(self, name), MONTHS // 2) for name in MONTHLY})


MONTHLY = ("temperature_c", "range_c", "spread_c", "humidity", "pressure_hpa", "pressure_spread_hpa")
"""The columns of a table of normals."""
DEW_POINT = ("dew_point_spread_c", "dew_point_correlation")
"""Those that it can have as well."""


def middles(months: Floats) -> Floats:
    """Return what a course through the middles of the months has there, so that each month has these means of its own.

    A straight line between the middles flattens the year: of a month's mean, its own middle has three quarters, and
    those beside it an eighth each (Killworth, 1996, J. Phys. Oceanogr. 26, 1748).
    """
    one = np.eye(MONTHS)
    beside = np.roll(one, 1, axis=0) + np.roll(one, -1, axis=0)
    return np.asarray(np.linalg.solve(0.75 * one + 0.125 * beside, months))


@dataclass(frozen=True, slots=True, eq=False)
class KoeppenClimate:
    """A climate of which any site may be."""

    normals: Normals
    """Of the northern hemisphere."""
    altitude_m: float
    """Of the place that they are from: it is cooler above and warmer below."""
    persistence: float = 0.0
    """Of the variance of the air's own warmth, what stays for days, as an ocean to windward has it."""


def _climate(
    altitude_m: float,
    rain: float,
    sea: tuple[float, float],
    persistence: float = 0.0,
    *,
    t: str,
    day: str,
    days: str,
    rh: str,
    hpa: str,
) -> KoeppenClimate:
    """Take means at sea level as the year's and half of January less July; the others are twelve numbers each."""
    rows = [np.array([float(word) for word in text.split()]) for text in (t, day, days, rh, hpa)]
    pressure = sea[0] + sea[1] * np.cos(2 * np.pi * (np.arange(MONTHS) - 0.5) / MONTHS)
    temperature, ranges, spread, humidity, deviation = rows
    return KoeppenClimate(
        Normals(temperature, ranges, spread, humidity, pressure, deviation, rain), altitude_m, persistence
    )


_CFA = _climate(  # New York
    10, 0.10, (1017.0, 1.0),
    t="0.9 2.2 6.0 12.1 17.3 22.2 25.3 24.5 20.7 14.4 8.9 3.9",
    day="6.6 7.0 7.7 8.8 8.9 8.6 8.0 7.8 7.9 7.6 6.9 6.4",
    days="4.8 4.6 4.5 4.1 3.6 3.0 2.5 2.3 3.0 3.6 4.2 4.6",
    rh="64 62 60 58 64 67 66 68 68 65 64 65",
    hpa="7.9 7.8 7.6 6.8 5.7 5.1 4.6 4.6 5.4 6.6 7.4 7.9",
)  # fmt: skip
_CFB = _climate(  # Paris
    60, 0.12, (1016.0, 1.0),
    t="4.9 5.6 8.8 11.7 15.2 18.5 20.4 20.3 16.6 12.8 8.2 5.5",
    day="4.8 5.9 8.0 9.6 9.8 10.2 10.4 10.3 9.2 7.0 5.2 4.6",
    days="3.8 3.8 3.2 3.0 3.0 3.0 3.0 2.9 2.6 2.9 3.3 3.7",
    rh="84 80 75 70 71 70 69 70 76 83 86 87",
    hpa="11 11 10 8.5 6.8 5.6 5.0 5.2 6.8 8.6 10 11",
)  # fmt: skip
_CSA = _climate(  # Athens
    100, 0.06, (1015.5, 3.5),
    t="10.2 10.8 13.1 16.7 21.5 26.4 29.2 29.2 24.9 20.0 15.6 11.8",
    day="6.2 6.8 7.6 8.8 9.4 9.8 9.6 9.4 8.8 7.6 6.6 6.0",
    days="3.0 3.0 2.8 2.5 2.4 2.2 1.9 1.8 2.2 2.5 2.7 2.9",
    rh="72 70 66 61 56 50 45 46 54 65 72 74",
    hpa="6.8 6.5 6.0 4.6 3.6 3.1 2.7 2.7 3.5 4.3 5.4 6.5",
)  # fmt: skip
_CSB = _climate(  # Seattle
    130, 0.11, (1017.0, 0.0), 0.78,
    t="5.6 6.3 8.1 10.6 14.1 16.6 19.6 19.8 16.6 11.9 8.1 5.4",
    day="5.5 6.8 8.0 9.3 10.3 10.6 11.8 11.5 10.0 7.4 5.7 5.0",
    days="3.1 2.8 2.3 2.3 2.6 2.6 2.6 2.4 2.4 2.3 2.9 3.2",
    rh="80 77 73 70 68 66 63 66 71 79 82 83",
    hpa="9.0 8.6 8.0 6.6 5.0 4.4 3.7 3.8 4.9 6.8 8.6 9.2",
)  # fmt: skip
_BWH = _climate(  # Riyadh
    600, 0.01, (1008.0, 9.0),
    t="14.6 17.4 21.6 27.3 33.1 35.8 36.9 37.0 33.7 28.5 21.4 16.3",
    day="12.0 13.0 13.4 13.4 14.0 14.5 14.4 14.5 14.8 14.4 12.5 11.8",
    days="2.8 3.1 3.2 2.9 2.4 1.7 1.5 1.4 1.6 1.9 2.5 2.8",
    rh="47 38 34 28 18 11 10 13 14 20 36 47",
    hpa="3.2 3.3 3.3 2.8 2.2 2.0 1.8 1.8 1.9 2.0 2.5 3.0",
)  # fmt: skip
_BSK = _climate(  # Denver
    1600, 0.05, (1015.0, 1.5),
    t="-0.4 0.4 5.1 8.9 14.2 20.2 23.9 22.7 18.1 10.9 4.7 -0.4",
    day="14.5 14.5 15.2 15.0 15.0 16.3 16.6 16.3 16.6 16.0 15.0 14.3",
    days="6.0 6.0 5.6 4.9 4.2 3.6 2.5 2.4 4.0 5.0 5.6 6.0",
    rh="54 54 51 50 52 48 47 49 48 48 53 55",
    hpa="7.0 7.0 6.8 6.2 5.2 4.5 3.6 3.5 4.8 6.0 7.0 7.2",
)  # fmt: skip
_DFB = _climate(  # Moscow
    150, 0.13, (1015.0, 3.0),
    t="-6.2 -5.9 -0.7 6.9 13.6 17.3 19.7 17.6 11.9 5.8 -0.5 -4.4",
    day="5.0 5.9 7.3 9.0 10.5 10.0 9.8 9.4 8.0 5.7 4.2 4.4",
    days="6.0 6.0 4.6 4.2 4.0 3.7 3.1 3.2 3.2 4.0 4.7 5.6",
    rh="84 80 73 66 62 69 71 75 80 83 86 86",
    hpa="12 11.5 10.5 8.5 7.0 6.0 5.2 5.6 7.5 9.5 11 11.7",
)  # fmt: skip
_DFC = _climate(  # Fairbanks
    130, 0.08, (1012.0, 2.0),
    t="-22.2 -18.6 -12.2 0.5 9.9 15.9 17.1 13.8 7.7 -3.3 -15.6 -20.0",
    day="9.5 11.4 13.9 12.6 12.8 12.4 11.7 11.2 10.7 7.8 8.6 8.9",
    days="9.0 8.5 7.0 4.6 3.7 3.1 2.7 3.0 3.7 5.3 7.5 8.8",
    rh="68 66 61 57 51 57 64 70 70 74 73 70",
    hpa="11.5 11 10.5 8.5 7.0 6.0 5.5 6.2 8.0 9.8 11 11.5",
)  # fmt: skip
_AF = _climate(  # Singapore
    15, 0.13, (1009.7, 0.3),
    t="26.8 27.3 27.8 28.2 28.6 28.5 28.2 28.1 28.0 27.9 27.2 26.8",
    day="6.2 7.2 7.6 7.6 7.1 6.6 6.4 6.3 6.6 7.2 7.0 6.3",
    days="1.1 1.0 0.9 0.9 0.9 1.0 1.0 1.0 1.0 0.9 0.9 1.0",
    rh="83 81 82 83 83 81 81 81 81 82 85 85",
    hpa="1.3 1.3 1.2 1.1 1.0 1.0 1.0 1.0 1.0 1.1 1.2 1.3",
)  # fmt: skip
_AW = _climate(  # Bangkok
    5, 0.09, (1009.0, 2.5),
    t="27.6 28.7 29.8 30.8 30.5 29.8 29.3 29.1 28.7 28.5 28.4 27.4",
    day="9.6 8.8 8.0 8.0 7.6 7.1 6.9 6.9 7.2 7.4 8.4 9.5",
    days="1.5 1.3 1.2 1.2 1.2 1.0 0.9 0.9 0.9 1.0 1.4 1.7",
    rh="68 72 73 74 76 76 77 78 81 80 73 68",
    hpa="1.8 1.8 1.7 1.5 1.3 1.2 1.2 1.2 1.3 1.5 1.8 1.9",
)  # fmt: skip
_ET = _climate(  # Utqiagvik
    10, 0.10, (1014.0, 3.0),
    t="-24.5 -25.0 -24.0 -15.8 -5.3 2.3 5.1 4.3 0.6 -6.9 -15.2 -20.7",
    day="6.5 6.6 6.8 6.9 4.9 5.0 6.0 4.9 3.5 4.5 5.9 6.3",
    days="7.0 7.0 6.0 5.0 3.4 2.2 2.6 2.4 2.4 4.3 5.5 6.5",
    rh="72 71 72 77 86 87 86 89 89 86 79 74",
    hpa="11 11 10 8.5 7.0 6.2 6.0 6.3 8.0 9.5 10 10.5",
)  # fmt: skip

KOEPPEN: Mapping[str, KoeppenClimate] = MappingProxyType(
    {
        "Af": _AF, "Aw": _AW, "BWh": _BWH, "BSk": _BSK, "Csa": _CSA, "Csb": _CSB,
        "Cfa": _CFA, "Cfb": _CFB, "Dfb": _DFB, "Dfc": _DFC, "ET": _ET,
    }
)  # fmt: skip
"""By Köppen's class: round figures after the climate of a city, by judgement and not copied from a table of normals;
those of New York were held to two of its airports in 2013."""

PLAIN_NAMES: Mapping[str, str] = MappingProxyType(
    {"temperate": "Cfb", "mediterranean": "Csa", "desert": "BWh", "tropical": "Af", "subarctic": "Dfc"}
)
"""The class that a plain name stands for."""
