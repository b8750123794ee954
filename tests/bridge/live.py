"""A bridge on a real broker that a test reloads and drains, and a publisher that never stops by itself."""

import asyncio
import itertools
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bridge.config import BridgeConfig
from bridge.control import ControlSignals
from bridge.metrics import BridgeMetrics
from bridge.service import Bridge, build_components
from bridge.source.client import MqttSource
from bridge.spool.accounting import count_messages
from bridge.spool.store import SpoolStore
from edgewire.clock import SystemClock
from edgewire.link import BrokerUrl, close_and_wait, connect_link
from edgewire.mqtt import Session, SessionConfig
from tests.bridge.fakes import IngestStub, payload
from tests.waiting import eventually


class Publisher:
    """Publishes for three devices as fast as the broker takes it, until it is stopped."""

    def __init__(self, url: str, site: str) -> None:
        self.url = url
        self.site = site
        self.sent: list[str] = []
        self._stop = asyncio.Event()
        self._session = Session(SessionConfig(client_id=f"pub-{site}"))
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        session = self._session
        link = await connect_link(BrokerUrl.parse(self.url), session, lambda *_: None)
        for number in itertools.count(1):
            while not self._stop.is_set() and session.inflight > 50:  # noqa: ASYNC110 - the session has no event
                await asyncio.sleep(0.001)
            if self._stop.is_set():
                break
            device = f"d{number % 3}"
            link.publish(f"edge/{self.site}/bme280/{device}/telemetry", payload(device, number), qos=1)
            self.sent.append(f"{device}:1:{number}")
            if number % 5 == 0:
                await asyncio.sleep(0.001)
        await eventually(lambda: session.inflight == 0)
        await close_and_wait(link)

    async def more(self, count: int = 300) -> None:
        """Return when the broker has acknowledged so many more: until then they may come behind an UNSUBSCRIBE."""
        goal = len(self.sent) + count
        await eventually(lambda: len(self.sent) - self._session.inflight >= goal)

    async def finish(self) -> None:
        self._stop.set()
        await self._task


class Stage:
    """A bridge on a real broker, whose configuration the test changes."""

    def __init__(
        self,
        url: str,
        path: Path,
        ingest: IngestStub,
        site: str | None = None,
        rng: random.Random | None = None,
        **settings: Any,
    ) -> None:
        self.site = site or f"s{secrets.token_hex(4)}"
        self.settings: dict[str, Any] = {
            "broker": url,
            "client_id": f"bridge-{self.site}",
            "subscriptions": [f"edge/{self.site}/+/+/telemetry"],
            "http": {"url": ingest.url, "batch_messages": 50},
            "spool": {"path": path / "spool.db"},
            "admin": {"port": 0},
            "watch": {"broker_statistics": False},
        }
        config = self.config(**settings)
        self.path = config.spool.path
        table, sinks = build_components(config)
        store = SpoolStore(self.path, [sink.name for sink in sinks])
        self.bridge = Bridge(config, table, sinks, store, SystemClock(), rng)
        self.signals = ControlSignals(asyncio.Event(), self.config)
        self.running = asyncio.create_task(self.bridge.run(self.signals.stop, self.signals))

    def config(self, **settings: Any) -> BridgeConfig:
        self.settings.update(settings)
        return BridgeConfig(**self.settings)

    @property
    def metrics(self) -> BridgeMetrics:
        return self.bridge.metrics

    @property
    def source(self) -> MqttSource:
        """What receives from the one broker."""
        (source,) = self.bridge._source._sources
        return source

    def reloads(self, outcome: str) -> float:
        return self.metrics.registry.get_sample_value("edgefleet_bridge_reloads_total", {"outcome": outcome}) or 0

    async def ready(self) -> None:
        await eventually(lambda: self.bridge.readiness().reasons == [])

    async def signal(self, outcome: str = "done", **settings: Any) -> None:
        """What SIGHUP does, with these settings in the file."""
        before = self.reloads(outcome)
        self.settings.update(settings)
        self.signals.reload.set()
        await eventually(lambda: self.reloads(outcome) > before or self.running.done())
        assert not self.running.done()

    async def settled(self) -> None:
        """Wait until all that was received is in the spool, and nothing of it waits for a sink."""

        def is_settled() -> bool:
            received = sum(self.metrics.received.labels(qos)._value.get() for qos in ("0", "1", "2"))
            is_spooled = self.metrics.spooled._value.get() >= received
            return is_spooled and all(not one.pending for one in count_messages(self.path))

        await eventually(is_settled)


@asynccontextmanager
async def staged(
    url: str, path: Path, ingest: IngestStub, site: str | None = None, **settings: Any
) -> AsyncIterator[Stage]:
    """A `Stage` that is ready; `settings` replace those it has by itself."""
    stage = Stage(url, path, ingest, site, **settings)
    try:
        await stage.ready()
        yield stage
    finally:
        stage.signals.stop.set()
        await asyncio.wait([stage.running])
    await stage.running
