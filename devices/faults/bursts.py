"""Bursts, the one fault that is in the world, not in a device: vehicles are driven faster for a while.

When a vehicle is in one depends on the vehicle alone, so all that see it agree: its units, and cameras on its way.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, Protocol

import numpy as np
from pydantic import Field

from devices.faults.assigned import AssignedFault
from devices.faults.base import Fault, Layer
from devices.sensors.registry import KINDS
from devices.world.random import Flags, Floats, Hashes, Ints, hash_bits, uniform
from devices.world.world import Site, SiteArrays, World

_VEHICLE_BITS = 40
"""Of a code, below the site: numbers of vehicles have up to twelve digits."""


class Burst(Fault):
    """A session of elevated speeding: the vehicle really is driven faster, and all that see it see the same.

    Every stretch up to the next stop that lies in the session is driven in a hurry; from its stops the vehicle leaves
    as it would have. A session much shorter than a quarter of an hour often has no such stretch in it.
    """

    layer: ClassVar[Layer] = "physics"
    changes_world: ClassVar[bool] = True
    can_be_commanded: ClassVar[bool] = False

    type: Literal["burst"]
    kind: Literal["telematics", "gps"] = "telematics"
    """Whose ids name the vehicles. Both units of a vehicle show it, and both are labelled."""
    excess: Annotated[float, Field(gt=0, le=6, allow_inf_nan=False)] = 3.0
    """How much faster than usual, in standard deviations of the road's speeds: 20 % of the speed in town, 11 % on
    motorways."""

    @property
    def affected_fields(self) -> tuple[str, ...]:
        """The fields that depend on how and where the vehicle drives."""
        return KINDS[self.kind].driving_fields


class _Unit(Protocol):
    """What is needed of a device."""

    @property
    def device_id(self) -> str: ...

    @property
    def whole_id(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def site(self) -> str: ...

    @property
    def ordinal(self) -> int: ...


class _Plan(Protocol):
    """What is needed of a scenario."""

    @property
    def seed(self) -> int: ...

    @property
    def sites(self) -> tuple[Site, ...]: ...

    @property
    def faults(self) -> Sequence[Fault]: ...


@dataclass(frozen=True, slots=True)
class _Session:
    """One entry of the calendar."""

    fault: Burst
    stream: str
    vehicles: Ints | None
    """Codes of the vehicles that have it, where the calendar names units; without, `share` of all."""


class Bursts:
    """The bursts of a scenario's calendar, and the world in which they happen."""

    def __init__(self, scenario: _Plan, baseline: World, everyone: Sequence[_Unit]) -> None:
        """Take the `baseline`, the world without, and `everyone`: a camera sees vehicles of other shards too."""
        self._seed = scenario.seed
        self._site = {site.name: index for index, site in enumerate(scenario.sites)}
        self._site_keys = SiteArrays(baseline).keys
        self._sessions: list[_Session] = []
        self._worlds = [baseline]
        seen: Counter[str] = Counter()
        for fault in scenario.faults:
            if isinstance(fault, Burst):
                name = f"fault/burst/{fault.kind}"
                stream = f"{name}/{seen[name]}"
                seen[name] += 1
                self._sessions.append(_Session(fault, stream, self._named_vehicles(fault, everyone)))
                self._worlds.append(replace(baseline, speed_boost=_BurstBoost(self, len(self._sessions))))

    @property
    def world(self) -> World:
        """The world with all of them; the baseline one itself where there are none."""
        return self._worlds[-1]

    def assigned_to(self, mine: Sequence[_Unit]) -> Iterator[AssignedFault]:
        """Yield the bursts as faults of these devices, for both kinds of unit."""
        if not self._sessions:
            return
        codes = self._codes(mine)
        keys = self._keys(codes)
        kinds = np.array([unit.kind for unit in mine], dtype=object)
        for number, session in enumerate(self._sessions):
            worlds = self._worlds[number], self._worlds[number + 1]
            for kind in (name for name, kind in KINDS.items() if kind.rides_in_vehicle):
                fault = session.fault.model_copy(update={"kind": kind})
                has = np.asarray(kinds == kind, dtype=np.bool_) & self._have(session, codes)
                yield AssignedFault(fault, self._seed, session.stream, fault.schedule, has, keys, worlds)

    def excess(self, count: int, vehicles: Ints, from_ms: Ints, to_ms: Ints) -> Floats:
        """Return the greatest excess of the first `count` bursts in which vehicles (codes) are between two instants."""
        level = np.zeros(len(vehicles))
        for session in self._sessions[:count]:
            rows = np.flatnonzero(self._have(session, vehicles))
            schedule = session.fault.schedule
            windows = schedule.windows_at(self._seed, session.stream, self._keys(vehicles[rows]), from_ms[rows])
            rows = rows[windows.holds(from_ms[rows]) & (to_ms[rows] <= windows.end)]
            level[rows] = np.maximum(level[rows], session.fault.excess)
        return level

    def _have(self, session: _Session, codes: Ints) -> Flags:
        """Tell which vehicles have a burst: by its own number, so that it is in the world whoever rides in it."""
        if session.vehicles is not None:
            return np.isin(codes, session.vehicles)
        if session.fault.share is None:
            return np.ones(len(codes), dtype=np.bool_)
        return uniform(hash_bits(self._seed, f"{session.stream}/share", self._keys(codes))) < session.fault.share

    def _named_vehicles(self, fault: Burst, everyone: Sequence[_Unit]) -> Ints | None:
        if not fault.devices:
            return None
        named = frozenset(fault.devices)
        of_kind = (unit for unit in everyone if unit.kind == fault.kind)
        return self._codes([unit for unit in of_kind if unit.device_id in named or unit.whole_id in named])

    def _codes(self, units: Sequence[_Unit]) -> Ints:
        return np.array([(self._site[unit.site] << _VEHICLE_BITS) + unit.ordinal for unit in units], dtype=np.int64)

    def _keys(self, codes: Ints) -> Hashes:
        """Keys of vehicles, by the site's name and the number of the vehicle."""
        return hash_bits(0, "vehicle", self._site_keys[codes >> _VEHICLE_BITS], codes & ((1 << _VEHICLE_BITS) - 1))


@dataclass(frozen=True, slots=True)
class _BurstBoost:
    """Shows the world the first bursts of the calendar (`devices.world.world.SpeedBoost`)."""

    bursts: Bursts
    count: int

    def __call__(self, sites: Ints, vehicles: Ints, from_ms: Ints, to_ms: Ints) -> Floats:
        return self.bursts.excess(self.count, (sites << _VEHICLE_BITS) + vehicles, from_ms, to_ms)
