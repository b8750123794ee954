"""Reads what the broker says of itself ($SYS), over a connection of its own: not spooled, and off the path of messages.

Mosquitto drops what does not fit a queue although its publisher got PUBACK with success (its issue 3687); its count of
dropped messages is the only sign. Other brokers, or an access list, may not give it: then it is not known, and said so.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress

from bridge.config import BridgeConfig
from bridge.loss_detection.report import LossReport
from bridge.metrics import BridgeMetrics
from bridge.source.sessions import dialling, tls_context, watch_config
from edgewire import logs
from edgewire.backoff import Backoff
from edgewire.errors import EdgefleetError
from edgewire.link import Link, close_and_wait, connect_link
from edgewire.mqtt import FAILURE, ConnectionLost, Event, Message, Session, Subscribed, Subscription

DROPPED = "$SYS/broker/publish/messages/dropped"

_STORED = "$SYS/broker/store/messages/count"

_STORED_BYTES = "$SYS/broker/store/messages/bytes"

_TOPICS = (DROPPED, _STORED, _STORED_BYTES)

_STEADY_S = 10.0
"""A connection that lasted this long was a good one: the next dial does not wait longer than the first."""

log = logs.get("broker")


class BrokerStatsMonitor:
    """Reads the broker's statistics for ever (`run`); what cannot be had is no error."""

    def __init__(
        self, config: Callable[[], BridgeConfig], metrics: BridgeMetrics, losses: LossReport, rng: random.Random
    ) -> None:
        """Ask `config` at every connection."""
        self._config = config
        self._metrics = metrics
        self._losses = losses
        self._rng = rng
        self._backoff = Backoff(base_s=1, cap_s=300)
        self._dropped: int | None = None
        self._lost = asyncio.Event()

    async def watch_statistics(self) -> None:
        """Connect, listen, connect again."""
        attempt = 0
        now = asyncio.get_running_loop().time
        while True:
            started = now()
            if self._config().watch.broker_statistics:
                try:
                    await self.listen_once()
                    if now() - started > _STEADY_S:  # some brokers hang up when they are asked for $SYS
                        attempt = 0
                except EdgefleetError as error:
                    log.debug("the broker's statistics cannot be read", reason=str(error))
            self._metrics.broker_statistics.set(0)
            await asyncio.sleep(self._backoff.delay(attempt, 0.5 + self._rng.random() / 2))
            attempt += 1

    async def listen_once(self) -> None:
        """Listen over one connection, until it ends."""
        config = self._config()
        self._lost.clear()
        link = await connect_link(
            config.brokers[0],
            Session(watch_config(config)),
            self._on_events,
            tls=tls_context(config),
            **dialling(config),
        )
        try:
            link.subscribe([Subscription(topic, qos=0) for topic in _TOPICS])
            while not self._lost.is_set() and self._config() is config:
                with suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await self._lost.wait()
        finally:
            await close_and_wait(link)

    def _on_events(self, _: Link, events: list[Event]) -> None:
        for event in events:
            match event:
                case Message(topic=topic, payload=payload):
                    self._on_value(topic, payload)
                case Subscribed(codes=codes) if codes[0] >= FAILURE:
                    log.info("the broker does not show its count of dropped messages: allow reading it", topic=DROPPED)
                case ConnectionLost():
                    self._lost.set()
                case _:
                    pass

    def _on_value(self, topic: str, payload: bytes) -> None:
        try:
            value = int(payload)
        except ValueError:
            return
        if topic == _STORED:
            self._metrics.broker_stored.set(value)
        elif topic == _STORED_BYTES:
            self._metrics.broker_stored_bytes.set(value)
        elif topic == DROPPED:
            self._metrics.broker_statistics.set(1)
            # A smaller count than before is that of a broker that was started anew.
            before = 0 if self._dropped is not None and value < self._dropped else self._dropped
            if before is not None and value > before:
                self._losses.record_dropped(value - before)
            self._dropped = value
