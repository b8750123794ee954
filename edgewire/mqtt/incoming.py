"""The receiving half of a session: what each packet of the server means. The sending half is in `session`."""

from dataclasses import replace

from edgewire.mqtt.config import SessionConfig
from edgewire.mqtt.decode import decode, publish_fields
from edgewire.mqtt.encode import encode
from edgewire.mqtt.errors import TOPIC_ALIAS_INVALID, ProtocolError
from edgewire.mqtt.events import (
    Acknowledged,
    Connected,
    Event,
    Message,
    Refused,
    ServerDisconnected,
    Subscribed,
    Unsubscribed,
)
from edgewire.mqtt.framing import Frames
from edgewire.mqtt.keepalive import KeepAlive
from edgewire.mqtt.limits import ServerLimits, server_limits
from edgewire.mqtt.outbound import Outbound
from edgewire.mqtt.packets import (
    Connack,
    Disconnect,
    Packet,
    PacketType,
    Pingresp,
    Puback,
    Pubcomp,
    Pubrec,
    Pubrel,
    Suback,
    Unsuback,
    Version,
)
from edgewire.mqtt.properties import Properties
from edgewire.mqtt.reasons import reason_name, refusal_name
from edgewire.mqtt.receipts import Receipts
from edgewire.mqtt.state import State, Step, after

_CONNACK = PacketType.CONNACK << 4
_PUBLISH = PacketType.PUBLISH << 4
_PUBACK = PacketType.PUBACK << 4
_CONNECTED = State.CONNECTED  # an attribute of an Enum class costs several times a global
_V5 = Version.V5
_UNKNOWN_LIMITS = ServerLimits()


