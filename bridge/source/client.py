"""Subscribes: keeps a persistent session whose messages are acknowledged only when they are in the spool.

Others may stop it, let it go on with another configuration, drain it and end its session for good. It knows one broker;
`bridge.source.failover` has one for each of a list.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from bridge.config import BridgeConfig
from bridge.message.reading_splitter import make_splitter
from bridge.metrics import BridgeMetrics
from bridge.source.advice import expiry_warning, password_warning, subscription_warnings
from bridge.source.host_state import STATE_TOKEN, HostState
from bridge.source.receiver import Receiver
from bridge.source.sessions import (
    dialling,
    effective_filters,
    ending_config,
    probe_config,
    renewed_tls,
    session_config,
    subscriptions,
    tls_context,
)
from bridge.source.sparkplug_host import SparkplugHost
from bridge.source.state import SourceState, SourceTrigger, next_source_state
from bridge.source.subscriptions import METADATA_KEY, SubscriptionRecord
from bridge.spool.spool import Spool
from edgewire import logs
from edgewire.backoff import Backoff
from edgewire.clock import Clock
from edgewire.errors import ConfigError, EdgefleetError, ServiceUnavailable
from edgewire.link import BrokerRefused, BrokerUrl, Link, close_and_wait, connect_link
from edgewire.mqtt import (
    FAILURE,
    Acknowledged,
    Connected,
    ConnectionLost,
    Event,
    Message,
    PublishRefused,
    ServerDisconnected,
    Session,
    SessionNotConnected,
    Subscribed,
    Subscription,
    Unsendable,
    Unsubscribed,
    Version,
    WindowFull,
    reason_name,
)

_SESSION_TAKEN_OVER = 0x8E

_STEADY_S = 10.0
"""A connection that lasted this long was a good one: the next dial does not wait longer than the first."""

_SHORT_LIVED = 3
"""So many connections in a row that do not last are a sign of another client with our name."""

_WATCH_EVERY_S = 1.0

_QUIET_ROUNDS = 3
"""So many rounds of a drain that bring nothing show that the broker holds nothing more."""

_ROUND_S = 0.2

_WINDOW_311 = 20
"""What brokers have under way for a client that cannot ask for more: Mosquitto's max_inflight_messages."""

OLD_VERSION = (
    "the broker speaks MQTT 3.1.1, where it alone decides how many messages are under way,"
    f" {_WINDOW_311} mostly: that limits the throughput"
)

OTHER_SPOOL = (
    "the broker has a session of this client id, and the spool has never had one: what another spool had acknowledged"
    " and not delivered is not here; put that one back, or have `edgefleet verify` name what is missing"
)

log = logs.get("source")

Filter = TypeVar("Filter", Subscription, str)

_DRAINING = frozenset({SourceState.DRAINING, SourceState.EMPTIED})


class TakenOver(EdgefleetError):
    """Another client has our session."""


class SourceWatcher:
    """Hears what becomes of a source where there are several; this one, of a source that is alone, does nothing."""

    def on_failed(self) -> None:
        """Hear that nothing can be received now: the broker was not reached, refuses, or ends every connection."""

    def on_accepted(self, *, session_present: bool) -> None:
        """Hear that the broker lets us in, and whether it has our session."""

    def on_taken_over(self) -> bool:
        """Return whether it was another source of ours that took the session over."""
        return False

    def on_change(self) -> None:
        """Hear that it has begun to receive, or no longer does."""


