"""Carries many devices over one MQTT connection: a gateway keeps it, and each device publishes through it.

A device behind a gateway has firmware, boots and an outbox of its own. Of the connection it has a share: the window of
messages under way is the gateway's, and goes round among the devices that have something waiting.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple, cast

from devices.faults.base import Fault
from devices.firmware.firmware import Firmware
from devices.firmware.outbox import NO_SEQ, Reading
from devices.fleet.client_state import ClientState, ClientTrigger
from devices.fleet.device_client import STATUS, ClientOwner, DeviceClient
from devices.scenario.devices import Device
from devices.timeline.formats import dialect_format
from devices.timeline.gateway_format import GatewayFormat
from devices.timeline.wire_format import WireFormat
from edgewire.dialects.encoder import GatewayRequest
from edgewire.link import BrokerUrl, Link
from edgewire.mqtt import FAILURE, Acknowledged, ConnectionLost, Event, Message, Properties, Session

_S, _T = ClientState, ClientTrigger


class MemberToken(NamedTuple):
    """Marks what a device behind a gateway has published."""

    member: "MemberClient"
    token: object
    """Boot and seq of a reading, or what else `DeviceClient` publishes with."""


class _MemberLink:
    """Is the connection of a gateway as one of its devices sees it."""

    __slots__ = ("_link", "_member")

    def __init__(self, link: Link, member: "MemberClient") -> None:
        self._link = link
        self._member = member

    @property
    def connected(self) -> bool:
        return self._link.connected

    @property
    def writable(self) -> bool:
        return self._link.writable

    def publish(
        self,
        topic: str | bytes,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
        token: object = None,
    ) -> int:
        """Publish over the gateway's connection; raises as `Link.publish`."""
        member = self._member
        if type(token) is int:
            token = (member.firmware.boot, token)
        marked = member.status_token if token == STATUS else MemberToken(member, token)
        found = self._link.publish(topic, payload, qos=qos, retain=retain, properties=properties, token=marked)
        member.under_way += qos > 0
        return found


class MemberClient(DeviceClient):
    """Publishes what one device behind a gateway has to say."""

    __slots__ = ("_renames", "gateway", "status_token", "under_way")

    def __init__(
        self,
        device: Device,
        firmware: Firmware,
        gateway: "GatewayClient",
        owner: ClientOwner,
        uniform: Callable[[], float],
        wire_format: WireFormat,
    ) -> None:
        super().__init__(device, firmware, gateway.session, owner, uniform, gateway.broker, wire_format)
        self.gateway = gateway
        self.status_token = MemberToken(self, STATUS)
        self.under_way = 0
        """Messages of QoS 1 and 2 that are published and not acknowledged."""
        self._renames: tuple[tuple[int, int, str], ...] = ()
        # It asks for no connection: it has one whenever its gateway has.
        self._move(_T.PASS_TURN)
        gateway.add_member(self)

    @property
    def inflight(self) -> int:
        """Return how many of its messages are published and not acknowledged."""
        return self.under_way

    def unacknowledged(self) -> list[object]:
        """Return the tokens of what it has published and nobody has acknowledged."""
        if not self.under_way:
            return []
        tokens = self.session.unacknowledged()
        return [one.token for one in tokens if isinstance(one, MemberToken) and one.member is self]

    def handle_reading(self, reading: Reading) -> None:
        """Publish a reading that was taken now, or keep it."""
        super().handle_reading(reading)
        if self.firmware.outbox:
            self.gateway.await_turn(self)

    # -- the gateway's connection

    def attach(self) -> None:
        """Take part in the connection that the gateway has."""
        link = self.gateway.link
        if self.state is not _S.DISCONNECTED or link is None or not link.connected:
            return
        for trigger in (_T.REQUEST, _T.TAKE_TURN, _T.ACCEPT):
            self._move(trigger)
        self.link = cast("Link", _MemberLink(link, self))
        self._connected_since_s = self._owner.monotonic_s()
        self.reconnects = 0
        self.publish_status("online")
        if self.firmware.outbox:
            self.gateway.await_turn(self)

    def detach(self) -> None:
        """Have no part in a connection any more: it has ended, or the device has."""
        if self.link is not None:
            self.link = None
            self._owner.on_detached(self)
            self._move(_T.LOSE)

    def on_answers(self, answers: Iterable[Acknowledged]) -> None:
        """Take what the broker answered to messages of this device."""
        confirmed = earlier = answered = 0
        for answer in answers:
            answered += 1
            token = cast("MemberToken", answer.token).token
            match token:
                case (int(boot), int(seq)) if boot == self.firmware.boot and answer.reason_code < FAILURE:
                    confirmed += seq != NO_SEQ
                case _:
                    earlier += self._on_answer(answer.reason_code, token)
        self.under_way -= answered
        if confirmed:
            self.firmware.on_acknowledged(self.firmware.boot, confirmed)
        self._owner.on_acknowledged(self, confirmed + earlier, answered)

    def on_gateway_message(self, message: Message) -> None:
        """Take a message that is for this device."""
        self._on_message(message)

    def withdraw_status(self) -> None:
        """Give up a status that is under way, between two connections: it is out of date."""
        before = self.session.inflight
        self.session.withdraw_inflight(self.status_token)
        self.under_way -= before - self.session.inflight

    def rename(self, name: str) -> None:
        """Be called by another name, from the next reading on."""
        dialect_format(self.wire_format).rename(self.device, name)
        self.topics = tuple(topic.encode() for topic in self.wire_format.topics(self.device))
        last_seq = self.firmware.counters.last_seq
        # What waits in the outbox has its topic already.
        self._renames += ((self.firmware.boot, 0 if last_seq is None else last_seq + 1, name),)

    def renames(self, boot: int) -> list[tuple[int, str]]:
        """Return the names that it was called by in a boot, each from a seq on."""
        before = [name for earlier, _, name in self._renames if earlier < boot]
        return [(0, name) for name in before[-1:]] + [(seq, name) for at, seq, name in self._renames if at == boot]

    # -- what a device with a connection of its own does otherwise

    def request_connect(self, delay_s: float = 0.0) -> None:
        """Take part in the gateway's connection, if there is one."""
        self.attach()

    def request_reconnect(self) -> None:
        """Do the same, where a fault of the device is over."""
        self.attach()

    def tick(self) -> None:
        """Let more of the outbox go."""
        if not self.is_online:
            return
        self._repeat_status()
        if self._needs_care and self.firmware.outbox:
            self.flush_outbox()

    def drop_connection(self, *, orderly: bool = False) -> None:
        """Let go of the connection, which stays: it is the gateway's."""
        self.detach()

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


