"""Attacks on the interface as it listens: whatever comes is refused or bounded, and others are served meanwhile."""

import asyncio
import http.client
import select
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from devices.fleet.metrics import FleetSnapshot
from edgefleet.control import api, server
from edgefleet.control.address import AddressFile, find_address
from edgefleet.control.api import control_description
from edgefleet.control.client import ControlClient
from edgefleet.control.controller import RunController
from edgefleet.control.events import MOST_LISTENERS
from edgefleet.control.server import MOST_CONNECTIONS, ControlConfig, controlled
from edgefleet.launch.worker_status import WorkerState
from edgewire.errors import ConfigError, EdgefleetError, ServiceUnavailable
from tests.edgefleet.control.runs import SCENARIO, ScriptedShards, controller_of

TOKEN = "a-token-of-a-run-0123"


@asynccontextmanager
async def served(folder: Path, token: str | None = None) -> AsyncIterator[tuple[str, RunController]]:
    """Serve a scripted run; yield its URL, and what controls it."""
    config = ControlConfig.parse("127.0.0.1:0", token)
    controller = controller_of(ScriptedShards(SCENARIO), lambda: [(WorkerState.RUNNING, FleetSnapshot(devices=7))])
    async with controlled(config, controller, AddressFile(folder)) as url:
        yield url, controller


def address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return host, int(port)


def connect(url: str, request: bytes = b"", *, buffer: int = 0) -> socket.socket:
    """Return a connection on which a request was sent, and nothing read."""
    sock = socket.socket()
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.settimeout(10)
    sock.connect(address(url))
    sock.sendall(request)
    return sock


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


async def test_who_asks_is_told_how_the_run_is_and_changes_it(tmp_path: Path) -> None:
    async with served(tmp_path) as (url, controller):
        client = ControlClient(find_address(str(tmp_path)))
        assert find_address(url) == url

        def script() -> None:
            assert client.read("status")["devices"] == 7
            assert [group["group"] for group in client.read("groups")] == ["bme280", "gps"]
            assert client.read("devices", search="gps", limit=500)["found"] == 7
            assert client.device("gps-0002")["group"] == "gps"
            assert client.act({"action": "scale", "group": "gps", "count": 5})["said"] == (
                "gps scaled from 3 to 5 devices"
            )
            assert [one["number"] for one in client.read("actions")] == [1]
            for action, error, said in (
                ({"action": "scale", "group": "gps", "count": 0}, ConfigError, "scale.count"),
                ({"action": "scale", "group": "gps", "count": 5, "then": 1}, ConfigError, "'scale.then'"),
                ({"action": "explode"}, ConfigError, "'explode' is no action"),
                ({}, ConfigError, "action"),
                ({"action": "broker_outage", "duration": "1s"}, EdgefleetError, "--broker embedded"),
            ):
                with pytest.raises(error, match=said):
                    client.act(action)
            with pytest.raises(ConfigError, match="there is no device 'gps-9'"):
                client.device("gps-9")
            with pytest.raises(ConfigError, match="parameter limit"):
                client.read("devices", limit=100_000)
            with pytest.raises(ConfigError, match="Not Found"):
                client.read("secrets")

        await asyncio.to_thread(script)
        assert len(controller.actions) == 1
    assert not (tmp_path / "control.json").exists()
    with pytest.raises(ServiceUnavailable, match="no run answers there"):
        client.read("status")
    with pytest.raises(ConfigError, match="no run goes on there"):
        find_address(str(tmp_path))


def test_an_address_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    file = AddressFile(tmp_path)
    file.write("http://127.0.0.1:1")
    with (tmp_path / "control.json").open(encoding="utf-8") as begun:
        file.write("http://127.0.0.1:2")
        assert "127.0.0.1:1" in begun.read()  # who has begun to read it reads it to its end
    assert find_address(str(tmp_path)) == "http://127.0.0.1:2"
    assert [one.name for one in tmp_path.iterdir()] == ["control.json"]


async def test_without_the_token_nothing_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with served(tmp_path, TOKEN) as (url, _):
        for token in (None, "wrong-token-of-a-run"):
            with pytest.raises(ConfigError, match="give --token-file FILE"):
                await asyncio.to_thread(ControlClient(url, token).read, "status")
        assert (await asyncio.to_thread(ControlClient(url, TOKEN).read, "status"))["devices"] == 7
        assert TOKEN not in (tmp_path / "control.json").read_text()
    said = capfd.readouterr()
    assert TOKEN not in said.out + said.err
    assert TOKEN not in repr(ControlConfig.parse("0.0.0.0:0", TOKEN))
    with pytest.raises(ConfigError, match="give --control-token-file"):
        ControlConfig.parse("0.0.0.0:0", None)


async def test_listeners_are_told_and_there_are_only_so_many(tmp_path: Path) -> None:
    async with served(tmp_path) as (url, controller):
        controller.tell("hello")

        def first() -> Any:
            return next(one for name, one in ControlClient(url).events() if name == "event")

        assert (await asyncio.to_thread(first))["text"] == "hello"
        listeners = [connect(url, get("/v1/events")) for _ in range(MOST_LISTENERS)]
        for one in listeners:
            assert (await asyncio.to_thread(one.recv, 4096)).startswith(b"HTTP/1.1 200")
        with connect(url, get("/v1/events")) as refused:
            answer = await asyncio.to_thread(refused.recv, 4096)
        assert answer.startswith(b"HTTP/1.1 503")
        # Who leaves makes room, and whoever asks for anything else is served.
        listeners.pop().close()
        assert (await asyncio.to_thread(ControlClient(url).read, "status"))["devices"] == 7
        for one in listeners:
            one.close()


