"""The process around the application: its socket, its store, its end."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from edgefleet.ingest import connections, server
from edgefleet.ingest.body import BodyLimits
from edgefleet.ingest.server import IngestConfig, _listen, serve
from edgefleet.ingest.store import Delivery, MessageStore, NewMessage, StoreBusy, StoreError, StoreResult
from edgefleet.ingest.store.sqlite import SqliteStore
from edgewire.errors import ConfigError, EdgefleetError
from tests.edgefleet.ingest.conftest import serving
from tests.processes import not_outliving

Make = Callable[..., dict[str, Any]]


HEAD = b"POST /ingest/gps HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


class BrokenStore(SqliteStore):
    """Reads, but does not write."""

    async def add(self, delivery: Delivery) -> list[StoreResult]:
        raise StoreBusy("7 messages already wait to be stored; try again in a second")

    async def check(self) -> None:
        raise StoreError("store x.db: disk full")


def test_the_body_of_an_answer_waits_for_no_delayed_ack() -> None:
    """asyncio turns Nagle's algorithm off for sockets that say that they are TCP; 42 ms an answer it was else."""
    with _listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


async def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = IngestConfig(port=port, store=f"sqlite:///{tmp_path / 'x.db'}")
        with pytest.raises(EdgefleetError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use"):
            await serve(config, asyncio.Event())
    assert not (tmp_path / "x.db").exists()


async def test_an_address_that_is_not_ours_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(EdgefleetError, match=r"cannot listen on no-such-host\.invalid:0"):
        await serve(IngestConfig(host="no-such-host.invalid", port=0), asyncio.Event())


async def test_a_store_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no-such-folder"):
        await serve(IngestConfig(port=0, store=f"sqlite:///{tmp_path}/no-such-folder/x.db"), asyncio.Event())
    with pytest.raises(ConfigError, match="is of no known kind"):
        await serve(IngestConfig(port=0, store="x.db"), asyncio.Event())


async def test_a_store_that_fails_is_503_and_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bme280: Make
) -> None:
    async def open_broken(_: str) -> MessageStore:
        return await BrokenStore.open(tmp_path / "x.db")

    monkeypatch.setattr(server, "open_store", open_broken)
    stop = asyncio.Event()
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(serve(IngestConfig(port=0), stop, url.set_result))
    async with aiohttp.ClientSession(await url) as client:
        async with client.post("/api/v1/sensors/bme280", json=bme280()) as answer:
            assert answer.status == 503
            assert answer.headers["Retry-After"] == "1"
            assert "already wait" in (await answer.json())["error"]
        async with client.get("/readyz") as answer:
            assert (answer.status, await answer.json()) == (503, {"error": "store x.db: disk full"})
        async with client.get("/healthz") as answer:
            assert answer.status == 200
    stop.set()
    await running


