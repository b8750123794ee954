"""Carries many devices over one MQTT connection: a gateway keeps it, and each device publishes through it.

A device behind a gateway has firmware, boots and an outbox of its own. Of the connection it has a share: the window of
messages under way is the gateway's, and goes round among the devices that have something waiting.
"""

from collections.abc import Callable

from devices.firmware.firmware import Firmware
from devices.firmware.outbox import Reading
from devices.fleet.carrier_client import CarriedClient, CarrierClient
from devices.fleet.client_state import ClientTrigger
from devices.fleet.device_client import ClientOwner, stem_and_ends
from devices.scenario.devices import Device
from devices.timeline.formats import dialect_format
from devices.timeline.gateway_format import GatewayFormat
from devices.timeline.wire_format import WireFormat
from edgewire.dialects.encoder import GatewayRequest
from edgewire.link import BrokerUrl, Link
from edgewire.mqtt import Event, Message, Session

_T = ClientTrigger


class MemberClient(CarriedClient):
    """Publishes what one device behind a gateway has to say."""

    __slots__ = ("_renames", "gateway")

    def __init__(
        self,
        device: Device,
        firmware: Firmware,
        gateway: "GatewayClient",
        owner: ClientOwner,
        uniform: Callable[[], float],
        wire_format: WireFormat,
    ) -> None:
        super().__init__(device, firmware, gateway, owner, uniform, wire_format)
        self.gateway = gateway
        self._renames: tuple[tuple[int, int, str], ...] = ()
        gateway.add_member(self)

    def handle_reading(self, reading: Reading) -> None:
        """Publish a reading that was taken now, or keep it."""
        super().handle_reading(reading)
        if self.firmware.outbox:
            self.gateway.await_turn(self)

    def handle_batch(self, message: Reading) -> None:
        """Publish a message of several readings, or keep it."""
        super().handle_batch(message)
        if self.firmware.outbox:
            self.gateway.await_turn(self)

    def attach(self) -> None:
        """Take part in the connection that the gateway has."""
        was_online = self.is_online
        super().attach()
        if was_online or not self.is_online:
            return
        self.publish_status("online")
        if self.firmware.outbox:
            self.gateway.await_turn(self)

    def on_gateway_message(self, message: Message) -> None:
        """Take a message that is for this device."""
        self._on_message(message)

    def rename(self, name: str) -> None:
        """Be called by another name, from the next reading on."""
        dialect_format(self.wire_format).rename(self.device, name)
        self._topic_stem, self._topic_ends = stem_and_ends(self.wire_format.topics(self.device))
        last_seq = self.firmware.counters.last_seq
        # What waits in the outbox has its topic already.
        self._renames += ((self.firmware.boot, 0 if last_seq is None else last_seq + 1, name),)

    def renames(self, boot: int) -> list[tuple[int, str]]:
        """Return the names that it was called by in a boot, each from a seq on."""
        before = [name for earlier, _, name in self._renames if earlier < boot]
        return [(0, name) for name in before[-1:]] + [(seq, name) for at, seq, name in self._renames if at == boot]

    # -- what a device with a connection of its own does otherwise

    def tick(self) -> None:
        """Let more of the outbox go."""
        if not self.is_online:
            return
        self._repeat_status()
        if self.needs_care and self.firmware.outbox:
            self.flush_outbox()

    def power_off(self) -> None:
        """Go down; its gateway misses it, and says so."""
        self.publish_status("offline")
        self._move(_T.POWER_OFF)
        self.detach()

    def power_on(self, boot: int, at_ms: int, reason: str, version: str | None = None) -> None:
        """Start anew. What is under way is with the gateway, which has not lost its memory."""
        self.firmware.on_reset(boot, at_ms, reason, (), version)
        self._move(_T.POWER_ON)
        self._owner.on_booted(self)
        self.attach()

    def disconnect_cleanly(self) -> None:
        """Have the gateway say that the device goes."""
        if self.is_online:
            self.publish_status("offline")
            self._move(_T.LEAVE)
            self.detach()


