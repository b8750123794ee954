"""The source on a real Mosquitto: what a persistent session promises, it keeps."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.check import check_endpoints
from bridge.config import BridgeConfig
from bridge.loss_detection.report import LossReport
from bridge.metrics import BridgeMetrics
from bridge.source.client import MqttSource
from bridge.spool.message import SpooledMessage
from bridge.spool.spool import Spool
from bridge.spool.store import SpoolStore
from edgewire.clock import SystemClock
from edgewire.link import BrokerUrl, close_and_wait, connect_link
from edgewire.mqtt import Acknowledged, Event, Session, SessionConfig
from tests.bridge.fakes import payload
from tests.waiting import eventually

pytestmark = pytest.mark.services


class Fresh:
    """A client id and a site of this test alone on the shared broker."""

    def __init__(self, url: str, tmp_path: Path) -> None:
        self.url = url
        self.path = tmp_path
        self.site = f"s{secrets.token_hex(4)}"
        self.openings = 0

    def config(self, **settings: Any) -> BridgeConfig:
        return BridgeConfig(
            broker=self.url,
            client_id=f"bridge-{self.site}",
            subscriptions=[f"edge/{self.site}/+/+/telemetry"],
            http={"url": "http://127.0.0.1:1"},
            **settings,
        )

    @asynccontextmanager
    async def source(self, **settings: Any) -> AsyncIterator["Opened"]:
        self.openings += 1
        opened = Opened(self.config(**settings), self.path / f"spool-{self.openings}.db")
        try:
            yield opened
        finally:
            await opened.close()

    async def publish(self, *seqs: int, qos: int = 1, retain: bool = False) -> None:
        waiting = asyncio.Event()
        acked = 0

        def on_events(_: object, events: list[Event]) -> None:
            nonlocal acked
            acked += sum(isinstance(event, Acknowledged) for event in events)
            if acked == len(seqs):
                waiting.set()

        link = await connect_link(
            BrokerUrl.parse(self.url), Session(SessionConfig(client_id=f"pub-{self.site}")), on_events
        )
        for seq in seqs:
            body = payload("a", seq)
            link.publish(f"edge/{self.site}/bme280/a/telemetry", body, qos=qos, retain=retain)
        if qos:
            await asyncio.wait_for(waiting.wait(), 30)
        await close_and_wait(link)


class Impatient(random.Random):
    """Never waits before it dials again."""

    def random(self) -> float:
        return 0.0


class Opened:
    """A source and a spool whose messages are noted."""

    def __init__(self, config: BridgeConfig, path: Path) -> None:
        self.metrics = BridgeMetrics()
        self.spool = Spool(SpoolStore(path, ["http"]), config.spool, on_messages=self._note, on_commit=lambda _: None)
        clock = SystemClock()
        self.losses = LossReport(self.metrics, clock)
        on_session_lost = self.losses.record_session_lost
        self.source = MqttSource(config, self.spool, self.metrics, on_session_lost, clock, Impatient())
        self.got: list[SpooledMessage] = []
        self.running = asyncio.create_task(self.source.run_source())

    def _note(self, messages: list[SpooledMessage]) -> None:
        self.got += messages

    async def subscribed(self) -> "Opened":
        await eventually(lambda: self.source.last_error is None)
        return self

    def seqs(self) -> list[bytes]:
        return [one.payload for one in self.got]

    async def close(self) -> None:
        self.source.stop()
        await self.spool.close()
        await self.source.close()
        self.running.cancel()
        await asyncio.wait([self.running])


@pytest.fixture
def fresh(mosquitto: Any, tmp_path: Path) -> Fresh:
    return Fresh(mosquitto.url, tmp_path)


async def test_what_is_published_while_the_bridge_is_away_waits_for_it(fresh: Fresh) -> None:
    async with fresh.source() as first:
        await first.subscribed()
        await fresh.publish(1, 2)
        await eventually(lambda: len(first.got) == 2)
    await fresh.publish(3, 4)
    async with fresh.source() as second:
        await eventually(lambda: len(second.got) == 2)
        assert second.seqs() == [payload("a", 3), payload("a", 4)]
        assert not any(one.dup for one in second.got)


async def test_what_was_not_committed_comes_again(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    async with fresh.source() as first:
        await first.subscribed()
        monkeypatch.setattr(first.spool, "append_messages", lambda messages, done: first.got.extend(messages))
        await fresh.publish(1, 2, 3)
        await eventually(lambda: len(first.got) == 3)
    async with fresh.source() as second:
        await eventually(lambda: len(second.got) == 3)
        assert second.seqs() == first.seqs()
        assert all(one.dup for one in second.got)


async def test_more_than_the_default_window_is_under_way(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mosquitto sends 20 without an acknowledgement unless it is asked for more."""
    async with fresh.source() as opened:
        await opened.subscribed()
        monkeypatch.setattr(opened.spool, "append_messages", lambda messages, done: opened.got.extend(messages))
        await fresh.publish(*range(300))
        await eventually(lambda: len(opened.got) == 300)


