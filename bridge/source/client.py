"""The session with the broker over any number of connections: dialled, subscribed, watched, dialled again.

The subscriber: a persistent session whose messages are acknowledged only when they are in the spool.

`connection` keeps it connected and `intake` takes its messages; here is what others may ask of it: to stop, to go on
with another configuration, and to end its session for good."""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from bridge.config import BridgeConfig
from bridge.loss_detection.report import LossReport
from bridge.metrics import Metrics
from bridge.source.receiver import Receiver
from bridge.source.sessions import ending_config, probe_config, session_config, subscriptions, tls_context
from bridge.source.subscriptions import SubscriptionRecord
from bridge.spool.spool import Spool
from edgewire import logs
from edgewire.backoff import Backoff
from edgewire.clock import Clock
from edgewire.errors import ConfigError, EdgefleetError, ServiceUnavailable
from edgewire.link import BrokerRefused, BrokerUrl, Link, close_and_wait, connect_link
from edgewire.mqtt import (
    FAILURE,
    Connected,
    ConnectionLost,
    Event,
    Message,
    ServerDisconnected,
    Session,
    SessionNotConnected,
    Subscribed,
    Subscription,
    Unsendable,
    Unsubscribed,
    Version,
    reason_name,
)

_SESSION_TAKEN_OVER = 0x8E


_STEADY_S = 10.0
"""A connection that lasted this long was a good one: the next dial does not wait longer than the first."""


_SHORT_LIVED = 3
"""So many connections in a row that do not last are a sign of another client with our name."""


_WATCH_EVERY_S = 1.0


_WINDOW_311 = 20
"""What brokers have under way for a client that cannot ask for more: Mosquitto's max_inflight_messages."""


OLD_VERSION = (
    "the broker speaks MQTT 3.1.1, where it alone decides how many messages are under way,"
    f" {_WINDOW_311} mostly: that limits the throughput"
)


log = logs.get("source")


Filter = TypeVar("Filter", Subscription, str)


class TakenOver(EdgefleetError):
    """Another client has our session."""


