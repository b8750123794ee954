"""The satellites of GPS over a place: which are up, where in the sky, and how well they fix a position.

Six planes of five or six satellites go round on circular orbits: the nominal constellation (IS-GPS-200: inclination 55
degrees, half a sidereal day, 26,560 km), their places in the planes spread unevenly as the real ones are.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.world.random import Floats, Ints, hash_bits, uniform
from devices.world.runs import distinct
from devices.world.world import MINUTE_MS, SiteArrays

SATELLITES = 31
_RADIUS_M, _EARTH_M = 26_559_800.0, 6_371_000.0
_SIDEREAL_DAY_MS = 86_164_091
_INCLINATION = np.radians(55.0)
_PLANES = 6
_MASK_DEG = 8.0
"""Lower satellites are not used: houses and trees."""
MOST_USED = 12
FEWEST_USED = 3
_NUMBERS = np.arange(SATELLITES)
_PLANE = _NUMBERS * 5 % _PLANES
_NODE = np.radians(60.0 * _PLANE + 12.0)
# Uneven within 25 degrees, the same for every seed: the sky is one.
_PHASE = 2 * np.pi * (_NUMBERS // _PLANES) / 5.2 + np.radians(
    40.0 * _PLANE + 25.0 * uniform(hash_bits(0, "satellite/phase", _NUMBERS))
)
_MINUTES_KEPT = 20_000


@dataclass(frozen=True, slots=True)
class Sky:
    """Holds the sky over some places and minutes, a row each; satellites in the order of their height."""

    prn: Ints
    elevation_deg: Floats
    azimuth_deg: Floats


class Constellation:
    """The sky over the sites of a world, by the minute; what was computed is kept."""

    def __init__(self, site_arrays: SiteArrays) -> None:
        self._latitude = np.radians(site_arrays.latitude)
        self._longitude = np.radians(site_arrays.longitude)
        self._rows: dict[int, int] = {}
        self._table: NDArray[np.float64] = np.empty((0, 3 * SATELLITES + 1 + MOST_USED + 1))

    def over(self, sites: Ints, times_ms: Ints) -> Sky:
        """Return the sky over each site in the minute of each moment."""
        table, rows = self._table_of(sites, times_ms)
        prn, elevation, azimuth = np.split(table[rows, : 3 * SATELLITES], [SATELLITES, 2 * SATELLITES], axis=1)
        return Sky(prn.astype(np.int64), elevation, azimuth)

    def usable(self, sites: Ints, times_ms: Ints) -> tuple[Ints, Callable[[Ints], Floats]]:
        """Return how many satellites are high enough to be used, and what tells the HDOP of the highest so many.

        It is infinite for fewer than three.
        """
        table, rows = self._table_of(sites, times_ms)

        def dilution(used: Ints) -> Floats:
            return np.asarray(table[rows, 3 * SATELLITES + 1 + used])

        return table[rows, 3 * SATELLITES].astype(np.int64), dilution

    def _table_of(self, sites: Ints, times_ms: Ints) -> tuple[Floats, Ints]:
        """Return a table and the row in it of each site and moment."""
        rows = self._minutes(sites, times_ms)
        return self._table, rows

    def _minutes(self, sites: Ints, times_ms: Ints) -> Ints:
        """Return the row of the table for each site and moment, computed if it was not yet."""
        codes, _, position = distinct((times_ms // MINUTE_MS << 16) + sites)
        missing = [code for code in codes.tolist() if code not in self._rows]
        if missing:
            if len(self._rows) + len(missing) > _MINUTES_KEPT:
                self._rows.clear()
                self._table, missing = self._table[:0], codes.tolist()
            new = np.array(missing)
            first = len(self._table)
            self._table = np.concatenate([self._table, self._compute(new & 0xFFFF, (new >> 16) * MINUTE_MS)])
            self._rows.update(zip(missing, range(first, first + len(missing)), strict=True))
        return np.array([self._rows[code] for code in codes.tolist()], dtype=np.int64)[position]

    def _compute(self, sites: Ints, times_ms: Ints) -> Floats:
        turn = 2 * np.pi * (times_ms % (_SIDEREAL_DAY_MS * 365) / _SIDEREAL_DAY_MS)[:, None]
        along = _PHASE + 2 * turn
        # Longitudes of the nodes go back as the earth turns.
        node = _NODE - turn
        x = np.cos(node) * np.cos(along) - np.sin(node) * np.sin(along) * np.cos(_INCLINATION)
        y = np.sin(node) * np.cos(along) + np.cos(node) * np.sin(along) * np.cos(_INCLINATION)
        z = np.sin(along) * np.sin(_INCLINATION)
        latitude, longitude = self._latitude[sites][:, None], self._longitude[sites][:, None]
        east = -np.sin(longitude) * x + np.cos(longitude) * y
        outward = np.cos(longitude) * x + np.sin(longitude) * y
        north = np.cos(latitude) * z - np.sin(latitude) * outward
        up = np.cos(latitude) * outward + np.sin(latitude) * z - _EARTH_M / _RADIUS_M
        elevation = np.degrees(np.arctan2(up, np.hypot(east, north)))
        azimuth = np.degrees(np.arctan2(east, north)) % 360
        order = np.argsort(-elevation, axis=1, kind="stable")
        elevation, azimuth = np.take_along_axis(elevation, order, 1), np.take_along_axis(azimuth, order, 1)
        visible = (elevation > _MASK_DEG).sum(axis=1)
        hdop = _dilution(elevation, azimuth)
        return np.concatenate([order + 1.0, elevation, azimuth, visible[:, None], hdop], axis=1)


def _dilution(elevation_deg: Floats, azimuth_deg: Floats) -> Floats:
    """Return the HDOP of a position from the highest so many satellites, [row, number used]."""
    height, direction = np.radians(elevation_deg), np.radians(azimuth_deg)
    lines = np.stack(
        [np.cos(height) * np.sin(direction), np.cos(height) * np.cos(direction), np.sin(height), np.ones_like(height)],
        axis=2,
    )
    found = np.full((len(lines), MOST_USED + 1), np.inf)
    for number in range(FEWEST_USED, MOST_USED + 1):
        # Three fix a position at a known height.
        used = lines[:, :number] if number > FEWEST_USED else lines[:, :number][:, :, [0, 1, 3]]
        square = np.swapaxes(used, 1, 2) @ used
        inverse = np.linalg.inv(square + 1e-6 * np.eye(square.shape[1]))
        found[:, number] = np.sqrt(inverse[:, 0, 0] + inverse[:, 1, 1])
    # A further satellite never makes a fix worse; rounding may.
    return np.asarray(np.minimum.accumulate(np.clip(found, 0.5, 50.0), axis=1))
