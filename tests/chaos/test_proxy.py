"""The proxy breaks connections as it says, and never changes what it lets through."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress

import pytest

from tests.chaos.proxy import Direction, Proxy
from tests.tcp import tcp_server


async def send_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def echo() -> AsyncIterator[Proxy]:
    """A proxy before a server that sends back what it gets."""
    async with tcp_server(send_back) as port, Proxy(port) as proxy:
        yield proxy


async def dial(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def say(proxy: Proxy, data: bytes) -> bytes:
    """What comes back on a connection of its own."""
    reader, writer = await dial(proxy)
    with closing(writer):
        writer.write(data)
        return await reader.readexactly(len(data))


async def test_bytes_pass_unchanged_and_the_end_passes_too() -> None:
    async with echo() as proxy:
        sent = bytes(range(256)) * 4000
        reader, writer = await dial(proxy)
        writer.write(sent)
        writer.write_eof()
        assert await reader.read(-1) == sent
        writer.close()
        assert proxy.connections == 1


async def test_reset_cuts_both_ends_with_a_rst_and_new_connections_work() -> None:
    async with echo() as proxy:
        reader, writer = await dial(proxy)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        assert proxy.reset() == 2
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        writer.close()
        assert await say(proxy, b"again") == b"again"


@pytest.mark.parametrize("directions", [(), (Direction.UP,), (Direction.DOWN,)])
async def test_a_stall_holds_bytes_until_it_ends(directions: tuple[Direction, ...]) -> None:
    async with echo() as proxy:
        reader, writer = await dial(proxy)
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        proxy.stall(*directions)
        writer.write(b"held")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        proxy.heal()
        assert await reader.readexactly(4) == b"held"
        writer.close()


async def test_a_silent_proxy_accepts_and_says_nothing() -> None:
    async with echo() as proxy:
        proxy.silent = True
        reader, writer = await dial(proxy)
        writer.write(b"hello?")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        writer.close()
        assert await say(proxy, b"hello") == b"hello"


async def test_a_delay_is_added_on_each_way() -> None:
    async with echo() as proxy:
        proxy.delay_s = 0.05
        started = asyncio.get_running_loop().time()
        assert await say(proxy, b"slow") == b"slow"
        assert asyncio.get_running_loop().time() - started >= 0.1


async def test_a_throttle_limits_the_rate() -> None:
    async with echo() as proxy:
        proxy.bytes_per_s = 100_000
        started = asyncio.get_running_loop().time()
        assert await say(proxy, bytes(10_000)) == bytes(10_000)
        assert asyncio.get_running_loop().time() - started >= 0.1


async def test_without_a_server_behind_it_a_connection_ends() -> None:
    async with echo() as proxy:
        upstream = proxy._upstream_port
    async with Proxy(upstream) as proxy:
        reader, writer = await dial(proxy)
        try:
            assert await reader.read(1) == b""
        except ConnectionResetError:
            pass
        finally:
            writer.close()
