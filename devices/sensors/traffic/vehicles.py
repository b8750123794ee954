"""The single vehicles behind a camera's counts, and what the camera makes of those it saw."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from devices.sensors.columns import CountsColumn, NullableColumn, StructColumn, nullable
from devices.sensors.traffic.view import FleetPassages
from devices.world.arrivals import arrivals
from devices.world.entity_draws import EntityDraws
from devices.world.ordering import order_within_groups
from devices.world.random import Flags, Floats, Hashes, Ints, extend, normal, uniform
from devices.world.roads import CLASSES

# New cars by colour, Axalta Global Automotive Color Popularity Report 2025; the rest of 13 % is divided evenly.
_COLOURS = {
    "white": 0.29, "black": 0.23, "gray": 0.22, "silver": 0.07, "blue": 0.06, "red": 0.05, "green": 0.04, "brown": 0.04
}  # fmt: skip
# Vehicles by class, DfT 2007: car 78, van 14, HGV 6, other 2 %.
_CLASSES = {"car": 0.78, "van": 0.14, "truck": 0.06, "other": 0.02}
# Mean speed beside the road's, and spread beside that of its cars. Trucks are governed: at 88 km/h with 5 % of spread,
# 3 % of them exceed 60 mph (DfT 2022: 2 % speed on motorways).
_CLASS_PACE = np.array([1.0, 0.98, 0.94, 0.92])
_CLASS_SPREAD = np.array([1.0, 0.9, 0.45, 1.2])
_TRUCK, _TRUCK_MAX_KMH = 2, 88.0
_DEVIATION = np.array([kind.deviation_kmh / kind.free_kmh for kind in CLASSES])
_LANES = np.array([kind.lanes for kind in CLASSES])
_MOST_LANES = int(_LANES.max())
_FLEET_CLASS = list(_CLASSES).index("van")
_DIRECTIONS = ("inbound", "outbound")
# A vehicle that is counted twice (its shadow, a trailer, a track that was lost and found) is so this much later (s).
_AGAIN_S = (0.2, 0.9)
# What a colour is taken for, beside its own name: by day for its neighbours, in lamplight for a shade of grey. By
# judgement.
_BY_DAY = {
    "white": "silver", "black": "gray", "gray": "silver", "silver": "gray", "blue": "black", "red": "brown",
    "green": "gray", "brown": "black",
}  # fmt: skip
_AT_NIGHT = {"black": 0.5, "gray": 0.3, "white": 0.15, "silver": 0.05}
_DAY_NUMBERS = np.array([list(_COLOURS).index(_BY_DAY[name]) for name in _COLOURS])
_NIGHT_NUMBERS = np.array([list(_COLOURS).index(name) for name in _AT_NIGHT])


class CameraErrors(NamedTuple):
    """Says how wrong cameras are; one value a reading, chances from 0 to 1."""

    detected: Floats
    """That a vehicle that passes is counted at all."""
    twice: Floats | None
    """That one that is counted is so twice; None where none ever is."""
    miscoloured: Floats
    """That its colour is taken for another."""
    dark: Floats
    """How far the light is that of lamps: 0 by day, 1 at night."""


class DetectedVehicles:
    """One row a vehicle that was seen, reading by reading in the order in which they passed."""

    def __init__(
        self,
        seed: int,
        keys: Hashes,
        times: Ints,
        road_class: Ints,
        counts: Ints,
        interval_s: Floats,
        inbound: Floats,
        fleet: FleetPassages,
        sight: Flags,
        errors: CameraErrors,
    ) -> None:
        """`counts` vehicles were there besides those of the `fleet`.

        `inbound` is the share of them that drive into town; `sight` tells which parts of the interval are seen.
        """
        self._rows, self._errors = len(counts), errors
        others = np.repeat(np.arange(len(counts)), counts)
        reading = np.concatenate([others, fleet.row])
        number = np.arange(len(others)) - (np.cumsum(counts) - counts)[others]
        after = np.arange(len(fleet.row)) - np.searchsorted(fleet.row, fleet.row)
        number = np.concatenate([number, counts[fleet.row] + after])
        draws = _Draws.of_vehicles(seed, keys, times, reading, number)
        way = (uniform(draws.bits("direction")) >= inbound[reading]).astype(np.int64)
        way[len(others) :] = ~fleet.inbound
        lanes = _LANES[road_class]
        alone = draws.take(slice(len(others)))
        moments = np.concatenate([_moments(alone, others, way[: len(others)], lanes, interval_s), fleet.moment_s])
        chance = uniform(draws.bits("detect"))
        is_seen = chance < errors.detected[reading]
        if not sight.all():
            part = np.minimum((moments / interval_s[reading] * sight.shape[1]).astype(np.int64), sight.shape[1] - 1)
            is_seen &= sight[reading, part]
        rows = np.flatnonzero(is_seen)
        moments = moments[rows]
        if errors.twice is not None:
            # Of a draw below a chance the rest is as good as another draw.
            which = reading[rows]
            again = chance[rows] / np.maximum(errors.detected[which] * errors.twice[which], 1e-9)
            twice = np.flatnonzero(again < 1)
            later = moments[twice] + _AGAIN_S[0] + (_AGAIN_S[1] - _AGAIN_S[0]) * again[twice]
            inside = later < interval_s[which[twice]]
            rows = np.concatenate([rows, rows[twice[inside]]])
            moments = np.concatenate([moments, later[inside]])
        order = order_within_groups(reading[rows], moments, number[rows])
        rows, self._moment = rows[order], moments[order]
        self._reading, self._way = reading[rows], way[rows]
        self._road_class = road_class[self._reading]
        self._draws = draws.take(rows)
        self._of_fleet = rows >= len(others)
        its = rows[self._of_fleet] - len(others)
        self._fleet_speed, self._fleet_colour = fleet.speed_kmh[its], fleet.colour[its]
        self._class = _sorts(uniform(self._draws.bits("class")), _CLASSES)
        self._class[self._of_fleet] = _FLEET_CLASS
        self.counts = np.bincount(self._reading, minlength=self._rows).astype(np.int64)

    def speeds(self, mean_kmh: Floats) -> dict[str, NullableColumn]:
        """Return the mean, least and greatest speed of each reading, None without vehicles."""
        z = np.clip(normal(self._draws.bits("speed")), -2.8, 3.5)
        mean = mean_kmh[self._reading] * _CLASS_PACE[self._class]
        mean = np.where(self._class == _TRUCK, np.minimum(mean, _TRUCK_MAX_KMH), mean)
        speed = mean * (1 + _DEVIATION[self._road_class] * _CLASS_SPREAD[self._class] * z)
        speed[self._of_fleet] = self._fleet_speed
        mean_speed, least, most = self._stats(speed, self._reading, self.counts)
        there = self.counts > 0
        named = {"avg_speed": mean_speed, "min_speed": least, "max_speed": most}
        return {name: nullable(np.round(found, 1), there) for name, found in named.items()}

    def colours(self) -> CountsColumn:
        """Return the vehicles by colour; colours that did not occur are left out, as below."""
        bits = self._draws.bits("colour")
        bits[self._of_fleet] = self._fleet_colour
        colours = _sorts(uniform(bits), _COLOURS)
        if self._errors.miscoloured.any():
            taken = self._draws.bits("colour/taken")
            wrong = np.flatnonzero(uniform(taken) < self._errors.miscoloured[self._reading])
            by_lamp = uniform(extend(taken[wrong], 1)) < self._errors.dark[self._reading[wrong]]
            shade = _NIGHT_NUMBERS[_sorts(uniform(extend(taken[wrong], 2)), _AT_NIGHT)]
            colours[wrong] = np.where(by_lamp, shade, _DAY_NUMBERS[colours[wrong]])
        return self._tally(colours, tuple(_COLOURS))

    def classes(self) -> CountsColumn:
        """Return the vehicles by class."""
        return self._tally(self._class, tuple(_CLASSES))

    def directions(self) -> CountsColumn:
        """Return the vehicles by direction."""
        return self._tally(self._way, _DIRECTIONS)

    def headways(self) -> StructColumn:
        """Return the gaps in s between successive vehicles that were seen, on whatever lane."""
        follows = np.diff(self._reading, prepend=-1) == 0
        gaps = np.diff(self._moment, prepend=0.0)[follows]
        counts = np.maximum(self.counts - 1, 0)
        reading = self._reading[follows]
        mean, least, most = self._stats(gaps, reading, counts)
        spread = np.sqrt(np.bincount(reading, (gaps - mean[reading]) ** 2, self._rows) / np.maximum(counts, 1))
        named = {"mean": mean, "min": least, "max": most, "std": spread}
        return StructColumn({name: nullable(np.round(found, 3), counts > 0) for name, found in named.items()})

    def _tally(self, sort: Ints, names: tuple[str, ...]) -> CountsColumn:
        table = np.bincount(self._reading * len(names) + sort, minlength=self._rows * len(names))
        return CountsColumn(table.reshape(self._rows, len(names)), names)

    def _stats(self, values: Floats, reading: Ints, counts: Ints) -> tuple[Floats, Floats, Floats]:
        """Return the mean, least and greatest of each reading, anything where it has no values. Sums run in order."""
        some = np.flatnonzero(counts)
        least, most = np.zeros(self._rows), np.zeros(self._rows)
        if len(some):
            begins = (np.cumsum(counts) - counts)[some]
            least[some], most[some] = np.minimum.reduceat(values, begins), np.maximum.reduceat(values, begins)
        return np.bincount(reading, values, self._rows) / np.maximum(counts, 1), least, most


@dataclass(frozen=True, slots=True)
class _Draws:
    """What vehicles are drawn by: the camera and time of their reading, and their number in it."""

    cameras: EntityDraws
    """Of each reading that has vehicles the camera."""
    times: Ints
    place: Ints
    """Of each vehicle the position of its reading among these."""
    number: Ints

    @classmethod
    def of_vehicles(cls, seed: int, keys: Hashes, times: Ints, reading: Ints, number: Ints) -> "_Draws":
        """Return the draws of vehicles, each with the position of its reading among all and its number there."""
        is_there = np.zeros(len(keys), dtype=np.bool_)
        is_there[reading] = True
        cameras = EntityDraws(seed, keys[is_there])
        return cls(cameras, times[is_there], (np.cumsum(is_there) - 1)[reading], number)

    def take(self, rows: Ints | slice) -> "_Draws":
        """Return those of some vehicles."""
        return replace(self, place=self.place[rows], number=self.number[rows])

    def bits(self, stream: str) -> Hashes:
        """Return a draw for each vehicle."""
        return extend(self.reading_bits(stream)[self.place], self.number)

    def reading_bits(self, stream: str) -> Hashes:
        """Return a draw for each reading that has vehicles."""
        return self.cameras.bits(f"camera/{stream}", self.times)


def _moments(draws: _Draws, reading: Ints, way: Ints, lanes: Ints, interval_s: Floats) -> Floats:
    """Return when (s into the interval) each vehicle passes; lanes fill independently of each other."""
    lane = way * lanes[reading] + (uniform(draws.bits("lane")) * lanes[reading]).astype(np.int64)
    codes = reading * (2 * _MOST_LANES) + lane
    order = np.argsort(codes, kind="stable")
    codes = codes[order]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    counts = np.diff(starts, append=len(codes))
    first = order[starts]
    moments = np.empty(len(codes))
    moments[order] = arrivals(
        draws.take(order).bits("headway"),
        extend(draws.reading_bits("headway/last")[draws.place[first]], lane[first]),
        np.repeat(np.arange(len(starts)), counts),
        counts,
        interval_s[reading[first]],
    )
    return moments


def _sorts(chance: Floats, shares: dict[str, float]) -> Ints:
    """Return the position of the name that each chance falls to: comparing with each edge is quicker than a search."""
    found = np.zeros(len(chance), dtype=np.int8)
    for edge in np.cumsum(list(shares.values()))[:-1].tolist():
        found += chance >= edge
    return found.astype(np.int64)
