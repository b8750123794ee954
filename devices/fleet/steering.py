"""Changes a fleet while it runs and looks at its devices, for whoever controls the run from outside.

Requests and answers are plain data that can be pickled: a run of several processes hands the same request to each of
them, and adds up what they answer. Which devices are meant is told by their ids alone, so it does not matter which
process has which.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, assert_never

import numpy as np

from devices.faults.assigned import AssignedFault
from devices.faults.base import STRIKES_BATCHES, Fault
from devices.faults.schedule import FOREVER_MS
from devices.fleet.command_handler import MOST_FAULTS, arguments_of
from devices.fleet.device_client import DeviceClient
from devices.fleet.device_map import DeviceMap
from devices.fleet.membership import FleetMembership
from devices.fleet.part import FleetPart
from devices.fleet.standby import Standby
from devices.fleet.standby_client import StandbyClient
from devices.scenario.changes import ScenarioChange
from devices.scenario.scenario import Scenario
from devices.world.random import hash_bits, uniform
from edgewire.errors import ConfigError, ServiceUnavailable
from edgewire.messages.control import CommandAction

AT_ONCE = 100
"""Devices that are changed in one go of the event loop, while others send."""
LOOKED_AT_ONCE = 2000
"""Devices that are looked through in one go."""
REACHED_S = 0.01
"""How often is looked whether a moment is reached."""
MOST_WINDOWS = 50
"""Times of faults that are told of one device."""
BEHIND_MS = 600_000
"""How far back they are told."""
AHEAD_MS = 3_600_000
"""How far ahead, in the devices' time, the faults of a device are told."""
NO_STANDBY = "no emulator in standby: write standby: true, or switch it on with set"
"""Why a device does not leave its place."""
REASONS = 20
"""Reasons for which devices do not obey that are told apart; the rest is summed up."""

_Client = TypeVar("_Client", bound=DeviceClient)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSelection:
    """Says which devices are meant: all, those of groups, or those named; and of them all, or a share."""

    groups: tuple[int, ...] = ()
    """Their numbers in the scenario."""
    device_ids: tuple[str, ...] = ()
    """That of a device with several parts means all of them."""
    share: float | None = None
    draw: str = ""
    """What the share is drawn by, beside the devices: the same draw chooses the same ones."""

    @property
    def is_of_all(self) -> bool:
        """Return whether all devices are meant."""
        return not self.groups and not self.device_ids and self.share is None


@dataclass(frozen=True, slots=True)
class ApplyScenario:
    """Asks the fleet to go on with another scenario."""

    scenario: Scenario


@dataclass(frozen=True, slots=True)
class ChangeTimeScale:
    """Asks for another scale of time as of a moment of the devices' time, a little ahead, the same in all processes."""

    at_ms: int
    scale: float


@dataclass(frozen=True, slots=True)
class PauseReadings:
    """Asks devices to take no readings until they are resumed; those that come to the selection later neither."""

    selection: DeviceSelection


@dataclass(frozen=True, slots=True)
class ResumeReadings:
    """Asks devices that were paused to take readings again."""

    selection: DeviceSelection


@dataclass(frozen=True, slots=True)
class WithdrawDevices:
    """Asks emulators in standby to leave their places until they are recalled."""

    selection: DeviceSelection


@dataclass(frozen=True, slots=True)
class RecallDevices:
    """Asks emulators that have left their places to return at once."""

    selection: DeviceSelection


@dataclass(frozen=True, slots=True)
class InjectFault:
    """Asks for a fault at devices from now on, for so long or until it is ended."""

    selection: DeviceSelection
    faults: Mapping[str, Fault]
    """By the kind of the devices."""
    duration_ms: int | None
    name: str
    """Of its random draws; it is ended by it as well."""


@dataclass(frozen=True, slots=True)
class EndFaults:
    """Asks for the end of what was injected, or set by command: of one name, or all of it."""

    selection: DeviceSelection
    name: str | None = None


