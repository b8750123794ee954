"""One poison message in a batch of 500, before the real ingest service: what it costs, and how it is delivered."""

import asyncio
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from typer.testing import CliRunner

from bridge.config import BridgeConfig
from bridge.service import run_bridge
from bridge.spool.accounting import count_messages
from bridge.spool.store import SpoolStore
from edgefleet.cli.bridge import app
from edgefleet.embedded import edgefleet_process, free_port
from edgewire.config import load_config
from edgewire.messages import BATCH_PATH
from tests.bridge.fakes import scripted_broker, spooled
from tests.waiting import eventually

pytestmark = pytest.mark.e2e

POISON = b'"seq":250,'


class Server:
    """Stands before the ingest service; until it is `fixed` it refuses, as a whole, any batch with the poison in it."""

    def __init__(self, upstream: str) -> None:
        self.fixed = False
        self.sizes: list[int] = []
        self._upstream = upstream

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.sizes.append(body.count(b"\n") + 1)
        if POISON in body and not self.fixed:
            return web.json_response({"error": "column 'temperature' overflows"}, status=422)
        headers = {"Content-Type": request.headers["Content-Type"]}
        async with (
            aiohttp.ClientSession() as client,
            client.post(self._upstream + request.path, data=body, headers=headers) as answer,
        ):
            return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)


@asynccontextmanager
async def serving(upstream: str) -> AsyncIterator[tuple[Server, str]]:
    server = Server(upstream)
    application = web.Application()
    application.router.add_post(BATCH_PATH, server.handle)
    async with TestServer(application) as listening:
        yield server, str(listening.make_url("")).rstrip("/")


def stored(ingest: str) -> set[tuple[str, int, int]]:
    with urllib.request.urlopen(f"{ingest}/messages?payload=false&limit=1000", timeout=10) as answer:
        return {(one["device_id"], one["boot"], one["seq"]) for one in orjson.loads(answer.read())["messages"]}


async def test_one_poison_message_in_500_costs_itself_and_is_delivered_after_the_fix(tmp_path: Path) -> None:
    ingest = f"http://127.0.0.1:{free_port()}"
    store = SpoolStore(tmp_path / "spool.db", ["http"])
    reading = {"temperature_c": 20.5, "humidity": 40.0, "pressure_hpa": 1013.0}
    store.commit([spooled(number, f"dev-{number % 7}", **reading) for number in range(1, 501)])
    store.close()
    arguments = ("ingest", "--port", ingest.rpartition(":")[2], "--store", f"sqlite:///{tmp_path / 'ingest.db'}")
    with edgefleet_process("ingest", *arguments, url=f"{ingest}/readyz"):
        async with serving(ingest) as (server, url), scripted_broker() as broker:
            config = tmp_path / "bridge.yaml"
            config.write_text(
                f"broker: {broker.url}\nspool: {{path: {tmp_path / 'spool.db'}}}\nadmin: {{port: 0}}\n"
                "watch: {broker_statistics: false}\n"
                f"http: {{url: '{url}', parallel: 1}}\n"
            )
            stop = asyncio.Event()
            running = asyncio.create_task(run_bridge(load_config(config, BridgeConfig), stop))
            path = tmp_path / "spool.db"
            await eventually(lambda: count_messages(path)[0].pending == 0)
            books = count_messages(path)[0]
            assert (books.delivered, books.dead_lettered, books.balanced) == (499, 1, True)
            assert server.sizes[0] == 500
            assert len(server.sizes) <= 19  # two halves a step, nine steps
            assert len(await asyncio.to_thread(stored, ingest)) == 499

            def command(*arguments: str) -> str:
                result = CliRunner().invoke(app, ["dead-letters", *arguments], catch_exceptions=False)
                assert result.exit_code == 0, result.output
                return result.stdout

            (letter,) = orjson.loads(command("list", str(config), "--reason", "OVERFLOWS", "--json"))["dead_letters"]
            assert letter["message_id"] == 250
            assert "answers 422: column 'temperature' overflows" in letter["reason"]
            server.fixed = True
            assert await asyncio.to_thread(command, "replay", str(config), "--reason", "overflows")
            await eventually(lambda: count_messages(path)[0].delivered == 500)
            books = count_messages(path)[0]
            assert (books.dead_lettered, books.pending, books.balanced) == (0, 0, True)
            assert len(await asyncio.to_thread(stored, ingest)) == 500
            stop.set()
            await running
