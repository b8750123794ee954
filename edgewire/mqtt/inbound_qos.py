"""Messages of QoS 1 and 2 that came in.

PUBACK and PUBREC leave in the order of receipt (4.6), and a message of QoS 2 is delivered once (4.3.3).

A server that sends more than our receive maximum is not cut off, though it might be (3.3.4): Mosquitto 2.0.11 does so
whenever messages arrive faster than they are acknowledged (measured: 1,566 outstanding for a maximum of 100). An owner
that cannot keep up stops reading, which holds any server back.
"""

from collections import deque
from collections.abc import Iterable

from edgewire.mqtt.encode import encode, short_acknowledgement
from edgewire.mqtt.errors import ProtocolError
from edgewire.mqtt.events import Event, Message
from edgewire.mqtt.packets import Pubcomp, Version
from edgewire.mqtt.reasons import PACKET_ID_NOT_FOUND

_PUBACK, _PUBREC = 0x40, 0x50


class InboundQos:
    """Keeps which messages await our answer, and over connections which QoS 2 has delivered already."""

    __slots__ = ("_acked", "_delivered", "_manual", "_queue")

    def __init__(self, manual: bool) -> None:
        self._manual = manual
        # In order of receipt, and by identity whether its owner has acknowledged it.
        self._queue: deque[Message] | None = None
        self._acked: dict[int, bool] | None = None
        # Packet ids of QoS 2 that were delivered and not yet released, and whether the owner has acknowledged them.
        self._delivered: dict[int, bool] | None = None

    def on_connect(self) -> None:
        """Begin a connection: what was not acknowledged on the last one will come again."""
        self._queue = self._acked = None
        kept = [packet_id for packet_id, acked in (self._delivered or {}).items() if acked]
        self._delivered = dict.fromkeys(kept, True) if kept else None

    def clear(self) -> None:
        """Forget the last connection, of which a server without a session will release nothing."""
        self._delivered = None

    def on_publish(self, message: Message, events: list[Event], out: list[bytes]) -> None:
        """Deliver a message of QoS 1 or 2, and answer it unless its owner will."""
        if message.qos == 1:
            events.append(message)
            if self._manual:
                self._enqueue(message, acked=False)
            else:
                out.append(short_acknowledgement(_PUBACK, message.packet_id))
            return
        acked = self._delivered.get(message.packet_id) if self._delivered else None
        if acked is False:
            return  # sent twice while its owner has the first: one answer will do for both
        if acked is None:
            events.append(message)
            self._mark_delivered(message.packet_id, acked=not self._manual)
        if self._manual:
            self._enqueue(message, acked=acked is True)
            out.extend(self.take_answers())
        else:
            out.append(short_acknowledgement(_PUBREC, message.packet_id))

    def on_pubrel(self, packet_id: int, version: Version, out: list[bytes]) -> None:
        """Answer PUBREL with PUBCOMP; the packet identifier is free."""
        code = 0
        acked = self._delivered.pop(packet_id, None) if self._delivered else None
        if acked is False:
            raise ProtocolError(f"the server releases message {packet_id} before PUBREC")
        if acked is None and version is Version.V5:
            code = PACKET_ID_NOT_FOUND
        out.append(encode(Pubcomp(packet_id, code), version))

    def acknowledge(self, message: Message) -> bool:
        """Mark that the owner has a message; False if it is not in line: of an earlier connection, or done already."""
        # The identity is safe: as long as a message is in line the queue holds it, so no other object has its id.
        acked = self._acked
        if not acked or acked.get(id(message)) is not False:
            return False
        acked[id(message)] = True
        if message.qos == 2:
            self._mark_delivered(message.packet_id, acked=True)
        return True

    def acknowledge_all(self, messages: Iterable[Message]) -> list[bytes]:
        """Do what `acknowledge` does for each, and return the answers that may leave: quick in the order of receipt."""
        ready: list[bytes] = []
        queue, acked = self._queue, self._acked
        if queue is None or acked is None:
            return ready
        for message in messages:
            if queue and queue[0] is message and message.qos == 1:
                queue.popleft()
                del acked[id(message)]
                ready.append(short_acknowledgement(_PUBACK, message.packet_id))
            elif self.acknowledge(message):
                ready += self.take_answers()
        ready += self.take_answers()
        return ready

    def take_answers(self) -> list[bytes]:
        """Return the PUBACKs and PUBRECs that may leave now, once."""
        ready: list[bytes] = []
        queue, acked = self._queue, self._acked
        while queue and acked and acked[id(queue[0])]:
            message = queue.popleft()
            del acked[id(message)]
            if message.qos == 1:
                ready.append(short_acknowledgement(_PUBACK, message.packet_id))
            else:
                ready.append(short_acknowledgement(_PUBREC, message.packet_id))
        return ready

    def _mark_delivered(self, packet_id: int, *, acked: bool) -> None:
        if self._delivered is None:
            self._delivered = {}
        self._delivered[packet_id] = acked

    def _enqueue(self, message: Message, *, acked: bool) -> None:
        if self._queue is None or self._acked is None:
            self._queue, self._acked = deque(), {}
        self._queue.append(message)
        self._acked[id(message)] = acked