class Connection:
    """Keeps the session connected and subscribed. `MqttSource` is the half of it that others command."""

    def __init__(
        self, config: BridgeConfig, spool: Spool, metrics: Metrics, losses: LossReport, clock: Clock, rng: random.Random
    ) -> None:
        self.trouble: str | None = "not yet connected to the broker"
        """Why nothing can be received; None when subscribed."""
        self._spool = spool
        self._metrics = metrics
        self._losses = losses
        self._clock = clock
        self._rng = rng
        self._backoff = Backoff(cap_s=30)
        self._intake = Receiver(spool, metrics, clock)
        self._held = SubscriptionRecord(spool)
        self._link: Link | None = None
        self._lost = asyncio.Event()
        self._fault: EdgefleetError | None = None
        self._stopping = self._draining = self._renewing = self._emptied = self._given_up = False
        self._short_lived = 0
        self._told: str | None = None  # the trouble that was logged last, until a connection lasts
        self._connections = 0  # that got as far as a subscription
        self._asked: list[Subscription] = []
        self._asking = 0  # the packet in which a connection has asked for them
        self._answers: dict[int, asyncio.Future[tuple[int, ...] | None]] = {}
        self._adopt(config)

    def _adopt(self, config: BridgeConfig) -> None:
        """Connect with these settings from the next time on."""
        self._config = config
        self._broker = BrokerUrl.parse(config.broker)
        self._tls = tls_context(config)
        self._session = Session(session_config(config))
        self._intake.window = config.mqtt.receive_maximum

    async def run(self) -> None:
        """Dial, and dial again, until `stop`. Raises `TakenOver` when another client has our session."""
        attempt = 0
        while not self._stopping:
            started = self._clock.monotonic()
            self._lost.clear()
            self._renewing = self._given_up = self._intake.halted = False
            if not self._draining:
                await self._held.expect(self._config.subscriptions)
            timeout_s = self._config.mqtt.connect_timeout / 1000
            try:
                link = await connect_link(
                    self._broker, self._session, self._on_events, tls=self._tls, timeout_s=timeout_s
                )
            except (ServiceUnavailable, BrokerRefused) as error:
                self._complain(str(error))
            else:
                try:
                    await self._attend(link)
                finally:
                    await close_and_wait(link)  # which it may outlive only where this task is cancelled
                self._suspect(self._clock.monotonic() - started)
            if self._fault:
                raise self._fault
            if self._clock.monotonic() - started > _STEADY_S:
                attempt = 0
            if not self._stopping and not self._renewing:
                await asyncio.sleep(self._backoff.delay(attempt, self._rng.random()))
            attempt += 1

    async def _attend(self, link: Link) -> None:
        """Watch over a connection until it is lost."""
        since = self._clock.monotonic()
        while not self._lost.is_set():
            if self.trouble is None and not self._draining:
                await self._unsubscribe(link)
            with suppress(TimeoutError):
                async with asyncio.timeout(_WATCH_EVERY_S):
                    await self._lost.wait()
            stuck_s = self._intake.waiting_s(since)
            if stuck_s > self._config.mqtt.stuck_after / 1000 and not self._spool.full and not self._lost.is_set():
                log.error(
                    "a message has been waiting for its acknowledgement, renewing the connection", seconds=stuck_s
                )
                self._metrics.renewals.inc()
                link.abort()
                await self._lost.wait()

    async def _unsubscribe(self, link: Link) -> None:
        """What the session holds besides the configuration."""
        stale = self._held.besides(self._config.subscriptions)
        if stale and link is self._link and await self._answered(link.unsubscribe, stale) is not None:
            await self._held.only(self._config.subscriptions)
            log.info("unsubscribed", topics=stale)

    async def _answered(
        self, ask: Callable[[Sequence[Filter]], int], filters: Sequence[Filter]
    ) -> tuple[int, ...] | None:
        """The codes of SUBACK or UNSUBACK; None when the connection has ended, ends first, or stays silent."""
        try:
            packet_id = ask(filters)
        except SessionNotConnected:
            return None
        answer: asyncio.Future[tuple[int, ...] | None] = asyncio.get_running_loop().create_future()
        self._answers[packet_id] = answer
        try:
            async with asyncio.timeout(self._config.mqtt.connect_timeout / 1000):
                return await answer
        except TimeoutError:
            return None
        finally:
            self._answers.pop(packet_id, None)

    # -- what the link tells us; called on the loop, between two of its reads

    def _on_events(self, link: Link, events: list[Event]) -> None:
        messages = [event for event in events if type(event) is Message]
        if messages:
            self._intake.take(link, messages)
        if len(messages) < len(events):
            for event in events:
                self._on_event(link, event)

    def _on_event(self, link: Link, event: Event) -> None:
        match event:
            case Connected():
                self._on_connected(link, event)
            case Subscribed(packet_id=packet_id, codes=codes) | Unsubscribed(packet_id=packet_id, codes=codes):
                answer = self._answers.get(packet_id)
                if answer is not None and not answer.done():
                    answer.set_result(codes)
                elif packet_id == self._asking:
                    self._on_subscribed(link, codes)
            case ServerDisconnected(code=code, reason=reason):
                log.warning("the broker disconnects us", reason=reason)
                if code == _SESSION_TAKEN_OVER:
                    self._fault = TakenOver(
                        f"another client connected to {self._broker} as '{self._config.client_id}' and took the session"
                        " over: give every bridge a client_id of its own"
                    )
            case ConnectionLost(reason=reason):
                self._on_lost(link, reason)
            case _:
                pass

    def _on_connected(self, link: Link, event: Connected) -> None:
        if link.session is not self._session:
            link.close()  # other settings came while it was being dialled
            return
        self._link = link
        self._intake.begin()
        self._metrics.connected.set(1)
        if not event.session_present and not self._draining and (self._connections or self._spool.last_id):
            self._losses.session_lost(str(self._broker))
        old = self._session.version is Version.V311
        self._metrics.mqtt_version.set(self._session.version)
        self._metrics.receive_window.set(_WINDOW_311 if old else self._config.mqtt.receive_maximum)
        if old:
            log.warning(OLD_VERSION)
        if self._draining:
            self._emptied = not event.session_present
            return
        self._asked = subscriptions(self._config)
        try:
            self._asking = link.subscribe(self._asked)
        except Unsendable as error:
            self._give_up(link, f"broker {self._broker} has no such subscriptions: {error}")

    def _on_subscribed(self, link: Link, codes: tuple[int, ...]) -> None:
        if link is not self._link:
            return
        self._asking = 0
        for one, code in zip(self._asked, codes, strict=True):
            if code >= FAILURE:
                self._give_up(link, self._refusal(one.filter, code))
                return
            if code == 0:
                log.warning("the broker grants QoS 0 alone: messages may be lost", topic=one.filter)
        self.trouble = None
        if self._connections:
            self._metrics.reconnects.inc()
        self._connections += 1
        log.info("subscribed", broker=str(self._broker), topics=[one.filter for one in self._asked])
        self._intake.steer(link)

    def _give_up(self, link: Link, trouble: str) -> None:
        self._complain(trouble)
        self._given_up = True
        self._link = None  # its end is no news
        link.close()

    def _on_lost(self, link: Link, reason: str) -> None:
        self._metrics.connected.set(0)
        if link is self._link and not self._stopping and self._short_lived < _SHORT_LIVED:
            self._complain(f"the connection to broker {self._broker} is lost: {reason}")
        self._link = None
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result(None)
        self._lost.set()

    # -- inside

    def _refusal(self, topic: str, code: int) -> str:
        return (
            f"broker {self._broker} refuses the subscription '{topic}': {reason_name(code)};"
            f" let '{self._config.client_id}' read it in the broker's access list"
        )

    def _suspect(self, lasted_s: float) -> None:
        """Mosquitto 2.0 ends a connection without a word when another client takes its session over."""
        if self._given_up:
            return  # and said why
        on_purpose = self._stopping or self._renewing
        if lasted_s < _STEADY_S and not on_purpose:
            self._short_lived += 1
        else:
            self._short_lived, self._told = 0, None
        if self._short_lived >= _SHORT_LIVED and not self._fault:
            self._complain(
                f"broker {self._broker} ends one connection after the other soon after it was made:"
                f" if another client is called '{self._config.client_id}' too, give every bridge a client_id of its own"
            )

    def _complain(self, trouble: str) -> None:
        if trouble != self._told:
            log.warning("not receiving, trying again", reason=trouble)
        self._told = self.trouble = trouble