class GatewayClient(DeviceClient):
    """Keeps the connection of a gateway, and gives each of its devices what is for it."""

    __slots__ = ("_fault_counts", "_gateway_format", "_members_by_filter", "_waiting", "members")

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
        self._fault_counts: dict[int, int] = {}

    @property
    def carried(self) -> int:
        """Return how many devices its connection is for."""
        return len(self.members)

    def add_member(self, member: MemberClient) -> None:
        """Carry one more device."""
        self.members.append(member)
        self._learn_topics(member)

    def await_turn(self, member: MemberClient) -> None:
        """Let a device that has something waiting publish when there is room."""
        self._waiting[member] = None

    def counts_fault(self, fault: Fault, *, begins: bool) -> bool:
        """Return whether a fault of the connection begins or ends with this: it comes once for each device."""
        before = self._fault_counts.get(id(fault), 0)
        now = before + (1 if begins else -1)
        self._fault_counts[id(fault)] = now
        return (before, now) == (0, 1) or (before, now) == (1, 0)

    def begin_connect(self) -> bool:
        """Return whether it still wants to connect, now that its turn in the connect queue has come."""
        if not super().begin_connect():
            return False
        if self.session.inflight:
            for member in self.members:
                if member.under_way:
                    member.withdraw_status()
        return True

    def on_events(self, link: Link, events: list[Event]) -> None:
        """Handle what happened on the wire: answers go to the devices that have published."""
        own: list[Event] = []
        answers: dict[MemberClient, list[Acknowledged]] = {}
        for event in events:
            if type(event) is Acknowledged and type(event.token) is MemberToken:
                answers.setdefault(event.token.member, []).append(event)
                self._is_acknowledged = self._is_acknowledged or event.reason_code < FAILURE
            else:
                own.append(event)
        for member, found in answers.items():
            member.on_answers(found)
        if own:
            super().on_events(link, own)
        if self._waiting:
            self.flush_outbox()

    def flush_outbox(self, link: Link | None = None) -> None:
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

    def disconnect_cleanly(self) -> None:
        """Say goodbye for its devices and for itself."""
        for member in self.members:
            member.disconnect_cleanly()
        super().disconnect_cleanly()

    def _on_connected(self, link: Link, *, session_present: bool) -> None:
        super()._on_connected(link, session_present=session_present)
        if self.is_online and self.state is _S.ONLINE:
            for member in self.members:
                member.attach()

    def _on_connection_lost(self, link: Link, lost: ConnectionLost) -> None:
        if self.link is link:
            for member in self.members:
                member.detach()
        super()._on_connection_lost(link, lost)

    def _on_message(self, message: Message) -> None:
        if message.topic in self._gateway_format.shared_topics:
            for member in self.members:
                member.on_gateway_message(message)
        elif (found := self._member_of(message.topic)) is not None:
            found.on_gateway_message(message)
        elif self._commands.accepts_command(message, self._owner.monotonic_s()):
            request = self._gateway_format.read_request(self.device, message)
            if request is None:
                self.ignore_command()
            else:
                self._carry_out(request)

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
