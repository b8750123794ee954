"""The subscriber: a persistent session whose messages are acknowledged only when they are in the spool.

PUBACK leaves in the order of receipt after the commit. Nothing is parsed here. When the spool is full or far behind,
the source stops reading, and the broker queues what is published.
"""

import asyncio
import random
from collections import deque
from contextlib import suppress
from functools import partial

from bridge import failpoints
from bridge.config import BridgeConfig
from bridge.metrics import Metrics
from bridge.properties import pack
from bridge.session import session_config, subscriptions, tls_context
from bridge.spool import Spool, Spooled
from edgewire import logs
from edgewire.backoff import Backoff
from edgewire.clock import Clock
from edgewire.errors import EdgefleetError, ServiceUnavailable
from edgewire.link import BrokerRefused, BrokerUrl, Link, dial
from edgewire.mqtt import (
    FAILURE,
    Connected,
    ConnectionLost,
    Event,
    Message,
    ServerDisconnected,
    Session,
    Subscribed,
    Version,
    reason_name,
)

_SESSION_TAKEN_OVER = 0x8E
_STEADY_S = 10.0
"""A connection that lasted this long was a good one: the next dial does not wait longer than the first."""
_SHORT_LIVED = 3
"""So many connections in a row that do not last are a sign of another client with our name."""
_CLOSE_S = 2.0
_WATCH_EVERY_S = 1.0
_QUEUE_BEYOND_WINDOW = 10_000
"""Messages of QoS 0 that may wait for the spool; those of QoS 1 are bounded by the receive maximum."""

log = logs.get("source")


class TakenOver(EdgefleetError):
    """Another client has our session."""


