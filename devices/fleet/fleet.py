"""The timeline live: every device of a scenario on its own connection, until the run is over, and what came of it.

Order of a run: a probe finds the brokers and their version, then the ramp connects the fleet while the timeline already
runs (a device measures from power-on and keeps what it cannot send yet). Order of a stop: no more readings, outboxes
drain, outstanding PUBACKs arrive or the grace period ends, each device says goodbye, connections close, the record is
made.
"""

import asyncio
import random
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial

from devices.faults.labels import Label
from devices.firmware.device import Firmware
from devices.firmware.outbox import Reading
from devices.fleet.account import accounts
from devices.fleet.ack_probe import AckProbe
from devices.fleet.connection import DeviceConnection
from devices.fleet.dialer import Dialer
from devices.fleet.histogram import Histogram
from devices.fleet.introduction import session_config
from devices.fleet.limit import find_limit
from devices.fleet.mishaps import Mishaps
from devices.fleet.orders import Orders
from devices.fleet.pacer import Pacer, Planned
from devices.fleet.ramp import Ramp
from devices.fleet.routes import routes_of
from devices.fleet.snapshot import Snapshot, process_usage
from devices.fleet.sweep import Sweep
from devices.fleet.trouble import Impostor
from devices.scenario import Scenario
from devices.timeline import Shard, Timeline
from edgewire import logs
from edgewire.clock import Clock, SystemClock
from edgewire.errors import EdgefleetError, ServiceUnavailable
from edgewire.link import BrokerRefused
from edgewire.messages import Channel
from edgewire.mqtt import Session, Version
from edgewire.runrecord import RunRecord

# How long a stopping fleet waits for its outboxes to drain and for the last PUBACKs.
GRACE_S = 10.0
POLL_S = 0.05
# Every link's keep alive is looked at so often, of its length, and at least so often and so seldom (s).
SWEEP_OF_KEEP_ALIVE = 0.02
SWEEP_S = (0.25, 1.0)
LEAD_MS = 300
LEAD_PER_DEVICE_MS = 0.02
LEAD_PER_OWN_DEVICE_MS = 0.2
# MQTT 3.1.1 and 5: the server is unavailable or busy, or has no room for one more.
TRY_LATER = frozenset({0x03, 0x88, 0x89, 0x97, 0x9F})

log = logs.get("fleet")


def start_lead_ms(scenario: Scenario, shards: int = 1, crowd: float = 1.0) -> int:
    """How far ahead of now a run begins: as long as building its devices may take, so it begins without a backlog.

    `crowd` is how many processes of such a shard share a core.
    """
    size = sum(group.size for group in scenario.devices)
    return round((LEAD_MS + size * LEAD_PER_DEVICE_MS + size / shards * LEAD_PER_OWN_DEVICE_MS) * max(1.0, crowd))


