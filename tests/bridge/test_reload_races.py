"""A reload, a signal or a replay at an unlucky moment: nothing is counted twice, and the bridge goes on or ends."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bridge import admin
from bridge.control import NotDrained
from bridge.source.subscriptions import SubscriptionRecord
from bridge.spool.accounting import count_messages
from bridge.spool.store import SpoolStore
from edgewire.mqtt.packets import Connect, Subscribe, Unsuback, Unsubscribe
from tests.bridge.fakes import IngestStub, ScriptedBroker, scripted_broker, spooled
from tests.bridge.live import Stage
from tests.waiting import eventually

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


class Impatient(random.Random):
    """Never waits before it dials again."""

    def random(self) -> float:
        return 0.0


@asynccontextmanager
async def offline(path: Path, url: str = NOBODY, **settings: Any) -> AsyncIterator[tuple[Stage, SlowIngest]]:
    """A bridge that has no broker, or one that a test scripts: what it has received is put into its spool."""
    stub = SlowIngest()
    application = web.Application()
    application.router.add_post("/{path:.*}", stub.handle)
    async with TestServer(application) as server:
        stub.url = str(server.make_url("")).rstrip("/")
        stage = Stage(url, path, stub, **settings)
        try:
            await stage.bridge.started.wait()
            yield stage, stub
        finally:
            stub.let.set()
            stage.signals.stop.set()
            await asyncio.wait([stage.running])
        await stage.running


@pytest.fixture
def _slow_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    commit = SpoolStore.commit

    def slowly(self: SpoolStore, *args: Any) -> None:
        time.sleep(0.05)
        commit(self, *args)

    monkeypatch.setattr(SpoolStore, "commit", slowly)


@pytest.mark.usefixtures("_slow_commits")
async def test_what_a_sink_got_done_before_a_refused_reload_is_not_done_again(tmp_path: Path) -> None:
    async with offline(tmp_path) as (stage, ingest):
        stage.bridge._spool.append_messages([spooled(number) for number in range(1, 11)], lambda: None)
        await ingest.asked.wait()
        stage.settings["http"] = {"url": ingest.url, "ca_file": tmp_path / "missing.pem"}
        stage.signals.reload.set()
        await asyncio.sleep(0.01)
        ingest.let.set()
        await eventually(lambda: stage.reloads("refused") == 1)
        await stage.settled()
        await stage.bridge._spool.run_on_writer(lambda _: None)  # what was done twice is written down with it
        (books,) = count_messages(stage.path)
    assert (books.delivered, books.balanced) == (10, True)
    assert len(ingest.stored) == 10


async def test_a_refused_reload_lets_go_of_the_folder_before_the_old_sink_wants_it(tmp_path: Path) -> None:
    folder = {"folder": tmp_path / "files"}
    routes = [{"topic": "#", "http": "/x", "file": "{kind}.jsonl"}]
    async with offline(tmp_path, file=folder, routes=routes) as (stage, ingest):
        await eventually(lambda: (tmp_path / "files" / ".lock").exists())
        await stage.signal("refused", file=folder | {"linger": 1}, http={"url": ingest.url, "ca_file": tmp_path / "no"})
        await asyncio.sleep(0.05)
        assert not stage.running.done()


async def test_a_stop_in_the_middle_of_a_reload_that_adds_a_sink(tmp_path: Path) -> None:
    async with offline(tmp_path) as (stage, ingest):
        ingest.let.set()
        stage.bridge._spool.append_messages([spooled(1)], lambda: None)
        await stage.settled()
        stage.settings["kafka"] = {"bootstrap_servers": "127.0.0.1:1", "timeout": "300ms"}
        stage.signals.reload.set()
        await asyncio.sleep(0.05)  # it waits for Kafka
        stage.signals.stop.set()
        await asyncio.wait_for(stage.running, 5)


def count(broker: ScriptedBroker, packet: type) -> int:
    return sum(type(one) is packet for one in broker.said)


SHARED = ["$share/group/edge/#"]


async def test_a_broker_without_shared_subscriptions_is_named(tmp_path: Path) -> None:
    async with (
        scripted_broker() as broker,
        offline(tmp_path, broker.url, rng=Impatient(), subscriptions=SHARED) as (stage, _),
    ):
        await stage.ready()
        broker.offers = {"shared_subscription_available": 0}
        broker.hang_up()
        await eventually(lambda: count(broker, Connect) > 6)
        (reason,) = stage.bridge.readiness().reasons
        assert reason.endswith("the server takes no shared subscriptions, as '$share/group/edge/#'")


async def test_a_subscription_that_is_refused_again_and_again_is_no_other_client(tmp_path: Path) -> None:
    async with scripted_broker() as broker, offline(tmp_path, broker.url, rng=Impatient()) as (stage, _):
        await stage.ready()
        broker.suback_code = 0x87
        broker.hang_up()
        await eventually(lambda: count(broker, Connect) > 6)
        await eventually(lambda: "refuses the subscription" in str(stage.bridge.readiness().reasons))
        assert stage.source._short_lived < 3


async def test_a_reload_to_what_the_broker_does_not_offer_is_refused(tmp_path: Path) -> None:
    async with scripted_broker() as broker:
        broker.offers = {"shared_subscription_available": 0}
        async with offline(tmp_path, broker.url) as (stage, _):
            await stage.ready()
            await stage.signal("refused", subscriptions=SHARED)
            assert "takes no shared subscriptions" in stage.bridge.readiness().warnings[0]
            assert stage.bridge.readiness().reasons == []


async def test_a_reload_while_the_connection_ends_asks_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scripted_broker() as broker, offline(tmp_path, broker.url, rng=Impatient()) as (stage, _):
        await stage.ready()
        source = stage.source
        add = SubscriptionRecord.add

        async def add_and_end(record: SubscriptionRecord, filters: Iterable[str]) -> None:
            await add(record, filters)
            assert source._link
            source._link.abort()  # which is told in the next turn of the loop
            monkeypatch.undo()

        monkeypatch.setattr(SubscriptionRecord, "add", add_and_end)
        await stage.signal(subscriptions=["other/#"])
        await eventually(lambda: count(broker, Subscribe) == 2)
        assert [one.filter for one in source._requested] == ["other/#"]


async def test_an_answer_that_comes_too_late_is_not_that_to_the_subscription(tmp_path: Path) -> None:
    two, brief = ["one/#", "two/#"], {"connect_timeout": "50ms"}
    async with scripted_broker() as broker, offline(tmp_path, broker.url, subscriptions=two, mqtt=brief) as (stage, _):
        await stage.ready()
        await stage.signal(subscriptions=["one/#"])  # the broker says nothing
        asked = [one.packet_id for one in broker.said if isinstance(one, Unsubscribe)]
        await eventually(lambda: not stage.source._answers)
        broker.send(Unsuback(asked[0], (0,)))
        await asyncio.sleep(0.02)
        assert stage.bridge.readiness().reasons == []
        assert count(broker, Connect) == 1


@pytest.mark.parametrize("begun", [True, False])
async def test_a_drain_that_is_stopped_does_not_end_as_if_it_had_drained(tmp_path: Path, begun: bool) -> None:
    stage = Stage(NOBODY, tmp_path, IngestStub(url="http://127.0.0.1:1"))
    stage.signals.drain.set()
    if begun:
        await eventually(lambda: stage.bridge._draining)
    stage.signals.stop.set()
    with pytest.raises(NotDrained, match="the drain was stopped: the broker may hold messages; it stays in"):
        await stage.running


async def test_a_client_of_the_endpoints_that_does_not_end_its_request_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "CLOSE_S", 0.05)
    async with offline(tmp_path) as (stage, _):
        host, _, port = stage.bridge.admin.url.removeprefix("http://").rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /ledger HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
        await asyncio.sleep(0.05)
        stage.signals.stop.set()
        async with asyncio.timeout(3):
            await asyncio.wait([stage.running])
        writer.close()
