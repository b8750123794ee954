"""Makes the parts of a bridge from its configuration and runs them: source → spool → a runner a sink.

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
from typing import TYPE_CHECKING, Any

from bridge import failpoints
from bridge.admin import Admin, Readiness
from bridge.config import BridgeConfig
from bridge.control import ConfigChanges, ControlSignals, NotDrained, compare_configs, describe_pending
from bridge.delivery.dead_letter_publisher import DeadLetterPublisher
from bridge.delivery.runners import SinkRunners
from bridge.loss_detection.broker_stats import BrokerStatsMonitor
from bridge.loss_detection.report import LossReport
from bridge.loss_detection.sequence_gaps import SequenceMonitor
from bridge.memory_watch import memory_watched
from bridge.metrics import BridgeMetrics
from bridge.routing.descriptions import DeviceDescriptions
from bridge.routing.table import RouteTable
from bridge.sinks.base import Sink
from bridge.sinks.registry import SINKS
from bridge.source.failover import FailoverSource
from bridge.source.sparkplug_host import BIRTH_PREFIX, SparkplugHost
from bridge.spool.accounting import read_lag
from bridge.spool.message import SpooledMessage
from bridge.spool.spool import CommitResult, Spool
from bridge.spool.store import SpoolStore
from edgewire import logs
from edgewire.clock import Clock, SystemClock
from edgewire.config import duration_text
from edgewire.config_errors import closest
from edgewire.errors import ConfigError, EdgefleetError, ServiceUnavailable

if TYPE_CHECKING:  # OpenTelemetry is an extra
    from bridge.tracing import Tracing

_LOOK_EVERY_S = 0.2
"""How often a drain looks whether anything is pending."""

log = logs.get("bridge")


async def run_bridge(
    config: BridgeConfig, stop: asyncio.Event, *, signals: ControlSignals | None = None, clock: Clock | None = None
) -> None:
    """Run a bridge until `stop`, and do what `signals` ask for meanwhile.

    Raises `ConfigError` for what only a person can put right, `SpoolError` when messages can no longer be kept safe,
    `TakenOver` when another client has the session, `ServiceUnavailable` where the admin port is taken, `NotDrained`
    when it was to be drained and something is left, `OutOfMemory`. Brokers and sinks that cannot be reached are waited
    for.
    """
    failpoints.announce()
    clock = clock or failpoints.clock_of(SystemClock())
    table, sinks = build_components(config, clock)
    store = SpoolStore(config.spool.path, [sink.name for sink in sinks], abandon=config.spool.abandon)
    try:
        store.claim(config.client_id)
    except BaseException:
        store.close()
        raise
    bridge = Bridge(config, table, sinks, store, clock)
    await bridge.run(stop, signals)


class Bridge:
    """Holds all parts of one bridge, and the order in which they start and stop."""

    def __init__(
        self,
        config: BridgeConfig,
        table: RouteTable,
        sinks: Sequence[Sink],
        store: SpoolStore,
        clock: Clock,
        rng: random.Random | None = None,
    ) -> None:
        """Put the parts together; call in the loop they will run in. `rng` spreads attempts to connect and deliver."""
        rng = rng or random.Random()  # noqa: S311 - jitter
        self.started = asyncio.Event()
        """Set when the endpoints are there."""
        self._config = config
        self._clock = clock
        self._sinks = sinks
        self.metrics = metrics = BridgeMetrics()
        """Everything that is measured of it."""
        metrics.spool_limit_bytes.set(config.spool.max_bytes)
        self._losses = LossReport(metrics, clock)
        self._runners = SinkRunners(table, metrics, clock, rng)
        self._sequence_monitor = SequenceMonitor(config, self._losses, clock)
        # Before the spool has the file to itself, in a thread of its own.
        self._descriptions = DeviceDescriptions(store)
        self._sparkplug = SparkplugHost(store.list_metadata(BIRTH_PREFIX), clock, self._sequence_monitor)
        self._spool = Spool(store, config.spool, on_messages=self._on_messages, on_commit=self._on_commit, clock=clock)
        losses = self._losses
        self._source = FailoverSource(
            config,
            self._spool,
            metrics,
            losses.record_session_lost,
            losses.record_first_session,
            clock,
            rng,
            self._sparkplug,
        )
        self._sparkplug.begin(self._spool)
        self._broker_stats = BrokerStatsMonitor(lambda: self._source.config, metrics, losses, rng)
        self._publisher = DeadLetterPublisher(lambda: self._source.config, self._spool, metrics, rng)
        self.admin = Admin(config.admin, self._spool, metrics, clock, self.readiness, self)
        self._tracing = build_tracing(config, clock)
        self._runners.on_delivered = self._tracing.trace_delivery if self._tracing else None
        self._refused: str | None = None
        self._draining = False
        self._paused: set[str] = set()
        self._changing = asyncio.Lock()
        self._signals: ControlSignals | None = None
        self._ending = asyncio.Event()
        self._descriptions.begin(self._spool, table)
        table.tell_counters(self._sequence_monitor)

    async def run(self, stop: asyncio.Event, signals: ControlSignals | None = None) -> None:
        """Run until `stop` or a drain, or until a part fails, and raise what it failed with."""
        with memory_watched() as no_memory:
            await self._run(stop, signals, no_memory)

    async def _run(self, stop: asyncio.Event, signals: ControlSignals | None, no_memory: asyncio.Future[None]) -> None:
        self._signals = signals = signals or ControlSignals(stop)
        receiving = asyncio.create_task(self._receive(), name="source")
        self._runners.start(self._sinks, self._spool, self._config.shutdown_timeout / 1000)
        beside = [
            asyncio.create_task(stop.wait(), name="stop"),
            asyncio.create_task(self._handle_signals(signals), name="signals"),
            asyncio.create_task(self._broker_stats.watch_statistics(), name="broker statistics"),
            asyncio.create_task(self._sequence_monitor.watch_sequences(), name="sequence gaps"),
            asyncio.create_task(self._publisher.run_publisher(), name="dead letters"),
        ]
        parts: list[asyncio.Future[Any]] = [
            no_memory,
            self._spool.failure,
            self._runners.failure,
            receiving,
            *beside[1:],
        ]
        try:
            await self.admin.start()
            self.started.set()
            log.info("bridge started", sinks=self._runners.names, spool=str(self._spool.path), admin=self.admin.url)
            await asyncio.wait([beside[0], *parts], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.wait(beside)
            await self._shut_down(receiving)
        for part in parts:
            if part.done() and not part.cancelled():
                part.result()
        if signals.drain.is_set() and beside[1].cancelled():
            raise self._not_drained("the drain was stopped")

    async def _shut_down(self, receiving: asyncio.Task[None]) -> None:
        self._ending.set()
        self._source.stop()
        await self._spool.wait_idle()
        await self._runners.stop(self._runners.names)
        await self._sparkplug.finish()
        await self._spool.close()
        await self._source.close()
        receiving.cancel()
        await asyncio.wait([receiving])
        await self.admin.close()
        if self._tracing:
            await asyncio.to_thread(self._tracing.close)
        log.info("bridge stopped")

    async def _receive(self) -> None:
        """Run the source; one that was stopped, as by a drain, does not end the bridge: whoever stopped it does."""
        await self._source.run_source()
        await self._ending.wait()

    def _on_messages(self, messages: list[SpooledMessage]) -> None:
        self._sequence_monitor.observe_messages(messages)
        if self._tracing:
            self._tracing.trace_commit(messages)
        self._runners.dispatch(messages)

    def _on_commit(self, commit: CommitResult) -> None:
        self.metrics.spooled.inc(commit.messages)
        self.metrics.commit_s.observe(commit.seconds)
        self._source.on_commit()

    def readiness(self) -> Readiness:
        """Say whether messages are received and kept safe, what waits, and what else an operator should know."""
        reasons = [self._source.last_error] if self._source.last_error else []
        if self._ending.is_set():
            reasons.append("the bridge is ending")
        if self._draining:
            reasons.append("the bridge is being drained: it takes no new messages")
        if self._spool.full:
            broker_queue = self._spool.describe_broker_queue(self._config.mqtt.session_expiry / 1000)
            reasons.append(f"{self._spool.full}: nothing is acknowledged; {broker_queue}")
        if self._spool.failure.done():
            reasons.append("the spool has failed: nothing is acknowledged")
        warnings = [*self._source.warnings, *self._losses.warnings, *self._runners.warnings]
        warnings += [self._refused] if self._refused else []
        self.metrics.unacknowledged_s.set(self._source.unacknowledged_s)
        waiting = [*self._runners.problems, *self._publisher.problems]
        paused = sorted(self._paused)
        waiting += [f"{name}: an operator has paused it: nothing is delivered" for name in paused]
        return Readiness(reasons, waiting, warnings, list(map(str, self._source.brokers)), paused)

    # -- pause and resume

    async def pause(self, sink: str | None) -> list[str]:
        """Deliver nothing to a sink, or all, until resumed; return which are paused now. Raises `ConfigError`."""
        async with self._changing:
            names = self._named(sink) - self._paused
            self._paused |= names
            await self._runners.stop(names)
            log.info("paused by an operator: messages wait in the spool", sinks=sorted(names))
            return sorted(self._paused)

    async def resume(self, sink: str | None) -> list[str]:
        """Deliver again to a sink, or all; return which are paused still. Raises `ConfigError`."""
        async with self._changing:
            await self._resume(self._named(sink) & self._paused)
            return sorted(self._paused)

    async def _resume(self, names: set[str]) -> None:
        if names:
            # Who starts reads from the file where to: what those that stopped got done has to be in it.
            await self._spool.run_on_writer(lambda _: None)
            sinks = build_sinks(self._config, self._runners.table, self._clock)
            self._paused -= names
            self._runners.start(
                [one for one in sinks if one.name in names], self._spool, self._config.shutdown_timeout / 1000
            )
            log.info("resumed by an operator", sinks=sorted(names))

    def request_drain(self) -> None:
        """Deliver everything, end the session, and end."""
        if self._signals is not None:
            self._signals.drain.set()

    def _named(self, sink: str | None) -> set[str]:
        names = list(self._config.sinks)
        if self._draining or self._ending.is_set():
            raise ServiceUnavailable("the bridge is being drained, or ends: it delivers what it has")
        if sink is not None and sink not in names:
            raise ConfigError(f"sink: there is no '{sink}'{closest(sink, names)}; there are {', '.join(names)}")
        return set(names if sink is None else (sink,))

    # -- reload and drain

    async def _handle_signals(self, signals: ControlSignals) -> None:
        """Reload as often as asked; a drain is the last thing to be asked."""
        while await signals.wait_next() == "reload":
            try:
                if signals.reread_config is None:
                    raise ConfigError("there is no file to read again")
                keys = await self.reload(signals.reread_config())
            except ConfigError as error:
                self._refused = f"the configuration was not reloaded, the old one stays in force: {error}"
                self.metrics.reloads.labels("refused").inc()
                log.error("configuration not reloaded, the old one stays in force", reason=str(error))
            else:
                self._refused = None
                self.metrics.reloads.labels("done").inc()
                log.info("configuration reloaded", changed=keys)
        await self._drain()

    async def reload(self, config: BridgeConfig) -> list[str]:
        """Go on with another configuration; return the keys that differ. After a `ConfigError` all is as before."""
        async with self._changing:
            return await self._reload(config)

    async def _reload(self, config: BridgeConfig) -> list[str]:
        old = self._config
        table, _ = build_components(config)
        self._descriptions.restore(table)
        table.tell_counters(self._sequence_monitor)
        changes = compare_configs(old, config, frozenset({*old.sinks, *config.sinks}))
        await self._source.reconfigure(config)
        try:
            if changes.sinks or changes.everything:
                await self._replace_sinks(changes, config, table if changes.everything else self._runners.table)
        except ConfigError:
            await self._source.reconfigure(old, proven=True)
            raise
        await self._spool.configure(config.spool)
        self.metrics.spool_limit_bytes.set(config.spool.max_bytes)
        self._sequence_monitor.configure(config)
        self.admin.operator.configure(config.admin)
        self._paused &= set(config.sinks)
        self._config = config
        return list(changes.keys)

    async def _replace_sinks(self, changes: ConfigChanges, config: BridgeConfig, table: RouteTable) -> None:
        """Put other sinks in the place of those that differ. Messages wait in the spool meanwhile."""
        runners = self._runners
        leaving = runners.names if changes.everything else [name for name in runners.names if name in changes.sinks]
        arriving = [
            sink
            for sink in build_sinks(config, table, self._clock)
            if (changes.everything or sink.name in changes.sinks) and sink.name not in self._paused
        ]
        await runners.stop(leaving)
        try:
            await verify_connectable(arriving)
            names, abandon = list(config.sinks), config.spool.abandon
            await self._spool.run_on_writer(lambda store: store.reconcile_sinks(names, abandon))
        except ConfigError:
            # Who starts reads from the file where to: what those that stopped got done has to be in it.
            await self._spool.run_on_writer(lambda _: None)
            back = [sink for sink in build_sinks(self._config, runners.table, self._clock) if sink.name in leaving]
            runners.start(back, self._spool, self._config.shutdown_timeout / 1000)
            raise
        runners.table = table
        for name in set(self._config.sinks) - set(config.sinks):
            self.metrics.remove_sink(name)
        runners.start(arriving, self._spool, config.shutdown_timeout / 1000)

    async def _drain(self) -> None:
        """Take no more, deliver everything, end the session. Raises `NotDrained` when that takes too long."""
        limit_s = self._config.drain_timeout / 1000
        async with self._changing:
            self._draining = True
            await self._resume(set(self._paused))
        log.info("draining", timeout_s=limit_s)
        try:
            async with asyncio.timeout(limit_s):
                await self._source.drain()
                await self._spool.wait_idle()
                while any(pending for _, pending, _ in read_lag(self._spool.path)):  # noqa: ASYNC110 - it is in the file
                    await asyncio.sleep(_LOOK_EVERY_S)
                await self._source.end_session()
        except TimeoutError:
            raise self._not_drained(f"not drained within {duration_text(self._config.drain_timeout)}") from None
        except (ServiceUnavailable, EdgefleetError) as error:
            raise NotDrained(f"everything is delivered, but the session could not be ended: {error}") from None
        log.info("drained: everything is delivered and the session is ended")

    def _not_drained(self, what: str) -> NotDrained:
        path = self._spool.path
        session = f"the broker's session '{self._config.client_id}'"
        if away := self._source.unreached:
            session += f" ({', '.join(map(str, away))} cannot be reached)"
        return NotDrained(f"{what}: {describe_pending(path)}; it stays in {path} and in {session}")


def build_components(config: BridgeConfig, clock: Clock | None = None) -> tuple[RouteTable, list[Sink]]:
    """Make the routes and sinks of a configuration. No I/O; raises `ConfigError` where they contradict each other."""
    table = RouteTable(config.route_rows, subscriptions=config.formats)
    table.check_sinks(config.sinks)
    return table, build_sinks(config, table, clock or SystemClock())


def build_sinks(config: BridgeConfig, table: RouteTable, clock: Clock) -> list[Sink]:
    """Make the sinks that are configured. No I/O; raises `ConfigError` for a target that does not fit its sink."""
    return [
        SINKS[name].build(settings, table.targets_in(name), config.client_id, clock)
        for name, settings in config.sinks.items()
    ]


def build_tracing(config: BridgeConfig, clock: Clock) -> "Tracing | None":
    """Make what exports spans, where the configuration asks for it."""
    if config.tracing is None:
        return None
    try:
        from bridge.tracing import Tracing
    except ImportError as error:
        raise ConfigError(f"tracing needs OpenTelemetry ({error}): pip install 'edgefleet[otel]'") from None
    return Tracing(config, clock)


async def verify_connectable(sinks: Sequence[Sink]) -> None:
    """Raise `ConfigError` where only a person can connect one. What cannot be reached is waited for later."""
    # Each to its end, also where another is refused: until then it may hold what the old one needs, such as a lock.
    outcomes = await asyncio.gather(*map(_connect_once, sinks), return_exceptions=True)
    for outcome in outcomes:
        if outcome is not None:
            raise outcome


async def _connect_once(sink: Sink) -> None:
    try:
        await sink.connect()
    except ServiceUnavailable:
        pass
    finally:
        await sink.close()
