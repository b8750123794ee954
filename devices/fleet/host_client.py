"""Carries the parts of one device over its one MQTT connection.

A part has a position in the timeline, and numbers of its own; all else is its device's: the connection and its faults,
the boots, the outbox, the status and the commands.
"""

from collections.abc import Callable

from devices.firmware.firmware import Firmware
from devices.firmware.outbox import Reading
from devices.firmware.parts import HostFirmware
from devices.fleet.carrier_client import CarriedClient, CarrierClient
from devices.fleet.client_state import ClientTrigger
from devices.fleet.device_client import ClientOwner
from devices.scenario.devices import Device
from devices.timeline.host_format import HostFormat
from devices.timeline.wire_format import WireFormat
from edgewire.link import BrokerUrl, Link
from edgewire.mqtt import Event, Session

_T = ClientTrigger


class PartClient(CarriedClient):
    """Publishes what one part of a device has to say."""

    __slots__ = ("host",)

    def __init__(
        self,
        device: Device,
        firmware: Firmware,
        host: "HostClient",
        owner: ClientOwner,
        uniform: Callable[[], float],
        wire_format: WireFormat,
    ) -> None:
        super().__init__(device, firmware, host, owner, uniform, wire_format)
        self.host = host
        host.add_part(self)

    @property
    def part_name(self) -> str:
        """Return what the part is called."""
        return "" if self.device.host is None else self.device.host.part

    @property
    def is_asleep(self) -> bool:
        """Return whether its device is in deep sleep."""
        return self.host.is_asleep

    @property
    def is_off(self) -> bool:
        """Return whether its device is down during a reset."""
        return self.host.is_off

    @property
    def is_resting(self) -> bool:
        """Return whether its device has no connection because it wants none."""
        return self.host.is_resting

    @property
    def is_gone(self) -> bool:
        """Return whether its device is out of the fleet, and another client may use its id."""
        return self.is_retired and self.host.is_gone

    @property
    def is_stalled(self) -> bool:
        """Return whether readings wait though it is connected, and only the broker's window holds them back."""
        return bool(self.firmware.outbox) and self.host.is_stalled

    @property
    def least_boot(self) -> int:
        """Return the boot that is greater than all of its device's."""
        return self.host.least_boot

    def handle_reading(self, reading: Reading) -> None:
        """Publish a reading that was taken now, or have its device keep it."""
        host = self.host
        if host.link_faults is not None and host.link_faults.corrupts(reading):
            reading = self._corrupted(reading, host.link_faults)
        if self.firmware.on_reading(reading, host.window_now(reading.qos)):
            self._publish(reading)
        elif host.is_asleep and host.firmware.wants_to_wake():
            host.wake()

    def publish_waiting(self, reading: Reading) -> None:
        """Publish a reading that has waited."""
        self._publish(reading)

    def flush_outbox(self) -> None:
        """Let its device publish what waits."""
        self.host.flush_outbox()

    def publish_status(self, state: str) -> None:
        """Say nothing: the device has one status for all its parts."""

    def tick(self) -> None:
        """Do nothing: the device does what time brings."""

    def finish_readings(self) -> None:
        """Have its device hand in what is there."""
        self.host.finish_readings()

    def begin_leave(self) -> None:
        """Hand in what is there before its device is taken out of the fleet."""
        self.is_leaving = self.host.is_leaving = True
        self.finish_readings()

    def retire(self) -> None:
        """Go out of the fleet: the device says goodbye with the last of its parts."""
        super().retire()
        self.host.on_part_retired()

    def disconnect_cleanly(self) -> None:
        """Have no part in the connection any more: the device says that it goes."""
        if self.is_online:
            self._move(_T.LEAVE)
            self.detach()

    def power_off(self) -> None:
        """Go down with its device."""
        self._move(_T.POWER_OFF)
        self.detach()

    def power_on(self, boot: int, at_ms: int, reason: str, version: str | None = None) -> None:
        """Start anew with its device: what is under way is forgotten."""
        self.firmware.on_reset(boot, at_ms, reason, self.unacknowledged(), version)
        self.under_way = 0
        self._move(_T.POWER_ON)
        self._owner.on_booted(self)


class HostClient(CarrierClient):
    """Keeps the connection of a device with several parts, and what waits for it."""

    __slots__ = ("_firmware", "_highest_qos", "parts")

    def __init__(
        self,
        device: Device,
        firmware: HostFirmware,
        session: Session,
        owner: ClientOwner,
        uniform: Callable[[], float],
        broker: BrokerUrl,
        wire_format: HostFormat,
    ) -> None:
        super().__init__(device, firmware, session, owner, uniform, broker, wire_format)
        self._firmware = firmware
        # Of its parts: what waits leaves as if all of it needed the window.
        self._highest_qos = 0
        self.parts: list[PartClient] = []
        """In the order in which the scenario has them."""

    def add_part(self, part: PartClient) -> None:
        """Carry one more part."""
        self._carried.append(part)
        self.parts.append(part)
        self._highest_qos = max(self._highest_qos, part.device.qos)
        self._firmware.add_part(part.firmware)

    def window_now(self, qos: int) -> int:
        """Return how many readings that are taken now may leave at once: none while others wait."""
        return 0 if self.firmware.outbox else self._free_window(qos)

    def on_events(self, link: Link, events: list[Event]) -> None:
        """Handle what happened on the wire: answers go to the parts that have published."""
        super().on_events(link, events)
        if self.firmware.outbox:
            self.flush_outbox()

    def flush_outbox(self) -> None:
        """Publish what waits, whichever part it is of, as far as the connection takes it."""
        outbox = self.firmware.outbox
        while outbox and (window := self._free_window(self._highest_qos)):
            readings = self.firmware.pop_publishable(window, self._owner.monotonic_s())
            if not readings:
                return
            for reading in readings:
                self.parts[reading.part].publish_waiting(reading)

    def on_part_retired(self) -> None:
        """Go out of the fleet when all parts have."""
        if not self.is_retired and all(part.is_retired for part in self.parts):
            self.retire()

    def power_off(self) -> None:
        """Go down with all parts: the connection dies with the device, and the broker publishes the will."""
        if self.is_retired:
            return
        super().power_off()
        for part in self.parts:
            part.power_off()

    def power_on(self, boot: int, at_ms: int, reason: str, version: str | None = None) -> None:
        """Start anew with all parts, and connect."""
        if self.is_retired:
            return
        for part in self.parts:
            part.power_on(boot, at_ms, reason, version)
        super().power_on(boot, at_ms, reason, version)
