"""Fields over the globe and over time as sums of waves that travel eastwards: exact spectra, at any time directly.

A wave is cos(m λ + k φ - ω t + phase), with an integer m, so that it closes around the globe. Its frequencies are drawn
from an exponential distribution, one from each of as many equal shares: the autocorrelation at a place is
1 / (1 + (s τ)²), which is what sea-level pressure and daily temperature have (`SYNOPTIC_RATE` below), and no two
seeds or years repeat. Close to a pole fields turn with the longitude.
"""

from collections.abc import Iterator

import numpy as np

from devices.world.random import Floats, Ints, hash_bits, normal, uniform
from devices.world.world import HOUR_MS

WAVES = 40
# Lows move eastwards at about 10 m/s, and reach 900 km north and south (one deviation of a Gaussian).
_EASTWARD_KM_H, _MERIDIONAL_KM = 36.0, 900.0
# Wavelengths are those of the phase speed at this latitude, give or take so many around the globe.
_USUAL_LATITUDE_DEG, _ZONAL_SPREAD = 45.0, 2.5
_EARTH_KM = 6371.0


class PlanetaryWaves:
    """One field and its quadrature, a quarter of each wave later, both of mean 0 and variance 1."""

    def __init__(
        self, seed: int, stream: str, rate_per_h: float, waves: int = WAVES, least_rate_per_h: float = 0.0
    ) -> None:
        """Draw the waves: at 1 / `rate_per_h` the autocorrelation has fallen to a half.

        That is the mean angular frequency above the least, which leaves out what is slower.
        """
        number = np.arange(waves)
        draw = [hash_bits(seed, f"waves/{stream}/{name}", number) for name in ("period", "phase", "east", "north")]
        share = (number + uniform(draw[0])) / waves
        frequency = least_rate_per_h - rate_per_h * np.log1p(-share)
        around = frequency / _EASTWARD_KM_H * _EARTH_KM * np.cos(np.radians(_USUAL_LATITUDE_DEG))
        self._frequency = frequency / HOUR_MS
        self._phase = 2 * np.pi * uniform(draw[1])
        self._around = np.rint(around + _ZONAL_SPREAD * normal(draw[2]))
        self._north = _EARTH_KM / _MERIDIONAL_KM * normal(draw[3])

    def over(self, longitude_deg: Floats, latitude_deg: Floats) -> "WavesOverPlaces":
        """Return the waves as these places see them."""
        longitude, latitude = np.radians(longitude_deg), np.radians(latitude_deg)
        place = self._around[:, None] * longitude + self._north[:, None] * latitude + self._phase[:, None]
        return WavesOverPlaces(place, self._frequency)


class WavesOverPlaces:
    """One field of waves over places that are numbered from 0.

    Sums run term by term, so that a value has the same bits in any company.
    """

    def __init__(self, phases: Floats, frequencies: Floats) -> None:
        """`phases` has a row for each wave and a column for each place."""
        self._phases, self._frequencies = phases, frequencies
        self._weight = float(np.sqrt(2 / len(frequencies)))

    def at(self, places: Ints, times_ms: Floats) -> tuple[Floats, Floats]:
        """Return the field and its quadrature at these places and instants."""
        field, quadrature = np.zeros(len(times_ms)), np.zeros(len(times_ms))
        for angle in self._angles(places, times_ms):
            field += np.cos(angle)
            quadrature += np.sin(angle)
        return self._weight * field, self._weight * quadrature

    def field_at(self, places: Ints, times_ms: Floats) -> Floats:
        """Return the field alone, as `at` does."""
        field = np.zeros(len(times_ms))
        for angle in self._angles(places, times_ms):
            field += np.cos(angle)
        return self._weight * field

    def _angles(self, places: Ints, times_ms: Floats) -> Iterator[Floats]:
        for phases, frequency in zip(self._phases, self._frequencies, strict=True):
            yield phases.take(places) - frequency * times_ms
