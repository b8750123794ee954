"""A broker on loopback that does exactly what the test tells it, one connection at a time."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edgewire.link import BrokerUrl
from edgewire.mqtt import PacketDecoder, Version, encode
from edgewire.mqtt.packets import Connack, Connect, Packet
from tests.tcp import tcp_server


class Connection:
    """The broker's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.version = Version.V5
        self._raw = b""
        self._decoder: PacketDecoder | None = None
        self._packets: list[Packet] = []

    async def packet(self) -> Packet | None:
        """The next packet of the client; None at the end of the connection."""
        while not self._packets:
            try:
                data = await self.reader.read(65536)
            except ConnectionError:
                data = b""
            if not data:
                # As brokers do: who waits for the end of the connection need not wait for the end of the test.
                self.writer.close()
                return None
            if self._decoder is None:
                self._raw += data
                if len(self._raw) < 9:
                    continue
                # The protocol level stands behind the name in CONNECT: after one or two bytes of length.
                self.version = Version(self._raw[self._raw.index(b"MQTT") + 4])
                self._decoder, data = PacketDecoder(self.version), self._raw
            self._packets.extend(self._decoder.feed(data))
        return self._packets.pop(0)

    def say(self, *packets: Packet) -> None:
        self.writer.write(b"".join(encode(packet, self.version) for packet in packets))

    async def accept(self, *, session_present: bool = False) -> Connect:
        """Takes CONNECT, says CONNACK."""
        connect = await self.packet()
        assert isinstance(connect, Connect)
        self.say(Connack(session_present))
        return connect

    def close(self) -> None:
        self.writer.close()


class Broker:
    """Where clients connect; `connection` gives them in their order."""

    def __init__(self) -> None:
        self._connections: asyncio.Queue[Connection] = asyncio.Queue()
        self.all: list[Connection] = []
        self.url = BrokerUrl("mqtt", "127.0.0.1", 0)

    async def connection(self) -> Connection:
        return await self._connections.get()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        self.all.append(connection)
        await self._connections.put(connection)


@asynccontextmanager
async def broker(tls: ssl.SSLContext | None = None) -> AsyncIterator[Broker]:
    """A broker on a free port."""
    scripted = Broker()
    async with tcp_server(scripted.serve, tls=tls, limit=2**12) as port:
        scripted.url = BrokerUrl("mqtts" if tls else "mqtt", "127.0.0.1", port)
        yield scripted
