"""Carries out commands: each is answered on `result`, and done once however often it comes.

`command_spec` is the one table of them. docs/firmware.md tells how to add one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, assert_never

import orjson

from devices.faults.schedule import FOREVER_MS
from devices.firmware.commands import (
    NO_PARTS,
    ClearFaults,
    CommandArguments,
    Identify,
    InvalidCommand,
    RebootDevice,
    ResetDevice,
    SetFault,
    SetInterval,
    StartReadings,
    StopReadings,
    UpdateFirmware,
    ValidCommand,
    read_arguments,
    read_command,
)
from devices.firmware.vitals import draw
from devices.fleet.device_client import DeviceClient
from devices.fleet.device_tap import DeviceTap
from devices.fleet.host_client import HostClient, PartClient
from devices.fleet.pacer import Pacer
from devices.scenario.devices import Device
from devices.timeline.timeline import Timeline
from devices.timeline.wire_format import CommandAnswer, CommandRequest
from edgewire.config import duration_text
from edgewire.dialects.encoder import Publication
from edgewire.messages.control import CommandAction
from edgewire.mqtt import Message, Properties, Unsendable, encode_topic

MOST_FAULTS = 500
"""Set by command in one process: each is looked at with every batch of readings."""


class CommandTarget(Protocol):
    """Names what commands need of the fleet."""

    pacer: Pacer
    timeline: Timeline

    def device_time_ms(self) -> int: ...

    def on_asked_for(self, client: DeviceClient, at_ms: int, message: Publication) -> None:
        """Take note of a message with a reading that a device publishes because somebody has asked for it."""
        ...

    def tap_of(self, client: DeviceClient) -> DeviceTap | None:
        """Return what keeps the commands of a device that somebody looks at; None where nobody does."""
        ...


class CommandRefused(Exception):
    """Raised by a handler where a command cannot be carried out now; says why."""


class Recipient(NamedTuple):
    """Names the device that a command is for."""

    client: DeviceClient
    positions: tuple[int, ...]
    """Of the device in the timeline: one, or those of the parts that are meant."""
    at_ms: int
    """The device time from which on the command takes effect."""

    @property
    def position(self) -> int:
        """Return the first of them, by which the whole device is known here."""
        return self.positions[0]


Data = dict[str, Any] | None
"""What the result of a command tells beside its success."""

Arguments = TypeVar("Arguments", bound=CommandArguments)


@dataclass(frozen=True, slots=True)
class CommandSpec(Generic[Arguments]):
    """Says what an action takes, and what carries it out."""

    arguments: type[Arguments]
    handle: Callable[["CommandHandler", Recipient, Arguments], Data]
    waits_for_restart: bool = False
    """Whether it is refused while the device is about to restart: its next boot is in the timeline already, which what
    comes before that would turn upside down."""
    changes_messages: bool = True
    """Whether the device says something else from then on than the scenario has."""


class CommandHandler:
    """Does what devices are told to do, from the moment up to which the timeline is computed already.

    That moment is at most two seconds away (`pacer.LONGEST_S`, twice).
    """

    def __init__(self, fleet: CommandTarget) -> None:
        self._fleet = fleet
        self._positions: dict[str, int] = {}
        # Devices that load new firmware, and those that are about to restart, or down for it.
        self._updating: set[int] = set()
        self._restarting: set[int] = set()

    def handle_command(self, client: DeviceClient, message: Message) -> None:
        """Carry out what came on a command topic, and publish the answer in the device's format.

        Where the message names a topic for it (MQTT 5, 4.10), a result of the message contract goes there.
        """
        firmware, now_ms = client.firmware, self._fleet.device_time_ms()
        request = client.wire_format.read_command(client.device, message)
        if request is None:
            client.ignore_command()
            return
        command: ValidCommand | InvalidCommand | None = None
        if request.payload is not None:
            command = read_command(request.payload, client.device.kind, now_ms, arguments_of, _parts_of(client))
        elif request.action:
            kind = client.device.kind
            command = read_arguments("", request.action, request.arguments, kind, now_ms, arguments_of)
        command_id = "" if command is None else command.id
        cached = firmware.responses.cached_response(command_id) if command_id else None
        if cached is None:
            messages = self._answers(client, request, command, now_ms)
            # An expired or wrong command may be sent again in good order under its id.
            if command_id and isinstance(command, ValidCommand):
                firmware.responses.cache_response(command_id, messages[0].payload)
        else:
            messages = [Publication(client.wire_format.result_topic(client.device), cached, retain=False)]
        correlation = message.properties.get("correlation_data")
        properties = None if correlation is None else Properties(correlation_data=correlation)
        elsewhere = _response_topic(message) if request.payload is not None else ""
        if (tap := self._fleet.tap_of(client)) is not None:
            tap.take_command(now_ms, "broker", message.payload, messages[0].payload if messages else b"")
        for one in messages:
            if request.wants_reading and client.is_online:
                self._fleet.on_asked_for(client, now_ms, one)
            client.publish_control(one._replace(topic=elsewhere) if elsewhere else one, properties)

    def carry_out(
        self, client: DeviceClient, action: CommandAction, arguments: Mapping[str, Any]
    ) -> tuple[str | None, Data]:
        """Let a device do something without a message; return why it does not, or None, and what it tells."""
        now_ms = self._fleet.device_time_ms()
        command = read_arguments("", action, arguments, client.device.kind, now_ms, arguments_of)
        error: str | None = None
        told: Data = None
        if isinstance(command, InvalidCommand):
            error = command.error
        else:
            try:
                told = self._execute(client, command)
            except CommandRefused as refused:
                error = str(refused)
        if (tap := self._fleet.tap_of(client)) is not None:
            answered = client.firmware.result("", error, now_ms, told)
            tap.take_command(now_ms, "control", orjson.dumps({"action": action, **arguments}), orjson.dumps(answered))
        return error, told

    def _answers(
        self,
        client: DeviceClient,
        request: CommandRequest,
        command: ValidCommand | InvalidCommand | None,
        now_ms: int,
    ) -> list[Publication]:
        """Do what is asked for; return what the device says to it."""
        firmware, timeline = client.firmware, self._fleet.timeline
        error: str | None = None
        data: Data = None
        if isinstance(command, ValidCommand):
            try:
                data = self._execute(client, command)
            except CommandRefused as refused:
                error = str(refused)
        elif command is not None:
            error = command.error
        answer = CommandAnswer(
            result=firmware.result("" if command is None else command.id, error, now_ms, data),
            status=firmware.status("online", now_ms),
        )
        if request.payload is None:
            positions, overrides = self._positions_of(client), timeline.overrides
            is_stopped = overrides.is_stopped(positions[0])
            readings = (one for at in positions for one in timeline.read_now(at, now_ms))
            answer = answer._replace(
                interval_s=0.0 if is_stopped else overrides.interval_ms(positions[0]) / 1000,
                readings=tuple(readings) if request.wants_reading else (),
            )
        # Copied: what orjson returns holds on to 4 KiB of memory, however short it is.
        return [
            one._replace(payload=bytes(bytearray(one.payload)))
            for one in client.wire_format.answer(client.device, request, answer)
        ]

    def _execute(self, client: DeviceClient, command: ValidCommand) -> Data:
        spec = command_spec(command.action)
        if isinstance(client, PartClient) and not spec.arguments.of_part:
            client = client.host
        affected = affected_clients(client, command.part)
        positions = tuple(map(self.position_of, affected))
        if spec.waits_for_restart and self._restarting.intersection(positions):
            raise CommandRefused("the device is about to restart: send this when it is back")
        at_ms = self._fleet.pacer.computed_until_ms
        data = spec.handle(self, Recipient(client, positions, at_ms), command.arguments)
        if spec.changes_messages:
            for one in affected:
                one.changed_ms = at_ms if one.changed_ms is None else one.changed_ms
        return data

    # -- handlers

    def _set_interval(self, to: Recipient, arguments: SetInterval) -> Data:
        overrides = self._fleet.timeline.overrides
        if any(map(overrides.is_stopped, to.positions)):
            raise CommandRefused("the device is stopped: send start first")
        for position in to.positions:
            overrides.set_interval(position, arguments.interval, to.at_ms)
        return {"interval": duration_text(arguments.interval)}

    def _stop(self, to: Recipient, _arguments: StopReadings) -> Data:
        for position in to.positions:
            self._fleet.timeline.overrides.stop_sampling(position, to.at_ms)
        return None

    def _start(self, to: Recipient, _arguments: StartReadings) -> Data:
        overrides = self._fleet.timeline.overrides
        for position in to.positions:
            if overrides.is_stopped(position):
                overrides.resume_sampling(position, to.at_ms)
        return None

    def _identify(self, to: Recipient, _arguments: Identify) -> Data:
        device, firmware = to.client.device, to.client.firmware
        told: dict[str, Any] = {"kind": device.kind, "site": device.site, "firmware": firmware.version}
        told |= {"origin": "emulated", "reset_reason": firmware.reset_reason}
        if not isinstance(to.client, HostClient):
            return told | self._measuring(device, to.position)
        parts = zip(to.client.parts, to.positions, strict=True)
        return told | {
            "parts": {
                one.part_name: {"kind": one.device.kind} | self._measuring(one.device, position)
                for one, position in parts
            }
        }

    def _measuring(self, device: Device, position: int) -> dict[str, Any]:
        overrides = self._fleet.timeline.overrides
        return {
            "interval": duration_text(overrides.interval_ms(position)),
            "stopped": overrides.is_stopped(position),
            "qos": device.qos,
        }

    def _reboot(self, to: Recipient, _arguments: RebootDevice) -> Data:
        self._restart(to, "command", None)
        return None

    def _reset(self, to: Recipient, _arguments: ResetDevice) -> Data:
        self._restart(to, "command", None, anew=True)
        return None

    def _set_fault(self, to: Recipient, arguments: SetFault) -> Data:
        faults = self._fleet.timeline.faults
        if faults.commanded >= MOST_FAULTS:
            raise CommandRefused(f"{MOST_FAULTS} faults were set by command already: no more in one run")
        end_ms = FOREVER_MS if arguments.duration_ms is None else to.at_ms + arguments.duration_ms
        faults.set_fault(arguments.fault, to.positions, to.at_ms, end_ms)
        return None

    def _clear_faults(self, to: Recipient, _arguments: ClearFaults) -> Data:
        return {"cleared": self._fleet.timeline.faults.clear_faults(to.positions, to.at_ms)}

    def _update_firmware(self, to: Recipient, arguments: UpdateFirmware) -> Data:
        """Load for a while, then reset into the new firmware, or back into the old one where that does not start."""
        client, position, at_ms = to.client, to.position, to.at_ms
        firmware, config = client.firmware, client.firmware.build.firmware.update
        if position in self._updating:
            raise CommandRefused("an update is under way: wait until the device has restarted")
        fails = arguments.fails
        if fails is None:
            fails = draw(client.device.key, at_ms) < config.failures
        self._updating.add(position)
        boot = firmware.boot

        def install() -> None:
            self._updating.discard(position)
            # A reset in between has ended the download.
            if firmware.boot == boot and not (client.is_off or position in self._restarting):
                version, reason = (None, "rollback") if fails else (arguments.version, "update")
                self._restart(to._replace(at_ms=self._fleet.pacer.computed_until_ms), reason, version)

        self._fleet.pacer.schedule_action(at_ms + config.download, install)
        return {"from": firmware.version, "to": arguments.version, "download": duration_text(config.download)}

    def _restart(self, to: Recipient, reason: str, version: str | None, *, anew: bool = False) -> None:
        client, at_ms = to.client, to.at_ms
        down_ms = client.firmware.build.firmware.boot_time
        up_ms = at_ms + down_ms
        self._restarting.update(to.positions)

        def start() -> None:
            self._restarting.difference_update(to.positions)
            client.power_on(self._fleet.timeline.boot_at(to.position, up_ms), up_ms, reason, version)

        for position in to.positions:
            self._fleet.timeline.overrides.reboot_device(position, at_ms, down_ms, anew=anew)
        self._fleet.pacer.schedule_action(at_ms, client.power_off)
        self._fleet.pacer.schedule_action(up_ms, start)

    def is_restarting(self, position: int) -> bool:
        """Return whether a device is about to restart, or down for it."""
        return position in self._restarting

    def position_of(self, client: DeviceClient) -> int:
        """Return the position of a device in the timeline."""
        if not self._positions:
            devices = self._fleet.timeline.devices
            self._positions = {device.device_id: position for position, device in enumerate(devices)}
        return self._positions[client.device.device_id]

    def _positions_of(self, client: DeviceClient) -> tuple[int, ...]:
        return tuple(map(self.position_of, affected_clients(client)))


def affected_clients(client: DeviceClient, part: str = "") -> Sequence[DeviceClient]:
    """Return the clients that are in the timeline: of a device with parts those, or the one of this name."""
    if isinstance(client, HostClient):
        return [one for one in client.parts if part in ("", one.part_name)]
    return [client]


def _parts_of(client: DeviceClient) -> Mapping[str, str]:
    """Return the kinds of the parts of a device by their names; nothing of one without parts."""
    return {one.part_name: one.device.kind for one in client.parts} if isinstance(client, HostClient) else NO_PARTS


def command_spec(action: CommandAction) -> CommandSpec[Any]:
    """Return the row of an action in the table of commands; mypy refuses an action that has none."""
    match action:
        case "set_interval":
            return CommandSpec(SetInterval, CommandHandler._set_interval, waits_for_restart=True)
        case "stop":
            return CommandSpec(StopReadings, CommandHandler._stop, waits_for_restart=True)
        case "start":
            return CommandSpec(StartReadings, CommandHandler._start, waits_for_restart=True)
        case "reboot":
            return CommandSpec(RebootDevice, CommandHandler._reboot, waits_for_restart=True)
        case "reset":
            return CommandSpec(ResetDevice, CommandHandler._reset, waits_for_restart=True)
        case "update_firmware":
            return CommandSpec(UpdateFirmware, CommandHandler._update_firmware, waits_for_restart=True)
        case "identify":
            return CommandSpec(Identify, CommandHandler._identify, changes_messages=False)
        case "set_fault":
            return CommandSpec(SetFault, CommandHandler._set_fault)
        case "clear_faults":
            return CommandSpec(ClearFaults, CommandHandler._clear_faults)
    assert_never(action)


def _response_topic(message: Message) -> str:
    """Return where the sender wants the response; empty where it does not say so, or names no topic."""
    topic = message.properties.get("response_topic", "")
    try:
        encode_topic(topic)
    except Unsendable:
        return ""
    return topic


def arguments_of(action: CommandAction) -> type[CommandArguments]:
    """Return the class of the arguments that an action takes."""
    arguments: type[CommandArguments] = command_spec(action).arguments
    return arguments