class Source:
    """Keeps one session with the broker: `run` until `stop`, then `close`."""

    def __init__(self, config: BridgeConfig, spool: Spool, metrics: Metrics, clock: Clock, rng: random.Random) -> None:
        self.trouble: str | None = "not yet connected to the broker"
        """Why nothing can be received; None when subscribed."""
        self._config = config
        self._broker = BrokerUrl.parse(config.broker)
        self._tls = tls_context(config)
        self._session = Session(session_config(config))
        self._spool = spool
        self._metrics = metrics
        self._clock = clock
        self._rng = rng
        self._backoff = Backoff(cap_s=30)
        self._link: Link | None = None
        self._lost = asyncio.Event()
        self._fault: EdgefleetError | None = None
        self._paused = False
        self._stopping = False
        self._short_lived = 0
        self._connections = 0  # that got as far as a subscription
        self._uncommitted: deque[float] = deque()  # when each group that is not yet in the spool was received

    async def run(self) -> None:
        """Dial, and dial again, until `stop`. Raises `TakenOver` when another client has our session."""
        attempt = 0
        while not self._stopping:
            started = self._clock.monotonic()
            self._lost.clear()
            try:
                link = await dial(
                    self._broker,
                    self._session,
                    self._on_events,
                    tls=self._tls,
                    timeout_s=self._config.mqtt.connect_timeout / 1000,
                )
            except (ServiceUnavailable, BrokerRefused) as error:
                self._complain(str(error))
            else:
                await self._attend(link)
                self._suspect(self._clock.monotonic() - started)
            if self._fault:
                raise self._fault
            if self._clock.monotonic() - started > _STEADY_S:
                attempt = 0
            if not self._stopping:
                await asyncio.sleep(self._backoff.delay(attempt, self._rng.random()))
            attempt += 1

    def stop(self) -> None:
        """Take nothing in any more; what was received may still be acknowledged."""
        self._stopping = True
        self._steer()

    async def close(self) -> None:
        """Say DISCONNECT. The broker keeps the session."""
        link = self._link
        if link:
            link.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), _CLOSE_S)

    def committed(self) -> None:
        """The spool has written something: there may be room again."""
        self._steer()

    async def _attend(self, link: Link) -> None:
        """Watch over a connection until it is lost."""
        since = self._clock.monotonic()
        while not self._lost.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), _WATCH_EVERY_S)
            now = self._clock.monotonic()
            stuck_s = now - max(since, self._uncommitted[0] if self._uncommitted else now)
            if stuck_s > self._config.mqtt.stuck_after / 1000 and not self._spool.full and not self._lost.is_set():
                log.error(
                    "a message has been waiting for its acknowledgement, renewing the connection", seconds=stuck_s
                )
                link.abort()
                await self._lost.wait()

    # -- what the link tells us; called on the loop, between two of its reads

    def _on_events(self, link: Link, events: list[Event]) -> None:
        messages = [event for event in events if type(event) is Message]
        if messages:
            self._take(link, messages)
        if len(messages) < len(events):
            for event in events:
                self._on_event(link, event)

    def _on_event(self, link: Link, event: Event) -> None:
        match event:
            case Connected():
                self._on_connected(link, event)
            case Subscribed():
                self._on_subscribed(link, event)
            case ServerDisconnected(code=code, reason=reason):
                log.warning("the broker disconnects us", reason=reason)
                if code == _SESSION_TAKEN_OVER:
                    self._fault = TakenOver(
                        f"another client connected to {self._broker} as '{self._config.client_id}' and took the session"
                        " over: give every bridge a client_id of its own"
                    )
            case ConnectionLost(reason=reason):
                self._metrics.connected.set(0)
                if link is self._link and not self._stopping:
                    self._complain(f"the connection to broker {self._broker} is lost: {reason}")
                self._link = None
                self._lost.set()
            case _:
                pass

    def _take(self, link: Link, messages: list[Message]) -> None:
        """Hand messages to the spool, and acknowledge them once they are there."""
        now_ms = self._clock.now_ms()
        unsafe = redelivered = retained = 0
        group: list[Spooled] = []
        for message in messages:
            topic, payload, qos, retain, dup, _, properties, _ = message
            unsafe += not qos
            redelivered += dup
            retained += retain
            carried = pack(properties) if properties else None
            group.append(Spooled(0, now_ms, topic, payload, qos, retain, dup, carried))
        self._uncommitted.append(self._clock.monotonic())
        self._spool.append(group, partial(self._acknowledge, link, messages))
        self._metrics.received.labels("1").inc(len(messages) - unsafe)
        if unsafe or redelivered or retained:
            self._metrics.received.labels("0").inc(unsafe)
            self._metrics.redelivered.inc(redelivered)
            self._metrics.retained.inc(retained)
        self._steer()

    def _acknowledge(self, link: Link, messages: list[Message]) -> None:
        """The spool has these. What came on an earlier connection is ignored: the broker sends it again."""
        self._uncommitted.popleft()
        acknowledge = self._session.ack
        for message in messages:
            if message.qos:
                acknowledge(message)
        link.flush()
        failpoints.acknowledged()

    def _on_connected(self, link: Link, event: Connected) -> None:
        self._link = link
        self._paused = False
        self._metrics.connected.set(1)
        if not event.session_present and (self._connections or self._spool.last_id):
            self._metrics.sessions_lost.inc()
            log.error("the broker had no session for us: whatever it had queued is lost", broker=str(self._broker))
        if self._session.version is Version.V311:
            log.warning("the broker speaks MQTT 3.1.1: it decides how many messages are under way, often 20")
        link.subscribe(subscriptions(self._config))

    def _on_subscribed(self, link: Link, event: Subscribed) -> None:
        for topic, code in zip(self._config.subscriptions, event.codes, strict=True):
            if code >= FAILURE:
                self._complain(
                    f"broker {self._broker} refuses the subscription '{topic}': {reason_name(code)};"
                    f" let '{self._config.client_id}' read it in the broker's access list"
                )
                self._link = None  # it has said why; its end is no news
                link.close()
                return
            if code == 0:
                log.warning("the broker grants QoS 0 alone: messages may be lost", topic=topic)
        self.trouble = None
        if self._connections:
            self._metrics.reconnects.inc()
        self._connections += 1
        log.info("subscribed", broker=str(self._broker), topics=list(self._config.subscriptions))
        self._steer()

    # -- inside

    def _suspect(self, lasted_s: float) -> None:
        """Mosquitto 2.0 ends a connection without a word when another client takes its session over."""
        self._short_lived = self._short_lived + 1 if lasted_s < _STEADY_S and not self._stopping else 0
        if self._short_lived >= _SHORT_LIVED and not self._fault:
            self._complain(
                f"broker {self._broker} ended {self._short_lived} connections in a row soon after they were made:"
                f" if another client is called '{self._config.client_id}' too, give every bridge a client_id of its own"
            )

    def _steer(self) -> None:
        """Pause or resume reading, by how much waits for the spool."""
        link = self._link
        if link is None:
            return
        limit = self._config.mqtt.receive_maximum + _QUEUE_BEYOND_WINDOW
        full = self._spool.full
        if not self._paused and (self._stopping or full or self._spool.queued > limit):
            self._paused = True
            link.pause_reading()
            if full:
                log.error("the spool is full: nothing more is acknowledged until a sink makes room")
        elif self._paused and not (self._stopping or full or self._spool.queued > limit // 2):
            self._paused = False
            link.resume_reading()

    def _complain(self, trouble: str) -> None:
        if trouble != self.trouble:
            log.warning("not receiving, trying again", reason=trouble)
        self.trouble = trouble