class GatewayClient(CarrierClient):
    """Keeps the connection of a gateway, and gives each of its devices what is for it."""

    __slots__ = ("_gateway_format", "_members_by_filter", "_waiting", "members")

    def __init__(
        self,
        device: Device,
        firmware: Firmware,
        session: Session,
        owner: ClientOwner,
        uniform: Callable[[], float],
        broker: BrokerUrl,
        wire_format: GatewayFormat,
    ) -> None:
        super().__init__(device, firmware, session, owner, uniform, broker, wire_format)
        self.members: list[MemberClient] = []
        self._gateway_format = wire_format
        self._members_by_filter: dict[str, MemberClient] = {}
        self._waiting: dict[MemberClient, None] = {}

    def add_member(self, member: MemberClient) -> None:
        """Carry one more device."""
        self._carried.append(member)
        self.members.append(member)
        self._learn_topics(member)

    def await_turn(self, member: MemberClient) -> None:
        """Let a device that has something waiting publish when there is room."""
        self._waiting[member] = None

    def on_events(self, link: Link, events: list[Event]) -> None:
        """Handle what happened on the wire: answers go to the devices that have published."""
        super().on_events(link, events)
        if self._waiting:
            self.flush_outbox()

    def flush_outbox(self) -> None:
        """Publish what waits in the outboxes of its devices, as far as the connection takes it."""
        if self.link is None:
            return
        for member in tuple(self._waiting):
            member.flush_outbox()
            # Who has more gets its turn when the others have had theirs.
            del self._waiting[member]
            if member.firmware.outbox:
                self._waiting[member] = None
            if self.link is None or not (self.link.writable and self.session.window_free):
                return

    def _on_message(self, message: Message) -> None:
        if message.topic in self._gateway_format.shared_topics:
            for member in self.members:
                member.on_gateway_message(message)
        elif self._gateway_format.addresses_devices:
            self._on_addressed(message)
        elif (found := self._member_of(message.topic)) is not None:
            found.on_gateway_message(message)
        else:
            super()._on_message(message)

    def _on_command(self, message: Message) -> None:
        request = self._gateway_format.read_request(self.device, message)
        if request is None:
            self.ignore_command()
        else:
            self._carry_out(request)

    def _on_addressed(self, message: Message) -> None:
        """Give a message to the device that it names; one that names none is what the gateway has said itself."""
        name = self._gateway_format.addressed_device(message)
        member = next((one for one in self.members if one.device.device_id == name), None)
        if member is not None:
            member.on_gateway_message(message)
        elif name is not None:
            self.ignore_command()

    def _carry_out(self, request: GatewayRequest) -> None:
        renamed = request.renamed
        member = next((one for one in self.members if renamed and one.device.device_id == renamed[0]), None)
        if renamed is not None and member is not None:
            # What is retained under the old name goes with it.
            for one in member.wire_format.status(member.device, member.firmware.status("offline", None)):
                if one.retain:
                    self.publish_control(one._replace(payload=b""))
            member.rename(renamed[1])
            self._members_by_filter.clear()
            for one_member in self.members:
                self._learn_topics(one_member)
        for one in request.answers:
            self.publish_control(one)
        if member is not None:
            self.publish_status("online")
            member.publish_status("online")
        if request.is_restart:
            self.drop_connection(orderly=True)

    def _learn_topics(self, member: MemberClient) -> None:
        for topic in member.wire_format.command_topics(member.device):
            self._members_by_filter[topic] = member

    def _member_of(self, topic: str) -> MemberClient | None:
        """Return the device whose commands come on a topic; their filters are whole, or end in `/#`."""
        if (found := self._members_by_filter.get(topic)) is not None:
            return found
        while topic:
            if (found := self._members_by_filter.get(f"{topic}/#")) is not None:
                return found
            topic = topic.rpartition("/")[0]
        return None
