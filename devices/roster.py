"""Who the devices of a scenario are: names, sites and phases, whatever the shard."""

import hashlib
from collections.abc import Sequence

from devices.catalog import CATALOG
from devices.device import Device
from devices.scenario import DeviceGroup, Scenario
from edgewire.errors import ConfigError


def devices_of(scenario: Scenario) -> list[tuple[Device, DeviceGroup]]:
    """Every device of the scenario, in file order; raises `ConfigError` where two would have the same id."""
    numbers = dict.fromkeys(CATALOG, 0)
    devices: list[tuple[Device, DeviceGroup]] = []
    for group in scenario.devices:
        for position in range(group.size):
            ordinal = numbers[group.kind]
            numbers[group.kind] += 1
            site = group.site or scenario.sites[ordinal % len(scenario.sites)].name
            device_id = group.ids[position] if group.ids else group.device_id(ordinal + 1)
            devices.append((_device(device_id, group, site, ordinal), group))
    _refuse_twins([device.device_id for device, _ in devices])
    return devices


def device_ids(scenario: Scenario) -> list[str]:
    """Of every device of the scenario, whatever the shard; raises `ConfigError` where two would have the same."""
    return [device.device_id for device, _ in devices_of(scenario)]


def _device(device_id: str, group: DeviceGroup, site: str, ordinal: int) -> Device:
    key = int.from_bytes(hashlib.blake2b(device_id.encode(), digest_size=8).digest(), "little")
    return Device(device_id, group.kind, site, group.qos, group.interval, key % group.interval, ordinal, key)


def _refuse_twins(device_ids: Sequence[str]) -> None:
    seen: set[str] = set()
    for device_id in device_ids:
        if device_id in seen:
            raise ConfigError(f"scenario: two devices are called '{device_id}'; give one group another id")
        seen.add(device_id)


def vehicles_of(devices: Sequence[tuple[Device, DeviceGroup]]) -> dict[int, str]:
    """Site of every vehicle that carries a unit of the fleet, by ordinal."""
    return {device.ordinal: device.site for device, _ in devices if device.kind in ("gps", "telematics")}
