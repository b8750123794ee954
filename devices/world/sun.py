"""Daylight at a place: how high the sun stands, and the time by it."""

import numpy as np

from devices.world.random import Floats, Ints
from devices.world.trigonometry import cosine, cosine_sine
from devices.world.world import DAY_MS, World

DUSK_DEG = -4.0
"""Between the sun's setting and the end of civil twilight (-6 degrees): cameras without lights see nothing below it."""


def sun_elevation_deg(world: World, sites: Ints, times_ms: Ints) -> Floats:
    """Return the height of the sun over the horizon; without the equation of time, so right to about four degrees."""
    latitude = np.radians(np.array([site.latitude for site in world.sites]))
    longitude = np.radians(np.array([site.longitude for site in world.sites]))
    days = times_ms / DAY_MS
    across, up = cosine_sine(declination_rad(days))
    hour_angle = 2 * np.pi * (days - np.floor(days) - 0.5) + longitude[sites]
    sine = np.sin(latitude)[sites] * up + np.cos(latitude)[sites] * across * cosine(hour_angle)
    return np.asarray(np.degrees(np.arcsin(np.clip(sine, -1, 1))))


def declination_rad(days: Floats) -> Floats:
    """Return the declination of the sun at days since 1970, from its mean longitude."""
    # The March equinox of 1970 was 79 days into the year.
    return np.asarray(np.radians(23.44) * np.sin(2 * np.pi * (days - 79) / 365.2422))


def solar_hour(longitude: Floats, days: Floats) -> Floats:
    """Return the apparent solar time in hours at days since 1970, with the equation of time to half a minute."""
    angle = 2 * np.pi * (days - 81) / 365.2422
    equation_min = 9.87 * np.sin(2 * angle) - 7.53 * np.cos(angle) - 1.5 * np.sin(angle)
    return np.asarray((24 * (days % 1) + longitude / 15 + equation_min / 60) % 24)
