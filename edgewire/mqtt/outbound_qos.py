"""Our publishes of QoS 1 and 2 that the server has not yet taken: packet identifiers, window, sending again.

Survives connections; the window does not (MQTT 5, 4.9). A packet is kept as the bytes that were sent.
"""

from edgewire.mqtt.decode import publish_fields
from edgewire.mqtt.encode import encode, short_acknowledgement
from edgewire.mqtt.errors import ProtocolError, WindowFull
from edgewire.mqtt.events import Acknowledged, Event, StrayAnswer
from edgewire.mqtt.framing import FrameReader
from edgewire.mqtt.limits import ServerLimits
from edgewire.mqtt.packets import Publish, Pubrec, Pubrel, Version
from edgewire.mqtt.reasons import FAILURE, PACKET_ID_NOT_FOUND

_PACKET_IDS = 65535
_DUP = 0x08
_PUBREL = 0x62
# What a client has under way that has nothing. An empty table of its own would take 224 bytes, of most clients at most
# times. Nothing is ever put into it.
_NOTHING: dict[int, tuple[bytes, object]] = {}


class OutboundQos:
    """Keeps our publishes until the server has them; `on_` methods take its answers.

    `quota` is how many more publishes this connection takes before the server must acknowledge one, `waiting` what the
    window has not let through since a reconnection, the first at the end; None if nothing waits.
    """

    __slots__ = ("_dup", "_inflight", "_last_id", "_quota_limit", "_released", "_requests", "quota", "waiting")

    def __init__(self) -> None:
        self.quota = 0
        self._quota_limit = 0
        self._last_id = 0
        self._inflight = _NOTHING
        # Packet ids whose PUBREC came, in its order: only PUBREL may be sent for them (4.6).
        self._released: dict[int, None] | None = None
        # SUBSCRIBE and UNSUBSCRIBE share the packet ids; the value is what kind, and how many filters.
        self._requests: dict[int, tuple[int, int]] | None = None
        self.waiting: dict[int, None] | None = None
        self._dup = False

    def __len__(self) -> int:
        return len(self._inflight)

    def clear(self) -> None:
        """Give up everything under way; to be called without a connection."""
        self._inflight = _NOTHING
        self._released = self._requests = self.waiting = None

    def withdraw(self, token: object) -> None:
        """Give up what has this token, except QoS 2, whose exchange the server may hold; without a connection."""
        found = [key for key, (packet, one) in self._inflight.items() if one is token and packet[0] >> 1 & 3 == 1]
        for packet_id in found:
            del self._inflight[packet_id]

    def take_publishes(self, version: Version) -> list[tuple[Publish, object]]:
        """Give up everything under way; return it with its tokens, the oldest first, but what the server has by PUBREC.

        To be called without a connection.
        """
        found = []
        for packet_id, (packet, token) in self._inflight.items():
            if not (self._released and packet_id in self._released):
                ((first, body),) = FrameReader(len(packet)).feed(packet)
                topic, payload, qos, retain, _, _, _ = publish_fields(first, body, version)
                found.append((Publish(topic=topic, payload=payload, qos=qos, retain=retain), token))
        self.clear()
        return found

    def tokens(self) -> list[object]:
        """Return the token of everything under way, the oldest first."""
        return [token for _, token in self._inflight.values()]

    @property
    def window_free(self) -> int:
        """Return how many new publishes may go out now; none while older ones wait: `send_waiting` leaves no quota."""
        used = len(self._inflight) + (len(self._requests) if self._requests else 0)
        return min(self.quota, _PACKET_IDS - used)

    def allocate_id(self) -> int:
        """Return a packet identifier that nothing under way uses. Raises `WindowFull` if there is none."""
        packet_id = self._last_id
        inflight, requests = self._inflight, self._requests
        for _ in range(_PACKET_IDS):
            packet_id = packet_id + 1 if packet_id < _PACKET_IDS else 1
            if packet_id not in inflight and not (requests and packet_id in requests):
                self._last_id = packet_id
                return packet_id
        raise WindowFull("all 65535 packet identifiers are in use: wait for an acknowledgement")

    def add_publish(self, packet_id: int, packet: bytes, token: object) -> None:
        """Keep a PUBLISH that goes out."""
        if self._inflight is _NOTHING:
            self._inflight = {}
        self._inflight[packet_id] = (packet, token)
        self.quota -= 1

    def add_request(self, packet_id: int, kind: int, count: int) -> None:
        """Keep that a SUBSCRIBE or UNSUBSCRIBE of `count` filters goes out, which the packet type `kind` answers."""
        if self._requests is None:
            self._requests = {}
        self._requests[packet_id] = (kind, count)

    def on_suback(self, packet_id: int, kind: int) -> int | None:
        """Take SUBACK or UNSUBACK, by its `kind`; return how many filters it is for, None where nothing was asked."""
        requests = self._requests
        if requests is None or requests.get(packet_id, (0, 0))[0] != kind:
            return None
        _, count = requests.pop(packet_id)
        if not requests:
            self._requests = None
        return count

    def on_puback(self, packet_id: int, code: int, events: list[Event]) -> None:
        """Take PUBACK, which ends QoS 1."""
        if self._expects(packet_id, 1):
            events.append(Acknowledged(packet_id, code, self._finish(packet_id)))
        else:
            events.append(StrayAnswer("PUBACK", packet_id))

    def on_pubrec(self, packet: Pubrec, version: Version, events: list[Event], out: list[bytes]) -> None:
        """Answer PUBREC with PUBREL, unless it refuses the message."""
        packet_id, code = packet.packet_id, packet.code
        if packet_id not in self._inflight:
            # Of an exchange that has ended here: the server must be able to end it too.
            if code < FAILURE:
                out.append(encode(Pubrel(packet_id, PACKET_ID_NOT_FOUND if version is Version.V5 else 0), version))
            events.append(StrayAnswer("PUBREC", packet_id))
            return
        if not self._expects(packet_id, 2):
            events.append(StrayAnswer("PUBREC", packet_id))
            return
        if code >= FAILURE:
            if self._released and packet_id in self._released:
                raise ProtocolError(f"the server refuses message {packet_id} after it has accepted it")
            events.append(Acknowledged(packet_id, code, self._finish(packet_id)))
            return
        if self._released is None:
            self._released = {}
        self._released[packet_id] = None
        out.append(short_acknowledgement(_PUBREL, packet_id))

    def on_pubcomp(self, packet_id: int, events: list[Event]) -> None:
        """Take PUBCOMP, which ends QoS 2.

        Its code is no matter: PUBREC has accepted the message, and `packet identifier not found` only says that an
        earlier PUBCOMP was lost on its way. One that is not due may answer a PUBREL for an exchange that has ended.
        """
        if self._released and packet_id in self._released:
            del self._released[packet_id]
            events.append(Acknowledged(packet_id, 0, self._finish(packet_id)))
        else:
            events.append(StrayAnswer("PUBCOMP", packet_id))

    def _expects(self, packet_id: int, qos: int) -> bool:
        """Return whether this was sent with that QoS, on this connection, and still waits for its answer.

        Servers of 3.1.1 answer what they were sent before they restarted, or what nobody has sent. To close the
        connection for that, as 4.13 allows, brings the same answer again on the next one.
        """
        entry = self._inflight.get(packet_id)
        return entry is not None and entry[0][0] >> 1 & 3 == qos and not (self.waiting and packet_id in self.waiting)

    def _finish(self, packet_id: int) -> object:
        _, token = self._inflight.pop(packet_id)
        if not self._inflight:
            self._inflight = _NOTHING
        # 4.9: PUBCOMP for a PUBREL that was sent again would lift the quota above where it began. Of two that are equal
        # it is the limit, which all clients of a server share.
        self.quota = min(self._quota_limit, self.quota + 1)
        return token

    def on_connack(self, session_present: bool, limits: ServerLimits, events: list[Event], out: list[bytes]) -> None:
        """Begin a connection: what is under way goes out again, as far as the window reaches.

        Without a session the server knows nothing of what went before, so all of it is new again, QoS 2 from the start.
        What the limits of the new connection forbid ends here, refused.
        """
        self.quota = self._quota_limit = limits.receive_maximum
        self._dup = session_present
        self._requests = None
        if not session_present:
            self._released = None
        released = self._released or {}
        out.extend(short_acknowledgement(_PUBREL, packet_id) for packet_id in released)
        again = [packet_id for packet_id in self._inflight if packet_id not in released]
        for packet_id in again:
            packet = self._inflight[packet_id][0]
            code = limits.refusal(packet[0] >> 1 & 3, packet[0] & 1 == 1, len(packet))
            if code:
                events.append(Acknowledged(packet_id, code, self._inflight.pop(packet_id)[1]))
        self.waiting = dict.fromkeys(packet_id for packet_id in reversed(again) if packet_id in self._inflight)
        self.send_waiting(out)

    def send_waiting(self, out: list[bytes]) -> None:
        """Send again what waits for it, in its order, as far as the window reaches."""
        while self.waiting and self.quota > 0:
            packet_id, _ = self.waiting.popitem()
            packet, _ = self._inflight[packet_id]
            self.quota -= 1
            out.append(bytes((packet[0] | _DUP,)) + packet[1:] if self._dup else packet)
        self.waiting = self.waiting or None

    def convert(self, old: Version, new: Version) -> None:
        """Rewrite what is under way in another version; properties have no form in 3.1.1 and end there."""
        for packet_id, (packet, token) in self._inflight.items():
            ((first, body),) = FrameReader(len(packet)).feed(packet)
            topic, payload, qos, retain, _, _, _ = publish_fields(first, body, old)
            publish = Publish(topic=topic, payload=payload, qos=qos, retain=retain, packet_id=packet_id)
            self._inflight[packet_id] = (encode(publish, new), token)