class MqttSource:
    """Keeps one session with the broker: `run` until `stop`, then `close`.

    The session outlives its connections: it is dialled, subscribed, watched, and dialled again. A message is
    acknowledged only when it is in the spool; `Receiver` sees to that. `bridge.source.state` has what may follow what.
    """

    def __init__(
        self,
        config: BridgeConfig,
        spool: Spool,
        metrics: BridgeMetrics,
        on_session_lost: Callable[[str], None],
        clock: Clock,
        rng: random.Random,
        *,
        keys: Sequence[str] = (METADATA_KEY,),
        watcher: SourceWatcher | None = None,
        sparkplug: SparkplugHost | None = None,
    ) -> None:
        """Take the settings to connect with; `on_session_lost` is told the broker that has no session for us.

        `keys` are those of the spool under which its subscriptions are remembered.
        """
        self.last_error: str | None = "not yet connected to the broker"
        """Why nothing can be received; None when subscribed."""
        self._state = SourceState.CONNECTING
        self._spool = spool
        self._metrics = metrics
        self._on_session_lost = on_session_lost
        self._clock = clock
        self._rng = rng
        self._backoff = Backoff(cap_s=30)
        self._sparkplug = sparkplug
        self._receiver = Receiver(spool, metrics, clock, sparkplug)
        self._subscriptions = SubscriptionRecord(spool, keys)
        self._watcher = watcher or SourceWatcher()
        self._link: Link | None = None
        self._lost = asyncio.Event()
        self._fault: TakenOver | None = None
        self._short_lived = 0  # connections in a row that did not last, and nobody said why
        self._unexplained = False  # whether the last connection ended without a word of the broker or of ours
        self._expiry_warning: str | None = None  # the broker keeps the session for less than it was asked for
        self._last_logged: str | None = None  # the problem that was logged last, until a connection lasts
        self._is_dialling = False
        self._connections = 0  # that got as far as a subscription
        self._requested: list[Subscription] = []
        self._subscribe_id = 0  # the packet in which a connection has asked for them
        self._answers: dict[int, asyncio.Future[tuple[int, ...] | None]] = {}
        self._use_config(config)

    def _use_config(self, config: BridgeConfig) -> None:
        """Connect with these settings from the next time on."""
        self._go_on_with(config)
        self._broker = config.brokers[0]
        self._tls = renewed_tls(config)
        self._session = Session(session_config(config))
        self._host_state = None if config.host_id is None else HostState(config.host_id, self._clock)
        self._receiver.receive_maximum = config.mqtt.receive_maximum
        self._note_subscriptions(config)

    def _go_on_with(self, config: BridgeConfig) -> None:
        self._config = config
        self._receiver.splitter = make_splitter(config.formats)
        if self._sparkplug is not None:
            self._sparkplug.configure(config.formats)

    def _note_subscriptions(self, config: BridgeConfig) -> None:
        self._subscription_warnings = subscription_warnings(config)
        for warning in filter(None, (*self._subscription_warnings, password_warning(config))):
            log.warning(warning)

    def _step(self, trigger: SourceTrigger) -> None:
        self._state = next_source_state(self._state, trigger)

    @property
    def state(self) -> SourceState:
        """Return where it stands."""
        return self._state

    @property
    def broker(self) -> BrokerUrl:
        """Return the broker that it dials."""
        return self._broker

    @property
    def config(self) -> BridgeConfig:
        """Return the configuration in force; another one is another object."""
        return self._config

    @property
    def is_receiving(self) -> bool:
        """Tell whether the broker has granted every subscription."""
        return self._state is SourceState.RECEIVING

    @property
    def is_connected(self) -> bool:
        """Tell whether the broker has accepted us."""
        return self._link is not None

    @property
    def is_dialling(self) -> bool:
        """Tell whether a connection is being made."""
        return self._is_dialling

    @property
    def is_new(self) -> bool:
        """Tell whether the broker was never asked for a subscription before."""
        return self._subscriptions.is_new and not self._connections

    async def may_have_session(self) -> bool:
        """Tell whether the broker may hold a session of ours, also an earlier process's. Raises `SpoolError`."""
        return await self._subscriptions.load() and not self.is_new

    @property
    def unacknowledged_s(self) -> float:
        """Return the age of the oldest message that waits for its commit."""
        return self._receiver.oldest_wait_s()

    @property
    def warnings(self) -> list[str]:
        """Say what an operator should know although messages are received."""
        old = self._link is not None and self._session.version is Version.V311
        return [
            *([OLD_VERSION] if old else []),
            *([self._expiry_warning] if self._expiry_warning else []),
            *self._subscription_warnings,
        ]

    # -- a life of connections

    async def run_source(self) -> None:
        """Dial, and dial again, until `stop`. Raises `TakenOver` when another client has our session."""
        attempt = 0
        while self._state is not SourceState.STOPPING:
            started = self._clock.monotonic()
            self._lost.clear()
            self._step(SourceTrigger.DIAL)
            self._receiver.paused = False
            if self._state not in _DRAINING:
                await self._subscriptions.add(effective_filters(self._config))
            self._is_dialling = True
            if self._host_state is not None:
                self._session.withdraw_inflight(STATE_TOKEN)
                self._session.config = replace(self._session.config, will=self._host_state.begin_connect())
            try:
                link = await connect_link(
                    self._broker,
                    self._session,
                    self._on_events,
                    tls=self._tls.current() if self._tls else None,
                    **dialling(self._config),
                )
            except (ServiceUnavailable, BrokerRefused) as error:
                self._is_dialling = False
                self._report_problem(str(error))
                self._watcher.on_failed()
            else:
                self._is_dialling = False
                try:
                    await self._watch_connection(link)
                finally:
                    await close_and_wait(link)  # which it may outlive only where this task is cancelled
                self._detect_takeover_loop(self._clock.monotonic() - started)
                if self._state is SourceState.REFUSED or self._short_lived >= _SHORT_LIVED:
                    self._watcher.on_failed()
            if self._fault:
                raise self._fault
            if self._clock.monotonic() - started > _STEADY_S:
                attempt = 0
            if self._state not in (SourceState.STOPPING, SourceState.RENEWING):
                await asyncio.sleep(self._backoff.delay(attempt, self._rng.random()))
            attempt += 1

    def stop(self) -> None:
        """Take nothing in any more; what was received may still be acknowledged."""
        self._step(SourceTrigger.STOP)
        self._receiver.paused = True
        self._receiver.apply_backpressure(self._link)

    async def close(self) -> None:
        """Say DISCONNECT. The broker keeps the session."""
        if self._link:
            self._tell_departure(self._link)
            await close_and_wait(self._link)

    def on_commit(self) -> None:
        """Go on reading where the spool, which has written something, has room again."""
        self._receiver.apply_backpressure(self._link)

    async def _watch_connection(self, link: Link) -> None:
        """Return when the connection is lost; renew it when an acknowledgement is stuck."""
        since = self._clock.monotonic()
        patience_s = self._config.mqtt.connect_timeout / 1000
        while not self._lost.is_set():
            if self._state is SourceState.RECEIVING:
                await self._unsubscribe_stale(link)
                if self._sparkplug is not None:
                    self._sparkplug.ask_for_births(link)
            elif self._state is SourceState.SUBSCRIBING and self._clock.monotonic() - since > patience_s:
                self._metrics.subscribe_failures.labels("no_answer").inc()
                self._refuse(link, f"broker {self._broker} has not answered the subscription within {patience_s:g} s")
            with suppress(TimeoutError):
                async with asyncio.timeout(min(_WATCH_EVERY_S, patience_s)):
                    await self._lost.wait()
            stuck_s = self._receiver.oldest_wait_s(since)
            if stuck_s > self._config.mqtt.stuck_after / 1000 and not self._spool.full and not self._lost.is_set():
                log.error(
                    "a message has been waiting for its acknowledgement, renewing the connection", seconds=stuck_s
                )
                self._metrics.renewals.inc()
                link.abort()
                await self._lost.wait()

    async def _unsubscribe_stale(self, link: Link) -> None:
        """Unsubscribe what the session holds besides the configuration."""
        stale = self._subscriptions.stale(effective_filters(self._config))
        if stale and link is self._link and await self._answer_to(link.unsubscribe, stale) is not None:
            await self._subscriptions.commit(effective_filters(self._config))
            log.info("unsubscribed", topics=stale)

    async def _answer_to(
        self, ask: Callable[[Sequence[Filter]], int], filters: Sequence[Filter]
    ) -> tuple[int, ...] | None:
        """Return the codes of SUBACK or UNSUBACK; None when the connection has ended, ends first, or stays silent."""
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

    def _detect_takeover_loop(self, lasted_s: float) -> None:
        """Count connections that end early: Mosquitto 2.0 does not say that another client takes our session over."""
        if self._state is SourceState.REFUSED:
            return  # and it was said why
        if lasted_s >= _STEADY_S or self._state in (SourceState.STOPPING, SourceState.RENEWING):
            self._short_lived, self._last_logged = 0, None
        elif self._unexplained:
            self._short_lived += 1
        if self._short_lived >= _SHORT_LIVED and not self._fault:
            self._report_problem(
                f"broker {self._broker} ends one connection after the other soon after it was made:"
                f" if another client is called '{self._config.client_id}' too, give every bridge a client_id of its own"
            )

    def _report_problem(self, problem: str) -> None:
        if problem != self._last_logged:
            log.warning("not receiving, trying again", reason=problem)
        self._last_logged = self.last_error = problem

    # -- what the link tells us; called on the loop, between two of its reads

    def _on_events(self, link: Link, events: list[Event]) -> None:
        messages = [event for event in events if type(event) is Message]
        if messages:
            self._receiver.on_messages(link, messages)
            host = self._host_state
            if host is not None and any(host.is_denied_by(one.topic, one.payload) for one in messages):
                self._tell_presence(link)
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
                elif packet_id == self._subscribe_id:
                    self._on_subscribed(link, codes)
            case Acknowledged(reason_code=code, token=token) if token == STATE_TOKEN and code >= FAILURE:
                self._note_unheard(reason_name(code))
            case ServerDisconnected(code=code, reason=reason):
                log.warning("the broker disconnects us", reason=reason)
                if code == _SESSION_TAKEN_OVER and not self._watcher.on_taken_over():
                    self._step(SourceTrigger.TAKE_OVER)
                    self._fault = TakenOver(
                        f"another client connected to {self._broker} as '{self._config.client_id}' and took the session"
                        " over: give every bridge a client_id of its own"
                    )
            case ConnectionLost():
                self._on_lost(link, event)
            case _:
                pass

    def _on_connected(self, link: Link, event: Connected) -> None:
        if link.session is not self._session:
            link.close()  # other settings came while it was being dialled
            return
        self._step(SourceTrigger.ACCEPT)
        self._link = link
        self._receiver.on_connected()
        self._metrics.set_connected(str(self._broker), True)
        self._watcher.on_accepted(session_present=event.session_present)
        if not event.session_present and self._state not in _DRAINING and (self._connections or self._spool.last_id):
            self._on_session_lost(str(self._broker))
        if event.session_present and self.is_new and len(self._config.brokers) == 1:
            log.warning(OTHER_SPOOL, client_id=self._config.client_id, spool=str(self._config.spool.path))
        old = self._session.version is Version.V311
        self._metrics.mqtt_version.set(self._session.version)
        self._receiver.receive_maximum = _WINDOW_311 if old else self._config.mqtt.receive_maximum
        self._metrics.receive_window.set(self._receiver.receive_maximum)
        if old:
            log.warning(OLD_VERSION)
        if self._state in _DRAINING:
            if not event.session_present:
                self._step(SourceTrigger.EMPTY)
            return
        self._note_expiry(event.limits.session_expiry_s)
        self._requested = subscriptions(self._config)
        self.last_error = f"broker {self._broker} has not yet answered the subscription"
        try:
            self._subscribe_id = link.subscribe(self._requested)
        except Unsendable as error:
            self._refuse(link, f"broker {self._broker} has no such subscriptions: {error}")

    def _note_expiry(self, kept_s: int) -> None:
        """Warn where the broker keeps the session, and queues, for less than it was asked for."""
        wanted_s = self._config.mqtt.session_expiry // 1000
        self._metrics.session_expiry_s.set(kept_s)
        warning = expiry_warning(str(self._broker), kept_s, wanted_s)
        if warning and warning != self._expiry_warning:
            log.warning(warning)
        self._expiry_warning = warning

    def _on_subscribed(self, link: Link, codes: tuple[int, ...]) -> None:
        if link is not self._link:
            return
        self._subscribe_id = 0
        for one, code in zip(self._requested, codes, strict=True):
            if code >= FAILURE:
                self._metrics.subscribe_failures.labels("refused").inc()
                self._refuse(link, self._refusal_text(one.filter, code))
                return
            if code == 0:
                log.warning("the broker grants QoS 0 alone: messages may be lost", topic=one.filter)
        self._step(SourceTrigger.GRANT)
        self.last_error = None
        if self._connections:
            self._metrics.reconnects.inc()
        self._connections += 1
        self._watcher.on_change()
        self._tell_presence(link)
        log.info("subscribed", broker=str(self._broker), topics=[one.filter for one in self._requested])
        self._receiver.apply_backpressure(link)

    # -- what it says of itself, as a host application of Sparkplug

    def _tell_presence(self, link: Link) -> None:
        if (host := self._host_state) is not None:
            host.is_told = self._tell_state(link, host, host.birth())

    def _tell_departure(self, link: Link) -> None:
        """Say that it goes, before DISCONNECT has the broker forget the will."""
        if (host := self._host_state) is not None and host.is_told:
            host.is_told = False
            self._tell_state(link, host, host.death())

    def _tell_state(self, link: Link, host: HostState, payload: bytes) -> bool:
        """Return whether the state has left: its window is that of this connection, which publishes little else."""
        try:
            link.publish(host.topic, payload, qos=1, retain=True, token=STATE_TOKEN)
        except SessionNotConnected:
            return False
        except (PublishRefused, WindowFull) as error:
            self._note_unheard(str(error))
            return False
        return True

    def _note_unheard(self, reason: str) -> None:
        """Warn that nodes which wait for this host do not hear of it."""
        log.warning(
            "the broker does not take the state of the Sparkplug host: nodes that wait for it say nothing",
            topic=self._host_state.topic if self._host_state is not None else None,
            reason=reason,
        )

    def _refuse(self, link: Link, problem: str) -> None:
        self._report_problem(problem)
        self._step(SourceTrigger.REFUSE)
        self._link = None  # its end is no news
        link.close()

    def _refusal_text(self, topic: str, code: int) -> str:
        return (
            f"broker {self._broker} refuses the subscription '{topic}': {reason_name(code)};"
            f" let '{self._config.client_id}' read it in the broker's access list"
        )

    def _on_lost(self, link: Link, event: ConnectionLost) -> None:
        self._metrics.set_connected(str(self._broker), False)
        self._unexplained = event.is_unexplained
        if link is self._link and self._state is not SourceState.STOPPING and self._short_lived < _SHORT_LIVED:
            self._report_problem(f"the connection to broker {self._broker} is lost: {event.reason}")
        self._step(SourceTrigger.LOSE)
        self._watcher.on_change()
        self._link = None
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result(None)
        self._lost.set()

    # -- another configuration

    async def reconfigure(self, config: BridgeConfig, *, proven: bool = False) -> None:
        """Go on with another configuration. Raises `ConfigError`, and goes on as before, where it cannot be.

        Unless it is `proven`, the broker is asked first whether it lets us in with it. Nothing is lost: filters are
        exchanged in the session as it is, and for anything else the connection is renewed once all that it brought is
        acknowledged.
        """
        tls_context(config)
        old = self._config
        if _connection_settings(old) != _connection_settings(config):
            if not proven:
                await self.verify_accepted(config)
            await self._renew(config)
        elif subscriptions(old) != subscriptions(config):
            await self._resubscribe(config)
        else:
            self._go_on_with(config)

    def use_later(self, config: BridgeConfig) -> None:
        """Connect with another configuration, where it has not begun to. Raises `ConfigError`."""
        tls_context(config)
        self._use_config(config)

    async def verify_accepted(self, config: BridgeConfig) -> None:
        """Connect beside our session. Raises `ConfigError` where the broker refuses, or is there for the old alone."""
        session = Session(probe_config(config))
        try:
            link = await connect_link(
                config.brokers[0],
                session,
                lambda *_: None,
                tls=tls_context(config),
                **dialling(config),
            )
        except BrokerRefused as error:
            raise ConfigError(str(error)) from None
        except ServiceUnavailable as error:
            if self._link is not None:
                raise ConfigError(str(error)) from None
        else:
            await close_and_wait(link)

    async def _renew(self, config: BridgeConfig) -> None:
        self._step(SourceTrigger.RENEW)
        self._receiver.paused = True
        self._receiver.apply_backpressure(self._link)
        await self._spool.wait_idle()
        self._step(SourceTrigger.RENEW)  # the connection may have been lost and made again meanwhile
        link, self._link = self._link, None  # its end is no news
        if link:
            self._tell_departure(link)
        self._use_config(config)
        self.last_error = "the connection is being renewed with other settings"
        if link:
            link.close()

    async def _resubscribe(self, config: BridgeConfig) -> None:
        """Subscribe to what is new, then unsubscribe what is gone: in between both come, never neither."""
        await self._subscriptions.add(effective_filters(config))
        before, after = subscriptions(self._config), subscriptions(config)
        link = self._link
        if link is None or self._state is not SourceState.RECEIVING:
            self._go_on_with(config)
            if link:
                link.abort()  # it is about to subscribe to the old ones
            return
        new = [one for one in after if one not in before]
        try:
            codes = await self._answer_to(link.subscribe, new) if new else ()
        except Unsendable as error:
            raise ConfigError(f"broker {self._broker} has no such subscriptions: {error}") from None
        for one, code in zip(new, codes or (), strict=False):
            if code >= FAILURE:
                self._metrics.subscribe_failures.labels("refused").inc()
                await self._unsubscribe_stale(link)
                raise ConfigError(self._refusal_text(one.filter, code))
        self._go_on_with(config)
        self._note_subscriptions(config)
        if codes is None:
            # No answer: the next connection asks for all of them again, and is watched until it is answered.
            self._metrics.subscribe_failures.labels("no_answer").inc()
            link.abort()
            return
        await self._unsubscribe_stale(link)

    # -- the end of the session

    async def drain(self) -> None:
        """Unsubscribe, and take in what the broker still holds for us; on return there is nothing left of it.

        A broker answers in order, so what it was sending comes before UNSUBACK, and it sends more only as it gets
        acknowledgements: a round is quiet when all of these had left before it began.
        """
        self._step(SourceTrigger.DRAIN)
        receiver, quiet = self._receiver, 0
        while quiet < _QUIET_ROUNDS and self._state is not SourceState.EMPTIED:
            link, received, acked = self._link, receiver.received, receiver.all_acked
            answer = await self._unsubscribe_all(link) if link else None
            quiet = quiet + 1 if answer is not None and acked and received == receiver.received else 0
            await asyncio.sleep(_ROUND_S)
            while not receiver.all_acked:  # noqa: ASYNC110 - a stuck one ends with its connection
                await asyncio.sleep(_ROUND_S)

    async def _unsubscribe_all(self, link: Link) -> tuple[int, ...] | None:
        filters = {*effective_filters(self._config), *self._subscriptions.stale(())}
        return await self._answer_to(link.unsubscribe, sorted(filters))

    async def end_session(self) -> None:
        """After `drain`: make the broker forget us. Raises `ServiceUnavailable` or `BrokerRefused`."""
        self.stop()
        await self.close()
        session = Session(ending_config(self._config), self._session.version)
        link = await connect_link(
            self._broker,
            session,
            lambda *_: None,
            tls=self._tls.current() if self._tls else None,
            **dialling(self._config),
        )
        await close_and_wait(link)
        await self._subscriptions.commit(())
        log.info("session ended", broker=str(self._broker))


def _connection_settings(config: BridgeConfig) -> tuple[object, ...]:
    """Return everything that only another connection can change."""
    mqtt = config.mqtt
    tls = mqtt.ca_file, mqtt.certificate, mqtt.key, mqtt.insecure, mqtt.alpn, mqtt.websocket
    return config.broker, session_config(config), tls, config.host_id
