"""Looks whether a scenario has the sites and devices that its own kinds ask for."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from devices.declared.plan import plan_kind
from devices.declared.signals import SignalName, missing_place
from devices.scenario.device_group import DeviceGroup
from devices.scenario.devices import Device, all_devices
from devices.scenario.scenario import Scenario
from devices.sensors.base import Neighbour
from devices.sensors.registry import KINDS
from edgewire.errors import ConfigError
from edgewire.yaml_file import Location

_ASKED = frozenset({"traffic", "people"})
"""Kinds at whose places others may look as well."""


def find_neighbours(everyone: Sequence[tuple[Device, DeviceGroup]], sites: Sequence[str]) -> Mapping[str, Neighbour]:
    """Return the cameras and people counters of a scenario, where it has a kind that asks for them."""
    if not any(KINDS[device.kind].asks_neighbours for device, _ in everyone):
        return {}
    numbers = {name: index for index, name in enumerate(sites)}
    return {
        device.device_id: Neighbour(device.kind, device.key, numbers[device.site], device.interval_ms, group.settings)
        for device, group in everyone
        if device.kind in _ASKED
    }


def check_places(scenario: Scenario, place_of: Callable[[Location], str]) -> None:
    """Raise `ConfigError`, with its place in the file, for what a kind asks for and the scenario does not have."""
    asked = [*_asked(scenario)]
    if not asked:
        return
    everyone, sites = all_devices(scenario), [site.name for site in scenario.sites]
    neighbours = find_neighbours(everyone, sites)
    for kind, location, name in asked:
        own = {sites.index(device.site) for device, _ in everyone if device.kind == kind}
        if fault := missing_place(name, sites, own, neighbours):
            raise ConfigError(f"{place_of(location)}: {name}: {fault}")


def _asked(scenario: Scenario) -> Iterator[tuple[str, Location, SignalName]]:
    """Yield the signals that the kinds of its devices ask for, with where they stand."""
    used = {group.kind for group in scenario.devices}
    for kind, config in scenario.kinds.items():
        if kind not in used:
            continue
        for field in plan_kind(kind, config).fields:
            location = ("kinds", kind, "fields", field.name, field.config.generator)
            for name in field.signals:
                yield kind, location, name
