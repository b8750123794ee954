"""The timeline live: every device of a scenario on its own connection, until the run is over, and what came of it.

Order of a run: a probe finds the broker and its version, then the ramp connects the fleet while the timeline already
runs (a device measures from power-on and keeps what it cannot send yet). Order of a stop: no more readings, outboxes
drain, outstanding PUBACKs arrive or the grace period ends, each device says goodbye, connections close, the record is
made.
"""

import asyncio
import random
import ssl
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from devices.faults.labels import Label
from devices.firmware.device import Firmware
from devices.firmware.outbox import Reading
from devices.fleet.connection import DeviceConnection, session_config
from devices.fleet.dialer import Dialer
from devices.fleet.pacer import Pacer
from devices.scenario import Scenario
from devices.timeline import Shard, Timeline
from edgewire import logs
from edgewire.backoff import Backoff
from edgewire.clock import Clock, SystemClock
from edgewire.errors import EdgefleetError
from edgewire.link import BrokerUrl, dial
from edgewire.messages import Channel
from edgewire.mqtt import Session, SessionConfig, Version
from edgewire.runrecord import DeviceRecord, RunRecord

# How long a stopping fleet waits for its outboxes to drain and for the last PUBACKs.
GRACE_S = 10.0
POLL_S = 0.05
# Every link's keep alive is looked at this often; the shortest keep alive is a second.
SWEEP_S = 0.5
LEAD_MS = 200
LEAD_PER_DEVICE_MS = 0.1

