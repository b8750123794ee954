"""Knows which devices a fleet has as its scenario changes, and plans what a change means for this process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from devices.faults.plan import check_devices
from devices.fleet.device_client import DeviceClient
from devices.fleet.pacer import LONGEST_S, startup_delay_ms
from devices.scenario.changes import DeviceShares, ScenarioChange, compare_scenarios
from devices.scenario.devices import (
    Shard,
    all_devices,
    connection_numbers,
    emulated,
    kinds_by_id,
    login_name,
    login_names,
)
from devices.scenario.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipPlan:
    """Says what a change of the scenario means for the devices of one process."""

    change: ScenarioChange
    """Of all processes."""
    scenario: Scenario
    coming: Mapping[str, int] = field(default_factory=dict)
    """Ids of devices that come, those that are replaced among them, with their numbers in the scenario."""
    leaving: Sequence[DeviceClient] = ()
    intervals: Sequence[tuple[DeviceClient, int]] = ()
    """Devices with their new intervals (ms)."""
    logins: Sequence[str] = ()
    """The names of the identities of those that come."""
    known: Mapping[str, DeviceClient] = field(default_factory=dict)
    """Of those that come: who had the id before."""

    def lead_ms(self, shards: int) -> int:
        """Return how long after the last computed reading they begin (ms of wall time): building them takes a while."""
        # While they are built, two more windows may be computed for what is there.
        return startup_delay_ms(self.scenario, shards) + round(2000 * LONGEST_S)


class FleetMembership:
    """Holds the scenario as it is now, and the newest client of each device that this process has, or had."""

    def __init__(self, scenario: Scenario, shard: Shard, clients: Sequence[DeviceClient]) -> None:
        self.scenario = scenario
        self._shard = shard
        self._shares = DeviceShares(scenario, shard.count)
        self._newest = {client.device.device_id: client for client in clients}
        self._group_of: dict[str, int] | None = None

    def plan(self, scenario: Scenario) -> MembershipPlan:
        """Return what is to be done; changes nothing. Raises `ConfigError`."""
        change = compare_scenarios(self.scenario, scenario)
        everyone = all_devices(scenario)
        check_devices(scenario.faults, *kinds_by_id(device for device, _ in everyone))
        shares = self._shares.dealt(change)
        mine = self._shard.index
        arriving = {one for one in (*change.added, *change.replaced) if shares.owner(one) == mine}
        staged = emulated(everyone)
        numbers = connection_numbers(staged)
        going = [one for one in (*change.removed, *change.replaced) if shares.owner(one) == mine]
        return MembershipPlan(
            change=change,
            scenario=scenario,
            coming={
                device.device_id: number
                for number, (device, _) in zip(numbers, staged, strict=True)
                if device.device_id in arriving
            },
            logins=login_names([(device, group) for device, group in staged if device.device_id in arriving]),
            leaving=[self._newest[one] for one in going],
            intervals=[(self._newest[one], ms) for one, ms in change.intervals.items() if shares.owner(one) == mine],
            known={one: self._newest[one] for one in arriving if one in self._newest},
        )

    def active_logins(self, plan: MembershipPlan) -> list[str]:
        """Return the names of the identities of all connections that this process has after a change."""
        stay = [login_name(client.device) for client in self._newest.values() if not client.is_leaving]
        return list(dict.fromkeys([*stay, *plan.logins]))

    def present(self) -> Sequence[DeviceClient]:
        """Return the devices that this process has and that are not about to leave."""
        return [client for client in self._newest.values() if not client.is_leaving]

    def find(self, device_id: str) -> DeviceClient | None:
        """Return a device of this process; None where it is none, or is about to leave."""
        client = self._newest.get(device_id)
        return None if client is None or client.is_leaving else client

    def named(self, device_ids: Sequence[str]) -> list[DeviceClient]:
        """Return those of the devices of these ids that this process has, of one with parts all of these."""
        found: list[DeviceClient] = []
        wholes: dict[str, list[DeviceClient]] | None = None
        for device_id in device_ids:
            if (client := self.find(device_id)) is not None:
                found.append(client)
                continue
            if wholes is None:
                wholes = {}
                for one in self.present():
                    if one.device.host is not None:
                        wholes.setdefault(one.device.host.device_id, []).append(one)
            found += wholes.get(device_id, ())
        return list(dict.fromkeys(found))

    def group_numbers(self) -> Mapping[str, int]:
        """Return of each device of the scenario, of all processes, the number of its group; takes long at first."""
        if self._group_of is None:
            numbers = {id(group): number for number, group in enumerate(self.scenario.devices)}
            self._group_of = {
                device.device_id: numbers[id(group)] for device, group in emulated(all_devices(self.scenario))
            }
        return self._group_of

    def enter(self, plan: MembershipPlan, arrived: Sequence[DeviceClient]) -> None:
        """Take note that a plan is carried out."""
        self.scenario = plan.scenario
        self._group_of = None
        self._shares = self._shares.dealt(plan.change)
        self._newest.update({client.device.device_id: client for client in arrived})
