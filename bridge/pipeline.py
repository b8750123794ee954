"""The bridge put together: source → spool → one runner a sink, and the endpoints beside them.

Shutdown, in this order, whatever the reason for it:
1. stop reading from the broker;
2. commit what has been received, and acknowledge it;
3. let the sinks finish what they have begun, for `shutdown_timeout` at most;
4. write the cursors and close the spool;
5. DISCONNECT: the broker keeps the session, and queues for it;
6. close the endpoints.
"""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from bridge import failpoints
from bridge.admin import Admin, Readiness
from bridge.config import BridgeConfig
from bridge.delivery.retry import Runner
from bridge.metrics import Metrics
from bridge.routing import RouteTable
from bridge.sinks import build
from bridge.sinks.base import Sink
from bridge.source import Source
from bridge.spool import Commit, Spool, Spooled, Store
from edgewire import logs
from edgewire.clock import Clock, SystemClock

log = logs.get("bridge")


async def run(config: BridgeConfig, stop: asyncio.Event, *, clock: Clock | None = None) -> None:
    """Run a bridge until `stop`.

    Raises `ConfigError` for what only a person can put right, `SpoolError` when messages can no longer be kept safe,
    `TakenOver` when another client has the session, `ServiceUnavailable` where the admin port is taken. Brokers and
    sinks that cannot be reached are waited for.
    """
    failpoints.announce()
    table = RouteTable(config.routes)
    table.require(config.sinks)
    built = build(config, table)
    store = Store(config.spool.path, [sink.name for sink in built], abandon=config.spool.abandon)
    await Bridge(config, table, built, store, clock or failpoints.clock_of(SystemClock())).run(stop)


class Bridge:
    """All parts of one bridge, and the order in which they begin and end."""

    def __init__(
        self, config: BridgeConfig, table: RouteTable, built: Sequence[Sink], store: Store, clock: Clock
    ) -> None:
        """Call in the loop it will run in."""
        rng = random.Random()  # noqa: S311 - jitter
        self.started = asyncio.Event()
        """Set when the endpoints are there."""
        self._config = config
        self._table = table
        self._metrics = Metrics()
        self._metrics.spool_limit_bytes.set(config.spool.max_bytes)
        self._spool = Spool(store, config.spool, on_messages=self._distribute, on_commit=self._note)
        self._source = Source(config, self._spool, self._metrics, clock, rng)
        self._runners = [Runner(sink, self._spool, table, self._metrics, clock, rng) for sink in built]
        self.admin = Admin(config.admin, self._spool, self._metrics, clock, self.readiness)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` or until a part fails, and raise what it failed with."""
        finish_s = self._config.shutdown_timeout / 1000
        receiving = asyncio.create_task(self._source.run(), name="source")
        delivering = [asyncio.create_task(runner.run(finish_s), name=runner.name) for runner in self._runners]
        stopping = asyncio.create_task(stop.wait(), name="stop")
        parts: list[asyncio.Future[Any]] = [self._spool.failure, receiving, *delivering]
        try:
            await self.admin.start()
            self.started.set()
            sinks = [runner.name for runner in self._runners]
            log.info("bridge started", sinks=sinks, spool=str(self._spool.path), admin=self.admin.url)
            await asyncio.wait([stopping, *parts], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            await self._shut_down(receiving, delivering)
        for part in parts:
            if part.done() and not part.cancelled():
                part.result()

    async def _shut_down(self, receiving: asyncio.Task[None], delivering: Sequence[asyncio.Task[None]]) -> None:
        self._source.stop()
        await self._spool.idle()
        for runner in self._runners:
            runner.stop()
        await asyncio.wait(delivering)
        await self._spool.close()
        await self._source.close()
        receiving.cancel()
        await asyncio.wait([receiving])
        await self.admin.close()
        log.info("bridge stopped")

    def _distribute(self, messages: list[Spooled]) -> None:
        """Newly committed messages: resolved once for all the runners that keep up; the others read them later."""
        first = messages[0].id
        takers = [runner for runner in self._runners if runner.takes(first, len(messages))]
        if takers:
            resolved = [self._table.resolve(message) for message in messages]
            for runner in takers:
                runner.take(resolved)
        for runner in self._runners:
            if runner not in takers:
                runner.wake()

    def _note(self, commit: Commit) -> None:
        self._metrics.spooled.inc(commit.messages)
        self._metrics.commit_s.observe(commit.seconds)
        self._source.committed()

    def readiness(self) -> Readiness:
        """Whether messages are received and kept safe, and what waits."""
        reasons = [self._source.trouble] if self._source.trouble else []
        if self._spool.full:
            reasons.append(f"the spool holds {self._spool.used_bytes:,} bytes and is full: nothing is acknowledged")
        if self._spool.failure.done():
            reasons.append("the spool has failed: nothing is acknowledged")
        waiting = [f"{runner.name}: {trouble}" for runner in self._runners for trouble in runner.troubles]
        return Readiness(reasons, waiting)
