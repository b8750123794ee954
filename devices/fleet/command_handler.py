"""Carries out commands: each is answered on `result`, and done once however often it comes."""

from typing import Any, Protocol

from devices.faults.schedule import FOREVER_MS
from devices.firmware.commands import (
    ClearFaults,
    Identify,
    Order,
    Reboot,
    SetFault,
    SetInterval,
    Start,
    Stop,
    UpdateFirmware,
    ValidCommand,
    read_command,
)
from devices.firmware.vitals import draw
from devices.fleet.device_client import DeviceClient
from devices.fleet.pacer import Pacer
from devices.sensors.base import boot_number
from devices.timeline.timeline import Timeline
from edgewire.config import duration_text
from edgewire.messages import Channel

MOST_FAULTS = 500
"""Set by command in one process: each is looked at with every batch of readings."""


class Owner(Protocol):
    """What is needed of the fleet."""

    pacer: Pacer
    timeline: Timeline
    connections: list[DeviceClient]

    def device_time_ms(self) -> int: ...


class Refused(Exception):
    """An order that cannot be carried out now, and why."""


class CommandHandler:
    """What devices are told to do, done to the timeline from the moment up to which it is computed already.

    That moment is at most two seconds away (`pacer.LONGEST_S`, twice).
    """

    def __init__(self, fleet: Owner) -> None:
        self._fleet = fleet
        self._position: dict[str, int] = {}
        # Devices that load new firmware, and those that are about to restart, or down for it.
        self._updating: set[int] = set()
        self._restarting: set[int] = set()

    def receive(self, connection: DeviceClient, payload: bytes) -> None:
        """A message came on `cmd`."""
        firmware, now_ms = connection.firmware, self._fleet.device_time_ms()
        command = read_command(payload, connection.device.kind, now_ms)
        known = firmware.answers.known(command.id) if command.id else None
        if known is None:
            error: str | None = None
            data: dict[str, Any] | None = None
            if isinstance(command, ValidCommand):
                try:
                    data = self._carry_out(connection, command.order)
                except Refused as refused:
                    error = str(refused)
            else:
                error = command.error
            # Copied: what orjson returns holds on to 4 KiB of memory, however short it is.
            known = bytes(bytearray(firmware.result(command.id, error, now_ms, data)))
            # An expired or wrong command may be sent again in good order under its id.
            if isinstance(command, ValidCommand):
                firmware.answers.remember(command.id, known)
        connection.publish_control(Channel.RESULT, known)

    def _carry_out(self, connection: DeviceClient, order: Order) -> dict[str, Any] | None:
        fleet, position = self._fleet, self._place(connection)
        overrides, at_ms = fleet.timeline.overrides, fleet.pacer.computed_until_ms
        match order:
            # Its next boot is in the timeline already, which what comes before that would turn upside down.
            case SetInterval() | Stop() | Start() | Reboot() | UpdateFirmware() if position in self._restarting:
                raise Refused("the device is about to restart: send this when it is back")
            case SetInterval(interval=interval_ms):
                if overrides.is_stopped(position):
                    raise Refused("the device is stopped: send start first")
                overrides.set_interval(position, interval_ms, at_ms)
                return {"interval": duration_text(interval_ms)}
            case Stop():
                overrides.stop_sampling(position, at_ms)
            case Start():
                if overrides.is_stopped(position):
                    overrides.resume_sampling(position, at_ms)
            case Identify():
                return self._identity(connection, position)
            case Reboot():
                self._reset(connection, position, at_ms, "command", None)
            case SetFault(fault=fault, duration_ms=duration_ms):
                if fleet.timeline.faults.commanded >= MOST_FAULTS:
                    raise Refused(f"{MOST_FAULTS} faults were set by command already: no more in one run")
                fleet.timeline.faults.set_fault(
                    fault, position, at_ms, FOREVER_MS if duration_ms is None else at_ms + duration_ms
                )
            case ClearFaults():
                return {"cleared": fleet.timeline.faults.clear_faults(position, at_ms)}
            case UpdateFirmware():
                return self._update(connection, position, order, at_ms)
        return None

    def _identity(self, connection: DeviceClient, position: int) -> dict[str, Any]:
        device, firmware, overrides = connection.device, connection.firmware, self._fleet.timeline.overrides
        return {
            "kind": device.kind,
            "site": device.site,
            "firmware": firmware.version,
            "origin": "emulated",
            "interval": duration_text(overrides.interval_ms(position)),
            "stopped": overrides.is_stopped(position),
            "qos": device.qos,
            "reset_reason": firmware.reset_reason,
        }

    def _update(self, connection: DeviceClient, position: int, order: UpdateFirmware, at_ms: int) -> dict[str, Any]:
        """Load for a while, then reset into the new firmware, or back into the old one where that does not start."""
        firmware, config = connection.firmware, connection.firmware.build.firmware.update
        if position in self._updating:
            raise Refused("an update is under way: wait until the device has restarted")
        fails = order.fails
        if fails is None:
            fails = draw(connection.device.key, at_ms) < config.failures
        self._updating.add(position)
        boot = firmware.boot

        def install() -> None:
            self._updating.discard(position)
            # A reset in between has ended the download.
            if firmware.boot == boot and not (connection.is_off or position in self._restarting):
                version, reason = (None, "rollback") if fails else (order.version, "update")
                self._reset(connection, position, self._fleet.pacer.computed_until_ms, reason, version)

        self._fleet.pacer.at(at_ms + config.download, install)
        return {"from": firmware.version, "to": order.version, "download": duration_text(config.download)}

    def _reset(self, connection: DeviceClient, position: int, at_ms: int, reason: str, version: str | None) -> None:
        down_ms = connection.firmware.build.firmware.boot_time
        up_ms = at_ms + down_ms
        self._restarting.add(position)

        def start() -> None:
            self._restarting.discard(position)
            connection.power_on(boot_number(up_ms), up_ms, reason, version)

        self._fleet.timeline.overrides.reboot_device(position, at_ms, down_ms)
        self._fleet.pacer.at(at_ms, connection.power_off)
        self._fleet.pacer.at(up_ms, start)

    def _place(self, connection: DeviceClient) -> int:
        if not self._position:
            devices = self._fleet.timeline.devices
            self._position = {device.device_id: position for position, device in enumerate(devices)}
        return self._position[connection.device.device_id]
