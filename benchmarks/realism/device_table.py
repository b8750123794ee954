"""The table of docs/realism.md about devices: each statistic in `world: 1` and now, beside what is expected."""

from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.realism.receiver_statistics import receiver_statistics
from benchmarks.realism.sensor_statistics import (
    bme280_statistics,
    camera_statistics,
    shop_statistics,
    status_statistics,
)
from benchmarks.realism.trip_statistics import trip_statistics
from devices.firmware.config import FirmwareConfig

_SURVEY = "NHTS 2017"
_ORBITS = "orbits of 12 h"
_NMEA = "u-blox"
_JUDGEMENT = "judgement"
_SHEET = "BST-BME280-DS001, 3.4.4"
EXPECTED = {
    "departures of one vehicle, concentration within the hour (0 to 1)": ("about .2", "25 independent ones: .18"),
    "trips a vehicle and day": ("3.4", _SURVEY),
    "driving of a vehicle and day (min)": ("60", _SURVEY),
    "longest trip (min)": ("above 60", _JUDGEMENT),
    "trips, median length (km)": ("7", _SURVEY),
    "trips, skewness of the length": ("above 1", f"{_SURVEY}: median 7, mean 15 km"),
    "driving in an hour from 0 to 4 h, of the day's (%)": ("below 1", _JUDGEMENT),
    "accelerations of .5 to 1 m/s² beside those next to them": ("no hole", _JUDGEMENT),
    "brakings that are the same half a second later (%)": ("few", _JUDGEMENT),
    "jerk over half a second, 99th percentile (m/s³)": ("below 2.5", _JUDGEMENT),
    "greatest sideways acceleration (m/s²)": ("at most 4", _JUDGEMENT),
    "fastest vehicle (km/h)": ("below 165", "DfT 2022: a thin tail"),
    "hard brakings that are less than .04 g beyond the threshold of .28 g (%)": ("40 to 55", "Pickands 1975"),
    "heights of a satellite in 8 h, most of one number (degrees)": ("above 20", _ORBITS),
    "epochs at full seconds (%)": ("100", _NMEA),
    "epochs of which GGA says as many satellites as the message (%)": ("100", _NMEA),
    "geoid at Paris (m)": ("44.6", "EGM2008"),
    "one satellite more, of which the mean HDOP rises (%)": ("0", "geometry"),
    "HDOP with most satellites, beside the least there is": ("1", "geometry"),
    "first HDOP after a `gps_loss` of ten minutes, mean": ("above 2", "geometry of four satellites"),
    "room, storms a day read every 1 s": ("as every 60 s", "physical time"),
    "room, storms a day read every 10 s": ("as every 60 s", "physical time"),
    "room, greatest change of the pressure in 10 s (hPa)": ("below .3", "the chip's noise is .033"),
    "room, storms a day read every 60 s": ("below 8", _JUDGEMENT),
    "two units of a site outdoors, sd of the difference (°C)": ("tenths", _JUDGEMENT),
    "register path, filter 16: autocorrelation from one conversion to the next": (".94", _SHEET),
    "status messages of a device that stays connected, an hour": ("12", "Tasmota: every 300 s"),
    "people who come from 20 to 9 h (%)": ("0", "opening hours"),
    "people who come from 2 to 4 h, a day and door": ("0", "opening hours"),
    "least that a counter says are inside": ("may be below 0", "counters miss 3 %"),
    "total that a counter shows at 3 h": ("0", "reset at night"),
    "readings of cameras with more vehicles than passed (%)": (".5 to 20", _JUDGEMENT),
    "coloured vehicles that cameras see, night beside day": ("below .65", _JUDGEMENT),
}
"""What real devices show, and the source."""


def device_table(seeds: Sequence[int], *, short: bool = False) -> list[str]:
    """Return statistic | before | now | expected | source, means over the seeds; `short` looks at fewer devices."""
    before, now = (_means(version, seeds, short) for version in (1, 2))
    lines = ["| statistic | before, `world: 1` | now, `world: 2` | expected | source |", "|---|---|---|---|---|"]
    for label, (expected, source) in EXPECTED.items():
        lines.append(f"| {label} | {before[label]:.2f} | {now[label]:.2f} | {expected} | {source} |")
    return lines


def _means(version: int, seeds: Sequence[int], short: bool) -> dict[str, float]:
    found = [dict(_statistics(version, seed, short)) for seed in seeds]
    return {label: float(np.mean([one[label] for one in found])) for label in found[0]}


def _statistics(version: int, seed: int, short: bool) -> Iterator[tuple[str, float]]:
    yield from trip_statistics(version, seed, *(40, 5) if short else (80, 7))
    yield from receiver_statistics(version, seed, *(8, 8) if short else (24, 8))
    yield from bme280_statistics(version, seed, 1 if short else 4)
    # Both worlds have it; before, status came with connections alone.
    yield from status_statistics(FirmwareConfig(status_interval=None) if version == 1 else FirmwareConfig())
    yield from shop_statistics(version, seed, 4 if short else 12)
    yield from camera_statistics(version, seed, 6 if short else 20)