class Fleet:
    """All devices of one process.

    `from_ms` is the devices' time at which the run begins (None: now), `power_on_ms` when they were powered on
    (None: as the run begins), `started_ms` the wall time at which it begins (None: as soon as the devices are built);
    all in ms since 1970 UTC. With `messages`, each device emits so many and no more.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        name: str,
        version: Version = Version.V5,
        shard: Shard | None = None,
        from_ms: int | None = None,
        power_on_ms: int | None = None,
        started_ms: int | None = None,
        messages: int | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._scenario = scenario
        self._name = name
        self._version = version
        self._shard = shard or Shard()
        self._messages = messages
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not secrets
        self._started_ms = started_ms or self._clock.now_ms() + start_lead_ms(scenario, self._shard.count)
        self._sim_started_ms = self._started_ms if from_ms is None else from_ms
        self.timeline = Timeline(scenario, self._sim_started_ms if power_on_ms is None else power_on_ms, shard)
        self._routes = routes_of(scenario, [device.device_id for device in self.timeline.devices])
        self.pacer = Pacer(
            self.timeline, self._sim_started_ms, scenario.time_scale, self._emit, self._foresee, messages=messages
        )
        self._mishaps = Mishaps(self)
        self._orders = Orders(self)
        self._builds = {id(group): scenario.build(group) for group in scenario.devices}
        self._boots = self.timeline.boots_at(self._sim_started_ms)
        self._acknowledged = 0
        self._emitted = 0
        self._failed_dials = 0
        self._refused_dials = 0
        self._stopping = False
        self._acks = AckProbe()
        self._connack = Histogram()
        # The ramp is that of the whole fleet.
        self._ramp = Ramp(scenario.connects_per_second / self._shard.count)
        self._dialer = Dialer(self._ramp, self._dial, brokers=len(set(self._routes.brokers)) / self._shard.count)
        self._unconnected = len(self.timeline.devices)
        self._began = self._clock.monotonic()
        self._cpu_before_s = 0.0
        self._lag_before: Histogram | None = None
        self.connected_after_s: float | None = None
        """From the first dial until every device had been connected once; None until then."""
        self.final = Snapshot()
        """The fleet when its outboxes had drained, before the devices said goodbye."""
        self.connections = [self._connection(position) for position in range(len(self.timeline.devices))]
        shortest, longest = SWEEP_S
        period_s = min(max(scenario.keep_alive / 1000 * SWEEP_OF_KEEP_ALIVE, shortest), longest)
        self._sweep = Sweep(self.connections, period_s)

    def device_time_ms(self) -> int:
        """The devices' time now."""
        return self._sim_started_ms + round((self._clock.now_ms() - self._started_ms) * self._scenario.time_scale)

    def redial(self, connection: DeviceConnection, delay_s: float) -> None:
        """A device has lost its connection, or got none, and wants another one after a while."""
        self._acks.lost(connection)
        if not self._stopping:
            self._dialer.add(connection, delay_s, again=connection.reconnects >= 0)

    def monotonic_s(self) -> float:
        """Wall time for durations."""
        return self._clock.monotonic()

    def booted(self, connection: DeviceConnection) -> None:
        """A device has begun a boot."""
        firmware = connection.firmware
        if not firmware.is_synced:
            at_ms = firmware.booted_ms + firmware.build.firmware.first_sync
            self.pacer.at(at_ms, partial(connection.synced, firmware.boot))

    def command(self, connection: DeviceConnection, payload: bytes) -> None:
        """A device is told to do something."""
        self._orders.receive(connection, payload)

    def dial_impostor(self, impostor: Impostor) -> None:
        """Someone else wants to connect under the name of a device."""
        if not self._stopping:
            self._dialer.add(impostor)

    def acknowledged(self, connection: DeviceConnection, count: int) -> None:
        """The broker took responsibility for this many more messages."""
        self._acknowledged += count
        if connection in self._acks:
            self._acks.acknowledged(connection, count, self._clock.monotonic())

    def snapshot(self) -> Snapshot:
        """The fleet as it is now; what is counted device by device, as it was a moment ago."""
        cpu_s, rss_bytes = process_usage()
        return Snapshot(
            devices=len(self.connections),
            emitted=self._emitted,
            acknowledged=self._acknowledged,
            failed_dials=self._failed_dials,
            refused_dials=self._refused_dials,
            slowed_s=self._ramp.slowed_s(self._clock.monotonic()),
            lag=self.pacer.lag.copy(),
            lag_connected=Histogram() if self._lag_before is None else self.pacer.lag.since(self._lag_before),
            puback=self._acks.latency.copy(),
            connack=self._connack.copy(),
            cpu_s=cpu_s - self._cpu_before_s,
            elapsed_s=self._clock.monotonic() - self._began,
            rss_bytes=rss_bytes,
            **asdict(self._sweep.gauges),
        )

    def labels(self) -> list[Label]:
        """The ground truth of what was emitted so far: the faults that show in it."""
        return self.timeline.labels(self._sim_started_ms, self.pacer.reached_ms, live=True)

    async def run(self, duration_s: float, stop: asyncio.Event) -> RunRecord:
        """Run until `duration_s` is over or `stop` is set, and account for every message."""
        lead_s = (self._started_ms - self._clock.now_ms()) / 1000
        self._began = self._clock.monotonic()
        self._cpu_before_s = process_usage()[0]
        try:
            async with asyncio.TaskGroup() as background:
                helpers = [
                    background.create_task(self._dialer.run(), name="dialer"),
                    background.create_task(self._sweep.run(), name="sweep"),
                ]
                for connection in self.connections:
                    self.booted(connection)
                    self._dialer.add(connection)
                await self.pacer.run(asyncio.get_running_loop().time() + lead_s, duration_s, stop)
                await self._drain()
                self._stopping = True
                for helper in helpers:
                    helper.cancel()
            self._sweep.count()
        finally:
            self._stopping = True
            self.final = self.snapshot()
            await self._retire()
        return self._record(duration_s, self.final)

    def _connection(self, position: int) -> DeviceConnection:
        device = self.timeline.devices[position]
        scenario = self._scenario
        boot, booted_ms, reason = self._boots[position]
        build = self._builds[id(self.timeline.entry(position))]
        firmware = Firmware(device.device_id, device.key, boot, booted_ms, build, reason)
        broker = self._routes.broker(self._shard.number(position))
        username, password = self._routes.identities.account(device.device_id, broker)
        config = session_config(
            device,
            firmware,
            keep_alive_s=scenario.keep_alive // 1000,
            session_expiry_s=scenario.session_expiry // 1000,
            username=username,
            password=password,
        )
        session = Session(config, self._version)
        # The probe has asked: no device need wonder whether a slow broker does not speak its version.
        session.accepted = True
        return DeviceConnection(device, firmware, session, self, self._rng.random, broker)

    def _emit(self, position: int, seq: int, channel: Channel, payload: bytes) -> None:
        connection = self.connections[position]
        topic = connection.event_topic if channel is Channel.EVENT else connection.telemetry_topic
        self._emitted += 1
        if not payload:
            connection.lose(seq)
            return
        connection.emit(Reading(seq, topic, payload, connection.device.qos, connection.firmware.boot))
        if self._acks.is_due() and connection.is_online and connection not in self._acks:
            self._acks.published(connection, connection.session.inflight, self._clock.monotonic())

    def _foresee(self, from_ms: int, to_ms: int) -> Sequence[Planned]:
        return self._mishaps.foresee(from_ms, to_ms, first=from_ms == self._sim_started_ms)

    async def _dial(self, connection: DeviceConnection | Impostor) -> None:
        if not connection.may_dial():
            return
        if isinstance(connection, Impostor):
            await self._dial_impostor(connection)
            return
        began = self._clock.monotonic()
        try:
            await self._routes.dial(connection.broker, connection.session, connection.on_events, connection.flush)
        except EdgefleetError as error:
            log.debug("dial failed", device=connection.device.device_id, reason=str(error))
            self._failed_dials += 1
            refused = isinstance(error, BrokerRefused)
            self._refused_dials += refused
            if isinstance(error, ServiceUnavailable) or (isinstance(error, BrokerRefused) and error.code in TRY_LATER):
                self._ramp.failed(self._clock.monotonic())
            connection.failed()
            return
        now = self._clock.monotonic()
        self._connack.add([1000 * (now - began)])
        if connection.is_online and connection.reconnects <= 0:
            self._ramp.answered(now - began, now)
            self._unconnected -= 1
            if not self._unconnected:
                self.connected_after_s = now - self._began
                self._lag_before = self.pacer.lag.copy()
                log.info("all connected", devices=len(self.connections), after_s=round(self.connected_after_s, 2))

    async def _dial_impostor(self, impostor: Impostor) -> None:
        with suppress(EdgefleetError):
            await self._routes.dial(impostor.broker, impostor.session, impostor.on_events, impostor.flush)

    async def _drain(self) -> None:
        """Wait until everything is acknowledged, or the grace period is over."""
        for connection in self.connections:
            connection.finish()
        await _within_grace(lambda: all(connection.is_idle for connection in self.connections))

    async def _retire(self) -> None:
        for position, connection in enumerate(self.connections):
            connection.say_goodbye()
            if position % 200 == 199:
                await asyncio.sleep(0)
        # The last bytes leave with the event loop's next turns.
        await _within_grace(lambda: all(connection.is_gone for connection in self.connections))

    def _record(self, duration_s: float, final: Snapshot) -> RunRecord:
        stopped_ms = self._clock.now_ms()
        limit = find_limit(final)
        connected_s = self.connected_after_s
        return RunRecord(
            run_id=uuid.uuid4().hex,
            scenario=self._name,
            seed=self._scenario.seed,
            broker=str(self._routes),
            started_ms=self._started_ms,
            stopped_ms=stopped_ms,
            sim_started_ms=self._sim_started_ms,
            time_scale=self._scenario.time_scale,
            limits={"duration_s": duration_s, "messages": self._messages, "lag_ms": final.lag.summary()},
            lag_ms=final.lag.to_json(),
            puback_ms=final.puback.to_json(),
            connected_after_s=None if connected_s is None else round(connected_s, 3),
            limited_by=limit.culprit,
            verdict=limit.sentence,
            devices=[record for connection in self.connections for record in accounts(connection)],
        )


async def _within_grace(condition: Callable[[], bool]) -> None:
    for _ in range(round(GRACE_S / POLL_S)):
        if condition():
            return
        await asyncio.sleep(POLL_S)
