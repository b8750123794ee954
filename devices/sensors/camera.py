"""Traffic camera at a road: what passed in the interval that ends at the reading."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from devices.sensors.base import Columns, Ints, Population
from devices.world import World
from devices.world.rng import Floats, draw, normal, poisson, uniform
from devices.world.roads import ROADS, flow, passages
from devices.world.site import HOUR_MS
from edgewire.config import Config

# New cars by colour, Axalta Global Automotive Color Popularity Report 2025; the rest of 13 % is divided evenly.
_COLOURS = {
    "white": 0.29, "black": 0.23, "gray": 0.22, "silver": 0.07, "blue": 0.06, "red": 0.05, "green": 0.04, "brown": 0.04
}  # fmt: skip
# Vehicles by class, DfT 2007: car 78, van 14, HGV 6, other 2 %.
_CLASSES = {"car": 0.78, "van": 0.14, "truck": 0.06, "other": 0.02}
_DEVIATION = np.array([road.speed_deviation for road in ROADS])
_LEAST_HEADWAY_S = 1.0


class Settings(Config):
    """What an operator of a traffic camera may choose."""

    flow_factor: float = Field(default=1.0, gt=0, le=10)
    """Multiplies the traffic of the camera's road."""


class CameraSensor:
    """Many cameras with the same settings. Each looks at one point of one road of its site."""

    def __init__(self, settings: Settings, population: Population) -> None:
        self._settings = settings
        self._population = population

    def sample(self, world: World, ids: Ints, times: Ints) -> Columns:
        """Counts, speeds (km/h), colours, classes, headways (s) and density of each camera's last interval."""
        population = self._population
        keys, sites, interval = population.keys[ids], population.sites[ids], population.interval_ms[ids]
        places = draw(world.seed, "camera/place", keys)
        roads = (places % np.uint64(len(ROADS))).astype(np.int64)
        traffic = flow(world, sites, roads, times - interval // 2)
        expected = traffic.vehicles_per_hour * interval / HOUR_MS * self._settings.flow_factor
        counts = poisson(draw(world.seed, "camera/count", keys, times), expected)
        counts = counts + self._fleet_vehicles(world, sites, roads, uniform(places), times, interval)
        vehicles = _Vehicles(world.seed, keys, times, counts)
        speeds = vehicles.speeds(traffic.speed_kmh, _DEVIATION[roads])
        return {
            "interval_s": np.round(interval / 1000, 3),
            "uptime": [1.0] * len(ids),
            "vehicle_count": counts,
            **vehicles.summary(speeds),
            "color_counts": vehicles.tally("colour", _COLOURS),
            "class_counts": vehicles.tally("class", _CLASSES),
            "direction_counts": vehicles.tally("direction", {"inbound": 0.5, "outbound": 0.5}),
            "inter_arrival_stats": vehicles.headways(interval / 1000),
            "traffic_density_score": np.round(np.clip(traffic.density * 2, 0, 1), 3),
        }

    def _fleet_vehicles(
        self, world: World, sites: Ints, roads: Ints, around: Floats, times: Ints, interval: Ints
    ) -> Ints:
        """Vehicles of the GPS fleet that drove past: they are in the count like all others."""
        passed = np.zeros(len(times), dtype=np.int64)
        points, inverse = np.unique(np.stack([sites, roads, around]), axis=1, return_inverse=True)
        for number, (site, road, place) in enumerate(points.T):
            rows = inverse.reshape(-1) == number
            passed[rows] = passages(
                world, int(site), int(road), float(place), times[rows] - interval[rows], times[rows]
            )
        return passed


class _Vehicles:
    """The single vehicles behind the counts: one row each, grouped by reading."""

    def __init__(self, seed: int, keys: NDArray[np.uint64], times: Ints, counts: Ints) -> None:
        self._seed = seed
        self._counts = counts
        self._reading = np.repeat(np.arange(len(counts)), counts)
        self._begins = np.cumsum(counts) - counts
        number = np.arange(len(self._reading)) - self._begins[self._reading]
        self._counters = (keys[self._reading], times[self._reading], number)

    def speeds(self, mean: Floats, deviation: Floats) -> Floats:
        """A speed for every vehicle; relative deviations are those of the road."""
        z = np.clip(normal(draw(self._seed, "camera/speed", *self._counters)), -2.8, 3.5)
        return np.asarray(mean[self._reading] * (1 + deviation[self._reading] * z))

    def summary(self, speeds: Floats) -> dict[str, list[Any]]:
        """Mean, least and greatest speed of each reading, None without vehicles."""
        return {
            "avg_speed": [None if part is None else round(float(part.mean()), 1) for part in self._parts(speeds)],
            "min_speed": [None if part is None else round(float(part.min()), 1) for part in self._parts(speeds)],
            "max_speed": [None if part is None else round(float(part.max()), 1) for part in self._parts(speeds)],
        }

    def tally(self, stream: str, shares: dict[str, float]) -> list[dict[str, int]]:
        """How many vehicles of each reading are of which sort; sorts that did not occur are left out."""
        edges = np.cumsum(list(shares.values()))[:-1]
        sort = np.searchsorted(edges, uniform(draw(self._seed, f"camera/{stream}", *self._counters)), side="right")
        table = np.zeros((len(self._counts), len(shares)), dtype=np.int64)
        np.add.at(table, (self._reading, sort), 1)
        names = list(shares)
        return [{name: count for name, count in zip(names, row, strict=True) if count} for row in table.tolist()]

    def headways(self, interval_s: Floats) -> list[dict[str, float | None]]:
        """Gaps between arrivals: exponential beyond a least headway, as many as fit the interval exactly.

        Arrivals are uniform over what is left of the interval after the least headways, which are then added again.
        """
        counts = self._counts[self._reading]
        # Several lanes pass side by side: where headways would not fit, they shrink.
        least = np.minimum(_LEAST_HEADWAY_S, 0.5 * interval_s[self._reading] / np.maximum(counts, 1))
        arrivals = uniform(draw(self._seed, "camera/arrival", *self._counters))
        order = np.lexsort((arrivals, self._reading))
        free = interval_s[self._reading] - counts * least
        number = np.arange(len(counts)) - self._begins[self._reading]
        moments = arrivals[order] * free + number * least
        return [_gap_stats(part) for part in self._parts(moments)]

    def _parts(self, values: Floats) -> list[Floats | None]:
        pieces = np.split(values, self._begins[1:]) if len(self._counts) else []
        return [piece if len(piece) else None for piece in pieces]


def _gap_stats(moments: Floats | None) -> dict[str, float | None]:
    if moments is None or len(moments) < 2:
        return {"mean": None, "min": None, "max": None, "std": None}
    gaps = np.diff(moments)
    return {
        "mean": round(float(gaps.mean()), 3),
        "min": round(float(gaps.min()), 3),
        "max": round(float(gaps.max()), 3),
        "std": round(float(gaps.std()), 3),
    }
