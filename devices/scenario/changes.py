"""Says what becomes of the devices of a fleet as its scenario changes while it runs. Pure.

A device is its id. One that says and does the same in both scenarios stays, one whose interval alone differs is told
the new one, and any other that differs leaves and comes anew, as one that was flashed again.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

from devices.scenario.device_group import DeviceGroup
from devices.scenario.devices import Device, all_devices, connection_numbers, emulated, vehicle_sites, vehicle_uses
from devices.scenario.scenario import Scenario
from devices.sensors.gps.nmea_output import nmea_output
from devices.sensors.registry import KINDS
from edgewire.errors import ConfigError

RELOADABLE = frozenset({"devices", "sites", "faults", "firmware", "outbox", "reconnect", "standby", "standby_after"})
"""Keys of a scenario that may differ: all that they decide is decided for each device."""

VEHICLES_NOTE = (
    "cameras that stay count the vehicles that were there when they began; a new start lets them see the others"
)

_OF_MEMBERSHIP = {"count", "id", "ids", "client_ids", "fields", "identities", "hardware", "vehicles", "interval"}
"""Keys of a group that say which devices it has, or what `Device` tells of each of them anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioChange:
    """Holds the ids of the devices that a change of a scenario concerns, each in the order of its file."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    """They leave, and come anew."""
    intervals: Mapping[str, int] = field(default_factory=dict)
    """Those that stay with another interval (ms)."""
    kept: int = 0
    """How many stay as they are."""
    wholes: Mapping[str, str] = field(default_factory=dict)
    """Of those that are parts: the device that they are parts of."""
    notes: tuple[str, ...] = ()
    """Sentences on what shows only after a new start."""
    at_ms: int | None = None
    """The devices' time as of which who stays or leaves has changed, once it is carried out."""

    @property
    def is_empty(self) -> bool:
        """Return whether nothing changes for any device."""
        return not (self.added or self.removed or self.replaced or self.intervals)

    def summary(self) -> str:
        """Return it in words: `50 devices added, 100 removed`."""
        counts = {
            "added": len(self.added),
            "removed": len(self.removed),
            "replaced": len(self.replaced),
            "given another interval": len(self.intervals),
        }
        said = [f"{count:,} {what}" for what, count in counts.items() if count]
        return f"{', '.join(said) or 'nothing changes'}; {self.kept:,} stay as they are"


def check_reloadable(old: Scenario, new: Scenario) -> None:
    """Raise `ConfigError` where the two differ in a key that cannot change while the devices run."""
    fixed = [name for name in Scenario.model_fields if name not in RELOADABLE]
    stuck = [name for name in fixed if getattr(old, name) != getattr(new, name)]
    if stuck:
        raise ConfigError(
            f"{', '.join(stuck)} cannot change while the devices run: change it back, or end the run and start it again"
        )


def _check_same_receivers(
    before: Iterable[tuple[Device, DeviceGroup]], after: Iterable[tuple[Device, DeviceGroup]]
) -> None:
    """Raise `ConfigError` where other receivers are to be heard than those whose ports were opened as the run began."""
    was, then = (
        {device.device_id: output for device, group in one if (output := nmea_output(group.settings))}
        for one in (before, after)
    )
    if changed := sorted(name for name in was.keys() | then.keys() if was.get(name) != then.get(name)):
        raise ConfigError(
            f"settings.nmea of {changed[0]} cannot change while the devices run: nobody would hear it where it says;"
            " change it back, or end the run and start it again"
        )


