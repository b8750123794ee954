"""A scenario at another pace: its devices speak more often, or less, in a time that runs as the wall's does.

So a faster loop keeps timestamps in real UTC, and every reading stays true at its time: a vehicle is where it was
reported, and a visit to a shop lasts as long as visits do, only that more people come.
"""

from devices.scenario.device_group import DeviceGroup
from devices.scenario.on_change import at_pace_of
from devices.scenario.scenario import Scenario
from devices.sensors.registry import KINDS

_SHORTEST_MS, _LONGEST_MS = 10, 7 * 86_400_000
"""Bounds of an interval, as in the scenario."""


def at_pace(scenario: Scenario, factor: float) -> Scenario:
    """Return the scenario with `factor` times as many messages in the same time, as far as intervals allow."""
    return scenario.model_copy(update={"devices": tuple(_at_pace(group, factor) for group in scenario.devices)})


def in_real_time(scenario: Scenario) -> Scenario:
    """Return a scenario whose devices' time is the wall's: where it asks for real timestamps, its scale is a pace."""
    if scenario.timestamps == "device":
        return scenario
    return at_pace(scenario, scenario.time_scale).model_copy(update={"time_scale": 1.0})


def _at_pace(group: DeviceGroup, factor: float) -> DeviceGroup:
    kind = KINDS[group.kind]
    interval = min(max(round(group.interval / factor), _SHORTEST_MS), _LONGEST_MS)
    jitter = min(round(group.jitter / factor), interval - 1)
    settings = kind.busier(group.settings, factor) if kind.busier else group.settings
    several = tuple(max(round(one / factor), _SHORTEST_MS) for one in group.intervals)
    if several:
        interval = round(sum(several) / len(several))
    on = group.on if group.on_change is None else at_pace_of(group.on_change, factor, interval)
    changes = {"interval": interval, "intervals": several, "jitter": jitter, "settings": dict(settings), "on": on}
    return group.model_copy(update=changes)
