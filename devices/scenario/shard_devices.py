"""Finds the devices of a shard, and of those of others only what somebody asks for.

One process of fifteen has a fifteenth of the devices. To make all 250,000 of a fleet took each of them 1.6 s of a core
and 110 MB, though all that is needed of others is, as a rule, which vehicles there are: cameras count those of the
whole fleet.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property

from devices.scenario.device_group import DeviceGroup
from devices.scenario.devices import (
    Device,
    Shard,
    all_devices,
    devices_of_shard,
    emulated,
    make_device,
    site_of,
    vehicle_sites,
    vehicle_uses,
)
from devices.scenario.numbers import IdNumbers
from devices.scenario.scenario import Scenario
from devices.sensors.registry import KINDS
from devices.world.world import VehicleUse


class ShardDevices:
    """Holds the devices that a shard takes care of, and finds what is asked of all."""

    def __init__(self, scenario: Scenario, shard: Shard) -> None:
        """Make the devices of the shard. Raises as `all_devices`, whichever shard they are in."""
        self._scenario = scenario
        # Of others nothing is made only where nothing can be wrong with them.
        self._is_plain = shard.count > 1 and all(map(_is_plain, scenario.devices))
        self.mine: Sequence[tuple[Device, DeviceGroup]]
        self.connection_numbers: Sequence[int]
        """Of each device, the number in the scenario of the connection over which it speaks."""
        if self._is_plain:
            self.mine = [*self._own(shard)]
            size = sum(group.size for group in scenario.devices)
            self.connection_numbers = range(shard.index, size, shard.count)
        else:
            self.mine, self.connection_numbers = devices_of_shard(emulated(self.everyone), shard)

    @cached_property
    def everyone(self) -> list[tuple[Device, DeviceGroup]]:
        """All devices, those that are hardware by now as well: hardware still has its vehicle, and its faults."""
        return all_devices(self._scenario)

    @cached_property
    def vehicle_sites(self) -> set[tuple[int, str]]:
        """The vehicles of the whole fleet, as `devices.vehicle_sites`."""
        if not self._is_plain:
            return vehicle_sites(self.everyone)
        return {vehicle for group in self._scenario.devices for vehicle in self._vehicles(group)}

    @cached_property
    def vehicle_uses(self) -> dict[tuple[int, str], VehicleUse]:
        """What they are driven for, as `devices.vehicle_uses`."""
        if not self._is_plain or any("use" in group.settings for group in self._scenario.devices):
            return vehicle_uses(self.everyone)
        return {}

    @cached_property
    def _numbers(self) -> IdNumbers:
        return IdNumbers.of(self._scenario)

    def _own(self, shard: Shard) -> Iterator[tuple[Device, DeviceGroup]]:
        before = 0
        for group in self._scenario.devices:
            for position in range((shard.index - before) % shard.count, group.size, shard.count):
                yield make_device(self._scenario, group, position, self._numbers, None), group
            before += group.size

    def _vehicles(self, group: DeviceGroup) -> Iterator[tuple[int, str]]:
        if KINDS[group.kind].rides_in_vehicle:
            ordinals = (self._numbers.ordinal(group, position) for position in range(group.size))
            yield from ((ordinal, site_of(self._scenario, group, ordinal)) for ordinal in ordinals)


def _is_plain(group: DeviceGroup) -> bool:
    """Return whether a group has devices of its kind that are numbered, and nothing else is said of any of them.

    No two such devices have the same id, wherever they are.
    """
    listed = group.ids or group.client_ids or group.fields or group.hardware or group.identities
    return group.id is None and group.gateway is None and group.device is None and not listed