async def test_a_sender_that_hangs_up_disturbs_nobody(service: aiohttp.ClientSession, bme280: Make) -> None:
    base = service._base_url
    assert base is not None
    _, writer = await asyncio.open_connection(base.host, base.port)
    writer.write(HEAD + b"Content-Length: 1000\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    async with service.post("/api/v1/sensors/bme280", json=bme280()) as answer:
        assert answer.status == 201


@pytest.mark.slow
async def test_a_body_that_stalls_is_408_and_disturbs_nobody(config: IngestConfig, bme280: Make) -> None:
    async with serving(replace(config, limits=BodyLimits(bytes=1000, seconds=0.2))) as client:
        base = client._base_url
        assert base is not None
        reader, writer = await asyncio.open_connection(base.host, base.port)
        writer.write(HEAD + b"Content-Length: 900\r\n\r\n{")
        async with client.post("/api/v1/sensors/bme280", json=bme280()) as answer:
            assert answer.status == 201
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
        assert b"not complete after 0.2 s" in await reader.read()  # and then the connection is closed
        writer.close()


@pytest.mark.parametrize("head", [b"", b"GET /hea", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /hea"])
@pytest.mark.slow
async def test_a_head_that_never_ends_is_not_awaited_for_ever(
    config: IngestConfig, monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.05)
    made = connections.WatchedProtocol.connection_made

    def briefly_kept(self: connections.WatchedProtocol, transport: asyncio.Transport) -> None:
        made(self, transport)
        self.timeout_keep_alive = 1  # what came in one segment with a whole request is uvicorn's keep-alive's

    monkeypatch.setattr(connections.WatchedProtocol, "connection_made", briefly_kept)
    async with serving(config) as client:
        base = client._base_url
        assert base is not None
        reader, writer = await asyncio.open_connection(base.host, base.port)
        writer.write(head)
        answer = await asyncio.wait_for(reader.read(), 30)
        assert answer.count(b"HTTP/1.1 200") == (b"healthz" in head)
        writer.close()


@pytest.mark.slow
async def test_without_a_token_nobody_posts_or_reads(config: IngestConfig, bme280: Make) -> None:
    async with serving(replace(config, tokens=("old-secret", "new-secret"))) as client:

        async def status(method: str, path: str, token: str | None) -> int:
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            body = bme280() if method == "POST" else None
            async with client.request(method, path, json=body, headers=headers) as answer:
                if answer.status == 401:
                    assert answer.headers["WWW-Authenticate"] == "Bearer"
                    assert "send Authorization: Bearer TOKEN" in (await answer.json())["error"]
                return answer.status

        for method, path in (("POST", "/api/v1/sensors/bme280"), ("GET", "/messages"), ("GET", "/stats")):
            assert [await status(method, path, token) for token in (None, "wrong", "x" * 99)] == [401] * 3
        assert await status("POST", "/ingest/batch", None) == 401
        assert [await status("GET", path, None) for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3
        assert await status("POST", "/api/v1/sensors/bme280", "old-secret") == 201
        assert await status("POST", "/api/v1/sensors/bme280", "new-secret") == 200
        assert await status("GET", "/messages", "new-secret") == 200
        async with client.get("/openapi.json") as answer:
            page = await answer.json()
        assert page["paths"]["/messages"]["get"]["security"] == [{"HTTPBearer": []}]
        assert "security" not in page["paths"]["/healthz"]["get"]


@pytest.mark.slow
async def test_stopping_finishes_what_is_under_way(tmp_path: Path, bme280: Make) -> None:
    path = tmp_path / "x.db"
    stop = asyncio.Event()
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(serve(IngestConfig(port=0, store=f"sqlite:///{path}"), stop, url.set_result))

    async def slowly() -> Any:
        body = orjson.dumps(bme280())
        yield body[:50]
        stop.set()
        await asyncio.sleep(0.3)
        yield body[50:]

    async with (
        aiohttp.ClientSession(await url) as client,
        client.post("/api/v1/sensors/bme280", data=slowly(), headers={"Content-Type": "application/json"}) as answer,
    ):
        assert answer.status == 201
    await running
    store = await SqliteStore.open(path)
    same_id = NewMessage("bme280_fake_001", 825667200, 0, "bme280", 0, "{}")
    assert await store.add(Delivery(1, [same_id])) == [StoreResult.CONFLICT]
    await store.close()


@pytest.mark.slow
def test_sigterm_ends_the_process_in_order(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "edgefleet", "ingest", "--port", "0", "--json"]
    environment = {"EDGEFLEET_INGEST_STORE": f"sqlite:///{tmp_path / 'x.db'}", "PYTHONPATH": ":".join(sys.path)}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(arguments, env=environment, **streams) as process, not_outliving(process):
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        if not line:
            pytest.fail(process.communicate(timeout=20)[1].decode())
        assert orjson.loads(line)["url"].startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stderr.read() == b""
    assert [path.name for path in tmp_path.iterdir()] == ["x.db"]  # the WAL was folded back in