class Incoming:
    """The state of a session, and how bytes from the server change it."""

    __slots__ = (
        "_aliases",
        "_epoch",
        "_frames",
        "_keepalive",
        "_out",
        "_outbound",
        "_receipts",
        "accepted",
        "config",
        "limits",
        "state",
        "version",
    )

    def __init__(self, config: SessionConfig, version: Version = Version.V5) -> None:
        self.config = config
        self.version = version
        self.state = State.IDLE
        self.limits = _UNKNOWN_LIMITS
        # Whether a server has ever accepted this version from us.
        self.accepted = False
        # Counts connections, so that a message of an earlier one is recognised.
        self._epoch = 0
        self._out: list[bytes] = []
        self._frames = Frames(config.maximum_packet_size)
        self._keepalive = KeepAlive()
        self._outbound = Outbound()
        self._receipts = Receipts(config.manual_ack)
        self._aliases: dict[int, str] | None = None

    def receive(self, data: bytes, now: float) -> list[Event]:
        """What `data`, any part of the stream, brings about.

        Raises `ProtocolError` and nothing else; its `events` are those before the fault, and a DISCONNECT that names
        the fault is queued where the version has one. After that, and after the end of a connection, data is ignored.
        """
        events: list[Event] = []
        if self.state is not _CONNECTED and self.state is not State.CONNECTING:
            return events
        self._keepalive.hear(now)
        try:
            for first, body in self._frames.feed(data):
                if self.state is not _CONNECTED:
                    if self.state is State.CLOSED:
                        break
                    if first != _CONNACK:
                        raise ProtocolError(f"the server sent {PacketType(first >> 4).name} before CONNACK")
                if first & 0xF0 == _PUBLISH:
                    self._publish(first, body, events)
                elif first == _PUBACK and (len(body) == 2 or (len(body) == 3 and self.version is _V5)):
                    # As below, without a packet object: a fleet that publishes receives little else.
                    packet_id = body[0] << 8 | body[1]
                    code = body[2] if len(body) == 3 else 0
                    events.append(Acknowledged(packet_id, code, self._outbound.acknowledge(packet_id)))
                else:
                    self._control(decode(first, body, self.version), events)
        except ProtocolError as error:
            error.events = events
            if self.state is _CONNECTED and self.version is Version.V5:
                self._out.append(encode(Disconnect(error.code), Version.V5))
            self.state = after(self.state, Step.CLOSE)
            raise
        if self._outbound.unsent:
            self._outbound.refill(self._out)
        if self._out:
            self._keepalive.sent = now
        return events

    def _publish(self, first: int, body: bytes, events: list[Event]) -> None:
        topic, payload, qos, retain, dup, packet_id, properties = publish_fields(first, body, self.version)
        if "topic_alias" in properties:
            topic = self._resolve(topic, properties)
        message = Message(topic, payload, qos, retain, dup, packet_id, properties, self._epoch)
        if qos:
            self._receipts.take(message, events, self._out)
        else:
            events.append(message)

    def _resolve(self, topic: str, properties: Properties) -> str:
        alias = properties["topic_alias"]
        if alias > self.config.topic_alias_maximum:
            raise ProtocolError(
                f"the server uses topic alias {alias}, we allow {self.config.topic_alias_maximum}", TOPIC_ALIAS_INVALID
            )
        if self._aliases is None:
            self._aliases = {}
        if topic:
            self._aliases[alias] = topic
        known = self._aliases.get(alias)
        if known is None:
            raise ProtocolError(f"the server uses topic alias {alias} before it gives its topic", TOPIC_ALIAS_INVALID)
        return known

    def _control(self, packet: Packet, events: list[Event]) -> None:
        match packet:
            case Puback(packet_id, code):
                events.append(Acknowledged(packet_id, code, self._outbound.acknowledge(packet_id)))
            case Pubrec():
                self._outbound.receive(packet, self.version, events, self._out)
            case Pubrel(packet_id):
                self._receipts.release(packet_id, self.version, self._out)
            case Pubcomp(packet_id):
                self._outbound.complete(packet_id, events)
            case Suback(packet_id, codes):
                self._answer(packet_id, PacketType.SUBACK, len(codes))
                events.append(Subscribed(packet_id, codes))
            case Unsuback(packet_id, codes):
                self._answer(packet_id, PacketType.UNSUBACK, len(codes))
                events.append(Unsubscribed(packet_id, codes))
            case Pingresp():
                pass  # whatever comes shows that the server is there
            case Connack() if self.state is State.CONNECTING:
                self._connack(packet, events)
            case Disconnect() if self.version is Version.V5:
                self._disconnect(packet, events)
            case _:
                raise ProtocolError(f"the server sent {type(packet).__name__.upper()}, which it may not do here")

    def _answer(self, packet_id: int, kind: PacketType, count: int) -> None:
        asked = self._outbound.answer(packet_id, kind)
        if count != asked and not (kind is PacketType.UNSUBACK and self.version is Version.V311):
            raise ProtocolError(f"{kind.name} has {count} codes for {asked} filters")

    def _connack(self, packet: Connack, events: list[Event]) -> None:
        said = packet.properties.get("reason_string", "")
        if packet.code:
            self.state = after(self.state, Step.CLOSE)
            events.append(Refused(packet.code, _explain(refusal_name(packet.code), packet.properties)))
            return
        if packet.session_present and self.config.clean_start:
            raise ProtocolError("the server resumes a session that we asked it to forget")
        limits = server_limits(packet, self.config.keep_alive_s, self.config.session_expiry_s)
        if self.version is Version.V5 and not (self.config.client_id or limits.assigned_client_id):
            if not self.limits.assigned_client_id:
                raise ProtocolError("the server has not assigned the client identifier that we left to it")
            limits = replace(limits, assigned_client_id=self.limits.assigned_client_id)
        self.limits = limits
        self.accepted = True
        self.state = after(self.state, Step.ACCEPT)
        self._keepalive.run(limits.keep_alive_s)
        if not packet.session_present:
            self._receipts.forget()
        events.append(Connected(packet.session_present, said, limits))
        self._outbound.resume(packet.session_present, limits, events, self._out)

    def _disconnect(self, packet: Disconnect, events: list[Event]) -> None:
        if "session_expiry_interval" in packet.properties:
            raise ProtocolError("DISCONNECT of the server has the property 'session_expiry_interval'")
        self.state = after(self.state, Step.CLOSE)
        events.append(ServerDisconnected(packet.code, _explain(reason_name(packet.code), packet.properties)))


def _explain(name: str, properties: Properties) -> str:
    """A reason in words: its name, and what the server adds to it."""
    said = properties.get("reason_string")
    reference = properties.get("server_reference")
    return name + (f": {said}" if said else "") + (f" (use {reference})" if reference else "")
