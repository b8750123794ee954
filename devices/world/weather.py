"""Weather and the air outdoors, as all who ask for them know them; what they are computed by is an `Atmosphere`."""

from dataclasses import dataclass, fields
from typing import Literal, Protocol

import numpy as np

from devices.world.random import Flags, Floats, Ints
from devices.world.runs import distinct

Season = Literal["calendar", "winter", "summer"]
"""By the date, or held at the middle of one."""


RAIN_AND_MIST = slice(3, 5)
"""Among the fields of `Weather`."""
CONDITIONS = ("sunny", "foggy", "rainy")


@dataclass(frozen=True, slots=True)
class Weather:
    """Hold the weather, one value a row."""

    temperature: Floats
    """Anomaly of the air mass."""
    pressure: Floats
    """Anomaly; low means a depression."""
    moisture: Floats
    """Anomaly of the relative humidity."""
    rain: Floats
    """0 = dry, 1 = heavy."""
    mist: Floats
    """0 = clear air, 1 = dense fog."""
    wind: Floats
    """Mean wind in m/s at 10 m."""
    storm: Floats
    """0 outside, 1 in the core of a deep low."""
    front: Floats
    """1 where two air masses meet."""
    clear: Floats
    """0 outside, 1 in the core of a strong high."""

    @property
    def fog(self) -> Flags:
        """Tell whether sight is reduced by fog."""
        return _is_foggy(self.rain, self.mist)

    def take(self, rows: Ints) -> "Weather":
        """Return some of the rows."""
        return Weather(*(getattr(self, field.name)[rows] for field in fields(self)))

    def conditions(self) -> list[str]:
        """Name each: sunny, rainy or foggy."""
        names: list[str] = np.array(CONDITIONS, dtype=object)[self.condition_numbers()].tolist()
        return names

    def condition_numbers(self) -> Ints:
        """Return the position of each in `CONDITIONS`."""
        return condition_numbers(self.rain, self.mist)


def condition_numbers(rain: Floats, mist: Floats) -> Ints:
    """Return the position of each condition in `CONDITIONS`."""
    return np.where(rain > 0, CONDITIONS.index("rainy"), _is_foggy(rain, mist).astype(np.int64))


def _is_foggy(rain: Floats, mist: Floats) -> Flags:
    return (mist > 0.02) & (rain <= 0)


@dataclass(frozen=True, slots=True)
class Air:
    """The air outdoors; one value a row. The three are consistent: vapour pressure by Magnus, pressure by altitude."""

    temperature_c: Floats
    dew_point_c: Floats
    """Never above the temperature."""
    humidity: Floats
    """Relative, in percent."""
    pressure_hpa: Floats
    """At the site's altitude."""


class Atmosphere(Protocol):
    """A model of the weather over the sites of one world."""

    def weather(self, sites: Ints, times_ms: Ints) -> Weather:
        """Return the weather at these sites and instants."""
        ...

    def rain_and_mist(self, sites: Ints, times_ms: Ints) -> tuple[Floats, Floats]:
        """Return these two of `weather`: most who ask for it want to know how far one sees, and how wet roads are."""
        ...

    def outdoor_air(self, sites: Ints, times_ms: Ints, season: Season = "calendar") -> Air:
        """Return the air outdoors at these sites and instants."""
        ...


def distinct_moments(sites: Ints, times_ms: Ints) -> tuple[Ints, Ints, Ints]:
    """Return the sites and instants that differ, and the position of each row's: units of a site share its weather."""
    _, first, position = distinct((times_ms << 16) + sites)
    return sites[first], times_ms[first], position


def vapour_pressure_hpa(dew_point_c: Floats) -> Floats:
    """Return that of air with this dew point, by the Magnus formula over water (WMO-No. 8, annex 4.B)."""
    return np.asarray(6.112 * np.exp(17.62 * dew_point_c / (243.12 + dew_point_c)))


def dew_point_c(temperature_c: Floats, humidity: Floats) -> Floats:
    """Return the dew point of air with this relative humidity (percent), by the same formula; below 1 % it is 1 %."""
    share = np.log(np.maximum(humidity, 1.0) / 100) + 17.62 * temperature_c / (243.12 + temperature_c)
    return np.asarray(243.12 * share / (17.62 - share))
