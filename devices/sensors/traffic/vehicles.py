"""The single vehicles behind a camera's counts, and what the camera makes of those it saw."""

from typing import Any, NamedTuple

import numpy as np

from devices.sensors.columns import CountsColumn, NullableColumn, StructColumn, nullable
from devices.sensors.traffic.view import FleetPassages
from devices.world.arrivals import arrivals
from devices.world.random import Flags, Floats, Hashes, Ints, extend, hash_bits, normal, uniform
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
        self._seed, self._rows, self._errors = seed, len(counts), errors
        others = np.repeat(np.arange(len(counts)), counts)
        reading = np.concatenate([others, fleet.row])
        number = np.arange(len(others)) - (np.cumsum(counts) - counts)[others]
        after = np.arange(len(fleet.row)) - np.searchsorted(fleet.row, fleet.row)
        number = np.concatenate([number, counts[fleet.row] + after])
        counters = (keys[reading], times[reading], number)
        way = (uniform(hash_bits(seed, "camera/direction", *counters)) >= inbound[reading]).astype(np.int64)
        way[len(others) :] = ~fleet.inbound
        lanes = _LANES[road_class]
        moments = np.concatenate([self._moments(others, way, lanes, interval_s, counters), fleet.moment_s])
        chance = uniform(hash_bits(seed, "camera/detect", *counters))
        detected = chance < errors.detected[reading]
        part = np.minimum((moments / interval_s[reading] * sight.shape[1]).astype(np.int64), sight.shape[1] - 1)
        rows = np.flatnonzero(detected & sight[reading, part])
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
        order = np.lexsort((number[rows], moments, reading[rows]))
        rows, self._moment = rows[order], moments[order]
        self._reading, self._way = reading[rows], way[rows]
        self._road_class = road_class[self._reading]
        self._counters = tuple(counter[rows] for counter in counters)
        self._of_fleet = rows >= len(others)
        its = rows[self._of_fleet] - len(others)
        self._fleet_speed, self._fleet_colour = fleet.speed_kmh[its], fleet.colour[its]
        self._class = _sorts(uniform(self._bits("class")), _CLASSES)
        self._class[self._of_fleet] = _FLEET_CLASS
        self.counts = np.bincount(self._reading, minlength=self._rows).astype(np.int64)

    def speeds(self, mean_kmh: Floats) -> dict[str, NullableColumn]:
        """Return the mean, least and greatest speed of each reading, None without vehicles."""
        z = np.clip(normal(self._bits("speed")), -2.8, 3.5)
        mean = mean_kmh[self._reading] * _CLASS_PACE[self._class]
        mean = np.where(self._class == _TRUCK, np.minimum(mean, _TRUCK_MAX_KMH), mean)
        speed = mean * (1 + _DEVIATION[self._road_class] * _CLASS_SPREAD[self._class] * z)
        speed[self._of_fleet] = self._fleet_speed
        found = self._stats(speed, self._reading, self.counts)
        there = self.counts > 0
        return {f"{name}_speed": nullable(np.round(found[name], 1), there) for name in ("avg", "min", "max")}

    def colours(self) -> CountsColumn:
        """Return the vehicles by colour; colours that did not occur are left out, as below."""
        bits = self._bits("colour")
        bits[self._of_fleet] = self._fleet_colour
        colours = _sorts(uniform(bits), _COLOURS)
        if self._errors.miscoloured.any():
            taken = self._bits("colour/taken")
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
        found = self._stats(gaps, self._reading[follows], counts)
        names = {"mean": "avg", "min": "min", "max": "max", "std": "std"}
        return StructColumn({name: nullable(np.round(found[of], 3), counts > 0) for name, of in names.items()})

    def _moments(self, others: Ints, way: Ints, lanes: Ints, interval_s: Floats, counters: tuple[Any, ...]) -> Floats:
        """Return when (s into the interval) each vehicle that is not of the fleet passes; lanes fill independently."""
        keys, times, number = (counter[: len(others)] for counter in counters)
        chance = uniform(hash_bits(self._seed, "camera/lane", keys, times, number))
        lane = way[: len(others)] * lanes[others] + (chance * lanes[others]).astype(np.int64)
        order = np.lexsort((number, lane, others))
        reading, lane = others[order], lane[order]
        keys, times = keys[order], times[order]
        starts = np.flatnonzero((np.diff(reading, prepend=-1) != 0) | (np.diff(lane, prepend=-1) != 0))
        counts = np.diff(starts, append=len(reading))
        moments = np.empty(len(others))
        moments[order] = arrivals(
            hash_bits(self._seed, "camera/headway", keys, times, number[order]),
            hash_bits(self._seed, "camera/headway/last", keys[starts], times[starts], lane[starts]),
            np.repeat(np.arange(len(starts)), counts),
            counts,
            interval_s[reading[starts]],
        )
        return moments

    def _bits(self, stream: str) -> Hashes:
        return hash_bits(self._seed, f"camera/{stream}", *self._counters)

    def _tally(self, sort: Ints, names: tuple[str, ...]) -> CountsColumn:
        table = np.bincount(self._reading * len(names) + sort, minlength=self._rows * len(names))
        return CountsColumn(table.reshape(self._rows, len(names)), names)

    def _stats(self, values: Floats, reading: Ints, counts: Ints) -> dict[str, Floats]:
        """Return statistics of each reading, anything where it has no values. Sums run in order."""
        some = np.flatnonzero(counts)
        least, most = np.zeros(self._rows), np.zeros(self._rows)
        if len(some):
            begins = (np.cumsum(counts) - counts)[some]
            least[some], most[some] = np.minimum.reduceat(values, begins), np.maximum.reduceat(values, begins)
        number = np.maximum(counts, 1)
        mean = np.bincount(reading, values, self._rows) / number
        spread = np.sqrt(np.bincount(reading, (values - mean[reading]) ** 2, self._rows) / number)
        return {"avg": mean, "min": least, "max": most, "std": spread}


def _sorts(chance: Floats, shares: dict[str, float]) -> Ints:
    return np.searchsorted(np.cumsum(list(shares.values()))[:-1], chance, side="right").astype(np.int64)
