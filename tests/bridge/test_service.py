"""The whole bridge against a broker that follows a script: what is acknowledged, and when."""

import asyncio
import os
import re
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from bridge.config import BridgeConfig
from bridge.routing.table import RouteTable
from bridge.service import Bridge, run_bridge
from bridge.source.client import OTHER_SPOOL, TakenOver
from bridge.spool.accounting import SinkCounts, count_messages
from bridge.spool.dead_letters import read_dead_letters
from bridge.spool.sqlite import SpoolError
from bridge.spool.store import SpoolStore
from edgewire.clock import SystemClock
from edgewire.errors import ConfigError, ServiceUnavailable
from edgewire.mqtt.packets import Connect, Disconnect, Subscribe
from tests.bridge.fakes import MemorySink, ScriptedBroker, in_order, ingest_stub, payload, scripted_broker, spooled
from tests.tcp import tcp_server
from tests.waiting import PATIENCE_S, eventually

TOPIC = "edge/site/bme280/a/telemetry"


class Gate(SpoolStore):
    """A store whose commits wait for the test, or fail as it says."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, ["memory"])
        self.open = threading.Event()
        self.open.set()
        self.fault: SpoolError | None = None

    def commit(self, messages=(), updates=()):  # type: ignore[no-untyped-def]
        assert self.open.wait(20)
        if self.fault and messages:
            raise self.fault
        super().commit(messages, updates)


class Stage:
    """A running bridge, the broker in front of it and the sink behind it."""

    def __init__(self, broker: ScriptedBroker, tmp_path: Path, **settings: Any) -> None:
        self.broker = broker
        self.store = Gate(tmp_path / "spool.db")
        self.sink = MemorySink()
        spool = {"path": self.store.path, **settings.pop("spool", {})}
        settings = {"watch": {"broker_statistics": False}, "admin": {"port": 0}, **settings}
        config = BridgeConfig(broker=broker.url, http={}, spool=spool, **settings)
        self.bridge = Bridge(config, RouteTable(), [self.sink], self.store, SystemClock())
        self.stop = asyncio.Event()
        self.running = asyncio.create_task(self.bridge.run(self.stop))

    def publish(self, *numbers: int, **flags: Any) -> None:
        for number in numbers:
            self.broker.publish(number, TOPIC, payload("a", number), **flags)

    async def get(self, path: str) -> tuple[int, Any]:
        async with aiohttp.ClientSession() as session, session.get(self.bridge.admin.url + path) as response:
            is_json = response.content_type == "application/json"
            return response.status, await (response.json() if is_json else response.text())

    async def ready(self) -> None:
        await eventually(lambda: self.bridge.readiness().reasons == [])
        assert (await self.get("/readyz"))[0] == 200

    async def unready(self, reason: str) -> None:
        # Asked again: what is tried meanwhile is another reason for a moment.
        async with asyncio.timeout(PATIENCE_S):
            while True:
                status, said = await self.get("/readyz")
                if status == 503 and reason in str(said["reasons"]):
                    return
                await asyncio.sleep(0.002)

    async def finish(self) -> None:
        self.stop.set()
        await self.running

    def books(self) -> SinkCounts:
        return count_messages(self.store.path)[0]


@asynccontextmanager
async def staged(
    tmp_path: Path, before: Callable[[ScriptedBroker], None] = lambda _: None, **settings: Any
) -> AsyncIterator[Stage]:
    async with scripted_broker() as broker:
        before(broker)
        stage = Stage(broker, tmp_path, **settings)
        await asyncio.wait(
            [asyncio.create_task(stage.bridge.started.wait()), stage.running], return_when="FIRST_COMPLETED"
        )
        try:
            yield stage
        finally:
            stage.store.open.set()
            stage.stop.set()
            await asyncio.wait([stage.running])


async def test_a_message_is_acknowledged_after_the_commit_and_in_order(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.ready()
        stage.store.open.clear()
        stage.publish(1, 2, 3)
        await eventually(lambda: stage.bridge._spool.queued == 3)
        assert stage.broker.acked == []
        assert stage.sink.got == []
        stage.store.open.set()
        await stage.broker.until(lambda: len(stage.broker.acked) == 3)
        assert stage.broker.acked == [1, 2, 3]
        await eventually(lambda: stage.sink.got == ["a:1:1", "a:1:2", "a:1:3"])
        await stage.finish()
    assert stage.books()[:6] == ("memory", 3, 3, 0, 0, 0)


async def test_the_session_is_one_that_the_broker_keeps(tmp_path: Path) -> None:
    async with staged(tmp_path, client_id="north", mqtt={"receive_maximum": 700, "session_expiry": "1h"}) as stage:
        await stage.ready()
        connect, subscribe = stage.broker.said[:2]
        assert isinstance(connect, Connect)
        assert isinstance(subscribe, Subscribe)
        assert (connect.client_id, connect.clean_start) == ("north", False)
        assert connect.properties["session_expiry_interval"] == 3600
        assert connect.properties["receive_maximum"] == 700
        assert {(one.qos, one.retain_handling) for one in subscribe.subscriptions} == {(1, 1)}
        assert [one.filter for one in subscribe.subscriptions] == ["edge/+/+/+/telemetry", "edge/+/+/+/event"]


async def test_after_a_failed_write_nothing_is_acknowledged_and_the_bridge_ends(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.ready()
        stage.publish(1)
        await stage.broker.until(lambda: stage.broker.acked == [1])
        stage.store.fault = SpoolError("spool.db: the disk is full; make room and start the bridge again")
        stage.publish(2, 3)
        with pytest.raises(SpoolError, match="the disk is full"):
            await stage.running
    assert stage.broker.acked == [1]
    assert stage.books().received == 1


async def test_a_full_spool_goes_unready_and_recovers(tmp_path: Path) -> None:
    async with staged(tmp_path, spool={"max_bytes": "200KiB"}) as stage:
        await stage.ready()
        stage.sink.open.clear()
        for number in range(1, 41):
            stage.broker.publish(number, TOPIC, payload("a", number, text="x" * 8000))
        await stage.broker.until(lambda: len(stage.broker.acked) > 10)
        await eventually(lambda: stage.bridge._spool.full)
        acked = len(stage.broker.acked)
        stage.publish(41)
        status, said = await stage.get("/readyz")
        assert status == 503
        assert "is full: nothing is acknowledged" in said["reasons"][0]
        await asyncio.sleep(0.05)
        assert 41 not in stage.broker.acked
        assert acked <= 40
        stage.sink.open.set()
        await stage.broker.until(lambda: len(stage.broker.acked) == 41)
        assert stage.broker.acked == list(range(1, 42))
        await stage.ready()


async def test_garbage_is_acknowledged_and_becomes_a_dead_letter(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.ready()
        stage.publish(1)
        stage.broker.publish(2, TOPIC, b"\x00\xff not json")
        stage.broker.publish(3, "edge/odd", b"{}")
        stage.publish(4)
        await stage.broker.until(lambda: stage.broker.acked == [1, 2, 3, 4])
        await eventually(lambda: stage.sink.got == ["a:1:1", "a:1:4"])
        await stage.finish()
    assert stage.books()[:6] == ("memory", 4, 2, 2, 0, 0)
    assert [one.payload for one in read_dead_letters(stage.store.path)] == [b"{}", b"\x00\xff not json"]


async def test_messages_are_counted_by_what_they_can_promise(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.ready()
        stage.publish(1)
        stage.publish(2, dup=True)
        stage.publish(3, retain=True)
        stage.broker.publish(0, TOPIC, payload("a", 9))
        await eventually(lambda: len(stage.sink.got) == 4)
        _, text = await stage.get("/metrics")
        for line in (
            'received_total{qos="1"} 3.0',
            'received_total{qos="0"} 1.0',
            "redelivered_total 1.0",
            "retained_total 1.0",
            "spooled_total 4.0",
            'delivered_total{sink="memory"} 4.0',
            'pending{sink="memory"}',
            "connected 1.0",
        ):
            assert f"edgefleet_bridge_{line}" in text
        assert stage.broker.acked == [1, 2, 3]


async def test_the_endpoints(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.ready()
        assert await stage.get("/healthz") == (200, {"status": "ok"})
        ready = {
            "ready": True,
            "reasons": [],
            "waiting": [],
            "warnings": [],
            "brokers": [stage.broker.url],
            "paused": [],
        }
        assert await stage.get("/readyz") == (200, ready)
        stage.sink.open.clear()
        stage.publish(1, 2)
        await stage.broker.until(lambda: len(stage.broker.acked) == 2)
        status, ledger = await stage.get("/ledger")
        assert status == 200
        assert ledger["balanced"] is True
        (books,) = ledger["sinks"]
        assert (books["sink"], books["received"], books["pending"]) == ("memory", 2, 2)
        stage.sink.open.set()


async def test_the_root_lists_every_endpoint_with_a_sentence(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, aiohttp.ClientSession(stage.bridge.admin.url) as client:
        status, listed = await stage.get("/")
        assert (status, listed["service"]) == (200, "edgefleet bridge")
        assert [one["path"] for one in listed["paths"]][:4] == ["/healthz", "/readyz", "/metrics", "/ledger"]
        assert all(one["sentence"].endswith(".") for one in listed["paths"])
        async with client.get("/", headers={"Accept": "text/html,*/*;q=0.8"}) as answer:
            assert (answer.status, answer.content_type) == (200, "text/html")
            links = re.findall(r'href="\.(/[^"]*)"', await answer.text())
        assert links == [one["path"] for one in listed["paths"] if one["method"] == "GET"]
        for link in links:
            async with client.get(link) as answer:
                assert answer.status in {200, 503}


@pytest.mark.slow
async def test_a_lost_connection_is_dialled_again_and_a_lost_session_is_noticed(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.ready()
        stage.publish(1)
        await stage.broker.until(lambda: stage.broker.acked == [1])
        for present in (True, False):
            stage.broker.session_present = present
            stage.broker.hang_up()
            await asyncio.wait_for(stage.broker.subscribed.wait(), 30)
            await stage.ready()
        stage.publish(2)
        await eventually(lambda: stage.sink.got == ["a:1:1", "a:1:2"])
        _, text = await stage.get("/metrics")
        assert "edgefleet_bridge_reconnects_total 2.0" in text
        assert "edgefleet_bridge_sessions_lost_total 1.0" in text


@pytest.mark.slow
async def test_a_session_that_another_spool_has_begun_is_told(tmp_path: Path) -> None:
    def has_a_session(broker: ScriptedBroker) -> None:
        broker.session_present = True

    with capture_logs() as told:
        async with staged(tmp_path, has_a_session) as stage:
            await stage.ready()
            stage.broker.hang_up()
            await asyncio.wait_for(stage.broker.subscribed.wait(), 30)
            await stage.ready()
    found = [line for line in told if line["event"] == OTHER_SPOOL]
    assert [line["spool"] for line in found] == [str(stage.store.path)]
    # The same spool again is no other one.
    with capture_logs() as told:
        async with staged(tmp_path, has_a_session) as stage:
            await stage.ready()
    assert OTHER_SPOOL not in [line["event"] for line in told]


@pytest.mark.slow
async def test_what_an_earlier_connection_brought_is_not_acknowledged_on_this_one(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.ready()
        stage.store.open.clear()
        stage.publish(7)
        await eventually(lambda: stage.bridge._spool.queued == 1)
        stage.broker.session_present = True
        stage.broker.hang_up()
        await asyncio.wait_for(stage.broker.subscribed.wait(), 30)
        stage.store.open.set()
        await eventually(lambda: stage.sink.got == ["a:1:7"])
        await asyncio.sleep(0.02)
        assert stage.broker.acked == []
        stage.publish(7, dup=True)
        await stage.broker.until(lambda: stage.broker.acked == [7])


@pytest.mark.slow
async def test_a_message_stuck_without_acknowledgement_renews_the_connection(tmp_path: Path) -> None:
    async with staged(tmp_path, mqtt={"stuck_after": "1s"}) as stage:
        await stage.ready()
        stage.store.open.clear()
        stage.publish(1)
        await stage.broker.until(lambda: sum(isinstance(one, Connect) for one in stage.broker.said) == 2)
        stage.store.open.set()


async def test_two_bridges_with_one_client_id_are_told_so(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.ready()
        stage.broker.send(Disconnect(0x8E))
        with pytest.raises(TakenOver, match=r"another client connected .* give every bridge a client_id of its own"):
            await stage.running


async def test_a_refused_subscription_is_named(tmp_path: Path) -> None:
    def refuse(broker: ScriptedBroker) -> None:
        broker.suback_code = 0x87

    async with staged(tmp_path, refuse) as stage:
        await stage.unready("refuses the subscription")
        stage.broker.suback_code = 1
        await stage.ready()


async def test_an_orderly_end_acknowledges_saves_and_then_disconnects(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.ready()
        stage.store.open.clear()
        stage.publish(1, 2, 3)
        await eventually(lambda: stage.bridge._spool.queued == 3)
        stage.stop.set()
        await asyncio.sleep(0.05)
        stage.store.open.set()
        await stage.running
        await stage.broker.until(lambda: isinstance(stage.broker.said[-1], Disconnect))
    assert stage.broker.acked == [1, 2, 3]
    books = stage.books()
    assert books.received == 3
    assert books.balanced
    assert stage.sink.closed


async def test_a_slow_sink_does_not_hold_up_the_last_acknowledgements(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.ready()
        stage.sink.open.clear()
        stage.publish(1)
        await stage.broker.until(lambda: stage.broker.acked == [1])
        stage.store.open.clear()
        stage.publish(2)
        await eventually(lambda: stage.bridge._spool.queued == 1)
        stage.stop.set()
        stage.store.open.set()
        await stage.broker.until(lambda: stage.broker.acked == [1, 2])
        assert not stage.running.done()
        stage.sink.open.set()
        await stage.running
    assert stage.books().delivered == 1


async def test_an_admin_port_that_is_taken_is_named(tmp_path: Path) -> None:
    async with ingest_stub() as other, scripted_broker() as broker:
        port = int(other.url.rpartition(":")[2])
        config = BridgeConfig(broker=broker.url, http={}, spool={"path": tmp_path / "s.db"}, admin={"port": port})
        with pytest.raises(ServiceUnavailable, match=rf"cannot listen on 127.0.0.1:{port}.*admin.port"):
            await run_bridge(config, asyncio.Event())


async def test_a_configuration_that_contradicts_itself_does_not_start(tmp_path: Path) -> None:
    routes = [{"topic": "#", "kafka": "t"}]
    config = BridgeConfig(http={}, routes=routes, spool={"path": tmp_path / "s.db"})
    with pytest.raises(ConfigError, match="leads to no configured sink"):
        await run_bridge(config, asyncio.Event())
    assert not (tmp_path / "s.db").exists()


async def test_a_broker_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    SpoolStore(tmp_path / "spool.db", ["memory"]).close()
    async with scripted_broker() as broker:
        url = broker.url
    broker.url = url
    stage = Stage(broker, tmp_path)
    stage.store.commit([spooled(1)])
    await asyncio.wait_for(stage.bridge.started.wait(), 30)
    await stage.unready("cannot be reached")
    async with tcp_server(broker.serve, port=int(url.rpartition(":")[2])):
        await asyncio.wait_for(broker.subscribed.wait(), 30)
        await stage.finish()


SCRIPT = """
import asyncio, sys
from pathlib import Path
from bridge.config import BridgeConfig
from bridge.service import run_bridge
from edgewire.config import load_config
asyncio.run(run_bridge(load_config(Path(sys.argv[1]), BridgeConfig), asyncio.Event()))
"""


@pytest.mark.slow
async def test_sigkill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    config = tmp_path / "bridge.yaml"
    async with scripted_broker() as broker, ingest_stub() as ingest:
        config.write_text(
            f"broker: {broker.url}\nspool: {{path: {tmp_path / 'spool.db'}}}\nadmin: {{port: 0}}\n"
            "watch: {broker_statistics: false}\n"
            f"http: {{url: '{ingest.url}', batch_messages: 7}}\n"
        )
        number = 0
        for _ in range(3):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", SCRIPT, str(config), stderr=asyncio.subprocess.DEVNULL
            )
            await asyncio.wait_for(broker.subscribed.wait(), 30)
            enough = len(broker.acked) + 60
            while len(broker.acked) < enough:
                for _ in range(10):
                    number += 1
                    broker.publish(number, TOPIC, payload("a", number))
                await asyncio.sleep(0.001)
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
            broker.subscribed.clear()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SCRIPT, str(config), stderr=asyncio.subprocess.DEVNULL
        )
        acked = {f"a:1:{one}" for one in broker.acked}
        await eventually(lambda: acked <= set(ingest.stored))
        process.kill()
        await process.wait()
    first = list(dict.fromkeys(ingest.stored))
    assert in_order(first)
    assert len(acked) >= 180
