"""When the fleet's vehicles set out: trips are numbered, and any moment lies in the time of one trip of a vehicle.

A trip's time goes from its departure to that of the next; where none is driven in it, the vehicle stands.
"""

from typing import Protocol

import numpy as np

from devices.world.random import Flags, Ints
from devices.world.vehicles.drivers import Drivers
from devices.world.world import HOUR_MS

_LOOKED_BACK_H = 240
_HOURS_UNTIL_2000 = 262_968


class TripSchedule(Protocol):
    """Says of each vehicle which trip is whose time; a pure function of (seed, site, vehicle, time)."""

    longest_s: float
    """No trip is longer."""
    number_in_2000: int
    """Trips are told to users by how many times of trips went before since 2000."""

    def at(self, sites: Ints, vehicles: Ints, times_ms: Ints) -> tuple[Ints, Ints]:
        """Return the number of the trip in whose time these moments are, and the ms since that began."""
        ...

    def begins_ms(self, sites: Ints, vehicles: Ints, trips: Ints) -> Ints:
        """Tell when the times of these trips begin (ms since 1970)."""
        ...

    def hours(self, sites: Ints, vehicles: Ints, trips: Ints) -> Ints:
        """Return the hour of the clock (since 1970) in which the times of these trips begin."""
        ...

    def drives(self, sites: Ints, vehicles: Ints, trips: Ints) -> Flags:
        """Tell which trips are driven."""
        ...

    def of_hour(self, sites: Ints, vehicles: Ints, hour: int) -> Ints:
        """Return the trips [some, vehicle] of which a part may be driven in an hour of the clock, each once."""
        ...

    def last_driven(self, site: int, vehicle: int, trip: int) -> int:
        """Return the last trip before this one that is driven; the first that is looked at if none of ten days is."""
        ...

    def draw_ahead(self, sites: Ints, vehicles: Ints, trips: Ints) -> None:
        """Prepare for `last_driven` of all these, where it takes less together."""
        ...


class HourlySchedule:
    """One trip at most in each hour of a vehicle, which begins at a phase of its own."""

    longest_s = 5e3
    number_in_2000 = _HOURS_UNTIL_2000

    def __init__(self, drivers: Drivers) -> None:
        self._drivers = drivers

    def at(self, sites: Ints, vehicles: Ints, times_ms: Ints) -> tuple[Ints, Ints]:
        """Return the vehicle's hour and the ms since that began."""
        hours, within = np.divmod(times_ms - self._drivers.hour_begins_ms(sites, vehicles), HOUR_MS)
        return hours, within

    def begins_ms(self, sites: Ints, vehicles: Ints, trips: Ints) -> Ints:
        """Tell when these hours of the vehicles begin."""
        return trips * HOUR_MS + self._drivers.hour_begins_ms(sites, vehicles)

    def hours(self, sites: Ints, vehicles: Ints, trips: Ints) -> Ints:
        """Return the trips, which are hours."""
        return trips

    def drives(self, sites: Ints, vehicles: Ints, trips: Ints) -> Flags:
        """Tell in which hours there is a trip."""
        return self._drivers.drives(sites, vehicles, trips)

    def of_hour(self, sites: Ints, vehicles: Ints, hour: int) -> Ints:
        """Return the two hours of a vehicle of which an hour of the clock has parts."""
        return np.repeat([[hour - 1], [hour]], len(sites), axis=1)

    def last_driven(self, site: int, vehicle: int, trip: int) -> int:
        """Return the last hour before this one in which a trip began; ten days ago if there was none since."""
        hours = np.arange(trip - _LOOKED_BACK_H, trip)
        drives = self._drivers.drives(np.full_like(hours, site), np.full_like(hours, vehicle), hours)
        return int(hours[-1 - drives[::-1].argmax()] if drives.any() else hours[0])

    def draw_ahead(self, sites: Ints, vehicles: Ints, trips: Ints) -> None:
        """Do nothing: an hour takes the same alone."""
