"""GPS unit of a vehicle: its position as the receiver sees it."""

from typing import Annotated

import numpy as np
from pydantic import Field

from devices.sensors.base import Population
from devices.sensors.columns import Columns, DictionaryColumn, nullable, numbered_column
from devices.sensors.gps.nmea import InView, at_another_time, sentences
from devices.sensors.gps.nmea_output import NmeaOutput
from devices.sensors.gps.receiver import CEP_M, PowerOn, Start, battery_v, satellite_fix, signal_dbm, unit_noise
from devices.sensors.kind import DeviceKind
from devices.sensors.telematics.driving import DrivingMonitor, locate_vehicles
from devices.sensors.telematics.events import EVENT_TYPES, Thresholds
from devices.world.components import components
from devices.world.geoid import geoid_height_m
from devices.world.random import Floats, Ints, hash_bits, normal
from devices.world.roads import KMH
from devices.world.trigonometry import within_turn
from devices.world.world import VehicleUse, World
from edgewire.config import Config
from edgewire.config_errors import text_matching

_SKY_MS = 1_800_000


class GpsSettings(Config):
    """Says what an operator of a GPS unit may choose."""

    cep_m: float = Field(default=2.5, ge=0, le=100)
    """Circular error: half of the fixes under an open sky are nearer than this."""
    signal_loss: bool = True
    """Whether there is no fix in tunnels."""
    start: Start = "hot"
    """What the receiver still knows of the sky when it is powered on: after a short pause it is hot and has a fix
    within a second, after some hours warm (15 to 25 s), the first time cold (26 to 35 s)."""
    use: VehicleUse | None = None
    """What the vehicle is driven for: `delivery`, in rounds of short stops from a depot on working days, most by day
    and some at night; `taxi`, day and night; `private`, to work and on errands, and parked 23 hours a day. Of the
    vehicles of which no unit says it, three in five deliver and two are taxis. Those of `world: 1` are all alike."""
    decimals: int = Field(default=6, ge=3, le=8)
    """Of latitude and longitude: 6 is about 0.1 m."""
    nmea: bool | NmeaOutput = False
    """Whether messages carry the receiver's NMEA sentences beside the position; or where a live run puts them out once
    a second instead, for programs that read receivers: `{tcp: 127.0.0.1:10110}` or `{pty: auto}`, see gps.md."""
    context: bool = False
    """Whether messages say in which weather, on which road, in how much traffic and at which time of day the vehicle
    drives, and the ground truth of whether that is risky, as those of a telematics unit do (with its usual
    thresholds)."""
    identifier_prefix: Annotated[
        str, text_matching(r"^[A-Za-z0-9_.-]*$", "letters, digits, '_', '.' and '-'", max_length=20)
    ] = ""
    """Before the vehicle's id, so that it is none of production's: `SYN-`."""


_FIXES = ("none", "2d", "3d")


