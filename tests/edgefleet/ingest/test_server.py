"""The process around the application: its socket, its store, its end."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from edgefleet.ingest import server
from edgefleet.ingest.server import IngestConfig, serve
from edgefleet.ingest.store import Delivery, NewMessage, Store, StoreBusy, StoreError
from edgefleet.ingest.store.sqlite import SqliteStore
from edgewire.errors import ConfigError, EdgefleetError

Make = Callable[..., dict[str, Any]]


class BrokenStore(SqliteStore):
    """Reads, but does not write."""

    async def add(self, delivery: Delivery) -> list[bool]:
        raise StoreBusy("7 messages already wait to be stored; try again in a second")

    async def check(self) -> None:
        raise StoreError("store x.db: disk full")


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
    async def open_broken(_: str) -> Store:
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
    writer.write(b"POST /ingest/gps HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    async with service.post("/api/v1/sensors/bme280", json=bme280()) as answer:
        assert answer.status == 201


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
        client.post("/api/v1/sensors/bme280", data=slowly()) as answer,
    ):
        assert answer.status == 201
    await running
    store = await SqliteStore.open(path)
    assert await store.add(Delivery(1, [NewMessage("bme280_fake_001", 825667200, 0, "bme280", 0, "{}")])) == [False]
    await store.close()


def test_sigterm_ends_the_process_in_order(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "edgefleet", "ingest", "--port", "0", "--json"]
    environment = {"EDGEFLEET_INGEST_STORE": f"sqlite:///{tmp_path / 'x.db'}", "PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        if not line:
            pytest.fail(process.stderr.read().decode())
        assert orjson.loads(line)["url"].startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stderr.read() == b""
    assert [path.name for path in tmp_path.iterdir()] == ["x.db"]  # the WAL was folded back in
