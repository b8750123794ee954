"""Receives from a list of brokers: goes on to the next where none can be received from, and leaves nothing behind.

Each broker has a source of its own, with a session of its own. The first one is dialled; where it fails and none
receives, the next one is too. A broker that has, or may have, a session of ours is dialled for as long as the bridge
runs, so that what it queued comes when it is back; until then a warning says what waits there.

Brokers of one cluster share their sessions: two connections under one name would take it over from each other without
an end. That they do shows in a session that is there where nobody has subscribed, or in a take-over while another of
ours is being connected; from then on there is one connection at a time.
"""

import asyncio
import random
from collections.abc import Callable
from functools import partial

from bridge.config import BridgeConfig
from bridge.metrics import BridgeMetrics
from bridge.source.client import MqttSource, SourceWatcher
from bridge.source.sessions import tls_context
from bridge.source.sparkplug_host import SparkplugHost
from bridge.source.subscriptions import record_keys
from bridge.spool.spool import Spool
from bridge.spool.store import SpoolStore
from edgewire import logs
from edgewire.backoff import Backoff
from edgewire.clock import Clock
from edgewire.config import duration_text
from edgewire.errors import ConfigError
from edgewire.link import BrokerUrl

_SHARED_KEY = "brokers that share their sessions"
"""Under which the spool keeps them, by their places, one a line."""

_TAKEOVER_S = 10.0
"""A session that is taken over so soon after another source of ours was let in, or while it dials, was taken by it."""

log = logs.get("source")