class GpsSensor:
    """Many GPS units with the same settings; unit n rides in vehicle n of its site."""

    def __init__(self, settings: GpsSettings, population: Population) -> None:
        self._settings = settings
        self._population = population
        self._monitor = DrivingMonitor(Thresholds(), population, EVENT_TYPES) if settings.context else None

    @property
    def lookback_ms(self) -> int:
        """Return how far back the risk of a reading reaches."""
        return self._monitor.lookback_ms if self._monitor else 0

    def sample(self, world: World, ids: Ints, times: Ints) -> Columns:
        """Return fixes in degrees, m and km/h; without one, position, speed and heading are None."""
        return self.sample_searching(world, ids, times, None)

    def sample_searching(self, world: World, ids: Ints, times: Ints, unfound: Floats | None) -> Columns:
        """Return the same of receivers that have yet to find this share of the satellites again."""
        settings, population = self._settings, self._population
        keys, sites, vehicles = population.keys[ids], population.sites[ids], population.ordinals[ids]
        moving = components(world).vehicles.motion(sites, vehicles, times)
        power_on = PowerOn(population.powered_on_ms, settings.start)
        scale = settings.cep_m / CEP_M
        noise = unit_noise(world, keys, times)
        fix = satellite_fix(
            world,
            keys,
            sites,
            times,
            moving,
            power_on,
            noise,
            scale=scale,
            losses=settings.signal_loss,
            unfound=unfound,
        )
        columns: Columns = {
            "vehicle_id": numbered_column(vehicles, lambda number: f"{settings.identifier_prefix}V{number:04d}"),
            "fix": DictionaryColumn(np.where(fix.is_3d, 2, fix.known.astype(np.int64)), _FIXES),
            "latitude": nullable(np.round(fix.latitude, settings.decimals), fix.known),
            "longitude": nullable(np.round(fix.longitude, settings.decimals), fix.known),
            "altitude_m": nullable(np.round(fix.altitude_m, 1), fix.is_3d),
            "speed_kmh": nullable(np.round(fix.speed_ms / KMH, 1), fix.known),
            "heading_deg": nullable(within_turn(np.round(fix.heading_deg, 1)), fix.has_heading),
            "hdop": np.round(fix.hdop, 2),
            "satellites": fix.satellites,
            "battery_v": battery_v(moving, noise),
            "signal_dbm": signal_dbm(world, keys, sites, times, moving, noise),
        }
        if self._monitor:
            state = self._monitor.state(world, ids, times, moving)
            context = self._monitor.context(world, ids, state)
            columns |= context | {"risk_label": self._monitor.risk(self._monitor.events(state)[0], context)}
        if settings.nmea is True:
            columns["nmea"] = self._sentences(world, ids, times, columns)
        return columns

    def _sentences(self, world: World, ids: Ints, times: Ints, columns: Columns) -> list[list[str]]:
        """Return the same epoch as the receiver words it."""
        if world.version > 1:
            return self._epochs(world, ids, times, columns)
        # Satellites cross the sky in hours; which are used changes every half of one.
        site_keys = components(world).site_arrays.keys[self._population.sites[ids]]
        first = hash_bits(world.seed, "gps/satellites", site_keys, times // _SKY_MS) % np.uint64(32)
        names = ("latitude", "longitude", "altitude_m", "speed_kmh", "heading_deg")
        rows = zip(
            times.tolist(),
            *(columns[name] for name in names),
            np.asarray(columns["hdop"]).tolist(),
            np.asarray(columns["satellites"]).tolist(),
            (first + np.uint64(1)).tolist(),
            strict=True,
        )
        return [sentences(*row) for row in rows]

    def _epochs(self, world: World, ids: Ints, times: Ints, columns: Columns) -> list[list[str]]:
        """Return epochs at full seconds, under the satellites that are up."""
        sites = self._population.sites[ids]
        above = components(world).constellation.over(sites, times)
        keys = self._population.keys[ids][:, None]
        # Signals grow with the height, and fade by some dB from minute to minute.
        fading = normal(hash_bits(world.seed, "receiver/signal", keys, above.prn, times[:, None] // 60_000))
        signal = np.clip(28 + 20 * np.sin(np.radians(above.elevation_deg)) + 2.5 * fading, 12, 52)
        count = (above.elevation_deg > 0).sum(axis=1).tolist()
        satellites = np.asarray(columns["satellites"]).tolist()
        hears = [max(used, 0) for used in satellites]
        whole = zip(
            above.prn.tolist(),
            np.rint(above.elevation_deg).astype(np.int64).tolist(),
            (np.rint(above.azimuth_deg).astype(np.int64) % 360).tolist(),
            np.rint(signal).astype(np.int64).tolist(),
            count,
            hears,
            strict=True,
        )
        in_view = [
            [
                InView(prn, height, azimuth, dbhz if number < heard else None)
                for number, (prn, height, azimuth, dbhz) in enumerate(
                    zip(prns[:up], heights[:up], azimuths[:up], signals[:up], strict=True)
                )
            ]
            for prns, heights, azimuths, signals, up, heard in whole
        ]
        site_arrays = components(world).site_arrays
        geoid = geoid_height_m(site_arrays.latitude[sites], site_arrays.longitude[sites]).tolist()
        names = ("latitude", "longitude", "altitude_m", "speed_kmh", "heading_deg", "hdop", "satellites")
        moments = (times // 1000 * 1000).tolist()
        rows = zip(moments, *(list(columns[name]) for name in names), [1] * len(ids), in_view, geoid, strict=True)
        return [sentences(*row) for row in rows]


def _restamped(columns: Columns, times: Ints, _powered_on_ms: int) -> Columns:
    """Return the sentences with the times that are shown."""
    epochs = columns.get("nmea")
    return {} if epochs is None else {"nmea": list(map(at_another_time, epochs, times.tolist()))}


KIND = DeviceKind(
    "gps",
    GpsSettings,
    GpsSensor,
    restamp_columns=_restamped,
    driving_fields=(
        *("latitude", "longitude", "heading_deg", "fix", "altitude_m", "speed_kmh", "hdop", "satellites"),
        *("signal_dbm", "nmea", "road_type", "traffic_density", "risk_label"),
    ),
    decimals={
        "latitude": 6,
        "longitude": 6,
        "altitude_m": 1,
        "speed_kmh": 1,
        "heading_deg": 1,
        "hdop": 2,
        "battery_v": 2,
        "traffic_density": 3,
    },
    plot_labels={"speed_kmh": "speed (km/h)"},
    plot_devices=3,  # speeds go up and down all the time: more lines would hide one another
    summary={"fix": "{}", "latitude": "{}", "longitude": "{}", "speed_kmh": "{} km/h", "hdop": "{} HDOP"},
    colour="green",
    locate=locate_vehicles,
    memory_bytes=10 * 2**10,  # planned trips
    reading_s=40e-6,
    rows_at_once=25_000,
    busy_from_h=10,
)
