"""What the broker says of itself: a real one that drops messages is found out."""

import asyncio
import random
import secrets
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.config import BridgeConfig
from bridge.loss_detection import broker_stats
from bridge.loss_detection.broker_stats import DROPPED, BrokerStatsMonitor
from bridge.loss_detection.report import LossReport
from bridge.metrics import BridgeMetrics
from edgewire.clock import SystemClock
from edgewire.link import BrokerUrl, Link, close_and_wait, connect_link
from edgewire.mqtt import Event, Session, SessionConfig, Subscribed, Subscription
from edgewire.mqtt.packets import Connect, Publish
from tests.bridge.fakes import ingest_stub, scripted_broker
from tests.bridge.live import Publisher, staged
from tests.waiting import eventually


class Watching:
    """A watch on its own."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.metrics = BridgeMetrics()
        self.losses = LossReport(self.metrics, SystemClock())
        config = BridgeConfig(broker=url, client_id="w", http={}, watch=settings)
        self.task = asyncio.create_task(
            BrokerStatsMonitor(lambda: config, self.metrics, self.losses, random.Random(1)).watch_statistics()
        )

    def value(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"edgefleet_bridge_{name}")

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


async def test_a_count_that_rises_is_a_loss_and_a_broker_started_anew_counts_from_zero() -> None:
    async with scripted_broker() as broker:
        watching = Watching(broker.url)
        await asyncio.wait_for(broker.subscribed.wait(), 30)
        (connect,) = (one for one in broker.said if isinstance(one, Connect))
        assert (connect.client_id, connect.clean_start) == ("w-watch", True)
        for count, lost in ((b"7", 0), (b"7", 0), (b"12", 5), (b"no number", 5), (b"3", 8)):
            broker.send(Publish(topic=DROPPED, payload=count, retain=True))
            await eventually(lambda lost=lost: watching.value("broker_dropped_total") == lost)  # type: ignore[misc]
        broker.send(Publish(topic="$SYS/broker/store/messages/count", payload=b"44"))
        await eventually(lambda: watching.value("broker_stored") == 44)
        (warning,) = watching.losses.warnings
        assert "the broker has dropped 3 messages" in warning
        assert watching.value("broker_statistics") == 1
        await watching.close()


async def test_a_broker_that_hangs_up_on_it_is_asked_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    sleep = asyncio.sleep

    async def brief(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0.01)

    async def listen(_: BrokerStatsMonitor) -> None:
        """It connects, and is cut off when it subscribes."""

    monkeypatch.setattr(BrokerStatsMonitor, "listen_once", listen)
    monkeypatch.setattr(broker_stats, "asyncio", SimpleNamespace(**vars(asyncio) | {"sleep": brief}))
    watching = Watching("mqtt://127.0.0.1:1")
    await eventually(lambda: len(waits) > 6)
    await watching.close()
    assert waits[6] > 16


async def test_switched_off_it_asks_nothing() -> None:
    async with scripted_broker() as broker:
        watching = Watching(broker.url, broker_statistics=False)
        await asyncio.sleep(0.05)
        assert broker.said == []
        await watching.close()


@pytest.mark.services
async def test_a_mosquitto_that_drops_is_found_out(mosquitto_factory: Callable[..., Any], tmp_path: Path) -> None:
    server = await asyncio.to_thread(mosquitto_factory, {"max_queued_messages": "10", "sys_interval": "1"})
    async with ingest_stub() as ingest:
        watch = {"broker_statistics": True}
        async with staged(server.url, tmp_path, ingest, watch=watch) as stage:
            await eventually(lambda: stage.bridge.metrics.broker_statistics._value.get() == 1)
            away = Session(
                SessionConfig(client_id=f"away-{secrets.token_hex(4)}", clean_start=False, session_expiry_s=60)
            )
            subscribed = asyncio.Event()

            def on_events(_: Link, events: list[Event]) -> None:
                if any(isinstance(event, Subscribed) for event in events):
                    subscribed.set()

            link = await connect_link(BrokerUrl.parse(server.url), away, on_events)
            link.subscribe([Subscription("edge/#", qos=1)])
            await subscribed.wait()
            await close_and_wait(link)
            publisher = Publisher(server.url, stage.site)
            await publisher.more(200)
            await publisher.finish()
            await eventually(lambda: "the broker has dropped" in str(stage.bridge.readiness().warnings))
            assert stage.bridge.readiness().reasons == []


@pytest.mark.services
async def test_a_device_that_leaves_numbers_out_is_found_out(mosquitto: Any, tmp_path: Path) -> None:
    watch = {"broker_statistics": False, "grace": "1s"}
    async with ingest_stub() as ingest, staged(mosquitto.url, tmp_path, ingest, watch=watch) as stage:
        publisher = Publisher(mosquitto.url, stage.site)  # its three devices share one count: each leaves two out
        await publisher.more(30)
        await publisher.finish()
        await eventually(lambda: "messages of 3 devices are missing" in str(stage.bridge.readiness().warnings))
