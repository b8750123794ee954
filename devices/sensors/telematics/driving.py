"""What driving shows at a report: which events hold, with which attributes, and whether it is risky.

A telematics unit reports it; a gps unit is told of it where its messages carry the context.
"""

from collections.abc import Sequence

import numpy as np

from devices.sensors.base import Population
from devices.sensors.columns import Column, Columns, DictionaryColumn, NullableColumn, first_known, nullable
from devices.sensors.telematics.events import MPH, DrivingState, EventType, Thresholds
from devices.world.arrivals import headway_s
from devices.world.components import components
from devices.world.entity_draws import EntityDraws
from devices.world.random import Flags, Floats, Hashes, Ints
from devices.world.roads import LIMIT_MS, ROAD_TYPES
from devices.world.traffic import TIMES_OF_DAY, times_of_day
from devices.world.vehicles.vehicles import Motion
from devices.world.weather import CONDITIONS, condition_numbers
from devices.world.world import DAY_MS, HOUR_MS, World

# Rain or fog, and the night, make the same event riskier; from this sum of weights on a record is labelled risky.
_POOR_SIGHT, _LATE_NIGHT, _RISKY = 0.5, 0.3, 3.0


class DrivingMonitor:
    """Watches the driving of vehicles from one report to the next."""

    def __init__(
        self,
        thresholds: Thresholds,
        population: Population,
        event_types: Sequence[EventType],
        chances: dict[str, float] | None = None,
    ) -> None:
        """`chances` says of some types how likely a report shows them, in the place of what the driving gives."""
        self.types = sorted(event_types, key=lambda kind: -kind.weight)
        self._thresholds, self._population = thresholds, population
        self._chances = chances or {}

    @property
    def lookback_ms(self) -> int:
        """Return the time since the last report, or as long as speeding has to last."""
        return max(int(self._population.interval_ms.max(initial=0)), self._thresholds.speeding_for)

    def state(self, world: World, ids: Ints, times: Ints, moving: Motion) -> DrivingState:
        """Return all that events can depend on."""
        population, thresholds = self._population, self._thresholds
        sites, vehicles = population.sites[ids], population.ordinals[ids]
        over = _over_limit_mph(world, moving.speed_ms, moving.road)
        before = components(world).vehicles.speeds_before(sites, vehicles, times, moving, thresholds.speeding_for)
        density = components(world).traffic.flow_at(sites, moving.road, times).density
        site_keys = components(world).site_arrays.keys[sites]

        def headways(rows: Ints) -> Floats:
            link = (column[rows] for column in (site_keys, vehicles, moving.trip, moving.link))
            passage = EntityDraws(world.seed, *link).bits("vehicle/headway")
            rashness = components(world).drivers.aggressiveness(sites[rows], vehicles[rows])
            return headway_s(passage, times[rows], density[rows], rashness)

        return DrivingState(
            thresholds,
            moving,
            components(world).vehicles.peak_acceleration(sites, vehicles, times, population.interval_ms[ids]),
            over,
            np.minimum(over, _over_limit_mph(world, *before)),
            headways,
            lambda: components(world).atmosphere.weather(sites, times),
            density,
            (world.local_ms(sites, times) % DAY_MS) / HOUR_MS,
            times,
            EntityDraws(world.seed, site_keys, vehicles).bits("vehicle/event", times),
        )

    def events(self, state: DrivingState) -> tuple[Flags, dict[str, NullableColumn]]:
        """Tell which types hold [type, row], and every attribute, None where its event does not hold."""
        holds = np.zeros((len(self.types), len(state.times)), dtype=np.bool_)
        attributes: dict[str, NullableColumn] = {}
        for row, kind in enumerate(self.types):
            holds[row], found = kind.detect(state)
            chance = self._chances.get(kind.name)
            if chance is not None:
                shown, found = holds[row].copy(), dict(found)
                holds[row] = state.moving.on_trip & (state.uniform(f"{kind.name}/chance") < chance)
                drawn = kind.drawn(state, -np.log1p(-state.uniform(kind.name))) if kind.drawn else {}
                for name, values in drawn.items():
                    found[name] = np.where(shown, found.get(name, values), values)
            for name, values in found.items():
                column = nullable(values, holds[row])
                # Two types may have an attribute in common: it is the gravest's that holds.
                attributes[name] = first_known(attributes[name], column) if name in attributes else column
        return holds, attributes

    def context(self, world: World, ids: Ints, state: DrivingState) -> Columns:
        """Return what surrounds the vehicles: weather, road, traffic and time of day."""
        sites = self._population.sites[ids]
        local = world.local_ms(sites, state.times)
        rain, mist = components(world).atmosphere.rain_and_mist(sites, state.times)
        return {
            "weather": DictionaryColumn(condition_numbers(rain, mist), CONDITIONS),
            "road_type": DictionaryColumn(components(world).roads.plan.road_class[state.moving.road], ROAD_TYPES),
            "traffic_density": np.round(state.density, 3),
            "time_of_day": DictionaryColumn(times_of_day(local), TIMES_OF_DAY),
        }

    def risk(self, holds: Flags, context: Columns) -> DictionaryColumn:
        """Label as risky where the weights of the events, raised by poor sight and night, come to the limit."""
        weights = np.array([kind.weight for kind in self.types])
        poor, night = ~_are(context["weather"], "sunny"), _are(context["time_of_day"], "late_night")
        score = weights @ holds * (1 + _POOR_SIGHT * poor + _LATE_NIGHT * night)
        return DictionaryColumn((score >= _RISKY).astype(np.int64), ("safe", "risky"))


def _are(column: Column, word: str) -> Flags:
    assert isinstance(column, DictionaryColumn), "what surrounds a vehicle is said in few words"
    return np.asarray(column.indices == column.dictionary.index(word))


def _over_limit_mph(world: World, speed_ms: Floats, road: Ints) -> Floats:
    limit = LIMIT_MS[components(world).roads.plan.road_class[road]]
    return np.asarray((speed_ms - limit) / MPH)


def locate_vehicles(world: World, _keys: Hashes, sites: Ints, ordinals: Ints, times: Ints) -> tuple[Floats, Floats]:
    """Return how far east and north of their sites the vehicles are in which units ride, in metres."""
    return components(world).vehicles.places(sites, ordinals, times)