_QUIET_ROUNDS = 3


_ROUND_S = 0.2


class MqttSource(Connection):
    """Keeps one session with the broker: `run` until `stop`, then `close`."""

    def stop(self) -> None:
        """Take nothing in any more; what was received may still be acknowledged."""
        self._stopping = self._intake.halted = True
        self._intake.steer(self._link)

    async def close(self) -> None:
        """Say DISCONNECT. The broker keeps the session."""
        if self._link:
            await close_and_wait(self._link)

    def committed(self) -> None:
        """The spool has written something: there may be room again."""
        self._intake.steer(self._link)

    @property
    def unacknowledged_s(self) -> float:
        """Age of the oldest message that waits for its commit."""
        return self._intake.waiting_s()

    @property
    def warnings(self) -> list[str]:
        """What an operator should know although messages are received."""
        return [OLD_VERSION] if self._link is not None and self._session.version is Version.V311 else []

    # -- another configuration

    async def change(self, config: BridgeConfig, *, proven: bool = False) -> None:
        """Go on with another configuration. Raises `ConfigError`, and goes on as before, where it cannot be.

        Unless it is `proven`, the broker is asked first whether it lets us in with it. Nothing is lost: filters are
        exchanged in the session as it is, and for anything else the connection is renewed once all that it brought is
        acknowledged.
        """
        tls_context(config)
        old = self._config
        if _connecting(old) != _connecting(config):
            if not proven:
                await self._try_out(config)
            await self._renew(config)
        elif subscriptions(old) != subscriptions(config):
            await self._resubscribe(config)
        else:
            self._config = config

    async def _try_out(self, config: BridgeConfig) -> None:
        """Connect beside our session. Raises `ConfigError` where the broker refuses, or is there for the old alone."""
        timeout_s = config.mqtt.connect_timeout / 1000
        session = Session(probe_config(config))
        try:
            link = await connect_link(
                BrokerUrl.parse(config.broker), session, lambda *_: None, tls=tls_context(config), timeout_s=timeout_s
            )
        except BrokerRefused as error:
            raise ConfigError(str(error)) from None
        except ServiceUnavailable as error:
            if self._link is not None:
                raise ConfigError(str(error)) from None
        else:
            await close_and_wait(link)

    async def _renew(self, config: BridgeConfig) -> None:
        self._renewing = self._intake.halted = True
        self._intake.steer(self._link)
        await self._spool.idle()
        link, self._link = self._link, None  # its end is no news
        self._adopt(config)
        self.trouble = "the connection is being renewed with other settings"
        if link:
            link.close()

    async def _resubscribe(self, config: BridgeConfig) -> None:
        """Subscribe to what is new, then unsubscribe what is gone: in between both come, never neither."""
        await self._held.expect(config.subscriptions)
        before, after = subscriptions(self._config), subscriptions(config)
        link = self._link
        if link is None or self.trouble:
            self._config = config
            if link:
                link.abort()  # it is about to subscribe to the old ones
            return
        new = [one for one in after if one not in before]
        try:
            codes = await self._answered(link.subscribe, new) if new else ()
        except Unsendable as error:
            raise ConfigError(f"broker {self._broker} has no such subscriptions: {error}") from None
        for one, code in zip(new, codes or (), strict=False):
            if code >= FAILURE:
                await self._unsubscribe(link)
                raise ConfigError(self._refusal(one.filter, code))
        self._config = config
        await self._unsubscribe(link)

    # -- the end of the session

    async def drain(self) -> None:
        """Unsubscribe, and take in what the broker still holds for us; on return there is nothing left of it.

        A broker answers in order, so what it was sending comes before UNSUBACK, and it sends more only as it gets
        acknowledgements: a round is quiet when all of these had left before it began.
        """
        self._draining = True
        quiet = 0
        while quiet < _QUIET_ROUNDS and not self._emptied:
            link, taken, settled = self._link, self._intake.taken, self._intake.settled
            answer = await self._ask_to_end(link) if link else None
            quiet = quiet + 1 if answer is not None and settled and taken == self._intake.taken else 0
            await asyncio.sleep(_ROUND_S)
            while not self._intake.settled:  # noqa: ASYNC110 - a stuck one ends with its connection
                await asyncio.sleep(_ROUND_S)

    async def _ask_to_end(self, link: Link) -> tuple[int, ...] | None:
        filters = {*self._config.subscriptions, *self._held.besides(())}
        return await self._answered(link.unsubscribe, sorted(filters))

    async def end_session(self) -> None:
        """After `drain`: make the broker forget us. Raises `ServiceUnavailable` or `BrokerRefused`."""
        self.stop()
        await self.close()
        session = Session(ending_config(self._config), self._session.version)
        timeout_s = self._config.mqtt.connect_timeout / 1000
        link = await connect_link(self._broker, session, lambda *_: None, tls=self._tls, timeout_s=timeout_s)
        await close_and_wait(link)
        await self._held.only(())
        log.info("session ended", broker=str(self._broker))


def _connecting(config: BridgeConfig) -> tuple[object, ...]:
    """Everything that only another connection can change."""
    mqtt = config.mqtt
    return config.broker, session_config(config), mqtt.ca_file, mqtt.certificate, mqtt.key
