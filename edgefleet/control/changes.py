"""Makes the scenario that a change of one group leads to. Pure."""

import re
from collections import Counter

from pydantic import ValidationError

from devices.scenario.device_parts import DEVICE, entry_of
from devices.scenario.scenario import DeviceGroup, Scenario
from edgewire.config import describe_error, duration_text
from edgewire.config_errors import closest
from edgewire.errors import ConfigError

SHORTEST_MS = 10
_NUMBER = re.compile(r"\{n[^}]*\}")


def group_names(scenario: Scenario) -> list[str]:
    """Return what each group is called: its kind, or `gps.1` and `gps.2` where there are several of a kind.

    One of the parts of devices is called as the device and the part are, `box.people`.
    """
    of_kind = Counter(group.kind for group in scenario.devices if group.device is None)
    wholes = device_names(scenario)
    seen: Counter[str] = Counter()
    names = []
    for number, group in enumerate(scenario.devices):
        if group.device is not None:
            names.append(f"{wholes[number]}.{group.device.part}")
            continue
        seen[group.kind] += 1
        names.append(group.kind if of_kind[group.kind] == 1 else f"{group.kind}.{seen[group.kind]}")
    return names


def device_names(scenario: Scenario) -> dict[int, str]:
    """Return what the devices with parts are called, by the number of each group that is of one."""
    called = {
        number: _NUMBER.sub("", group.id or "").strip("-_.:") or DEVICE
        for number, group in enumerate(scenario.devices)
        if group.device is not None and not group.device.number
    }
    several = Counter(called.values())
    seen: Counter[str] = Counter()
    names: dict[int, str] = {}
    for first, name in called.items():
        seen[name] += 1
        whole = name if several[name] == 1 else f"{name}.{seen[name]}"
        names |= dict.fromkeys(entry_of(scenario.devices, first), whole)
    return names


def group_number(scenario: Scenario, name: str) -> int:
    """Return the number of the group of this name; raises `ConfigError`."""
    numbers = group_numbers(scenario, name)
    if len(numbers) > 1:
        names = group_names(scenario)
        raise ConfigError(f"group: {name} has several parts: name one of {', '.join(names[one] for one in numbers)}")
    return numbers[0]


def group_numbers(scenario: Scenario, name: str) -> tuple[int, ...]:
    """Return the number of the group of this name, or those of all parts of the devices of this name.

    Raises `ConfigError`.
    """
    names, wholes = group_names(scenario), device_names(scenario)
    if name in names:
        return (names.index(name),)
    if name in wholes.values():
        return tuple(number for number, whole in wholes.items() if whole == name)
    several = [one for one in names if one.startswith(f"{name}.")]
    if several:
        raise ConfigError(f"group: there are several of {name}: name one of {', '.join(several)}")
    known = [*names, *dict.fromkeys(wholes.values())]
    raise ConfigError(f"group: there is no '{name}'{closest(name, known)}; there are {', '.join(known)}")


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


def at_interval(scenario: Scenario, number: int, interval_ms: int | None, rate: float | None) -> Scenario:
    """Return the scenario with a group at another interval, or one that makes a rate a second; raises `ConfigError`."""
    group = scenario.devices[number]
    if group.intervals:
        raise ConfigError("group: it measures at several intervals in turn: change them in the scenario's file")
    if interval_ms is None:
        assert rate is not None
        interval_ms = round(1000 * group.size * scenario.time_scale / rate)
    if interval_ms < SHORTEST_MS:
        raise ConfigError(
            f"rate: {rate:g} a second of {group.size:,} devices would be an interval of {duration_text(interval_ms)}, "
            f"and {duration_text(SHORTEST_MS)} is the shortest: scale the group first"
        )
    return _with_group(scenario, number, interval=interval_ms)


def _with_group(scenario: Scenario, number: int, **keys: int) -> Scenario:
    try:
        return scenario.with_group(number, **keys)
    except ValidationError as error:
        raise ConfigError(f"group: {describe_error(error, DeviceGroup)}") from None
    except ValueError as error:
        raise ConfigError(f"group: {error}") from None