class FailoverSource:
    """Keeps a session with each broker of a list that is needed; `run_source` until `stop`, then `close`."""

    def __init__(
        self,
        config: BridgeConfig,
        spool: Spool,
        metrics: BridgeMetrics,
        on_session_lost: Callable[[str], None],
        on_first_session: Callable[[str], None],
        clock: Clock,
        rng: random.Random,
        sparkplug: SparkplugHost | None = None,
    ) -> None:
        """Take the settings to connect with.

        `on_session_lost` is told the broker that has no session of ours any more, `on_first_session` one that has none
        yet although the bridge has received before.
        """
        self._spool = spool
        self._metrics = metrics
        self._clock = clock
        self._rng = rng
        self._client_id = config.client_id
        self._config = config
        self._backoff = Backoff(cap_s=30)
        self._on_session_lost = on_session_lost
        self._on_first_session = on_first_session
        self._sources = [
            MqttSource(
                config.with_broker(url.place),
                spool,
                metrics,
                partial(self._on_no_session, number),
                clock,
                rng,
                keys=keys,
                watcher=_Watcher(self, number),
                sparkplug=sparkplug,
            )
            for number, (url, keys) in enumerate(zip(config.brokers, record_keys(config), strict=True))
        ]
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._leaving: dict[int, asyncio.Task[None]] = {}  # ended, and perhaps still closing their connections
        self._accepted_s: dict[int, float] = {}
        self._asked: set[int] = set()  # those at which a session may be
        self._changed = asyncio.Event()
        self._failures = 0  # of dials in a row, where sessions are shared
        self._shared = False
        self._shared_noted = False
        self._draining = False
        self._stopping = False

    @property
    def last_error(self) -> str | None:
        """Say why nothing can be received; None where a broker is subscribed to."""
        if any(source.is_receiving for source in self._sources):
            return None
        said = dict.fromkeys(source.last_error for source in self._dialled() if source.last_error)
        return "; ".join(said) or None

    @property
    def warnings(self) -> list[str]:
        """Say what an operator should know although messages are received."""
        found = [warning for source in self._dialled() for warning in source.warnings]
        if self.last_error is None:
            kept = duration_text(self._config.mqtt.session_expiry)
            for number, source in self._running():
                if not source.is_receiving and source.last_error:
                    waits = f"what it has queued for '{self._client_id}' waits there for {kept} at the most"
                    unheard = "what is published there does not reach the bridge"
                    found.append(f"{source.last_error}: {waits if number in self._asked else unheard}")
        return list(dict.fromkeys(found))

    @property
    def unacknowledged_s(self) -> float:
        """Return the age of the oldest message that waits for its commit."""
        return max(source.unacknowledged_s for source in self._sources)

    @property
    def brokers(self) -> list[BrokerUrl]:
        """Return those that are received from."""
        return [source.broker for source in self._sources if source.is_receiving]

    @property
    def unreached(self) -> list[BrokerUrl]:
        """Return those of several that may hold messages for us, and are not connected to."""
        running = [source for number, source in self._running() if number in self._asked]
        return [source.broker for source in running if not source.is_connected]

    @property
    def config(self) -> BridgeConfig:
        """Return the configuration for the one broker that is received from, or dialled first."""
        source = next((one for one in self._sources if one.is_receiving), None)
        return (source or next(iter(self._dialled()), self._sources[0])).config

    def _running(self) -> list[tuple[int, MqttSource]]:
        return [(number, source) for number, source in enumerate(self._sources) if number in self._tasks]

    def _dialled(self) -> list[MqttSource]:
        return [source for _, source in self._running()] or self._sources[:1]

    # -- a life of sources

    async def run_source(self) -> None:
        """Dial, and dial again, until `stop`. Raises `TakenOver` when another client has our session."""
        if len(self._sources) == 1:
            self._start(0)
        else:
            await self._resume()
        try:
            while self._tasks:
                await self._changed.wait()
                self._changed.clear()
                for number, task in list(self._tasks.items()):
                    if task.done():
                        del self._tasks[number]
                        task.result()
                if self._shared and not self._shared_noted:
                    self._shared_noted = True
                    await self._spool.run_on_writer(self._note_shared)
        finally:
            self._retire(list(self._tasks))
            if self._leaving:
                await asyncio.wait(self._leaving.values())

    def _note_shared(self, store: SpoolStore) -> None:
        store.set_metadata(_SHARED_KEY, self._places())

    def _places(self) -> str:
        return "\n".join(sorted(source.broker.place for source in self._sources))

    async def _resume(self) -> None:
        """Start with the first broker, and with each that may hold a session of an earlier process."""
        noted = await self._spool.run_on_writer(lambda store: store.get_metadata(_SHARED_KEY))
        self._shared = self._shared_noted = noted == self._places()
        asked = [number for number, source in enumerate(self._sources) if await source.may_have_session()]
        self._asked.update(asked)
        for number in [0] if self._shared else sorted({0, *asked}):
            self._start(number)

    def _start(self, number: int, delay_s: float = 0.0) -> None:
        self._tasks[number] = task = asyncio.create_task(self._dial(number, delay_s), name=f"source {number}")
        task.add_done_callback(lambda _: self._changed.set())

    async def _dial(self, number: int, delay_s: float) -> None:
        if before := self._leaving.pop(number, None):
            await asyncio.wait([before])
        if delay_s:
            await asyncio.sleep(delay_s)
        await self._sources[number].run_source()

    def stop(self) -> None:
        """Take nothing in any more; what was received may still be acknowledged."""
        self._stopping = True
        for source in self._dialled():
            source.stop()

    async def close(self) -> None:
        """Say DISCONNECT. The brokers keep their sessions."""
        for source in self._sources:
            await source.close()

    def on_commit(self) -> None:
        """Go on reading where the spool, which has written something, has room again."""
        for source in self._sources:
            source.on_commit()

    # -- what the sources tell us; called on the loop

    def on_failed(self, number: int) -> None:
        """Go on to the next broker, where none is received from."""
        if self._draining or self._stopping or number not in self._tasks or len(self._sources) == 1:
            return
        if any(source.is_receiving for source in self._sources):
            return
        order = [(number + step) % len(self._sources) for step in range(1, len(self._sources))]
        found = next((one for one in order if one not in self._tasks), None)
        if found is None:
            return
        self._failures += 1
        rounds, turn = divmod(self._failures, len(self._sources))
        delay_s = self._backoff.delay(rounds - 1, self._rng.random()) if self._shared and not turn else 0.0
        reason = self._sources[number].last_error
        log.warning("going on to the next broker", broker=str(self._sources[found].broker), reason=reason)
        self._metrics.failovers.inc()
        if self._shared:
            self._retire([number])
        self._start(found, delay_s)

    def on_accepted(self, number: int, session_present: bool) -> None:
        """Note that a broker lets us in, and whether it has the session of another."""
        self._accepted_s[number] = self._clock.monotonic()
        if session_present and self._sources[number].is_new and self._asked - {number}:
            self._share(number)
        self._asked.add(number)
        if self._shared:
            self._retire([other for other in self._tasks if other != number])

    def on_taken_over(self, number: int) -> bool:
        """Return whether another of ours took the session over; then that one goes on with it."""
        now_s = self._clock.monotonic()
        others = [other for other in self._tasks if other != number]
        ours = next((one for one in others if now_s - self._accepted_s.get(one, -_TAKEOVER_S) < _TAKEOVER_S), None)
        ours = next((one for one in others if self._sources[one].is_dialling), None) if ours is None else ours
        if ours is None:
            return False
        self._share(ours)
        self._retire([number])
        return True

    def on_change(self) -> None:
        """Note that a source has begun to receive, or no longer does."""
        if any(source.is_receiving for source in self._sources):
            self._failures = 0

    def _on_no_session(self, number: int, broker: str) -> None:
        is_first = len(self._sources) > 1 and self._sources[number].is_new
        (self._on_first_session if is_first else self._on_session_lost)(broker)

    def _share(self, number: int) -> None:
        if not self._shared:
            log.info(
                "the brokers share their sessions: one is connected to at a time",
                broker=str(self._sources[number].broker),
            )
        self._shared = True
        self._changed.set()

    def _retire(self, numbers: list[int]) -> None:
        """Leave brokers whose session another one has."""
        for number in numbers:
            self._leaving[number] = task = self._tasks.pop(number)
            task.cancel()

    # -- another configuration

    async def reconfigure(self, config: BridgeConfig, *, proven: bool = False) -> None:
        """Go on with another configuration. Raises `ConfigError`, and goes on as before, where it cannot be."""
        old, changed = self._config, list[int]()
        for url in config.brokers:
            tls_context(config.with_broker(url.place))
        try:
            for number, url in enumerate(config.brokers):
                source, own = self._sources[number], config.with_broker(url.place)
                if number in self._tasks:
                    await source.reconfigure(own, proven=proven)
                    changed.append(number)
                else:
                    source.use_later(own)
        except ConfigError:
            for number, url in enumerate(old.brokers):
                source, own = self._sources[number], old.with_broker(url.place)
                if number in changed:
                    await source.reconfigure(own, proven=True)
                elif number not in self._tasks:
                    source.use_later(own)
            raise
        self._config = config

    # -- the end of the sessions

    async def drain(self) -> None:
        """Unsubscribe everywhere, and take in what the brokers still hold for us."""
        self._draining = True
        draining = await self._with_session()
        # One that was never reached would subscribe.
        self._retire([number for number, source in self._running() if source not in draining])
        await asyncio.gather(*(source.drain() for source in draining))

    async def end_session(self) -> None:
        """After `drain`: make the brokers forget us. Raises `ServiceUnavailable` or `BrokerRefused`."""
        ending = await self._with_session()
        self.stop()
        for source in ending:
            await source.end_session()

    async def _with_session(self) -> list[MqttSource]:
        found = [source for number, source in self._running() if await source.may_have_session()]
        return found or self._dialled()


class _Watcher(SourceWatcher):
    """Hands on what one source of the list tells."""

    def __init__(self, owner: FailoverSource, number: int) -> None:
        self._owner = owner
        self._number = number

    def on_failed(self) -> None:
        self._owner.on_failed(self._number)

    def on_accepted(self, *, session_present: bool) -> None:
        self._owner.on_accepted(self._number, session_present)

    def on_taken_over(self) -> bool:
        return self._owner.on_taken_over(self._number)

    def on_change(self) -> None:
        self._owner.on_change()
