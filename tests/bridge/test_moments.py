"""A reload, a signal or a replay at an unlucky moment: nothing is counted twice, and the bridge goes on or ends."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bridge.spool import Store, read_books
from tests.bridge.fakes import IngestStub, eventually, spooled
from tests.bridge.live import Stage

NOBODY = "mqtt://127.0.0.1:1"


class SlowIngest(IngestStub):
    """Answers when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.let = asyncio.Event()

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.set()
        await self.let.wait()
        return await super().handle(request)


@asynccontextmanager
async def offline(path: Path, **settings: Any) -> AsyncIterator[tuple[Stage, SlowIngest]]:
    """A bridge that has no broker: what it has received is put into its spool."""
    stub = SlowIngest()
    application = web.Application()
    application.router.add_post("/{path:.*}", stub.handle)
    async with TestServer(application) as server:
        stub.url = str(server.make_url("")).rstrip("/")
        stage = Stage(NOBODY, path, stub, **settings)
        try:
            await stage.bridge.started.wait()
            yield stage, stub
        finally:
            stub.let.set()
            stage.orders.stop.set()
            await asyncio.wait([stage.running])
        await stage.running


@pytest.fixture
def _slow_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    commit = Store.commit

    def slowly(self: Store, *args: Any) -> None:
        time.sleep(0.05)
        commit(self, *args)

    monkeypatch.setattr(Store, "commit", slowly)


@pytest.mark.usefixtures("_slow_commits")
async def test_what_a_sink_got_done_before_a_refused_reload_is_not_done_again(tmp_path: Path) -> None:
    async with offline(tmp_path) as (stage, ingest):
        stage.bridge._spool.append([spooled(number) for number in range(1, 11)], lambda: None)
        await ingest.asked.wait()
        stage.settings["http"] = {"url": ingest.url, "ca_file": tmp_path / "missing.pem"}
        stage.orders.reload.set()
        await asyncio.sleep(0.01)
        ingest.let.set()
        await eventually(lambda: stage.reloads("refused") == 1)
        await stage.settled()
        await asyncio.sleep(0.2)
        (books,) = read_books(stage.path)
    assert (books.delivered, books.balanced) == (10, True)
    assert len(ingest.stored) == 10


async def test_a_refused_reload_lets_go_of_the_folder_before_the_old_sink_wants_it(tmp_path: Path) -> None:
    folder = {"folder": tmp_path / "files"}
    routes = [{"topic": "#", "http": "/x", "file": "{kind}.jsonl"}]
    async with offline(tmp_path, file=folder, routes=routes) as (stage, ingest):
        await eventually(lambda: (tmp_path / "files" / ".lock").exists())
        await stage.signal("refused", file=folder | {"linger": 1}, http={"url": ingest.url, "ca_file": tmp_path / "no"})
        await asyncio.sleep(0.1)
        assert not stage.running.done()


async def test_a_stop_in_the_middle_of_a_reload_that_adds_a_sink(tmp_path: Path) -> None:
    async with offline(tmp_path) as (stage, ingest):
        ingest.let.set()
        stage.bridge._spool.append([spooled(1)], lambda: None)
        await stage.settled()
        stage.settings["kafka"] = {"bootstrap_servers": "127.0.0.1:1", "timeout": "300ms"}
        stage.orders.reload.set()
        await asyncio.sleep(0.05)  # it waits for Kafka
        stage.orders.stop.set()
        await asyncio.wait_for(stage.running, 5)