@dataclass(frozen=True, slots=True)
class CommandDevices:
    """Asks devices to carry out a command, as if it had come over their connection."""

    selection: DeviceSelection
    action: CommandAction
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FindDevices:
    """Asks for the devices whose ids have a text in them, in the order of their ids."""

    selection: DeviceSelection = DeviceSelection()
    text: str = ""
    kind: str | None = None
    state: str | None = None
    after: str = ""
    """The last id that is known already."""
    limit: int = 50


@dataclass(frozen=True, slots=True)
class LookAtDevice:
    """Asks for all that is known of one device, and for its messages from now on."""

    device_id: str


@dataclass(frozen=True, slots=True)
class LocateDevices:
    """Asks where devices are now: a row of arrays a process, with their ids if wanted."""

    with_ids: bool = False
    every: int = 1
    """Of so many devices one is told of."""


@dataclass(frozen=True, slots=True)
class ReachStep:
    """Asks for when the devices are computed up to a moment of their time, so that a change holds from exactly then."""

    at_ms: int
    """One of the barriers of the fleet."""
    limit_s: float
    """How long that may take."""


@dataclass(frozen=True, slots=True)
class PassStep:
    """Asks the fleet to go on beyond a barrier."""

    at_ms: int


FleetChange = (
    ApplyScenario
    | ChangeTimeScale
    | PauseReadings
    | ResumeReadings
    | WithdrawDevices
    | RecallDevices
    | InjectFault
    | EndFaults
    | CommandDevices
)
FleetQuery = FindDevices | LookAtDevice | LocateDevices | ReachStep | PassStep
"""What changes no device, and is answered beside changes that are under way."""
FleetRequest = FleetChange | FleetQuery


@dataclass(slots=True, kw_only=True)
class FleetAnswer:
    """Says what came of a request in one process, or in all."""

    devices: int = 0
    """How many it was about: those that changed, or that were found."""
    refused: Counter[str] = field(default_factory=Counter)
    """Why devices do not do what they are told to -> how many of them."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    """What is told of devices, or what they have told."""
    change: ScenarioChange | None = None
    """Of all processes."""
    at_ms: int | None = None
    """The devices' time from which it holds, where it is the same for all."""

    def merge(self, other: "FleetAnswer") -> None:
        """Add what another process has answered."""
        self.devices += other.devices
        self.refused.update(other.refused)
        self.rows += other.rows
        self.change = self.change or other.change
        self.at_ms = other.at_ms if self.at_ms is None else max(self.at_ms, other.at_ms or 0)


class SteeredFleet(Protocol):
    """Names what is needed of a fleet that is controlled."""

    standby: Standby

    @property
    def is_running(self) -> bool: ...

    async def members(self) -> FleetMembership: ...

    def part_with(self, client: DeviceClient) -> FleetPart: ...

    def device_time_ms(self) -> int: ...

    @property
    def computed_until_ms(self) -> int: ...

    def has_reached(self, at_ms: int) -> bool: ...

    def pass_barrier(self, at_ms: int) -> None: ...

    def change_time_scale(self, at_ms: int, scale: float) -> None: ...

    async def apply(self, scenario: Scenario) -> ScenarioChange: ...


