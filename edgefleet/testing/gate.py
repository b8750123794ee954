"""Passes bytes on to a broker, and plays its outage: `edgefleet.testing.gate CONTROL LISTEN TARGET TARGET_5 URL SEEN`.

While it is shut nobody is connected and connections are refused, as when a broker's machine is away; the broker itself
runs on and keeps its sessions. Who speaks MQTT 5 is passed on to TARGET_5: there are brokers that have a port for each
version, and a test needs one address. All are ports of loopback. On CONTROL it takes a line, `shut` or `open`, and
answers `done`. What leaves the broker at URL meanwhile is noted in the file SEEN.
"""

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from edgefleet.testing.observer import BrokerObserver
from edgewire.link import BrokerUrl

LOOPBACK = "127.0.0.1"
_CHUNK = 1 << 16
_LONGEST_LINE = 16
_CONNECT_S = 10
"""How long a client may take to begin."""
_MQTT_5 = 5
_NAME_AND_LEVEL = 7
"""Bytes of a CONNECT from its remaining length on: the name of the protocol, with its length, and the version."""


class Gate:
    """Listens on a port and connects each client with the broker's port for its version of MQTT."""

    def __init__(self, port: int, target: int, target_5: int) -> None:
        self._port, self._target, self._target_5 = port, target, target_5
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        """Accept connections; raises `OSError` where the port is taken."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, LOOPBACK, self._port, backlog=1024)

    async def shut(self) -> None:
        """Refuse connections, and reset those that are there."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            async with asyncio.timeout(_CONNECT_S):
                head = await _read_head(reader)
            target = self._target_5 if head[-1] == _MQTT_5 else self._target
            target_reader, target_writer = await asyncio.open_connection(LOOPBACK, target)
        except (OSError, EOFError, TimeoutError):
            self._writers.discard(writer)
            writer.transport.abort()
            return
        self._writers.add(target_writer)
        target_writer.write(head)
        try:
            await asyncio.gather(_copy(reader, target_writer), _copy(target_reader, writer))
        finally:
            for one in (writer, target_writer):
                self._writers.discard(one)
                one.transport.abort()


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    """Return the beginning of a CONNECT, whose last byte is the version. Raises `EOFError` where there is less."""
    head = await reader.readexactly(2)
    while head[-1] & 0x80 and len(head) < 5:
        head += await reader.readexactly(1)
    return head + await reader.readexactly(_NAME_AND_LEVEL)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on until the end, and then the end; what is left of a connection that is reset ends both ways."""
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        return
    writer.transport.abort()


async def run_gate(control: int, gate: Gate) -> None:
    """Serve until the process ends; raises `OSError` where a port is taken."""
    actions = {b"shut\n": gate.shut, b"open\n": gate.open}

    async def obey(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if action := actions.get(await reader.read(_LONGEST_LINE)):
            await action()
            writer.write(b"done\n")
        writer.close()

    await gate.open()
    async with await asyncio.start_server(obey, LOOPBACK, control) as server:
        await server.serve_forever()


def main(arguments: Sequence[str]) -> None:
    """Run what the command line says."""
    control, listen, target, target_5 = map(int, arguments[:4])
    url, seen = arguments[4:]

    async def run(file: BinaryIO) -> None:
        observer = BrokerObserver(BrokerUrl.parse(url), file)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(observer.run())
            tasks.create_task(run_gate(control, Gate(listen, target, target_5)))

    with Path(seen).open("ab", buffering=0) as file:
        asyncio.run(run(file))


if __name__ == "__main__":
    main(sys.argv[1:])
