"""Makes the scenario that a change of one group leads to. Pure."""

from typing import Any

from pydantic import ValidationError

from devices.scenario.device_group import DeviceGroup
from devices.scenario.group_names import find_groups, find_one_group, name_groups
from devices.scenario.scenario import Scenario
from edgewire.config import describe_error, duration_text
from edgewire.errors import ConfigError

SHORTEST_MS = 10


def group_names(scenario: Scenario) -> list[str]:
    """Return what each group is called."""
    return name_groups(scenario.devices)


def describe_groups(scenario: Scenario, time_scale: float) -> list[dict[str, Any]]:
    """Return the groups of a scenario, as they are shown where time passes at this scale."""
    return [
        {
            "group": name,
            "kind": group.kind,
            "devices": group.size,
            "interval": duration_text(group.interval),
            "per_s": round(1000 * group.size * time_scale / group.interval, 3),
            "site": group.site,
            "qos": group.qos,
            "dialect": group.dialect_name if group.topic is None and not group.messages else "own",
            "can_scale": group.gateway is None and not group.listed_ids,
            "standby": scenario.standby_after_ms(group) is not None,
        }
        for name, group in zip(group_names(scenario), scenario.devices, strict=True)
    ]


def group_number(scenario: Scenario, name: str) -> int:
    """Return the number of the group of this name; raises `ConfigError`, also where it has several parts."""
    try:
        return find_one_group(scenario.devices, name)
    except ValueError as error:
        raise ConfigError(f"group: {error}") from None


def group_numbers(scenario: Scenario, name: str) -> tuple[int, ...]:
    """Return the numbers of the groups of this name, see `find_groups`; raises `ConfigError`."""
    try:
        return find_groups(scenario.devices, name)
    except ValueError as error:
        raise ConfigError(f"group: {error}") from None


def scaled(scenario: Scenario, number: int, count: int) -> Scenario:
    """Return the scenario with another number of devices in a group; raises `ConfigError`."""
    group = scenario.devices[number]
    if group.listed_ids:
        raise ConfigError(
            f"group: the devices of {group_names(scenario)[number]} are listed one by one in the scenario: list others "
            "there, and send the run SIGHUP"
        )
    if group.gateway is not None:
        raise ConfigError("group: its devices share the connections of gateways, and cannot change while they run")
    return _with_group(scenario, number, count=count)


def at_interval(
    scenario: Scenario, number: int, interval_ms: int | None, rate: float | None, time_scale: float
) -> Scenario:
    """Return the scenario with a group at another interval, or one that makes a rate a second at a scale of time.

    Raises `ConfigError`.
    """
    group = scenario.devices[number]
    if group.intervals:
        raise ConfigError("group: it measures at several intervals in turn: change them in the scenario's file")
    if interval_ms is None:
        assert rate is not None
        interval_ms = round(1000 * group.size * time_scale / rate)
    if interval_ms < SHORTEST_MS:
        raise ConfigError(
            f"rate: {rate:g} a second of {group.size:,} devices would be an interval of {duration_text(interval_ms)}, "
            f"and {duration_text(SHORTEST_MS)} is the shortest: scale the group first"
        )
    return _with_group(scenario, number, interval=interval_ms)


def in_standby(scenario: Scenario, number: int, standby: bool) -> Scenario:
    """Return the scenario with a group that stands by for real sensors, or does no longer; raises `ConfigError`."""
    if standby:
        return _with_group(scenario, number, standby=True)
    others = (group for place, group in enumerate(scenario.devices) if place != number)
    if all(scenario.standby_after_ms(group) is None for group in others):
        # A time after which nobody returns is refused.
        scenario = scenario.model_copy(update={"standby_after": None})
    return _with_group(scenario, number, standby=False, standby_after=None)


def _with_group(scenario: Scenario, number: int, **keys: int | None) -> Scenario:
    try:
        return scenario.with_group(number, **keys)
    except ValidationError as error:
        raise ConfigError(f"group: {describe_error(error, DeviceGroup)}") from None
    except ValueError as error:
        raise ConfigError(f"group: {error}") from None