async def test_a_retained_message_comes_for_a_new_subscription_only(fresh: Fresh) -> None:
    await fresh.publish(1, retain=True)
    async with fresh.source() as first:
        await eventually(lambda: len(first.got) == 1)
        assert first.got[0].retain
    async with fresh.source() as second:
        await second.subscribed()
        await fresh.publish(2)
        await eventually(lambda: len(second.got) == 1)
        assert second.seqs() == [payload("a", 2)]
    async with fresh.source(mqtt={"retained": "always"}) as third:
        await eventually(lambda: len(third.got) == 1)
    await fresh.publish(1, retain=True, qos=0)


@pytest.mark.parametrize("qos", [1, 2])
async def test_qos_2_comes_once_and_after_a_crash_again_with_the_same_id(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch, qos: int
) -> None:
    """The promise of docs/operating.md: of the publisher's QoS 2 remains what the subscription asks for."""
    settings = {"mqtt": {"qos": qos, "receive_maximum": 5}}
    async with fresh.source(**settings) as first:
        await first.subscribed()
        await fresh.publish(*range(30), qos=2)
        await eventually(lambda: len(first.got) == 30)
        assert first.seqs() == [payload("a", number) for number in range(30)]
        assert {one.qos for one in first.got} == {qos}
        assert first.metrics.registry.get_sample_value("edgefleet_bridge_received_total", {"qos": str(qos)}) == 30
        # From here on nothing is committed any more, so neither PUBACK nor PUBREC may leave.
        monkeypatch.setattr(first.spool, "append_messages", lambda messages, done: first.got.extend(messages))
        await fresh.publish(30, 31, 32, qos=2)
        await eventually(lambda: len(first.got) == 33)
    async with fresh.source(**settings) as second:
        await eventually(lambda: len(second.got) == 3)
        assert second.seqs() == first.seqs()[30:]
        await fresh.publish(33, qos=2)
        await eventually(lambda: len(second.got) == 4)


async def test_two_bridges_with_one_client_id_are_told_so(fresh: Fresh) -> None:
    """A Mosquitto 2.0 gives no reason, others say it; either way the sentence names the client_id."""
    async with fresh.source() as first, fresh.source() as second:

        def told() -> bool:
            troubles = [str(one.running.exception()) for one in (first, second) if one.running.done()]
            troubles += [str(one.source.last_error) for one in (first, second)]
            return any("give every bridge a client_id of its own" in trouble for trouble in troubles)

        await eventually(told)


async def test_a_paused_source_takes_all_when_it_goes_on(fresh: Fresh) -> None:
    async with fresh.source() as opened:
        await opened.subscribed()
        opened.spool.full = True
        opened.source.on_commit()
        await fresh.publish(*range(50))
        await asyncio.sleep(0.05)
        assert opened.got == []
        opened.spool.full = False
        opened.source.on_commit()
        await eventually(lambda: len(opened.got) == 50)


async def test_checking_disturbs_no_bridge_that_runs(fresh: Fresh) -> None:
    async with fresh.source() as opened:
        await opened.subscribed()
        config = fresh.config(spool={"path": fresh.path / "spool.db"})
        broker, spool, http = await check_endpoints(config)
        assert broker.ok
        assert "MQTT 5" in broker.text
        assert spool.ok
        assert (http.part, http.ok) == ("http", False)
        await fresh.publish(1)
        await eventually(lambda: len(opened.got) == 1)
        assert opened.source.last_error is None
