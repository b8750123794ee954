"""Rare days as the labels tell of them: snow and events in town are no faults, but what a detector is told of as well.

They are in the world (`devices.world.rare_days`) by keys of the site, and not in the calendar. Which messages show them
is found as for a burst: by the readings of the same devices in a world without.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from devices.faults.assigned import AssignedFault
from devices.faults.base import Fault, Layer
from devices.faults.schedule import NEVER_MS, Windows
from devices.sensors.registry import KINDS
from devices.world.components import components
from devices.world.random import Flags, Hashes, Ints
from devices.world.world import DAY_MS, World

WindowsOfSite = Callable[[int, int, int], list[tuple[int, int]]]
"""Returns from when to when it is at a site, of all times that touch [from, to)."""


class RareDay(Fault):
    """What both have in common."""

    layer: ClassVar[Layer] = "physics"
    changes_world: ClassVar[bool] = True
    can_be_commanded: ClassVar[bool] = False

    @property
    def trail_ms(self) -> int:
        """Vehicles that it kept from a trip, or brought to town, are elsewhere for the rest of their day."""
        return DAY_MS if self.kind != "people" else 0

    @property
    def affected_fields(self) -> tuple[str, ...]:
        """The fields that depend on how many are on the roads or in the shops, and how fast they drive."""
        return KINDS[self.kind].crowd_fields


class SnowDay(RareDay):
    """Snow lies on the roads of a site with `snow`."""

    type: Literal["snow"] = "snow"


class TownEvent(RareDay):
    """People come to an event in town, or leave it, at a site with `town_events`."""

    type: Literal["town_event"] = "town_event"


RARE_DAY_TYPES = frozenset(kind.model_fields["type"].default for kind in (SnowDay, TownEvent))
"""By which labels of rare days are known from those of faults."""


@dataclass(frozen=True, slots=True)
class SiteWindows:
    """Has the windows of each device's site (`FaultSchedule`): keys are the numbers of sites."""

    of_site: WindowsOfSite

    def windows_at(self, seed: int, stream: str, keys: Hashes, times: Ints) -> Windows:
        """Return the window that each site is in at each time, if it is in one."""
        start, end = times.copy(), times.copy()
        for row, (key, time) in enumerate(zip(keys.tolist(), times.tolist(), strict=True)):
            for window in self.of_site(key, time, time + 1):
                start[row], end[row] = window
        return Windows(start, end)

    def windows_between(self, seed: int, stream: str, keys: Hashes, from_ms: int, to_ms: int) -> tuple[Ints, Windows]:
        """Return all windows of these sites that touch [from_ms, to_ms)."""
        sites = {key: self.of_site(key, from_ms, to_ms) for key in np.unique(keys).tolist()}
        rows = [(owner, *window) for owner, key in enumerate(keys.tolist()) for window in sites[key]]
        owners, start, end = np.array(rows, dtype=np.int64).reshape(-1, 3).T
        return owners, Windows(start, end)

    def last_end(self, seed: int, stream: str, keys: Hashes, times: Ints, since_ms: int) -> Ints:
        """Return when the last window of each site ended by each time; `NEVER_MS` if none since `since_ms`."""
        found = np.full(len(times), NEVER_MS)
        for row, (key, time) in enumerate(zip(keys.tolist(), times.tolist(), strict=True)):
            ends = [end for _, end in self.of_site(key, since_ms, time + 1) if since_ms <= end <= time]
            found[row] = max(ends, default=NEVER_MS)
        return found


def assign_rare_days(world: World, kinds: Sequence[str], sites: Ints, emulated: Flags) -> Iterator[AssignedFault]:
    """Yield snow and events as what devices of these kinds at these sites show; only those that are `emulated` do."""
    rare_days = components(world).rare_days
    if rare_days is None:
        return
    of_kind = np.array(kinds, dtype=object)
    for fault, key, off, windows in (
        (SnowDay, "snow", False, rare_days.snow_windows),
        (TownEvent, "town_events", 0.0, rare_days.event_windows),
    ):
        has_it = np.array([bool(getattr(site, key)) for site in world.sites])[sites] & emulated
        if not has_it.any():
            continue
        without = replace(world, sites=tuple(site.model_copy(update={key: off}) for site in world.sites))
        for kind in dict.fromkeys(kinds):
            if not KINDS[kind].crowd_fields:
                continue
            one = fault.model_validate({"kind": kind, "from": "1970-01-01T00:00:00Z"})
            has = has_it & np.asarray(of_kind == kind, dtype=np.bool_)
            schedule = SiteWindows(windows)
            yield AssignedFault(
                one, world.seed, f"rare/{key}", schedule, has, sites.astype(np.uint64), (without, world)
            )
