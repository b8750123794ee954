"""The client side of MQTT over any number of connections: bytes in, events out, bytes to send.

Does no I/O and reads no clock: `now` is seconds of the caller's monotonic clock. `state` says what may follow what,
`outbound_qos` keeps our publishes, `inbound_qos` the server's, `keepalive` the time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import inf

from edgewire.mqtt.config import SessionConfig
from edgewire.mqtt.decode import decode, publish_fields
from edgewire.mqtt.encode import PINGREQ, encode, publish_frame
from edgewire.mqtt.errors import (
    TOPIC_ALIAS_INVALID,
    IllegalTransition,
    ProtocolError,
    PublishRefused,
    SessionNotConnected,
    SubscribeRefused,
    Unsendable,
    WindowFull,
)
from edgewire.mqtt.events import (
    Connected,
    ConnectionLost,
    ConnectRefused,
    Event,
    Message,
    PeerFault,
    ServerDisconnected,
    StrayAnswer,
    Subscribed,
    Unsubscribed,
)
from edgewire.mqtt.filters import check_topic, encode_topic, has_wildcard, is_shared
from edgewire.mqtt.framing import FrameReader
from edgewire.mqtt.inbound_qos import InboundQos
from edgewire.mqtt.keepalive import KeepAlive
from edgewire.mqtt.limits import ServerLimits, server_limits
from edgewire.mqtt.outbound_qos import OutboundQos
from edgewire.mqtt.packets import (
    Connack,
    Disconnect,
    Packet,
    PacketType,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Version,
    Will,
)
from edgewire.mqtt.properties import Properties, PropertyScope, write_properties
from edgewire.mqtt.reasons import reason_name, refusal_name
from edgewire.mqtt.state import SessionState, Trigger, next_state

_CONNACK = PacketType.CONNACK << 4
_PUBLISH = PacketType.PUBLISH << 4
_PUBACK = PacketType.PUBACK << 4
_CONNECTED = SessionState.CONNECTED  # an attribute of an Enum class costs several times a global
_V5 = Version.V5
_UNKNOWN_LIMITS = ServerLimits()


class Session:
    """One client. Publishes that the server has not acknowledged survive a lost connection and are sent again.

    `clean_start` false takes up what the server kept, even of an earlier process. Such a process should not publish
    with QoS 2: the server would take a packet identifier of before its start for a repetition.
    """

    __slots__ = (
        "_aliases",
        "_epoch",
        "_frames",
        "_inbound",
        "_keepalive",
        "_out",
        "_outbound",
        "accepted",
        "client_id",
        "config",
        "limits",
        "state",
        "version",
        "will",
    )

    def __init__(self, config: SessionConfig, version: Version = Version.V5, client_id: str = "") -> None:
        """Connect as `client_id`, or as `config` says where it is empty: many sessions may have one config."""
        self.config = config
        self.client_id = client_id or config.client_id
        self.version = version
        self.state = SessionState.IDLE
        self.limits = _UNKNOWN_LIMITS
        # Goes before the will of `config`, and on the next connection alone: who has many clients keeps no will (400
        # bytes each) but writes it as it is needed.
        self.will: Will | None = None
        # Whether a server has ever accepted this version from us.
        self.accepted = False
        # Counts connections, so that a message of an earlier one is recognised.
        self._epoch = 0
        # What is to be sent; None, as for most clients at most times, takes 56 bytes less than an empty list.
        self._out: list[bytes] | None = None
        self._frames = FrameReader(config.maximum_packet_size)
        self._keepalive = KeepAlive()
        self._outbound = OutboundQos()
        # From the first message of QoS 1 or 2 on: most devices never get one.
        self._inbound: InboundQos | None = None
        self._aliases: dict[int, str] | None = None

    # -- the connection

    def connect(self, now: float) -> None:
        """Queue CONNECT, as a transport is there. Raises `Unsendable` for settings that this version cannot carry."""
        state = next_state(self.state, Trigger.CONNECT)
        config = self.config
        client_id = self.client_id or self.limits.assigned_client_id or ""
        self._out = [encode(config.connect_packet(self.version, client_id, self.will), self.version)]
        self.state = state
        self._epoch += 1
        self._frames = FrameReader(config.maximum_packet_size)
        # 3.1.1 cannot announce a receive maximum, so none can be broken there.
        if self._inbound is not None:
            self._inbound.on_connect()
        self._aliases = None
        self._keepalive.start(now, config.response_timeout_s)

    def set_version(self, version: Version) -> None:
        """Use another version from the next `connect` on. Publishes under way are carried over."""
        if self.state is not SessionState.IDLE:
            raise IllegalTransition(
                f"a session that is {self.state.name} cannot change its version: end its connection first"
            )
        if version is not self.version:
            self._outbound.convert(self.version, version)
            self.version = version
            self.accepted = False

    def disconnect(self, reason: int = 0) -> None:
        """Queue DISCONNECT: the server forgets the will, unless `reason` is not 0.

        3.1.1 knows no reasons: for any but 0 nothing is said, and the end of the connection makes the will heard.
        """
        # It may follow CONNECT at once (3.1.4), so the will is also revoked while CONNACK is awaited.
        if self.state in (_CONNECTED, SessionState.CONNECTING) and (self.version is _V5 or not reason):
            self._queue(encode(Disconnect(reason), self.version))
        self.state = next_state(self.state, Trigger.CLOSE)

    def connection_lost(self) -> None:
        """Note that the transport is gone; publishes under way wait for the next `connect`."""
        self.state = next_state(self.state, Trigger.LOSE)
        self._out = None

    def data_to_send(self) -> bytes:
        """Return what is queued, once; `b""` if nothing is."""
        out = self._out
        if out is None:
            return b""
        self._out = None
        return out[0] if len(out) == 1 else b"".join(out)

    @property
    def queued(self) -> int:
        """Return how many packets are to be sent."""
        return 0 if self._out is None else len(self._out)

    def _queue(self, packet: bytes) -> None:
        if self._out is None:
            self._out = [packet]
        else:
            self._out.append(packet)

    def _queued(self) -> list[bytes]:
        """Return what is to be sent, for others to add to."""
        if self._out is None:
            self._out = []
        return self._out

    @property
    def connects(self) -> int:
        """Return how many times CONNECT was queued."""
        return self._epoch

    # -- what we send

    @property
    def window_free(self) -> int:
        """Return how many publishes of QoS 1 and 2 may be sent now."""
        return self._outbound.window_free if self.state is _CONNECTED else 0

    @property
    def inflight(self) -> int:
        """Return how many publishes of QoS 1 and 2 the server has not acknowledged."""
        return len(self._outbound)

    def unacknowledged(self) -> list[object]:
        """Return the tokens of those publishes: each may have arrived or not."""
        return self._outbound.tokens()

    def discard_inflight(self) -> None:
        """Give up what is under way, as a device does that lost its memory.

        Packet identifiers go on where they were, so that the server takes nothing new for something old.
        """
        self._outbound.clear()
        self._forget_inbound()

    def take_inflight(self) -> list[tuple[Publish, object]]:
        """Give up what is under way, and return it with its tokens, the oldest first: for somebody else to send.

        What the server has taken at QoS 2, though the exchange is not over, is not among it.
        """
        if self.state is SessionState.CONNECTED:
            raise IllegalTransition("what is under way on a connection cannot be taken over: end it first")
        publishes = self._outbound.take_publishes(self.version)
        self._forget_inbound()
        return publishes

    def assume_limits(self, limits: ServerLimits) -> None:
        """Take these for the limits of the server until its CONNACK states them: another connection has learnt them."""
        self.limits = limits

    def withdraw_inflight(self, token: object) -> None:
        """Give up, between two connections, what was published at QoS 1 with this very token: it is out of date."""
        if self.state is SessionState.CONNECTED:
            raise IllegalTransition("what is under way on a connection cannot be withdrawn: end it first")
        self._outbound.withdraw(token)

    def publish(
        self,
        topic: str | bytes,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        now: float,
        properties: Properties | None = None,
        token: object = None,
    ) -> int:
        """Queue a message and return its packet identifier, 0 for QoS 0. `Acknowledged` will give `token` back.

        A topic as bytes is UTF-8 and saves its encoding; 3.1.1 has no `properties` and leaves them out. Raises
        `WindowFull` (`SessionNotConnected` without a connection) if it may be sent later, `PublishRefused` if this
        server will never take it.
        """
        self._require_connection()
        outbound = self._outbound
        packet_id = 0
        if qos:
            if qos not in (1, 2):
                raise PublishRefused(f"there is no QoS {qos}: it is 0, 1 or 2")
            if outbound.window_free <= 0:
                raise WindowFull(f"{len(outbound)} publishes are unacknowledged: wait for an acknowledgement")
            packet_id = outbound.allocate_id()
        try:
            encoded = encode_topic(topic) if isinstance(topic, str) else check_topic(topic)
            extra = self._publish_properties(properties)
            packet = publish_frame(qos << 1 | retain, encoded, packet_id, extra, payload)
        except Unsendable as error:
            raise PublishRefused(str(error)) from None
        code = self.limits.refusal(qos, retain, len(packet))
        if code:
            raise PublishRefused(
                f"the server does not take this message of {len(packet)} bytes: {reason_name(code)}", code
            )
        if qos:
            outbound.add_publish(packet_id, packet, token)
        self._queue(packet)
        self._keepalive.sent = now
        return packet_id

    def _publish_properties(self, properties: Properties | None) -> bytes:
        if self.version is not _V5:
            return b""
        if not properties:
            return b"\x00"
        if "topic_alias" in properties or "subscription_identifier" in properties:
            raise Unsendable("a client's PUBLISH takes neither topic_alias nor subscription_identifier: leave them out")
        return write_properties(properties, PropertyScope.PUBLISH)

    def subscribe(self, filters: Sequence[Subscription], now: float) -> int:
        """Queue SUBSCRIBE and return its packet identifier, which `Subscribed` gives back.

        Raises `SubscribeRefused` if the server will never take it, `SessionNotConnected` without a connection.
        """
        self._require_connection()
        for one in filters:
            if has_wildcard(one.filter) and not self.limits.wildcard_available:
                raise SubscribeRefused(f"the server takes no wildcards, as in '{one.filter}'")
            if is_shared(one.filter) and not self.limits.shared_available:
                raise SubscribeRefused(f"the server takes no shared subscriptions, as '{one.filter}'")
            if is_shared(one.filter) and one.no_local:
                raise SubscribeRefused(f"the shared subscription '{one.filter}' cannot be no_local")
        subscriptions = tuple(filters)
        packet_id = self._outbound.allocate_id()
        return self._send_request(Subscribe(packet_id, subscriptions), PacketType.SUBACK, len(subscriptions), now)

    def unsubscribe(self, filters: Sequence[str], now: float) -> int:
        """Queue UNSUBSCRIBE; otherwise as `subscribe`."""
        self._require_connection()
        packet_id = self._outbound.allocate_id()
        return self._send_request(Unsubscribe(packet_id, tuple(filters)), PacketType.UNSUBACK, len(filters), now)

    def _send_request(self, packet: Subscribe | Unsubscribe, answer: PacketType, count: int, now: float) -> int:
        try:
            encoded = encode(packet, self.version)
        except Unsendable as error:
            raise SubscribeRefused(str(error)) from None
        if len(encoded) > self.limits.maximum_packet_size:
            raise SubscribeRefused(f"the server takes no packet of {len(encoded)} bytes: subscribe in smaller groups")
        self._outbound.add_request(packet.packet_id, answer, count)
        self._queue(encoded)
        self._keepalive.sent = now
        return packet.packet_id

    def ack(self, message: Message) -> bool:
        """Answer a `message` under `manual_ack`. Take any order: the answers leave in that of receipt.

        Returns False, and does nothing, if no answer is due: the message is of QoS 0, of an earlier connection (then
        the server sends it again), or acknowledged already.
        """
        if self.state is not _CONNECTED or self._inbound is None or not self._inbound.acknowledge(message):
            return False
        self._queued().extend(self._inbound.take_answers())
        return True

    def ack_all(self, messages: Iterable[Message]) -> None:
        """Answer each of `messages` as `ack` does: many at once, in the order of receipt, take a third of the time."""
        if self.state is _CONNECTED and self._inbound is not None:
            answers = self._inbound.acknowledge_all(messages)
            if answers:
                self._queued().extend(answers)

    def _require_connection(self) -> None:
        if self.state is not _CONNECTED:
            raise SessionNotConnected("nothing can be sent without a connection: wait for Connected")

    # -- what comes

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Return what `data`, any part of the stream, brings about.

        What follows CONNACK in the same bytes waits for the next call, which may have no data: so the owner has heard
        of the connection, and may have used it, before it hears of its end. Raises `PeerFault`, with the events before
        the fault, and nothing else; a DISCONNECT that names the fault is queued where the version has one. After that,
        and after the end of a connection, data is ignored.
        """
        events: list[Event] = []
        if self.state is not _CONNECTED and self.state is not SessionState.CONNECTING:
            return events
        self._keepalive.note_received(now)
        try:
            for first, body in self._frames.feed(data, first_only=self.state is not _CONNECTED):
                if self.state is not _CONNECTED:
                    if self.state is SessionState.CLOSED:
                        break
                    if first != _CONNACK:
                        raise ProtocolError(f"the server sent {PacketType(first >> 4).name} before CONNACK")
                if first & 0xF0 == _PUBLISH:
                    self._on_publish(first, body, events)
                elif first == _PUBACK and (len(body) == 2 or (len(body) == 3 and self.version is _V5)):
                    # As below, without a packet object: a fleet that publishes receives little else.
                    packet_id = body[0] << 8 | body[1]
                    self._outbound.on_puback(packet_id, body[2] if len(body) == 3 else 0, events)
                else:
                    self._on_control(decode(first, body, self.version), events)
        except ProtocolError as error:
            if self.state is _CONNECTED and self.version is Version.V5:
                self._queue(encode(Disconnect(error.code), Version.V5))
            self.state = next_state(self.state, Trigger.CLOSE)
            raise PeerFault(error, events) from None
        if self._outbound.waiting:
            self._outbound.send_waiting(self._queued())
        if self._out:
            self._keepalive.sent = now
        return events

    def _on_publish(self, first: int, body: bytes, events: list[Event]) -> None:
        topic, payload, qos, retain, dup, packet_id, properties = publish_fields(first, body, self.version)
        if "topic_alias" in properties:
            topic = self._resolve_alias(topic, properties)
        message = Message(topic, payload, qos, retain, dup, packet_id, properties, self._epoch)
        if qos:
            self._take_inbound().on_publish(message, events, self._queued())
        else:
            events.append(message)

    def _take_inbound(self) -> InboundQos:
        if self._inbound is None:
            self._inbound = InboundQos(self.config.manual_ack)
        return self._inbound

    def _forget_inbound(self) -> None:
        if self._inbound is not None:
            self._inbound.clear()

    def _resolve_alias(self, topic: str, properties: Properties) -> str:
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

    def _on_control(self, packet: Packet, events: list[Event]) -> None:
        match packet:
            case Puback(packet_id, code):
                self._outbound.on_puback(packet_id, code, events)
            case Pubrec():
                self._outbound.on_pubrec(packet, self.version, events, self._queued())
            case Pubrel(packet_id):
                self._take_inbound().on_pubrel(packet_id, self.version, self._queued())
            case Pubcomp(packet_id):
                self._outbound.on_pubcomp(packet_id, events)
            case Suback(packet_id, codes):
                is_due = self._is_due(packet_id, PacketType.SUBACK, len(codes))
                events.append(Subscribed(packet_id, codes) if is_due else StrayAnswer("SUBACK", packet_id))
            case Unsuback(packet_id, codes):
                is_due = self._is_due(packet_id, PacketType.UNSUBACK, len(codes))
                events.append(Unsubscribed(packet_id, codes) if is_due else StrayAnswer("UNSUBACK", packet_id))
            case Pingresp():
                pass  # whatever comes shows that the server is there
            case Connack() if self.state is SessionState.CONNECTING:
                self._on_connack(packet, events)
            case Disconnect() if self.version is Version.V5:
                self._on_disconnect(packet, events)
            case _:
                raise ProtocolError(f"the server sent {type(packet).__name__.upper()}, which it may not do here")

    def _is_due(self, packet_id: int, kind: PacketType, count: int) -> bool:
        filters = self._outbound.on_suback(packet_id, kind)
        if filters is None:
            return False
        if count != filters and not (kind is PacketType.UNSUBACK and self.version is Version.V311):
            raise ProtocolError(f"{kind.name} has {count} codes for {filters} filters")
        return True

    def _on_connack(self, packet: Connack, events: list[Event]) -> None:
        said = packet.properties.get("reason_string", "")
        if packet.code:
            self.state = next_state(self.state, Trigger.CLOSE)
            events.append(
                ConnectRefused(
                    packet.code, _explain(refusal_name(packet.code), packet.properties), _reference(packet.properties)
                )
            )
            return
        if packet.session_present and self.config.clean_start:
            raise ProtocolError("the server resumes a session that we asked it to forget")
        limits = server_limits(packet, self.config.keep_alive_s, self.config.session_expiry_s)
        if self.version is Version.V5 and not (self.client_id or limits.assigned_client_id):
            if not self.limits.assigned_client_id:
                raise ProtocolError("the server has not assigned the client identifier that we left to it")
            limits = replace(limits, assigned_client_id=self.limits.assigned_client_id)
        self.limits = limits
        self.will = None
        self.accepted = True
        self.state = next_state(self.state, Trigger.ACCEPT)
        self._keepalive.start_pinging(limits.keep_alive_s)
        if not packet.session_present:
            self._forget_inbound()
        events.append(Connected(packet.session_present, said, limits))
        self._outbound.on_connack(packet.session_present, limits, events, self._queued())

    def _on_disconnect(self, packet: Disconnect, events: list[Event]) -> None:
        if "session_expiry_interval" in packet.properties:
            raise ProtocolError("DISCONNECT of the server has the property 'session_expiry_interval'")
        self.state = next_state(self.state, Trigger.CLOSE)
        events.append(
            ServerDisconnected(
                packet.code, _explain(reason_name(packet.code), packet.properties), _reference(packet.properties)
            )
        )

    # -- time

    def tick(self, now: float) -> list[Event]:
        """Queue PINGREQ, or find that the server is silent; to be called when `next_deadline` is reached."""
        if now < self.next_deadline():
            return []
        if not self._keepalive.overdue:
            self._keepalive.note_ping_sent(now)
            self._queue(PINGREQ)
            return []
        missing = "PINGRESP" if self.state is _CONNECTED else "CONNACK"
        self.state = next_state(self.state, Trigger.CLOSE)
        return [ConnectionLost(f"the server is silent: no {missing} within {self._keepalive.patience_s:g} s")]

    def next_deadline(self) -> float:
        """Return when `tick` has something to do; infinite if never."""
        return self._keepalive.deadline() if self.state in (_CONNECTED, SessionState.CONNECTING) else inf

    def pause_reading(self) -> None:
        """Excuse the server's silence until `resume_reading`, as the owner has stopped reading. Pings go on."""
        self._keepalive.pause_listening()

    def resume_reading(self, now: float) -> None:
        """Watch the server's silence again, as the owner reads again."""
        self._keepalive.resume_listening(now)


def _reference(properties: Properties) -> str:
    return properties.get("server_reference", "")


def _explain(name: str, properties: Properties) -> str:
    """Return a reason in words: its name, and what the server adds to it."""
    said = properties.get("reason_string")
    reference = properties.get("server_reference")
    return name + (f": {said}" if said else "") + (f" (use {reference})" if reference else "")
