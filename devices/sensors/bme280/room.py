"""A room in physical time, for a plain `bme280`: how fast it changes does not depend on who reads it."""

import numpy as np

from devices.sensors.bme280.environment import RangeSettings, named_events
from devices.world.components import components
from devices.world.noise import GridInterpolator, fractal_noise
from devices.world.random import Floats, Hashes, Ints, hash_bits
from devices.world.weather import Weather, distinct_moments
from devices.world.world import HOUR_MS, MINUTE_MS, World

# Of half a range: what goes with the air outdoors, with the day and with what people do in the room. The pressure is
# that outdoors, as no wall keeps it out: 12.5 hPa of range are three deviations, so lows bring tenths of hPa an hour.
_OUTDOORS = np.array([[0.16], [0.3], [0.34]])
_DAILY_C = 1.2
_PEOPLE = np.array([[0.14], [0.13], [0.0]])
_DRAUGHT = np.array([[0.02], [0.02], [0.002]])
_PEOPLE_MS, _DRAUGHT_MS = 8 * HOUR_MS, 40 * MINUTE_MS
# The quickest part of what people do takes half an hour.
_PEOPLE_STEP_MS = 10 * MINUTE_MS
# A degree warmer is so much dryer, at the same vapour: the slope of Magnus' formula at 22 °C and 50 %.
_PERCENT_PER_K = -3.0


class RoomAir:
    """The air of rooms that are heated, lived in and aired."""

    def __init__(self, settings: RangeSettings, world: World, sites: Ints, rooms: Ints) -> None:
        """A place is a room of a site (0, until a device is reset)."""
        self._settings, self._sites, self._seed = settings, sites, world.seed
        self._atmosphere = components(world).atmosphere
        self._local_ms = components(world).site_arrays.local_ms
        self._keys: Hashes = hash_bits(0, "bme280/room", components(world).site_arrays.keys[sites], rooms)
        self._middle = np.array([[(limits.high + limits.low) / 2] for limits in settings.ranges])
        self._half = np.array([[(limits.high - limits.low) / 2] for limits in settings.ranges])
        self._people = GridInterpolator(self._by_people, len(sites), _PEOPLE_STEP_MS)
        self._grid = GridInterpolator(self._slow, len(sites))

    def air_at(self, places: Ints, times: Ints) -> tuple[Floats, Ints]:
        """Return the air as `Environment` says."""
        found = self._grid.interpolate(places, times)
        return found[:3], named_events(found[3:])

    def _slow(self, places: Ints, times: Ints) -> Floats:
        sites, keys = self._sites[places], self._keys[places]
        towns, moments, position = distinct_moments(sites, times)
        found: Weather = self._atmosphere.weather(towns, moments).take(position)
        outdoors = np.stack([found.temperature, found.moisture, found.pressure])
        draught = [fractal_noise(self._seed, f"room/draught/{row}", keys, times, _DRAUGHT_MS) for row in range(3)]
        air = _OUTDOORS * outdoors + self._people.interpolate(places, times) + _DRAUGHT * np.stack(draught)
        air = self._middle + self._half * air
        if self._settings.daily_pattern:
            # Warmest in the late afternoon of those who live there, as rooms lag behind the sun.
            hour = self._local_ms(sites, times) % (24 * HOUR_MS) / HOUR_MS
            day = _DAILY_C * np.cos(2 * np.pi * (hour - 16.5) / 24)
            air[0] += day
            air[1] += _PERCENT_PER_K * day
        shown = found.storm, found.front, found.clear
        events = np.stack(shown) if self._settings.weather_events else np.zeros((3, len(times)))
        return np.concatenate([air, events])

    def _by_people(self, places: Ints, times: Ints) -> Floats:
        keys = self._keys[places]
        return _PEOPLE * np.stack(
            [fractal_noise(self._seed, f"room/{row}", keys, times, _PEOPLE_MS) for row in range(3)]
        )