async def test_a_listener_that_does_not_read_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "SEND_S", 0.1)
    async with served(tmp_path) as (url, controller):
        with connect(url, get("/v1/events"), buffer=4096) as slow, connect(url, get("/v1/events")) as quick:
            await asyncio.to_thread(slow.recv, 100)

            def drain() -> int:
                """Read until the other one is gone, as its words are no longer there to be sent."""
                return len(quick.recv(1 << 20))

            for _ in range(200):
                controller.tell("x" * 20_000)
                await asyncio.to_thread(drain)

            def rest() -> int:
                """What is left for the slow one, whose connection has an end: by far not all that was said."""
                count = 0
                try:
                    while some := slow.recv(1 << 16):
                        count += len(some)
                except ConnectionResetError:
                    pass
                return count

            assert await asyncio.to_thread(rest) < 1_000_000


async def test_more_connections_than_are_taken_are_closed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "NEW_PER_S", 1000.0)
    async with served(tmp_path) as (url, _):

        def attack() -> tuple[list[socket.socket], int]:
            opened, closed, deadline = [], 0, time.monotonic() + 20
            for _ in range(3 * MOST_CONNECTIONS):
                try:
                    opened.append(connect(url, b"GET /v1/status HT"))
                except OSError:
                    closed += 1
            waiting = set(opened)
            # What is closed can be read: the end of it.
            while closed < 2 * MOST_CONNECTIONS and time.monotonic() < deadline:
                ended, _, _ = select.select(waiting, [], [], 0.5)
                closed += len(ended)
                waiting.difference_update(ended)
            return opened, closed

        opened, closed = await asyncio.to_thread(attack)
        assert closed >= 2 * MOST_CONNECTIONS
        for one in opened:
            one.close()
        assert (await asyncio.to_thread(ControlClient(url).read, "status"))["devices"] == 7


ACTION = "POST /v1/actions HTTP/1.1\r\nHost: localhost\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n{}"
HOSTILE = [
    (b"GET /v1/status HTTP/1.1\r\nHost: attacker.example\r\n\r\n", 421),
    (b"GET /v1/status HTTP/1.1\r\n\r\n", 400),
    (get("/v1/events", "Origin: http://attacker.example"), 403),
    (get("/v1/events", "Sec-Fetch-Site: cross-site"), 403),
    (ACTION.format("text/plain", 17, '{"action":"stop"}').encode(), 415),
    (ACTION.format("application/json", 999_999_999_999, "{").encode(), 413),
    (ACTION.format("application/json", 1, "{").encode(), 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    (get("/v1/status", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: x"), 200),
]


async def test_hostile_requests_are_answered_and_change_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as (url, controller):
        for sent, status in HOSTILE:
            with connect(url, sent) as sock:
                response = http.client.HTTPResponse(sock)
                await asyncio.to_thread(response.begin)
                body = await asyncio.to_thread(response.read, 4096)
            assert (response.status, bool(body)) == (status, True), sent
        # A head without an end: it is read no further than it may be long.
        with connect(url, b"GET / HTTP/1.1\r\nX: ") as sock:

            def pour() -> None:
                while True:
                    sock.sendall(b"x" * 65536)

            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                await asyncio.to_thread(pour)
        assert controller.actions == []
        assert (await asyncio.to_thread(ControlClient(url).read, "status"))["devices"] == 7


def test_an_address_is_a_port_or_a_host_and_a_port() -> None:
    assert [(one.host, one.port) for one in (ControlConfig.parse(text, None) for text in ("8088", "[::1]:0"))] == [
        ("127.0.0.1", 8088), ("::1", 0)
    ]  # fmt: skip
    for text in ("", "localhost", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:x"):
        with pytest.raises(ConfigError, match="is neither a port nor HOST:PORT"):
            ControlConfig.parse(text, None)


async def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = ControlConfig.parse(f"127.0.0.1:{taken.getsockname()[1]}", None)
        with pytest.raises(ServiceUnavailable, match="--control: cannot listen on"):
            server.ControlServer(config, lambda _: FastAPI(), [])


def test_every_action_is_described() -> None:
    described = control_description()
    assert described["paths"].keys() == {
        "/v1/status",
        "/v1/runs",
        "/v1/history",
        "/v1/groups",
        "/v1/devices",
        "/v1/devices/{device_id}",
        "/v1/actions",
        "/v1/dead-letters",
        "/v1/scenario",
        "/v1/events",
        *(f"/v1/map/{name}" for name in ("sites", "roads", "devices", "places")),
    }
    actions = described["paths"]["/v1/actions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert actions["discriminator"]["mapping"].keys() == {
        *("scale", "set", "fault", "end_fault", "command", "pause", "resume", "mute", "unmute", "broker_outage"),
        *("standby", "return", "takeover"),
        *("bridge_pause", "bridge_resume", "bridge_drain", "replay_dead_letters", "drop_dead_letters", "stop"),
    }