class FleetSteering:
    """Carries out requests at the devices of one process. Changes are to be asked for one after the other."""

    def __init__(self, fleet: SteeredFleet, seed: int) -> None:
        self._fleet = fleet
        self._seed = seed
        self._paused: set[DeviceClient] = set()
        self._pauses: list[DeviceSelection] = []
        self._map: DeviceMap[DeviceClient] = DeviceMap()

    async def answer(self, request: FleetRequest) -> FleetAnswer:
        """Do what is asked for. Raises `ConfigError` for what cannot be, `ServiceUnavailable` where no fleet runs."""
        if not self._fleet.is_running and not isinstance(request, ApplyScenario | ChangeTimeScale):
            raise ServiceUnavailable("the run is not under way: it has not begun, or is about to end")
        match request:
            case ApplyScenario(scenario):
                at_ms = self._fleet.computed_until_ms
                change = await self._fleet.apply(scenario)
                for selection in self._pauses:
                    await self._pause(selection)
                return FleetAnswer(change=change, at_ms=at_ms)
            case ChangeTimeScale(at_ms, scale):
                self._fleet.change_time_scale(at_ms, scale)
                return FleetAnswer(at_ms=at_ms)
            case PauseReadings(selection):
                self._pauses.append(selection)
                return await self._pause(selection)
            case ResumeReadings(selection):
                return await self._resume(selection)
            case WithdrawDevices(selection):
                return await self._withdraw(selection)
            case RecallDevices(selection):
                return await self._recall(selection)
            case InjectFault():
                return await self._inject(request)
            case EndFaults(selection, name):
                return await self._end_faults(selection, name)
            case CommandDevices():
                return await self._command(request)
            case FindDevices():
                return await self._find(request)
            case LookAtDevice(device_id):
                return await self._look_at(device_id)
            case LocateDevices():
                return await self._locate(request)
            case ReachStep(at_ms, limit_s):
                with suppress(TimeoutError):
                    async with asyncio.timeout(limit_s):
                        while not self._fleet.has_reached(at_ms):  # noqa: ASYNC110 - every part has its own pace
                            await asyncio.sleep(REACHED_S)
                return FleetAnswer()
            case PassStep(at_ms):
                self._fleet.pass_barrier(at_ms)
                return FleetAnswer()
        assert_never(request)

    # -- changes

    async def _pause(self, selection: DeviceSelection) -> FleetAnswer:
        clients = [one for one in await self.select(selection) if one not in self._paused]
        self._paused.update(clients)
        return await self._one_by_one(clients, lambda client: self._part(client).stop_readings(client))

    async def _resume(self, selection: DeviceSelection) -> FleetAnswer:
        clients = [one for one in await self.select(selection) if one in self._paused]
        self._paused.difference_update(clients)
        self._pauses = [] if selection.is_of_all else [one for one in self._pauses if one.groups != selection.groups]
        return await self._one_by_one(clients, lambda client: self._part(client).resume_readings(client))

    async def _withdraw(self, selection: DeviceSelection) -> FleetAnswer:
        clients = await self.select(selection)
        standing_by = [one for one in clients if isinstance(one, StandbyClient) and not one.is_leaving]
        found = await self._one_by_one(standing_by, lambda client: self._part(client).stand_by(client))
        if others := len(clients) - len(standing_by):
            found.refused[NO_STANDBY] = others
        return found

    async def _recall(self, selection: DeviceSelection) -> FleetAnswer:
        found = FleetAnswer()
        for number, client in enumerate(await self.select(selection), 1):
            if isinstance(client, StandbyClient) and client.away_since_ms is not None and not client.is_leaving:
                at_ms = None if client.is_off else self._fleet.standby.recall(client)
                if at_ms is None:
                    found.refused["is about to restart, or down: ask again in a while"] += 1
                else:
                    found.merge(FleetAnswer(devices=1, at_ms=at_ms))
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        return found

    async def _inject(self, request: InjectFault) -> FleetAnswer:
        found = FleetAnswer()
        by_part: dict[tuple[FleetPart, str], list[DeviceClient]] = {}
        whole: set[str] = set()
        for client in await self.select(request.selection):
            kind = client.device.kind
            # What befalls a whole device befalls it once, however many of its parts are meant.
            if request.faults[kind].is_executed_live and client.device.whole_id in whole:
                continue
            whole.add(client.device.whole_id)
            by_part.setdefault((self._part(client), kind), []).append(client)
        parts = {part for part, _ in by_part}
        if sum(part.timeline.faults.commanded for part in parts) + len(by_part) > MOST_FAULTS:
            raise ConfigError(f"{MOST_FAULTS} faults were set in this run already: no more in one run")
        for (_, kind), clients in by_part.items():
            fault = request.faults[kind]
            if fault.strikes_messages and (batching := next((one for one in clients if one.batches_readings), None)):
                raise ConfigError(f"{batching.device.device_id}: {fault.type_name} {STRIKES_BATCHES}")
        for (part, kind), clients in by_part.items():
            found.merge(
                FleetAnswer(
                    devices=len(clients),
                    at_ms=part.set_fault(clients, request.faults[kind], request.duration_ms, request.name),
                )
            )
            await asyncio.sleep(0)
        return found

    async def _end_faults(self, selection: DeviceSelection, name: str | None) -> FleetAnswer:
        by_part: dict[FleetPart, list[DeviceClient]] = {}
        for client in await self.select(selection):
            by_part.setdefault(self._part(client), []).append(client)
        ended = sum(part.clear_faults(clients, name) for part, clients in by_part.items())
        return FleetAnswer(devices=ended, at_ms=self._effective_ms([one for some in by_part.values() for one in some]))

    async def _command(self, request: CommandDevices) -> FleetAnswer:
        found = FleetAnswer()

        def carry_out(client: DeviceClient) -> None:
            error, told = self._part(client).carry_out(client, request.action, request.arguments)
            if error is not None:
                found.refused[error if error in found.refused or len(found.refused) < REASONS else "other"] += 1
            elif told and len(found.rows) < AT_ONCE:
                found.rows.append({"device_id": client.device.device_id, **told})

        clients = await self.select(request.selection)
        if not arguments_of(request.action).of_part:
            # What all parts of a device do together, it does once.
            clients = [*{one.device.whole_id: one for one in reversed(clients)}.values()][::-1]
        done = await self._one_by_one(clients, carry_out)
        found.devices, found.at_ms = done.devices - found.refused.total(), done.at_ms
        return found

    async def _one_by_one(self, clients: Sequence[_Client], act: Callable[[_Client], None]) -> FleetAnswer:
        for number, client in enumerate(clients, 1):
            act(client)
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        return FleetAnswer(devices=len(clients), at_ms=self._effective_ms(clients))

    def _effective_ms(self, clients: Sequence[DeviceClient]) -> int:
        """Return the devices' time from which on a change that is made now holds: what comes before is computed."""
        parts = {self._part(client) for client in clients}
        return max((part.pacer.computed_until_ms for part in parts), default=self._fleet.device_time_ms())

    # -- looks

    async def _find(self, query: FindDevices) -> FleetAnswer:
        members = await self._fleet.members()
        groups = await asyncio.to_thread(members.group_numbers)
        text = query.text.lower()
        found: list[DeviceClient] = []
        for number, client in enumerate(await self.select(query.selection), 1):
            device_id = client.device.device_id
            if (
                text in device_id.lower()
                and query.kind in (None, client.device.kind)
                and query.state in (None, self._state_of(client))
            ):
                found.append(client)
            if number % LOOKED_AT_ONCE == 0:
                await asyncio.sleep(0)
        after = sorted((one for one in found if one.device.device_id > query.after), key=_device_id)
        rows = [self._row(client, groups) for client in after[: query.limit]]
        return FleetAnswer(devices=len(found), rows=rows)

    async def _look_at(self, device_id: str) -> FleetAnswer:
        members = await self._fleet.members()
        client = members.find(device_id)
        if client is None:
            return FleetAnswer()
        groups = await asyncio.to_thread(members.group_numbers)
        part, now_ms = self._part(client), self._fleet.device_time_ms()
        firmware, link = client.firmware, client.link_faults or client.carrier.link_faults
        position, tap = part.position_of(client), part.tap_device(client)
        row = self._row(client, groups) | {
            "client_id": client.device.client_id,
            "gateway": None if client.device.gateway is None else client.device.gateway.gateway_id,
            "broker": str(client.carrier.broker),
            "qos": client.device.qos,
            "boot": firmware.boot,
            "booted_ms": firmware.booted_ms,
            "reset_reason": firmware.reset_reason,
            "firmware": firmware.version,
            "is_synced": firmware.is_synced,
            "link_is_faulty": link is not None,
            "now_ms": now_ms,
            "faults": [*_fault_windows(part, client, position, now_ms, now_ms + AHEAD_MS, now_ms)],
            "recent_faults": [*_fault_windows(part, client, position, now_ms - BEHIND_MS, now_ms, now_ms)],
            "vitals": (client.carrier if client.device.host else client).firmware.vitals(now_ms),
            "messages": tap.messages_shown(),
            "commands": [one._asdict() for one in tap.commands],
        }
        return FleetAnswer(devices=1, rows=[row])

    async def _locate(self, query: LocateDevices) -> FleetAnswer:
        clients = (await self._fleet.members()).present()[:: query.every]
        now_ms = self._fleet.device_time_ms()
        row = await self._map.locate(
            clients, lambda client: self._part(client).timeline.world, self._state_of, now_ms, with_ids=query.with_ids
        )
        return FleetAnswer(devices=len(clients), rows=[row])

    def _row(self, client: DeviceClient, groups: Mapping[str, int]) -> dict[str, Any]:
        part, counters = self._part(client), list(client.firmware.all_counters())
        position = part.position_of(client)
        return {
            "device_id": client.device.device_id,
            "part_of": None if client.device.host is None else client.device.host.device_id,
            "kind": client.device.kind,
            "site": client.device.site,
            "group": groups.get(client.device.device_id),
            "state": self._state_of(client),
            "interval_ms": part.timeline.overrides.interval_ms(position),
            "emitted": sum(one.emitted for one in counters),
            "acknowledged": sum(one.acknowledged for one in counters),
            "sent_qos0": sum(one.sent_qos0 for one in counters),
            "dropped": sum(len(one.dropped) for one in counters),
            "buffered": client.firmware.outbox.readings,
            "inflight": client.inflight,
            "reconnects": max(0, client.reconnects),
        }

    def _state_of(self, client: DeviceClient) -> str:
        if client in self._paused:
            return "paused"
        if client.is_withdrawn:
            return "standby"
        if client.is_asleep:
            return "asleep"
        if client.is_off:
            return "off"
        return "connected" if client.is_online else "disconnected"

    # -- who is meant

    def _part(self, client: DeviceClient) -> FleetPart:
        return self._fleet.part_with(client)

    async def select(self, selection: DeviceSelection) -> Sequence[DeviceClient]:
        """Return the devices of this process that are meant."""
        members = await self._fleet.members()
        clients = members.named(selection.device_ids) if selection.device_ids else [*members.present()]
        if selection.groups:
            groups = await asyncio.to_thread(members.group_numbers)
            clients = [one for one in clients if groups.get(one.device.device_id) in selection.groups]
        if selection.share is not None and clients:
            keys = np.array([client.device.whole_key for client in clients], dtype=np.uint64)
            drawn = uniform(hash_bits(self._seed, selection.draw, keys)) < selection.share
            clients = [client for client, is_drawn in zip(clients, drawn.tolist(), strict=True) if is_drawn]
        return clients


def _device_id(client: DeviceClient) -> str:
    return client.device.device_id


def _fault_windows(
    part: FleetPart, client: DeviceClient, position: int, from_ms: int, to_ms: int, now_ms: int
) -> Iterator[dict[str, Any]]:
    """Yield the faults that a device has in a window of time."""
    count = 0
    for assigned in part.timeline.faults.faults_of(client.device.kind, position):
        _, windows = assigned.windows_between(np.array([position]), from_ms, to_ms)
        for start_ms, end_ms in zip(windows.start.tolist(), windows.end.tolist(), strict=True):
            if start_ms >= end_ms:
                continue
            count += 1
            if count > MOST_WINDOWS:
                return
            yield {
                "type": assigned.fault.type_name,
                "parameters": assigned.fault.parameters,
                "from_ms": start_ms,
                "to_ms": None if end_ms >= FOREVER_MS else end_ms,
                "is_now": start_ms <= now_ms < end_ms,
                "by": _origin(assigned),
            }


def _origin(assigned: AssignedFault) -> str:
    """Return whom a fault is of: the scenario, a command, or the control interface by its name."""
    name = assigned.stream
    return name if name.startswith("control/") else "command" if name.startswith("commanded/") else "scenario"
