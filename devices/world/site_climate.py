"""What a site's climate gives for each month, and what follows from it so that its normals come out."""

from dataclasses import replace
from statistics import NormalDist

import numpy as np

from devices.world.climates import DEW_POINT, KOEPPEN, MONTHLY, PLAIN_NAMES, Normals, middles
from devices.world.dew_point import cloudiness, dew_warm_of, mean_depressions
from devices.world.world import MonthlyClimate, Site

LAPSE_K_PER_M = 0.0065  # ICAO standard atmosphere
# The range that a day would have without sun: of the days' deviation, and in K. Fitted to this model's own years.
_ADVECTED_RANGE, _BREATHED_RANGE_C = 0.8, 1.8
# What the course of the sun has of the range at the least. The sea's breeze takes of it, and so it has more on a coast.
_LEAST_COURSE, _COAST_COURSE = 0.3, 0.08
# Of the pressure's deviation lows and highs that pass have this much at the most (hPa), south and north of where highs
# block them for weeks: a month at Gatwick deviates by 10 hPa, and its days change no more than New York's.
_PASSING_HPA, _PASSING_LATITUDE_DEG = (14.0, 7.2), (42.0, 52.0)
# Deviation of the dew point beside that of the temperature, by the month's temperature; New York 1.7 in winter and 1.4
# in summer, Miami .9; a coast has dry air from the land as well.
_DEW_SPREAD, _DEW_SPREAD_AT_C, _DEW_SPREAD_COAST = (1.5, 1.5, 0.85), (8.0, 20.0, 27.0), 0.2
# Skewness of the dew point -.1 in New York's winter, and -1 in its summer and in Miami.
_DEW_SKEW, _DEW_SKEW_AT_C = 0.33, (8.0, 20.0)
# How much hot ground lifts, by the month's mean dew point: readings from one hour to the next in the afternoons of five
# stations, which vary by .6 K in New York's winter, 1 K in its summer and 1.4 K in Greensboro's.
_CONVECTION, _CONVECTION_AT_C = (0.25, 1.1, 1.6), (12.0, 20.0, 24.0)
# Where summers are cool the dew point goes with the temperature all year: it is .7 at Aberdeen in summer.
_COOL_C = (12.0, 20.0)
# Seas and soils lag behind the sun: in spring the dew point parts from the temperature as in a summer that is so many
# months ahead, and in autumn it still goes with it (.3 and .7 of the changes in a day at New York).
_LEADS = 0.7
# Clouds make days differ more in winter and spring than in summer, where each day has its own cumulus: deviation of the
# day's range 4.5 and 2.2 K at Greensboro, 3.3 and 1.5 K at Miami.
_CLOUDY = (1.2, 0.7)
# Lows of summer are weak and slow: the change in 12 h is a quarter less at four stations. What highs make slow is half
# lost to the mean of a month, which a deviation within it does not have.
_PASSING_SUMMER, _BLOCKING = 0.83, 1.35
# Of a deviation of daily means: what the mean over a day takes.
_SPREAD = 1.07
_HUMIDITIES = (1.0, 99.0)
# The sea's breeze, of that in summer: in winter the sea is as warm as the land.
_BREEZE, _BREEZE_AT = (0.15, 1.0), (0.0, 0.5)
# A year with less than this between its months has no cold ones, and one with more has seasons.
_SEASONLESS_K = (3.0, 7.0)

COLUMNS = (
    *MONTHLY,
    "course_c",
    "depression_c",
    "dew_spread_c",
    "quiver",
    "passing_hpa",
    "blocking_hpa",
    "dew_warm",
    "dew_skew",
    "cloudy",
    "convection",
    "breeze",
    "summer",
)
"""Of `SiteClimate.table`: the range of the sun's course, how far the dew point is below, its deviation, how much passes
within hours, the pressure's deviation by lows that pass and highs that stay, the arguments of `dew_deviation`,
`cloudiness`, how much the ground's heat lifts and the sea's breeze blows, and the season: 0 in the coldest months, 1 in
the warmest."""


