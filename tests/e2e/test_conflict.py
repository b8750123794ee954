"""A device that has lost its boot counter, before the real ingest service: what it sends under ids that are stored."""

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
from edgefleet.verify import Outcome, verify_run
from edgewire.clock import SystemClock
from edgewire.config import load_config
from edgewire.messages import BATCH_PATH
from edgewire.run_record import DeviceRecord
from tests.bridge.fakes import payload, scripted_broker, spooled
from tests.run_records import run_record
from tests.waiting import eventually

pytestmark = pytest.mark.e2e

LOST, OWN = "lost-1", "own-1"
"""The device that begins its numbers anew, and one that does not."""
COUNT = 10


@asynccontextmanager
async def losing_answers(upstream: str, lost: int) -> AsyncIterator[str]:
    """The service, of which the answers to the first requests are lost on their way."""
    left = lost

    async def handle(request: web.Request) -> web.Response:
        nonlocal left
        headers = {name: request.headers[name] for name in ("Content-Type", "Idempotency-Key")}
        if request.path == BATCH_PATH:
            del headers["Idempotency-Key"]
        async with (
            aiohttp.ClientSession() as client,
            client.post(upstream + request.path, data=await request.read(), headers=headers) as answer,
        ):
            said = web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)
        if left and request.transport:
            left -= 1
            request.transport.abort()
        return said

    application = web.Application()
    application.router.add_post("/{path:.*}", handle)
    async with TestServer(application) as listening:
        yield str(listening.make_url("")).rstrip("/")


def ask(url: str, data: bytes | None = None) -> dict[str, object]:
    request = urllib.request.Request(url, data, {"Content-Type": "application/x-ndjson"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, object] = orjson.loads(answer.read())
        return found


@pytest.mark.parametrize("mode", ["batch", "single"])
async def test_other_content_under_a_known_id_is_a_dead_letter_and_no_pass(tmp_path: Path, mode: str) -> None:
    before_ms = SystemClock().now_ms()
    ingest = f"http://127.0.0.1:{free_port()}"
    reading = {"humidity": 40.0, "pressure_hpa": 1013.0}
    devices = {seq: LOST if seq <= COUNT else OWN for seq in range(1, 2 * COUNT + 1)}
    earlier = [payload(device, seq, temperature_c=10.0, **reading) for seq, device in devices.items()]
    store = SpoolStore(tmp_path / "spool.db", ["http"])
    store.commit(
        [
            spooled(seq, device, temperature_c=30.0 if device == LOST else 10.0, **reading)
            for seq, device in devices.items()
        ]
    )
    store.close()
    arguments = ("ingest", "--port", ingest.rpartition(":")[2], "--store", f"sqlite:///{tmp_path / 'ingest.db'}")
    with edgefleet_process("ingest", *arguments, url=f"{ingest}/readyz"):
        assert (await asyncio.to_thread(ask, ingest + BATCH_PATH, b"\n".join(earlier)))["stored"] == 2 * COUNT
        async with losing_answers(ingest, 3) as url, scripted_broker() as broker:
            config = tmp_path / "bridge.yaml"
            config.write_text(
                f"broker: {broker.url}\nspool: {{path: {tmp_path / 'spool.db'}}}\nadmin: {{port: 0}}\n"
                "watch: {broker_statistics: false}\n"
                f"http: {{url: '{url}', mode: {mode}, retry: {{base: 20ms, cap: 100ms}}}}\n"
            )
            stop = asyncio.Event()
            running = asyncio.create_task(run_bridge(load_config(config, BridgeConfig), stop))
            await eventually(lambda: count_messages(tmp_path / "spool.db")[0].pending == 0)
            stop.set()
            await running
        books = count_messages(tmp_path / "spool.db")[0]
        assert (books.delivered, books.dead_lettered, books.balanced) == (COUNT, COUNT, True)
        listed = CliRunner().invoke(app, ["dead-letters", "list", str(config), "--json"], catch_exceptions=False)
        letters = orjson.loads(listed.stdout)["dead_letters"]
        reasons = {letter["message_id"]: letter["reason"] for letter in letters}
        assert reasons.keys() == set(range(1, COUNT + 1))
        for number, reason in reasons.items():
            assert f"'{LOST}:1:{number}' is stored with other content, and this is not" in reason
        stats = await asyncio.to_thread(ask, f"{ingest}/stats")
        assert isinstance(stats["conflicts"], int)
        assert (stats["stored"], stats["rejected"]) == (2 * COUNT, 0)
        assert stats["conflicts"] >= COUNT  # those whose answer was lost came twice
        record = run_record(
            *(
                DeviceRecord(
                    device_id=name, kind="bme280", site="site", boot=1, first_seq=first, last_seq=first + COUNT - 1
                )
                for name, first in ((LOST, 1), (OWN, COUNT + 1))
            )
        )
        verdict = await asyncio.to_thread(verify_run, record, ingest=ingest)
        assert verdict.outcome is not Outcome.PASS
        # All ids are there, and were while the run went on: what another sent under them is what cannot be told.
        record.started_ms, record.fixed_boots = before_ms, False
        verdict = await asyncio.to_thread(verify_run, record, ingest=ingest)
        assert verdict.sinks["http"].total.lost == 0
        assert verdict.outcome is Outcome.INCOMPLETE
        (sentence,) = verdict.untold
        assert sentence.startswith(f"under {COUNT} ids of this run other content came as well")
