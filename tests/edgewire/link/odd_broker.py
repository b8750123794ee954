"""A broker that answers each packet as a table of the test says, for any number of clients at once."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from types import MappingProxyType

from edgewire.link import BrokerUrl
from edgewire.mqtt import encode
from edgewire.mqtt.packets import (
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
)
from tests.edgewire.link.broker import Connection
from tests.tcp import tcp_server

Answer = Packet | bytes | float | None
"""A packet, or bytes as they are; a number is so many seconds of nothing; None ends the connection with FIN."""

RESET = b"\0RESET"
"""Ends the connection with RST."""

Script = Callable[["Client", Packet], Sequence[Answer]]


class Client(Connection):
    """The broker's end of one client's connection."""

    connect: Connect
    number = 0
    """How many connections there were before."""
    published = 0


def usual(client: Client, packet: Packet) -> Sequence[Answer]:
    """What a broker answers that has nothing odd about it."""
    match packet:
        case Connect():
            return [Connack()]
        case Publish(qos=1, packet_id=packet_id):
            return [Puback(packet_id)]
        case Publish(qos=2, packet_id=packet_id):
            return [Pubrec(packet_id)]
        case Pubrel(packet_id):
            return [Pubcomp(packet_id)]
        case Subscribe(packet_id, subscriptions):
            return [Suback(packet_id, tuple(one.qos for one in subscriptions))]
        case Pingreq():
            return [Pingresp()]
        case Disconnect():
            return [None]
        case _:
            return []


def odd(answers: Mapping[type[Packet], Script]) -> Script:
    """A broker that is odd in its answers to these packets alone."""

    def script(client: Client, packet: Packet) -> Sequence[Answer]:
        return answers.get(type(packet), usual)(client, packet)

    return script


class OddBroker:
    """Counts what it is told, and answers by its script."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.url = BrokerUrl("mqtt", "127.0.0.1", 0)
        self.dials: Counter[str] = Counter()
        """By client id."""
        self.dialled_s: list[float] = []
        self.published: Counter[tuple[str, str]] = Counter()
        """By client id and the last level of the topic."""
        self.readings: set[tuple[str, bytes]] = set()
        self.resets = 0
        """Connections that a client ended with RST."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, until it or the script ends the connection."""
        client = Client(reader, writer)
        try:
            while (packet := await client.packet()) is not None:
                self._note(client, packet)
                if not await self._answer(client, self.script(client, packet)):
                    return
        except ConnectionError:
            self.resets += 1

    def _note(self, client: Client, packet: Packet) -> None:
        match packet:
            case Connect(client_id=client_id):
                client.connect, client.number = packet, self.dials[client_id]
                self.dials[client_id] += 1
                self.dialled_s.append(monotonic())
            case Publish(topic=topic, payload=payload):
                client.published += 1
                channel = topic.rpartition("/")[2]
                self.published[client.connect.client_id, channel] += 1
                if channel == "telemetry":
                    self.readings.add((client.connect.client_id, payload))

    async def _answer(self, client: Client, answers: Sequence[Answer]) -> bool:
        data = b""
        for answer in answers:
            if answer is None or answer == RESET:
                client.writer.write(data)
                if answer == RESET:
                    raw: socket.socket = client.writer.get_extra_info("socket")
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                    client.writer.transport.abort()
                else:
                    client.writer.close()
                return False
            if isinstance(answer, float):
                client.writer.write(data)
                data = b""
                await asyncio.sleep(answer)
            else:
                data += answer if isinstance(answer, bytes) else encode(answer, client.version)
        # What is answered to one packet leaves in one segment.
        client.writer.write(data)
        return True


@asynccontextmanager
async def odd_broker(answers: Mapping[type[Packet], Script] = MappingProxyType({})) -> AsyncIterator[OddBroker]:
    """A broker on a free port that is odd in its answers to these packets."""
    broker = OddBroker(odd(answers))
    async with tcp_server(broker.serve) as port:
        broker.url = BrokerUrl("mqtt", "127.0.0.1", port)
        yield broker