class SiteClimate:
    """Holds twelve values for each of `COLUMNS`."""

    def __init__(self, site: Site) -> None:
        normals, lapse, self.persistence = _normals_of(site)
        normals = _at_middles(replace(normals, spread_c=_SPREAD * normals.spread_c))
        temperature = normals.temperature_c - lapse
        self.rain_from = NormalDist().inv_cdf(1 - normals.rain_share)
        sunless = _ADVECTED_RANGE * normals.spread_c + _BREATHED_RANGE_C
        dew_spread = np.interp(temperature, _DEW_SPREAD_AT_C, _DEW_SPREAD) + _DEW_SPREAD_COAST * site.coast
        dew_spread = dew_spread * normals.spread_c
        year = np.ptp(temperature)
        summer = np.clip((temperature - temperature.min() - 0.1 * year) / (0.8 * max(year, 1.0)), 0, 1)
        summer = np.maximum(summer, np.interp(year, _SEASONLESS_K, (1.0, 0.0)))
        dew_warm = (summer + _LEADS * (np.roll(summer, -1) - summer)) * np.interp(temperature, _COOL_C, (0.0, 1.0))
        breeze = site.coast * np.interp(summer, _BREEZE_AT, _BREEZE)
        course = (1 + _COAST_COURSE * breeze) * np.maximum(
            np.sqrt(np.maximum(normals.range_c**2 - sunless**2, 0)), _LEAST_COURSE * normals.range_c
        )
        if normals.dew_point_spread_c is not None:
            dew_spread = _SPREAD * normals.dew_point_spread_c
        if normals.dew_point_correlation is not None:
            dew_warm = dew_warm_of(normals.dew_point_correlation, summer)
        dew_skew = np.interp(temperature, _DEW_SKEW_AT_C, (0.0, _DEW_SKEW))
        # In the tropics air hardly changes: what passes within hours is less as well.
        # Where deep lows pass it is more, as at Aberdeen in winter; where days have no range, as at Moscow, it is less.
        quiver = np.clip(normals.spread_c / 2.5, 0.5, 1.1) * np.sqrt(np.clip(normals.pressure_spread_hpa / 7, 0.8, 1.7))
        quiver = quiver * np.clip(normals.range_c / sunless, 0.3, 1.0) ** 2
        most = np.interp(abs(site.latitude), _PASSING_LATITUDE_DEG, _PASSING_HPA)
        passing = normals.pressure_spread_hpa / (1 + (normals.pressure_spread_hpa / most) ** 6) ** (1 / 6)
        passing = passing * (1 + (_PASSING_SUMMER - 1) * summer)
        blocking = np.sqrt((normals.pressure_spread_hpa**2 - passing**2) * _BLOCKING)
        cloudy = cloudiness(normals.humidity) * (_CLOUDY[0] + (_CLOUDY[1] - _CLOUDY[0]) * summer)
        depression = mean_depressions(
            temperature,
            normals.spread_c,
            course,
            dew_spread,
            dew_warm,
            dew_skew,
            normals.humidity,
            self.rain_from,
            summer,
            cloudy,
        )
        self.table = np.stack(
            [
                temperature,
                *(getattr(normals, name) for name in MONTHLY[1:]),
                course,
                depression,
                dew_spread,
                quiver,
                passing,
                blocking,
                dew_warm,
                dew_skew,
                cloudy,
                np.interp(temperature - depression, _CONVECTION_AT_C, _CONVECTION),
                breeze,
                summer,
            ]
        )


def _at_middles(normals: Normals) -> Normals:
    """Return the normals with means that are those of the middles of the months rather than of all their days."""
    return replace(
        normals,
        temperature_c=middles(normals.temperature_c),
        range_c=np.maximum(middles(normals.range_c), _LEAST_COURSE * normals.range_c),
        humidity=np.clip(middles(normals.humidity), *_HUMIDITIES),
        pressure_hpa=middles(normals.pressure_hpa),
    )


def _normals_of(site: Site) -> tuple[Normals, float, float]:
    """Return the normals of a site's hemisphere, how much cooler it is than where they are from, its persistence."""
    if isinstance(site.climate, MonthlyClimate):
        rows = site.climate.monthly
        columns = {
            name: np.array([getattr(row, name) for row in rows])
            for name in (*MONTHLY, *DEW_POINT)
            if getattr(rows[0], name) is not None
        }
        return Normals(**columns, rain_share=float(np.mean([row.rain_share for row in rows]))), 0.0, 0.0
    climate = KOEPPEN[PLAIN_NAMES.get(site.climate, site.climate)]
    normals = climate.normals if site.latitude >= 0 else climate.normals.half_a_year_later()
    return normals, LAPSE_K_PER_M * (site.altitude_m - climate.altitude_m), climate.persistence
