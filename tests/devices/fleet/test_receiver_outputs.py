"""What receivers say beside MQTT: who hears it, who is too slow for it, and where it cannot be had."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from devices.fleet.receiver_outputs import MOST_READERS, MOST_UNREAD, PtyLine, ReceiverOutputs, TcpLine
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from edgefleet.embedded import free_port
from edgewire.clock import parse_ms
from edgewire.errors import ConfigError, ServiceUnavailable
from tests.waiting import eventually

if sys.platform != "win32":
    import fcntl
    import termios

NOON_MS = parse_ms("2026-03-04T12:00:00Z")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")


@asynccontextmanager
async def opened(line: TcpLine | PtyLine) -> AsyncIterator[None]:
    await line.open()
    try:
        yield
    finally:
        await line.close()


@asynccontextmanager
async def hearing(line: TcpLine, count: int) -> AsyncIterator[list[socket.socket]]:
    """So many programs that are connected, each of which has heard something."""
    host, port = line.address.removeprefix("tcp://").rsplit(":", 1)
    loop, before = asyncio.get_running_loop(), line.listeners
    with ExitStack() as sockets:
        connected = [sockets.enter_context(socket.create_connection((host, int(port)))) for _ in range(count)]
        for one in connected:
            one.setblocking(False)
        async with asyncio.timeout(10):
            await eventually(lambda: line.listeners == min(before + count, MOST_READERS))
            line.send(b"$x\r\n")
            for one in connected[: MOST_READERS - before]:
                assert await loop.sock_recv(one, 100) == b"$x\r\n"
        yield connected


async def test_all_that_listen_to_a_port_hear_the_same_and_one_too_many_is_let_go() -> None:
    line = TcpLine("127.0.0.1", free_port())
    loop = asyncio.get_running_loop()
    async with opened(line), hearing(line, MOST_READERS + 1) as connected, asyncio.timeout(10):
        line.send(b"$end\r\n")
        assert [await loop.sock_recv(one, 100) for one in connected] == [*[b"$end\r\n"] * MOST_READERS, b""]
        connected[0].close()
        await eventually(lambda: line.listeners < MOST_READERS)


async def test_who_reads_too_slowly_is_cut_off_and_the_others_are_not() -> None:
    line = TcpLine("127.0.0.1", free_port())
    loop = asyncio.get_running_loop()
    async with opened(line), hearing(line, 2) as (slow, quick), asyncio.timeout(20):
        said = heard = 0
        while line.listeners == 2:
            line.send(b"$" + b"x" * 8190 + b"\n")
            said += 8192
            while heard < said:
                heard += len(await loop.sock_recv(quick, 65_536))
        assert said > MOST_UNREAD
        line.send(b"$end\n")
        assert await loop.sock_recv(quick, 100) == b"$end\n"
        with suppress(ConnectionResetError):
            while found := await loop.sock_recv(slow, 65_536):
                assert b"$end" not in found


def unread(terminal: int) -> int:
    return int.from_bytes(fcntl.ioctl(terminal, termios.FIONREAD, b"\0" * 4), sys.byteorder)


async def test_a_terminal_is_a_line_on_which_nothing_waits_for_long(tmp_path: Path) -> None:
    link = tmp_path / "gps"
    line = PtyLine(link)
    async with opened(line):
        assert str(link) in line.address
        heard = os.open(link, os.O_RDONLY | os.O_NOCTTY)
        os.set_blocking(heard, False)
        for number in range(100):
            epoch = f"$epoch,{number:02d}\r\n".encode() * 20
            before = unread(heard)
            line.send(epoch)
            # The system moves it on by itself, on a busy machine not at once.
            kept = before + len(epoch) if before + len(epoch) <= 4095 else len(epoch)
            await eventually(lambda kept=kept: unread(heard) == kept, "the line takes an epoch")
        found = b""

        def is_at_the_end() -> bool:
            nonlocal found
            with suppress(BlockingIOError):
                found += os.read(heard, 10_000)
            return found.endswith(b"$epoch,99\r\n")

        await eventually(is_at_the_end)
        os.close(heard)
        assert set(map(len, found.decode().split("\r\n")[:-1])) == {9}, "whole sentences alone"
        assert b"$epoch,50" not in found, "and the newest of them"
    assert not link.is_symlink()


async def test_what_is_written_to_a_receiver_is_not_heeded(tmp_path: Path) -> None:
    line = PtyLine(tmp_path / "gps")
    async with opened(line):
        heard = os.open(tmp_path / "gps", os.O_RDWR | os.O_NOCTTY)
        os.set_blocking(heard, False)
        for _ in range(20):
            with suppress(BlockingIOError):
                os.write(heard, b"$PUBX,40,GLL,0,0,0,0*5C\r\n" * 100)
            await asyncio.sleep(0)
        line.send(b"$still\r\n")
        os.set_blocking(heard, True)
        assert await asyncio.to_thread(os.read, heard, 100) == b"$still\r\n"
        os.close(heard)


async def test_a_place_that_cannot_be_had_is_a_sentence(tmp_path: Path) -> None:
    line = TcpLine("127.0.0.1", free_port())
    async with opened(line):
        with pytest.raises(ServiceUnavailable, match=rf"no receiver can be heard at {line.address}: .*in use"):
            await TcpLine("127.0.0.1", int(line.address.rsplit(":", 1)[1])).open()
    (tmp_path / "mine").write_text("mine")
    taken = PtyLine(tmp_path / "mine")
    with pytest.raises(ServiceUnavailable, match=r"the link .*mine could not be made: File exists"):
        await taken.open()
    await taken.close()
    assert (tmp_path / "mine").read_text() == "mine"
    (tmp_path / "stale").symlink_to("/dev/pts/of-a-run-that-was-killed")
    async with opened(PtyLine(tmp_path / "stale")):
        assert (tmp_path / "stale").exists()
    links = scenario({"pty": str(tmp_path / "{id}")}, ids=["van", "mine"])
    with pytest.raises(ServiceUnavailable, match="File exists"):
        await ReceiverOutputs(links, NOON_MS, Shard(), lambda: NOON_MS, lambda _: 1.0).open()
    assert not (tmp_path / "van").is_symlink(), "all or none"


def scenario(nmea: Any, faults: Sequence[Any] = (), **group: Any) -> Scenario:
    group = {"kind": "gps", "interval": "1h", "settings": {"nmea": nmea}} | group
    return Scenario(seed=5, world=2, devices=[{"kind": "gps", "count": 2}, group], faults=faults)


@pytest.mark.slow
async def test_each_second_is_said_once_with_the_faults_of_the_device(tmp_path: Path) -> None:
    port = free_port()
    loss = {"type": "gps_loss", "from": "2026-03-04T12:00:01.500Z", "to": "2026-03-04T12:00:02.500Z"}
    plan = scenario({"tcp": f"127.0.0.1:{port}"}, faults=[loss])
    started = asyncio.get_running_loop().time()
    now = lambda: NOON_MS + round((asyncio.get_running_loop().time() - started) * 1000)  # noqa: E731
    outputs = ReceiverOutputs(plan, NOON_MS - 3_600_000, Shard(), now, lambda at_ms: (at_ms - now()) / 1000)
    assert outputs.device_ids == ["gps-0003"]
    await outputs.open()
    serving = asyncio.create_task(outputs.serve())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found: list[tuple[str, str]] = []
    try:
        async with asyncio.timeout(20):
            while len(found) < 4:
                fields = (await reader.readline()).decode().split(",")
                if fields[0] == "$GNRMC":
                    found.append((fields[1], fields[2]))
    finally:
        writer.close()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await outputs.close()
    clocks = [clock for clock, _ in found]
    assert clocks == sorted(set(clocks))
    assert dict(found).get("120002.00", "V") == "V"
    assert ("120003.00", "A") in found or ("120004.00", "A") in found


def test_a_shard_says_what_its_own_receivers_hear() -> None:
    port = free_port()
    plan = scenario({"tcp": f"127.0.0.1:{port}"}, count=5)
    halves = [
        ReceiverOutputs(plan, NOON_MS, Shard(index, 2), lambda: NOON_MS, lambda _: 1.0).device_ids for index in range(2)
    ]
    assert sorted(halves[0] + halves[1]) == [f"gps-{number:04d}" for number in range(3, 8)]
    assert ReceiverOutputs(scenario(True), NOON_MS, Shard(), lambda: NOON_MS, lambda _: 1.0).device_ids == []


@pytest.mark.parametrize(
    ("nmea", "group", "said"),
    [
        ({}, {}, "either tcp, an address and a port, or pty"),
        ({"tcp": "127.0.0.1:1", "pty": "auto"}, {}, "either tcp, an address and a port, or pty"),
        ({"tcp": "127.0.0.1"}, {}, "an address and a port, such as 127.0.0.1:10110"),
        ({"tcp": "127.0.0.1:0"}, {}, "0 is no port"),
        ({"tcp": "127.0.0.1:70000"}, {}, "70000 is no port"),
        ({"tcp": "127.0.0.1:65535"}, {"count": 2}, "would need the ports up to 65536"),
        ({"tcp": "127.0.0.1:5000"}, {"count": 65}, "65 receivers are too many"),
        ({"pty": "/tmp/x"}, {"count": 2}, "needs {id} in its path"),
        ({"udp": "127.0.0.1:5000"}, {}, "udp"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(nmea: Any, group: dict[str, Any], said: str) -> None:
    with pytest.raises((ValueError, ConfigError)) as raised:
        scenario(nmea, **group)
    assert said in str(raised.value)


def test_a_fleet_without_receivers_to_hear_is_not_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    def go_through(_: Scenario) -> None:
        raise AssertionError("each of its devices would be made once more")

    monkeypatch.setattr("devices.fleet.receiver_outputs.all_devices", go_through)
    group: dict[str, Any] = {"kind": "gps", "count": 2, "interval": "1s"}
    quiet = Scenario(devices=[group])
    assert ReceiverOutputs(quiet, 0, Shard(), lambda: 0, float).device_ids == []
    heard = scenario({"tcp": "127.0.0.1:5000"}, count=2)
    with pytest.raises(AssertionError, match="once more"):
        ReceiverOutputs(heard, 0, Shard(), lambda: 0, float)
