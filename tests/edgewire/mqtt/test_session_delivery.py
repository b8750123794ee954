"""Delivery over a network that loses connections at any byte: QoS 1 arrives, QoS 2 arrives once, in both directions.

The server here is an independent model of the standard's delivery protocol (4.3) with a persistent session.
"""

from collections.abc import Iterator
from itertools import count
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.mqtt import Acknowledged, Message, PacketDecoder, Session, SessionConfig, Version, WindowFull, encode
from edgewire.mqtt.packets import (
    Connack,
    Connect,
    Packet,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
)
from tests.edgewire.mqtt.peer import BOTH


class Server:
    """A broker with one client, whose messages it keeps, and messages of its own for it."""

    def __init__(self, version: Version, window: int) -> None:
        self.version = version
        self.window = window
        self.got: list[bytes] = []
        self._known: set[int] = set()
        self._ids = count(1)
        self._waiting: dict[int, Publish | Pubrel] = {}
        self.reconnect()

    def reconnect(self) -> None:
        self._decoder = PacketDecoder(self.version)
        self._online = False

    def send(self, qos: int, payload: bytes) -> bytes:
        """One message to the client; while that is away it waits."""
        packet_id = next(self._ids)
        packet = Publish(topic="down", payload=payload, qos=qos, packet_id=packet_id)
        self._waiting[packet_id] = packet
        return encode(packet, self.version) if self._online else b""

    def hear(self, data: bytes) -> bytes:
        """What the server answers."""
        packets = [answer for packet in self._decoder.feed(data) for answer in self._answer(packet)]
        return b"".join(encode(packet, self.version) for packet in packets)

    def _answer(self, packet: Packet) -> Iterator[Packet]:
        match packet:
            case Connect():
                self._online = True
                properties = {"receive_maximum": self.window} if self.version is Version.V5 else {}
                yield Connack(not packet.clean_start, 0, properties)
                for waiting in list(self._waiting.values()):
                    yield self._again(waiting)
            case Publish(qos=1):
                self.got.append(packet.payload)
                yield Puback(packet.packet_id)
            case Publish(qos=2):
                if packet.packet_id not in self._known:
                    self._known.add(packet.packet_id)
                    self.got.append(packet.payload)
                yield Pubrec(packet.packet_id)
            case Pubrel(packet_id):
                self._known.discard(packet_id)
                yield Pubcomp(packet_id)
            case Pubrec(packet_id):
                self._waiting[packet_id] = Pubrel(packet_id)
                yield Pubrel(packet_id)
            case Puback(packet_id) | Pubcomp(packet_id):
                del self._waiting[packet_id]

    def _again(self, packet: Publish | Pubrel) -> Packet:
        if isinstance(packet, Pubrel):
            return packet
        return Publish(topic=packet.topic, payload=packet.payload, qos=packet.qos, packet_id=packet.packet_id, dup=True)

    @property
    def idle(self) -> bool:
        return not self._waiting


class World:
    """The two ends, and the bytes between them that a lost connection swallows."""

    def __init__(self, version: Version, manual: bool, window: int) -> None:
        config = SessionConfig(client_id="c", clean_start=False, manual_ack=manual, receive_maximum=50)
        self.session = Session(config, version)
        self.server = Server(version, window)
        self.up = self.down = b""
        self.got: list[bytes] = []
        self.acknowledged: list[bytes] = []
        self.unacked: list[Message] = []
        self.published: list[bytes] = []
        self.sent: list[bytes] = []
        self.reconnect()

    def reconnect(self) -> None:
        self.session.connection_lost()
        self.server.reconnect()
        self.up = self.down = b""
        self.session.connect(0.0)

    def carry_up(self, size: int) -> None:
        """Up to `size` bytes reach the server."""
        self.up += self.session.data_to_send()
        data, self.up = self.up[:size], self.up[size:]
        self.down += self.server.hear(data)

    def carry_down(self, size: int) -> None:
        """Up to `size` bytes reach the client."""
        data, self.down = self.down[:size], self.down[size:]
        for event in self.session.receive(data, 0.0):
            if isinstance(event, Acknowledged):
                assert event.reason_code == 0
                self.acknowledged.append(cast("bytes", event.token))
            elif isinstance(event, Message):
                self.unacked.append(event)
                if not self.session.config.manual_ack:
                    self.got.append(event.payload)

    def acknowledge(self, position: int) -> None:
        """The owner takes one message, not always the oldest; what is acknowledged is what it has."""
        if self.unacked:
            message = self.unacked.pop(position % len(self.unacked))
            if self.session.ack(message):
                self.got.append(message.payload)

    def publish(self, qos: int) -> None:
        payload = b"%d:%d" % (qos, len(self.published))
        try:
            self.session.publish("up", payload, qos=qos, now=0.0, token=payload)
        except WindowFull:
            return
        self.published.append(payload)

    def send(self, qos: int) -> None:
        payload = b"%d:%d" % (qos, len(self.sent))
        if len(self.sent) < 20:
            self.sent.append(payload)
            self.down += self.server.send(qos, payload)

    def settle(self) -> None:
        """No more losses: everything that is under way comes to its end."""
        self.reconnect()
        for _ in range(1000):
            self.carry_up(1 << 20)
            self.carry_down(1 << 20)
            while self.unacked:
                self.acknowledge(0)
            if self.server.idle and not (self.session.inflight or self.up or self.down):
                return
        raise AssertionError("the exchange does not come to an end")


STEPS = st.one_of(
    st.tuples(st.just("publish"), st.integers(1, 2)),
    st.tuples(st.just("send"), st.integers(1, 2)),
    st.tuples(st.just("carry_up"), st.integers(1, 60)),
    st.tuples(st.just("carry_down"), st.integers(1, 60)),
    st.tuples(st.just("acknowledge"), st.integers(0, 5)),
    st.tuples(st.just("reconnect")),
)


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("manual", [False, True])
@given(window=st.sampled_from([1, 3, 100]), steps=st.lists(STEPS, max_size=80))
def test_nothing_is_lost_and_qos_2_is_never_doubled(
    version: Version, manual: bool, window: int, steps: list[tuple[str, int]]
) -> None:
    world = World(version, manual, window)
    world.carry_up(1000)
    world.carry_down(1000)
    for name, *arguments in steps:
        getattr(world, name)(*arguments)
    world.settle()
    assert sorted(world.acknowledged) == sorted(world.published)
    for wanted, got in ((world.published, world.server.got), (world.sent, world.got)):
        assert set(got) == set(wanted)
        for payload in wanted:
            assert got.count(payload) == 1 or payload.startswith(b"1")
