"""A list of brokers: the bridge goes on to the next, leaves nothing behind, and says where something waits."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import ValidationError

from bridge.check import check_endpoints
from bridge.config import BridgeConfig
from bridge.loss_detection.report import LossReport
from bridge.metrics import BridgeMetrics
from bridge.source.client import TakenOver
from bridge.source.failover import FailoverSource
from bridge.spool.message import SpooledMessage
from bridge.spool.spool import Spool
from bridge.spool.store import SpoolStore
from edgefleet.embedded import MosquittoProcess, free_port
from edgewire.clock import SystemClock
from edgewire.errors import ConfigError
from edgewire.mqtt.packets import Disconnect, Suback, Subscribe
from tests.bridge.fakes import ScriptedBroker, ingest_stub, payload, scripted_broker
from tests.bridge.live import Publisher, staged
from tests.bridge.source.test_client import Impatient
from tests.bridge.test_drain import drained, session_present
from tests.waiting import eventually

TOPIC = "edge/s/bme280/a/telemetry"


def dead() -> str:
    return f"mqtt://127.0.0.1:{free_port()}"


class Several:
    """A source over a list of brokers, and a spool whose messages are noted."""

    def __init__(self, path: Path, *urls: str, **settings: Any) -> None:
        self.config = BridgeConfig(
            broker=urls, client_id="b", subscriptions=["edge/#"], http={"url": "http://127.0.0.1:1"}, **settings
        )
        self.metrics, clock = BridgeMetrics(), SystemClock()
        self.losses = LossReport(self.metrics, clock)
        self.spool = Spool(
            SpoolStore(path / "spool.db", ["http"]),
            self.config.spool,
            on_messages=self._note,
            on_commit=lambda _: None,
        )
        self.source = FailoverSource(
            self.config,
            self.spool,
            self.metrics,
            self.losses.record_session_lost,
            self.losses.record_first_session,
            clock,
            Impatient(),
        )
        self.got: list[SpooledMessage] = []
        self.running = asyncio.create_task(self.source.run_source())

    def _note(self, messages: list[SpooledMessage]) -> None:
        self.got += messages

    def using(self) -> list[str]:
        return list(map(str, self.source.brokers))

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"edgefleet_bridge_{name}", labels)

    async def close(self) -> None:
        self.source.stop()
        await self.spool.close()
        await self.source.close()
        self.running.cancel()
        await asyncio.wait([self.running])


@asynccontextmanager
async def several(path: Path, *urls: str, **settings: Any) -> AsyncIterator[Several]:
    opened = Several(path, *urls, **settings)
    try:
        yield opened
    finally:
        await opened.close()


async def received(broker: ScriptedBroker, opened: Several, number: int) -> None:
    broker.publish(number, TOPIC, payload("a", number))
    await broker.until(lambda: number in broker.acked)
    await eventually(lambda: payload("a", number) in [one.payload for one in opened.got])


async def test_with_the_first_dead_the_next_is_received_from_and_the_first_is_named(tmp_path: Path) -> None:
    gone = dead()
    async with scripted_broker() as live, several(tmp_path, gone, live.url) as opened:
        with structlog.testing.capture_logs() as logged:
            await asyncio.wait_for(live.subscribed.wait(), 10)
            await received(live, opened, 1)
        assert opened.source.last_error is None
        assert opened.using() == [live.url]
        (warning,) = opened.source.warnings
        assert gone in warning
        assert warning.endswith("what is published there does not reach the bridge")
        assert [opened.metric("broker_connected", broker=live.url), opened.metric("connected")] == [1, 1]
        assert opened.metric("failovers_total") == 1
        assert [line["broker"] for line in logged if line["event"] == "going on to the next broker"] == [live.url]


async def test_what_a_broker_with_a_session_may_hold_is_said_and_comes_when_it_is_back(tmp_path: Path) -> None:
    """The first broker refuses for a while, as one that starts: its session is not forgotten meanwhile."""
    async with scripted_broker() as first, scripted_broker() as second:
        async with several(tmp_path, first.url, second.url) as opened:
            await asyncio.wait_for(first.subscribed.wait(), 10)
            await received(first, opened, 1)
            first.suback_code = 0x87
            first.hang_up()
            await asyncio.wait_for(second.subscribed.wait(), 10)
            await received(second, opened, 2)
            await eventually(lambda: opened.using() == [second.url])
            await eventually(lambda: any("waits there for 7d at the most" in one for one in opened.source.warnings))
            assert [one.split(" (")[0] for one in opened.losses.warnings][-1] == (
                f"broker {second.url} had no session for us yet: what was published there before is not received"
            )
            first.suback_code, first.session_present = 1, True
            await eventually(lambda: opened.using() == [first.url, second.url])
            await received(first, opened, 3)
            await received(second, opened, 4)
            assert opened.source.warnings == []
        # Another process knows where sessions are, and goes to all of them.
        first.subscribed.clear(), second.subscribed.clear()
        second.session_present = True
        async with several(tmp_path, first.url, second.url) as opened:
            await asyncio.wait_for(first.subscribed.wait(), 10)
            await asyncio.wait_for(second.subscribed.wait(), 10)
            assert opened.metric("failovers_total") == 0


async def test_brokers_that_share_their_sessions_have_one_connection_at_a_time(tmp_path: Path) -> None:
    async with scripted_broker() as first, scripted_broker() as second:
        urls = first.url, second.url
        async with several(tmp_path, *urls) as opened:
            await asyncio.wait_for(first.subscribed.wait(), 10)
            # The session of the first is there at the second: they are of one cluster.
            second.session_present = True
            first.suback_code = 0x87
            first.hang_up()
            await asyncio.wait_for(second.subscribed.wait(), 10)
            await received(second, opened, 1)
            dials = len(first.connects)
            first.suback_code = 1
            second.hang_up()
            await asyncio.wait_for(second.subscribed.wait(), 10)
            await received(second, opened, 2)
            assert (len(first.connects), opened.using()) == (dials, [second.url])
            assert opened.source.warnings == []
        first.subscribed.clear()
        async with several(tmp_path, *urls) as opened:  # which a later process knows
            await asyncio.wait_for(first.subscribed.wait(), 10)
            before = len(second.connects)
            await received(first, opened, 3)
            assert len(second.connects) == before


async def test_a_session_that_our_own_next_connection_takes_over_is_no_fault(tmp_path: Path) -> None:
    """The first of a cluster was away from the start: when it is there, it takes the session from the second."""
    async with scripted_broker() as first, scripted_broker() as second:
        first.suback_code = 0x87
        async with several(tmp_path, first.url, second.url) as opened:
            await asyncio.wait_for(second.subscribed.wait(), 10)
            await eventually(lambda: opened.using() == [second.url])
            first.suback_code = None  # held back, so that no refusal is under way when the session is taken over
            before = len(first.said)
            await first.until(lambda: any(isinstance(one, Subscribe) for one in first.said[before:]))
            second.send(Disconnect(0x8E))
            second.hang_up()
            await eventually(lambda: opened.using() == [])
            first.suback_code = 1
            (asked,) = [one for one in first.said[before:] if isinstance(one, Subscribe)]
            first.send(Suback(asked.packet_id, (1,) * len(asked.subscriptions)))
            await eventually(lambda: opened.using() == [first.url])
            await received(first, opened, 1)
            assert not opened.running.done()


async def test_a_session_that_another_takes_over_ends_the_bridge_as_with_one_broker(tmp_path: Path) -> None:
    async with scripted_broker() as first, scripted_broker() as second:
        opened = Several(tmp_path, first.url, second.url)
        await asyncio.wait_for(first.subscribed.wait(), 10)
        first.send(Disconnect(0x8E))
        first.hang_up()
        with pytest.raises(TakenOver, match="give every bridge a client_id of its own"):
            await asyncio.wait_for(opened.running, 10)
        await opened.close()


async def test_a_fixed_one_never_goes_to_another_and_members_are_spread(tmp_path: Path) -> None:
    def order(client_id: str, broker_list: str) -> list[str]:
        urls = ["mqtt://a", "mqtt://b", "mqtt://c"]
        config = BridgeConfig(broker=urls, broker_list=broker_list, client_id=client_id, http={"url": "http://h"})
        return [url.host for url in config.brokers]

    assert order("bridge-1", "in_order") == ["a", "b", "c"]
    assert [order(f"bridge-{number}", "spread")[0] for number in range(4)] == ["a", "b", "c", "a"]
    assert order("bridge-2", "spread") == ["c", "a", "b"]
    assert order("bridge", "spread") == ["a", "b", "c"]
    assert order("bridge-1", "fixed") == ["b"]
    async with scripted_broker() as live, several(tmp_path, dead(), live.url, broker_list="fixed") as opened:
        await eventually(lambda: "cannot be reached" in (opened.source.last_error or ""))
        await asyncio.sleep(0.05)
        assert live.connects == []


async def test_a_reload_reaches_every_broker_and_one_that_refuses_leaves_all_as_they_were(tmp_path: Path) -> None:
    async with scripted_broker() as first, scripted_broker() as second:
        first.suback_code = 0x87
        async with several(tmp_path, first.url, second.url) as opened:
            await asyncio.wait_for(second.subscribed.wait(), 10)
            first.suback_code = 1
            await eventually(lambda: len(opened.using()) == 2)
            both = opened.config.model_copy(update={"subscriptions": ("edge/#", "more/#")})
            await opened.source.reconfigure(both)
            assert [first.requested, second.requested] == [["more/#"], ["more/#"]]
            second.suback_code = 0x87
            with pytest.raises(ConfigError, match=f"{second.url} refuses the subscription 'most/#'"):
                await opened.source.reconfigure(both.model_copy(update={"subscriptions": ("edge/#", "most/#")}))
            assert (first.unsubscribed[-1], first.requested) == ("most/#", ["more/#"])
            assert len(opened.using()) == 2


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"broker": []}, "needs a broker URL, or a list of them"),
        ({"broker": ["mqtt://a", "http://b"]}, "is not of the form"),
        ({"broker": ["mqtt://u:secret@a", "mqtt://u:secret@a:1883"]}, r"mqtt://\*\*\*@a:1883 is in the list twice"),
        ({"broker": ["mqtt://a", "mqtt://b"], "mqtt": {"ca_file": "x"}}, r"ca_file\s+no broker is dialled with TLS"),
        ({"broker_list": "random"}, "in_order"),
    ],
)
def test_a_list_that_cannot_be_is_refused_in_a_sentence(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said) as refused:
        BridgeConfig(**{"http": {"url": "http://h"}, **keys})
    assert "secret" not in str(refused.value.errors()[0]["msg"])


async def test_check_asks_every_broker_of_the_list(tmp_path: Path) -> None:
    async with scripted_broker() as live, ingest_stub() as ingest:
        settings = {"http": {"url": ingest.url}, "spool": {"path": tmp_path / "s.db"}, "subscriptions": ["edge/#"]}
        gone = dead()
        broker = (await check_endpoints(BridgeConfig(broker=[gone, live.url], **settings)))[0]
        assert broker.ok
        assert all(url in broker.text for url in (gone, live.url))
        assert "and else is not heard" in broker.text
        live.suback_code = 0x87
        assert not (await check_endpoints(BridgeConfig(broker=[gone, live.url], **settings)))[0].ok
        assert not (await check_endpoints(BridgeConfig(broker=[gone, dead()], **settings)))[0].ok


@pytest.mark.services
@pytest.mark.slow
async def test_a_broker_that_dies_in_mid_run_and_comes_back_loses_nothing(
    mosquitto_factory: Callable[..., MosquittoProcess], tmp_path: Path
) -> None:
    first, second = mosquitto_factory(), mosquitto_factory()
    sent: set[str] = set()

    async def publish(broker: MosquittoProcess) -> None:
        publisher = Publisher(broker.url, stage.site)
        await publisher.more(200)
        await publisher.finish()
        sent.update(publisher.sent)

    async with ingest_stub() as ingest, staged(first.url, tmp_path, ingest, broker=[first.url, second.url]) as stage:
        await publish(first)
        first.terminate()
        await eventually(lambda: stage.bridge.readiness().brokers == [second.url])
        await publish(second)
        first.start()
        await publish(first)  # which its session keeps, until the bridge is there again
        await eventually(lambda: stage.bridge.readiness().brokers == [first.url, second.url])
        await publish(second)
        await drained(stage)
        assert sent <= set(ingest.stored)
        for broker in (first, second):
            assert not await session_present(broker.url, stage.settings["client_id"])


@pytest.mark.services
@pytest.mark.slow
@pytest.mark.parametrize(
    ("broker_list", "filters"),
    [
        ("spread", ["$share/g/edge/{0}/#"] * 2),
        ("in_order", ["edge/{0}/bme280/d0/#", "edge/{0}/bme280/+/telemetry"]),
    ],
    ids=["shared subscription", "divided topics"],
)
async def test_members_go_on_together_and_come_back_and_lose_nothing(
    mosquitto_factory: Callable[..., MosquittoProcess], tmp_path: Path, filters: list[str], broker_list: str
) -> None:
    """One broker is dead from the beginning, one dies as they run. What two members have has the same ids."""
    first, second = mosquitto_factory(), mosquitto_factory()
    site, sent = f"s{secrets.token_hex(4)}", set[str]()

    async def publish(broker: MosquittoProcess) -> None:
        publisher = Publisher(broker.url, site)
        await publisher.more(200)
        await publisher.finish()
        sent.update(publisher.sent)

    async with AsyncExitStack() as stack:
        ingest = await stack.enter_async_context(ingest_stub())
        stages = []
        for number, pattern in enumerate(filters):
            (folder := tmp_path / str(number)).mkdir()
            settings = {
                "client_id": f"{site}-{number}",
                "subscriptions": [pattern.format(site)],
                "broker": [first.url, second.url, dead()]
                if broker_list == "spread"
                else [dead(), first.url, second.url],
                "broker_list": broker_list,
            }
            stages.append(await stack.enter_async_context(staged(first.url, folder, ingest, site, **settings)))
        for stage in stages:
            await stage.ready()
        await publish(first)
        first.terminate()
        await eventually(lambda: all(stage.bridge.readiness().brokers == [second.url] for stage in stages))
        await publish(second)
        first.start()
        await publish(first)
        expected = {first.url, second.url}
        await eventually(lambda: set().union(*(stage.bridge.readiness().brokers for stage in stages)) == expected)
        await publish(second)
        for stage in stages:
            await drained(stage)
        assert sent <= set(ingest.stored)
        for broker in (first, second):
            for stage in stages:
                assert not await session_present(broker.url, stage.settings["client_id"])