def compare_scenarios(old: Scenario, new: Scenario) -> ScenarioChange:
    """Say what becomes of each device. Raises `ConfigError` for what cannot change, and as `all_devices`."""
    check_reloadable(old, new)
    before, after = all_devices(old), all_devices(new)
    _check_same_receivers(before, after)
    was, then = _Traits(old, before), _Traits(new, after)
    old_devices = {device.device_id: (device, group) for device, group in emulated(before)}
    new_devices = emulated(after)
    # The parts of a device go together: it is flashed as a whole.
    torn = {device.whole_id for device, _ in new_devices if device.host and device.device_id not in old_devices}
    torn |= {
        device.whole_id
        for device, group in new_devices
        if device.host and (known := old_devices.get(device.device_id)) and was.of(*known) != then.of(device, group)
    }
    there = {device.device_id for device, _ in new_devices}
    torn |= {device.whole_id for name, (device, _) in old_devices.items() if device.host and name not in there}
    added: list[str] = []
    replaced: list[str] = []
    intervals: dict[str, int] = {}
    kept = 0
    for device, group in new_devices:
        name = device.device_id
        known = old_devices.pop(name, None)
        if known is None:
            added.append(name)
        elif device.whole_id in torn or was.of(*known) != then.of(device, group):
            replaced.append(name)
        elif known[0].interval_ms != device.interval_ms:
            intervals[name] = device.interval_ms
        else:
            kept += 1
    coming_and_going = {*added, *replaced, *old_devices}
    moved = next((one for one, _ in (*before, *after) if one.gateway and one.device_id in coming_and_going), None)
    if moved is not None and moved.gateway is not None:
        raise ConfigError(
            f"{moved.device_id} is behind {moved.gateway.gateway_id}, and the devices of gateways cannot change while"
            " they run: change it back, or end the run and start it again"
        )
    watching = any(device.kind == "traffic" and device.device_id not in added for device, _ in new_devices)
    notes = [VEHICLES_NOTE] if watching and vehicle_sites(before) != vehicle_sites(after) else []
    return ScenarioChange(
        added=tuple(added),
        removed=tuple(old_devices),
        replaced=tuple(replaced),
        intervals=intervals,
        kept=kept,
        notes=tuple(notes),
        wholes={device.device_id: device.whole_id for device, _ in new_devices if device.host is not None},
    )


class _Traits:
    """Tells what decides what a device says and does, less its interval."""

    def __init__(self, scenario: Scenario, devices: Sequence[tuple[Device, DeviceGroup]]) -> None:
        self._scenario = scenario
        self._uses = vehicle_uses(devices)
        self._sites = {site.name: site for site in scenario.sites}
        self._of_group = {id(group): self._group(group) for group in scenario.devices}

    def of(self, device: Device, group: DeviceGroup) -> tuple[Any, ...]:
        """Return them for comparison."""
        who = replace(device, interval_ms=0)
        # The vehicle of one that says nothing of it may be another's as well, which does.
        use = self._uses.get((device.ordinal, device.site)) if KINDS[device.kind].rides_in_vehicle else None
        return who, self._sites.get(device.site), self._of_group[id(group)], self._faults_of(device), use

    def _group(self, group: DeviceGroup) -> tuple[Any, ...]:
        scenario = self._scenario
        standby = scenario.standby if group.standby is None else group.standby
        after_ms = scenario.standby_after if group.standby_after is None else group.standby_after
        own = group.model_dump(exclude=_OF_MEMBERSHIP | {"firmware", "outbox", "reconnect", "standby", "standby_after"})
        return own, scenario.build(group), standby, after_ms if standby else None

    def _faults_of(self, device: Device) -> list[Any]:
        return [
            fault
            for fault in self._scenario.faults
            if fault.kind == device.kind
            and (not fault.devices or device.device_id in fault.devices or device.whole_id in fault.devices)
        ]


class DeviceShares:
    """Says which shard of a run has which device as its scenario changes: who has one keeps it.

    All processes of a run that are told the same changes in the same order find the same.
    """

    def __init__(self, scenario: Scenario, count: int) -> None:
        self._count = count
        devices = emulated(all_devices(scenario))
        numbers = connection_numbers(devices)
        self._owners = {device.device_id: number % count for (device, _), number in zip(devices, numbers, strict=True)}
        # Of devices with parts.
        self._of_wholes = {device.whole_id: self._owners[device.device_id] for device, _ in devices if device.host}

    def dealt(self, change: ScenarioChange) -> "DeviceShares":
        """Return them with devices that are new; one that was there before comes back to its shard."""
        after = copy(self)
        after._owners, after._of_wholes = dict(self._owners), dict(self._of_wholes)
        for device_id in change.added:
            owner = len(after._owners) % self._count
            if (whole_id := change.wholes.get(device_id)) is not None:
                owner = after._of_wholes.setdefault(whole_id, owner)
            after._owners.setdefault(device_id, owner)
        return after

    def owner(self, device_id: str) -> int:
        """Return the shard that has a device."""
        return self._owners[device_id]

    def device_ids(self, shard: int) -> list[str]:
        """Return all devices that this shard has, or had."""
        return [device_id for device_id, owner in self._owners.items() if owner == shard]