log = logs.get("fleet")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The fleet at a moment, for live views."""

    devices: int
    connected: int
    emitted: int
    acknowledged: int
    buffered: int
    dropped: int
    reconnects: int
    lag_p99_ms: float | None


class Fleet:
    """All devices of one process.

    `from_ms` is the devices' time at which the run begins (None: now), `power_on_ms` when they were powered on
    (None: as the run begins); both in ms since 1970 UTC.
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
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._scenario = scenario
        self._name = name
        self._version = version
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not secrets
        self._broker = BrokerUrl.parse(scenario.broker)
        # One for all: each `dial` would otherwise read the system's certificates again.
        self._tls = ssl.create_default_context() if self._broker.scheme == "mqtts" else None
        # Power-on lies as far ahead as building the devices may take, so the run does not begin with a backlog.
        size = sum(group.size for group in scenario.devices)
        self._started_ms = self._clock.now_ms() + LEAD_MS + round(size * LEAD_PER_DEVICE_MS)
        self._sim_started_ms = self._started_ms if from_ms is None else from_ms
        self.timeline = Timeline(scenario, self._sim_started_ms if power_on_ms is None else power_on_ms, shard)
        self.pacer = Pacer(self.timeline, self._sim_started_ms, scenario.time_scale, self._emit)
        self._acknowledged = 0
        self._emitted = 0
        self._stopping = False
        self._dialer = Dialer(scenario.connects_per_second, self._dial)
        self.connections = [self._connection(position) for position in range(len(self.timeline.devices))]

    def device_time_ms(self) -> int:
        """The devices' time now."""
        return self._sim_started_ms + round((self._clock.now_ms() - self._started_ms) * self._scenario.time_scale)

    def redial(self, connection: DeviceConnection, delay_s: float) -> None:
        """A device has lost its connection and wants another one after a while."""
        if not self._stopping:
            self._dialer.add(connection, delay_s)

    def acknowledged(self, connection: DeviceConnection, count: int) -> None:
        """The broker took responsibility for this many more messages."""
        self._acknowledged += count

    def snapshot(self) -> Snapshot:
        """The fleet as it is now."""
        return Snapshot(
            devices=len(self.connections),
            connected=sum(connection.is_online for connection in self.connections),
            emitted=self._emitted,
            acknowledged=self._acknowledged,
            buffered=sum(len(connection.firmware.outbox) for connection in self.connections),
            dropped=sum(len(connection.firmware.outbox.dropped) for connection in self.connections),
            reconnects=sum(max(0, connection.reconnects) for connection in self.connections),
            lag_p99_ms=self.pacer.lag.percentile_ms(99),
        )

    def labels(self) -> list[Label]:
        """The ground truth of what was emitted so far: the faults that show in it."""
        return self.timeline.labels(self._sim_started_ms, self.pacer.reached_ms)

    async def run(self, duration_s: float, stop: asyncio.Event) -> RunRecord:
        """Run until `duration_s` is over or `stop` is set, and account for every message."""
        lead_s = (self._started_ms - self._clock.now_ms()) / 1000
        try:
            async with asyncio.TaskGroup() as background:
                helpers = [
                    background.create_task(self._dialer.run(), name="dialer"),
                    background.create_task(self._keep_alive(), name="keep alive"),
                ]
                for connection in self.connections:
                    self._dialer.add(connection)
                await self.pacer.run(asyncio.get_running_loop().time() + lead_s, duration_s, stop)
                await self._drain()
                self._stopping = True
                for helper in helpers:
                    helper.cancel()
        finally:
            self._stopping = True
            await self._retire()
        return self._record(duration_s)

    def _connection(self, position: int) -> DeviceConnection:
        device = self.timeline.devices[position]
        scenario = self._scenario
        backoff = Backoff(base_s=scenario.reconnect.base / 1000, cap_s=scenario.reconnect.cap / 1000)
        firmware = Firmware(device.device_id, self.timeline.boot, scenario.outbox, backoff)
        config = session_config(
            device,
            firmware,
            keep_alive_s=scenario.keep_alive // 1000,
            session_expiry_s=scenario.session_expiry // 1000,
            username=self._broker.username,
            password=self._broker.password,
        )
        return DeviceConnection(device, firmware, Session(config, self._version), self, self._rng.random)

    def _emit(self, position: int, seq: int, channel: Channel, payload: bytes) -> None:
        connection = self.connections[position]
        topic = connection.event_topic if channel is Channel.EVENT else connection.telemetry_topic
        self._emitted += 1
        if not payload:
            connection.lose(seq)
            return
        connection.emit(Reading(seq, topic, payload, connection.device.qos))

    async def _dial(self, connection: DeviceConnection) -> None:
        try:
            await dial(
                self._broker,
                connection.session,
                connection.on_events,
                tls=self._tls,
                on_writable=connection.flush,
                own_timer=False,
            )
        except EdgefleetError as error:
            log.debug("dial failed", device=connection.device.device_id, reason=str(error))
            connection.failed()

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            for position, connection in enumerate(self.connections):
                if connection.link is not None:
                    connection.link.tick()
                if position % 1000 == 999:
                    await asyncio.sleep(0)

    async def _drain(self) -> None:
        """Wait until everything is acknowledged, or the grace period is over."""
        await _within_grace(lambda: all(connection.is_idle for connection in self.connections))

    async def _retire(self) -> None:
        for position, connection in enumerate(self.connections):
            connection.say_goodbye()
            if position % 200 == 199:
                await asyncio.sleep(0)
        # The last bytes leave with the event loop's next turns.
        await _within_grace(lambda: all(connection.is_gone for connection in self.connections))

    def _record(self, duration_s: float) -> RunRecord:
        return RunRecord(
            run_id=uuid.uuid4().hex,
            scenario=self._name,
            seed=self._scenario.seed,
            broker=str(self._broker),
            started_ms=self._started_ms,
            stopped_ms=self._clock.now_ms(),
            sim_started_ms=self._sim_started_ms,
            time_scale=self._scenario.time_scale,
            limits={"duration_s": duration_s, "lag_ms": self.pacer.lag.summary()},
            devices=[_account(connection, self.timeline.boot) for connection in self.connections],
        )


async def _within_grace(condition: Callable[[], bool]) -> None:
    for _ in range(round(GRACE_S / POLL_S)):
        if condition():
            return
        await asyncio.sleep(POLL_S)


def _account(connection: DeviceConnection, boot: int) -> DeviceRecord:
    firmware = connection.firmware
    unsent = firmware.outbox.seqs()
    for seq in connection.unacknowledged():
        unsent.add(seq)
    return DeviceRecord(
        device_id=firmware.device_id,
        kind=connection.device.kind,
        site=connection.device.site,
        boot=boot,
        first_seq=firmware.first_seq,
        last_seq=firmware.last_seq,
        acknowledged=connection.acknowledged,
        dropped=firmware.outbox.dropped.as_list(),
        unsent=unsent.as_list(),
    )


async def probe(broker: BrokerUrl) -> Version:
    """The MQTT version this broker speaks, asked before thousands of devices do.

    Raises `ServiceUnavailable` or `BrokerRefused` where there is none, or it turns us away.
    """
    password = None if broker.password is None else broker.password.encode()
    config = SessionConfig(
        client_id=f"edgefleet-probe-{uuid.uuid4().hex[:8]}", username=broker.username, password=password
    )
    link = await dial(broker, Session(config), lambda _link, _events: None)
    version = link.session.version
    link.close()
    log.info("broker answers", broker=str(broker), mqtt="5" if version == Version.V5 else "3.1.1")
    return version
