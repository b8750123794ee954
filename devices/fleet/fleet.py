"""Runs the timeline live: every device of a scenario on its own connection, until the run is over, and what came of it.

`Fleet.apply` lets it go on with another scenario. What comes then is a part of its own, with a timeline of its own, so
that nothing touches what stays.

Order of a run: a probe finds the brokers and their version, then the ramp connects the fleet while the timeline already
runs (a device measures from power-on and keeps what it cannot send yet). Order of a stop: no more readings, outboxes
drain, outstanding PUBACKs arrive or the grace period ends, each device says goodbye, connections close, the record is
made.
"""

import asyncio
import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property, partial
from typing import Any, Literal

from devices.faults.labels import Label
from devices.firmware.outbox import Reading
from devices.fleet.brokers import broker_pool_for
from devices.fleet.carrier_client import CarriedClient
from devices.fleet.client_factory import ClientFactory
from devices.fleet.connect_queue import ConnectQueue, Ramp
from devices.fleet.connector import Connector
from devices.fleet.departures import Departures
from devices.fleet.device_client import DeviceClient
from devices.fleet.fault_state import DuplicateClient
from devices.fleet.gateway_client import GatewayClient
from devices.fleet.incidents import IncidentRecorder
from devices.fleet.latency import AckProbe, Histogram, sample_every
from devices.fleet.loss_window import LossWindow
from devices.fleet.membership import FleetMembership, MembershipPlan
from devices.fleet.metrics import FleetSnapshot, PeriodicTick, process_usage
from devices.fleet.pacer import startup_delay_ms
from devices.fleet.part import FleetPart
from devices.fleet.parts import FleetParts
from devices.fleet.run_record import (
    carrier_record,
    close_books,
    device_records,
    encode_so_far,
    fleet_record,
    has_fixed_boots,
    new_run_id,
    scenario_digest,
    spoken_scenario,
)
from devices.fleet.shutdown import disconnect_all, drain_outboxes
from devices.fleet.side_messages import SideMessageRecorder
from devices.fleet.standby import Standby
from devices.fleet.standby_client import StandbyClient
from devices.scenario.changes import ScenarioChange
from devices.scenario.devices import Shard, login_name
from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgewire import logs
from edgewire.cgroup import CpuThrottling, read_cpu_throttling
from edgewire.clock import Clock, SystemClock, iso_ms
from edgewire.device_time import DeviceTime
from edgewire.dialects.encoder import Publication
from edgewire.errors import ConfigError, ServiceUnavailable
from edgewire.link import BrokerUrl
from edgewire.mqtt import Message, ServerLimits, Version
from edgewire.run_checkpoint import RunCheckpoint
from edgewire.run_record import DeviceRecord, IntervalChange, PoweredPart, ReloadRecord, RunRecord, TimeChange

# Every link's keep alive is looked at once in this part of its length, and at least so often and so seldom (s).
TICK_OF_KEEP_ALIVE = 0.02
TICK_PERIOD_S = (0.25, 1.0)
# In a large process at least once in this part of the keep alive and so often (s): a ping is due in 0.9 of it.
LONGEST_TICK_OF_KEEP_ALIVE, LONGEST_TICK_S = 0.08, 5.0
BUILT_AT_ONCE = 50
"""Devices that are built in one go of the event loop, while others send."""
COUNTED_AT_ONCE = {"devices", "emitted", "acknowledged", "sent_qos0"}
"""What the fleet counts as it happens, and not a device at a time in the round over all devices."""

log = logs.get("fleet")


class Fleet:
    """Runs all devices of one process.

    `from_ms` is the devices' time at which the run begins (None: now), `power_on_ms` when they were powered on
    (None: as the run begins), `started_ms` the wall time at which it begins (None: as soon as the devices are built);
    all in ms since 1970 UTC. With `messages`, each device emits so many and no more. `run_id` is that of the whole run,
    of which this may be a shard (None: a new one). `barriers` are moments, in ms of the devices' time after its begin,
    beyond which it goes only once it is told (see `Pacer`). `core_share` is which part of a core the process has.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        name: str,
        version: Version | None = Version.V5,
        limits: ServerLimits | None = None,
        shard: Shard | None = None,
        from_ms: int | None = None,
        power_on_ms: int | None = None,
        started_ms: int | None = None,
        messages: int | None = None,
        run_id: str | None = None,
        barriers: Sequence[int] = (),
        core_share: float = 1.0,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._scenario = scenario
        self._name = name
        self._shard = shard or Shard()
        self._duration_s = math.inf
        self._run_id = run_id or new_run_id()
        self._fixed_boots = has_fixed_boots(scenario, from_ms, power_on_ms)
        self._started_ms = started_ms or self._clock.now_ms() + startup_delay_ms(scenario, self._shard.count)
        self._sim_started_ms = self._started_ms if from_ms is None else from_ms
        self._messages = messages
        powered_on_ms = self._sim_started_ms if power_on_ms is None else power_on_ms
        self.timeline = Timeline(scenario, powered_on_ms, shard, in_dialects=True)
        self._brokers = broker_pool_for(scenario, [login_name(device) for device in self.timeline.devices])
        self.broker_choices = self._brokers.choices
        self.acks = AckProbe(sample_every(scenario.messages_per_s / self._shard.count))
        self._barriers = [self._sim_started_ms + at_ms for at_ms in barriers]
        self._time = DeviceTime(self._sim_started_ms, scenario.time_scale)
        first = FleetPart(self, self.timeline, self._sim_started_ms, self._time, messages, self._barriers)
        self.pacer = first.pacer
        self._parts = FleetParts(first)
        self._departures = Departures(self._clock.monotonic, self._on_gone)
        self._applying = asyncio.Lock()
        self._members: FleetMembership | None = None
        # Devices that leave, and those that take their places.
        self._successors: dict[DeviceClient, DeviceClient] = {}
        self._reloads: list[ReloadRecord] = []
        self._connected_to: Counter[str] = Counter()
        self._later_speech: dict[FleetPart, tuple[dict[str, Any] | None, str]] = {}
        self._acknowledged = 0
        self._sent_qos0 = 0
        self._batches = self._batched = 0
        self.incidents = IncidentRecorder(self._clock.monotonic)
        self.losses = LossWindow(len(self.timeline.devices))
        self._withheld = 0
        self._side_messages = SideMessageRecorder()
        self._stopping = False
        # The ramp is that of the whole fleet.
        self._ramp = Ramp(scenario.connects_per_second / self._shard.count)
        self._connector = Connector(self._brokers, self._ramp, self._clock, self._count_first, self.incidents)
        self._connect_queue = ConnectQueue(
            self._ramp, self._connector.connect_client, brokers=len(set(self._brokers.urls)) / self._shard.count
        )
        self._unconnected = len(self.timeline.devices)
        self._began = self._clock.monotonic()
        self._cpu_before_s = 0.0
        self._throttling_before = CpuThrottling()
        self._lag_before: Histogram | None = None
        # A shard may have none.
        self.connected_after_s: float | None = None if self._unconnected else 0.0
        """From the first connect until every device had been connected once; None until then."""
        self.final = FleetSnapshot()
        """The fleet when its outboxes had drained, before the devices said goodbye."""
        self.standby = Standby(self, self._brokers, version, self._run_id, self._clock, self.incidents)
        self.clients: list[DeviceClient] = []
        """All devices, those that have left as well."""
        uniform = (rng or random.Random()).random  # noqa: S311 - jitter, not secrets
        self._client_factory = ClientFactory(self, self._brokers, self.standby, self._run_id, uniform, version, limits)
        # They have the connections of some of the devices, or of their parts.
        self._carriers = self._client_factory.carriers
        numbers = self.timeline.connection_numbers
        first.clients = list(self._client_factory.create_clients(first, scenario, numbers))
        self.clients += first.clients
        shortest, longest = TICK_PERIOD_S
        period_s = min(max(scenario.keep_alive / 1000 * TICK_OF_KEEP_ALIVE, shortest), longest)
        longest_s = min(LONGEST_TICK_S, scenario.keep_alive / 1000 * LONGEST_TICK_OF_KEEP_ALIVE)
        self._periodic_tick = PeriodicTick(self.clients, period_s, self._carriers, longest_s, core_share)

    @property
    def gateways(self) -> list[GatewayClient]:
        """Return those that have the connections of some of the devices."""
        return [one for one in self._carriers if isinstance(one, GatewayClient)]

    def device_time_ms(self) -> int:
        """Return the devices' time now."""
        return self._time.device_ms(self._clock.now_ms() - self._started_ms)

    def seconds_until(self, device_ms: int) -> float:
        """Return how long of the wall's time a device time is away; less than 0 where it is past."""
        return (self._started_ms + self._time.elapsed_ms(device_ms) - self._clock.now_ms()) / 1000

    @property
    def starts_in_s(self) -> float:
        """Return how long of the wall's time it is until the run begins; less than 0 once it has."""
        return (self._started_ms - self._clock.now_ms()) / 1000

    def change_time_scale(self, at_ms: int, scale: float) -> None:
        """Let the devices' time pass at another scale as of a moment of it. Raises `ConfigError` before the last."""
        try:
            self._time.change_scale(at_ms, scale)
        except ValueError as error:
            raise ConfigError(f"time_scale: {error}") from None
        log.info("time scale", time_scale=scale, device_time=iso_ms(at_ms))

    def on_connect_requested(self, client: DeviceClient, delay_s: float) -> None:
        """Let a device that has no connection, or has lost it, have one after a while."""
        self.acks.forget_sample(client)
        if not self._stopping:
            self._connect_queue.enqueue_connect(client, delay_s, again=client.reconnects >= 0)

    def next_broker(self, client: DeviceClient) -> BrokerUrl:
        """Return where a device tries next, which could not connect."""
        return self._brokers.next_broker(client.broker)

    def credentials_for(self, client: DeviceClient, broker: BrokerUrl) -> tuple[str | None, bytes | None]:
        """Return user name and password of a device for a broker."""
        return self._brokers.identities.credentials_for(client.device.client_id, broker)

    def token_life_s(self, client: DeviceClient) -> float | None:
        """Return for how long what a device logs in with is good; None where it is for good."""
        return self._brokers.identities.token_life_s(client.device.client_id)

    def monotonic_s(self) -> float:
        """Return the wall time for durations."""
        return self._clock.monotonic()

    def on_booted(self, client: DeviceClient) -> None:
        """Plan the first NTP answer of a boot that has begun."""
        firmware = client.firmware
        if not firmware.is_synced:
            at_ms = firmware.booted_ms + firmware.build.firmware.first_sync
            action = partial(client.on_time_synced, firmware.boot)
            self._parts.part_with(client).pacer.schedule_action(at_ms, action)

    def on_detached(self, client: DeviceClient) -> None:
        """Take note that a device has no part any more in its gateway's connection."""
        self.acks.forget_sample(client)

    def on_command(self, client: DeviceClient, message: Message) -> None:
        """Let a device do what it is told to."""
        self._parts.part_with(client).handle_command(client, message)

    def on_asked_for(self, client: DeviceClient, at_ms: int, message: Publication) -> None:
        """Keep what a device says because somebody has asked for it."""
        self._side_messages.record(client, at_ms, message.topic, message.payload, is_answer=True)

    def connect_duplicate(self, duplicate: DuplicateClient) -> None:
        """Let another client connect under the name of a device."""
        if not self._stopping:
            self._connect_queue.enqueue_connect(duplicate)

    def on_acknowledged(self, client: DeviceClient, count: int, answered: int) -> None:
        """Count this many more readings, for which the broker took responsibility, of all that it `answered` for."""
        self._acknowledged += count
        if client in self.acks:
            self.acks.count_acknowledged(client, answered, self._clock.monotonic())

    def on_sent_qos0(self, count: int) -> None:
        """Count this many more readings that left at QoS 0."""
        self._sent_qos0 += count

    def on_batch(self, readings: int) -> None:
        """Count one more message, of so many readings."""
        self._batches += 1
        self._batched += readings

    # -- devices in standby

    def on_withdrawn(self, client: StandbyClient, why: str) -> int:
        """Take note that a device has left its place; return the devices' time up to which its readings are emitted."""
        self.acks.forget_sample(client)
        self.incidents.record_withdrawal(why, client.device.device_id)
        if client.reconnects < 0:
            self._count_first()
        return self._parts.part_with(client).pacer.reached_ms

    def on_withheld(self) -> None:
        """Count one more reading that is not emitted, as a real sensor is there."""
        self._withheld += 1

    def on_handed_in(self) -> None:
        """Count one more reading that the broker has taken from another connection than the device's."""
        self._acknowledged += 1

    def on_foreign_message(self, client: StandbyClient, topic: str, payload: bytes) -> None:
        """Keep what a real sensor has said in the place of a device."""
        self._side_messages.record(client, self.device_time_ms(), topic, payload, is_answer=False)

    def on_unheard(self, client: StandbyClient) -> None:
        """Count what a real sensor may have said without anybody hearing it."""
        self._side_messages.record_unheard(client)

    def hand_in(self, client: StandbyClient, readings: Iterable[Reading]) -> None:
        """Publish what a device could not over its own connection."""
        self.standby.hand_in(client, readings)

    def watch_readings(self, client: StandbyClient, watched: bool) -> None:
        """Listen to a device's telemetry over another connection, or no longer."""
        self.standby.watch_readings(client, watched)

    def plan_return(self, client: StandbyClient, act: Callable[[int, int], None]) -> int | None:
        """Let a device begin a boot as soon as that can be; see `Standby`."""
        return None if self._stopping else self._parts.part_with(client).plan_return(client, act)

    def silence_since(self, client: StandbyClient, at_ms: int) -> None:
        """Take back what the timeline holds of a device since an instant."""
        self._parts.part_with(client).silence_since(client, at_ms)

    # -- the run

    def snapshot(self) -> FleetSnapshot:
        """Return the fleet as it is now; what is counted device by device, as it was a moment ago."""
        cpu_s, rss_bytes = process_usage()
        kinds = self._periodic_tick.kinds.copy()
        counted = {name: value for name, value in asdict(kinds.total()).items() if name not in COUNTED_AT_ONCE}
        gateways = self.gateways
        counted["reconnects"] += sum(max(0, one.reconnects) for one in self._carriers)
        throttling = read_cpu_throttling().since(self._throttling_before)
        lag = self._parts.lag()
        return FleetSnapshot(
            devices=self.losses.devices,
            emitted=self._parts.emitted - self._withheld,
            acknowledged=self._acknowledged,
            sent_qos0=self._sent_qos0,
            batches=self._batches,
            batched=self._batched,
            incidents=self.incidents.incidents.copy(),
            unconnected=self._unconnected,
            gateways=len(gateways),
            gateways_connected=sum(gateway.is_online for gateway in gateways),
            failed_dials=self._connector.failed_dials,
            refused_dials=self._connector.refused_dials,
            slowed_s=self._ramp.slowed_s(self._clock.monotonic()),
            lag=lag,
            lag_connected=Histogram() if self._lag_before is None else lag.since(self._lag_before),
            puback=self.acks.latency.copy(),
            connack=self._connector.connack.copy(),
            cpu_s=cpu_s - self._cpu_before_s,
            elapsed_s=self._clock.monotonic() - self._began,
            rss_bytes=rss_bytes,
            cpu_periods=throttling.periods,
            cpu_throttled_periods=throttling.throttled,
            kinds=kinds,
            **counted,
        )

    def labels(self) -> list[Label]:
        """Return the ground truth of what was emitted so far: the faults that show in it."""
        return self._parts.labels()

    async def run(self, duration_s: float, stop: asyncio.Event, at_once: asyncio.Event | None = None) -> RunRecord:
        """Run until `duration_s` is over or `stop` is set, and account for every message.

        Once `at_once` is set as well, nothing is waited for any more: what has not been acknowledged is unsent.
        """
        self._duration_s = duration_s
        lead_s = self.starts_in_s
        self._began = self._clock.monotonic()
        self._cpu_before_s = process_usage()[0]
        self._throttling_before = read_cpu_throttling()
        try:
            async with asyncio.TaskGroup() as background:
                helpers = [
                    background.create_task(self._connect_queue.run_queue(), name="connect queue"),
                    background.create_task(self._periodic_tick.run_ticks(), name="periodic tick"),
                    background.create_task(self._departures.run_departures(), name="departures"),
                ]
                waiting = [client for client in self.clients if isinstance(client, StandbyClient)]
                watching = self.standby.run_standby(self._connect_queue.enqueue_connect, waiting)
                helpers.append(background.create_task(watching, name="standby"))
                for client in (*self.clients, *self._carriers):
                    self.on_booted(client)
                    if not isinstance(client, StandbyClient | CarriedClient):
                        self._connect_queue.enqueue_connect(client)
                await self._parts.run_parts(asyncio.get_running_loop().time() + lead_s, duration_s, stop)
                staying = [client for client in (*self._carriers, *self.clients) if not client.is_retired]
                await drain_outboxes(staying, at_once)
                self._stopping = True
                for helper in helpers:
                    helper.cancel()
            self._periodic_tick.count_clients()
        finally:
            self._stopping = True
            self.final = self.snapshot()
            online = [client for client in self.clients if client.is_online]
            self._connected_to = Counter(str(client.carrier.broker) for client in online)
            await disconnect_all([*self.clients, *self._carriers], at_once)
        self.standby.close_books()
        devices = [record for client in self.clients for record in device_records(client)]
        self.final = close_books(self.final, devices)
        return self._record("complete", self._clock.now_ms(), devices, self.final)

    async def checkpoint(self, share: float = 0.5) -> RunCheckpoint:
        """Return the record as it is now, while the run goes on; takes no more than this share of the processor."""
        head = self._record("running", self._clock.now_ms(), [], self.snapshot())
        devices, totals = await encode_so_far(self.clients, share)
        return RunCheckpoint(head=head, devices=devices, totals=totals)

    # -- another scenario

    async def apply(self, scenario: Scenario) -> ScenarioChange:
        """Go on with another scenario: devices come, go and change, and all other connections stay as they are.

        Raises `ConfigError`, and changes nothing, where it differs in what cannot change, or cannot be run, and
        `ServiceUnavailable` where the fleet does not run.
        """
        async with self._applying:
            members = await self._membership()
            plan = await asyncio.to_thread(members.plan, scenario)
            has_logins = scenario.identities or any(group.identities for group in scenario.devices)
            if has_logins and plan.coming:
                pool = await asyncio.to_thread(broker_pool_for, scenario, members.active_logins(plan))
                self._brokers.identities = pool.identities
            part = await self._build_part(plan) if plan.coming else None
            if not self._parts.is_running:
                raise ServiceUnavailable("the run is not under way: its devices cannot be changed now")
            # Nothing is waited for from here on: the change is made as a whole.
            arrived = [] if part is None else part.clients
            members.enter(plan, arrived)
            self._take_out(plan, {client.device.client_id: client.carrier for client in arrived})
            for client, interval_ms in plan.intervals:
                self._parts.part_with(client).change_interval(client, interval_ms)
            if part is not None:
                waiting = set(self._successors.values())
                self._let_in(part, [client for client in arrived if client.carrier not in waiting])
            self._record_change(plan, part)
            return plan.change

    async def members(self) -> FleetMembership:
        """Return who is in the fleet now."""
        if self._members is not None:
            return self._members
        async with self._applying:
            return await self._membership()

    async def _membership(self) -> FleetMembership:
        if self._members is None:
            self._members = await asyncio.to_thread(FleetMembership, self._scenario, self._shard, self.clients)
        return self._members

    def part_with(self, client: DeviceClient) -> FleetPart:
        """Return the part that a device belongs to."""
        return self._parts.part_with(client)

    @property
    def computed_until_ms(self) -> int:
        """Return the devices' time before which everything is computed: changes begin there."""
        return self._parts.computed_until_ms

    def has_reached(self, at_ms: int) -> bool:
        """Return whether the devices are computed up to a moment of their time: where it is a barrier, not beyond."""
        return self._parts.have_reached(at_ms)

    def pass_barrier(self, at_ms: int) -> None:
        """Go on beyond a barrier."""
        self._barriers = [one for one in self._barriers if one > at_ms]
        self._parts.pass_barrier(at_ms)

    @property
    def is_running(self) -> bool:
        """Return whether readings are taken, so that devices can be changed."""
        return self._parts.is_running

    async def _build_part(self, plan: MembershipPlan) -> FleetPart:
        """Return what comes, not yet running; it is built beside what runs."""
        if self._barriers and self._parts.have_reached(self._barriers[0]):
            # The same moment in every run, however late this one is and however many processes it has.
            begin_ms = self._barriers[0]
            begin_ms += round(self._time.scale_at(begin_ms) * plan.lead_ms(1))
        else:
            begin_ms = max(self._parts.computed_until_ms, self.device_time_ms())
            begin_ms += round(self._time.scale_at(begin_ms) * plan.lead_ms(self._shard.count))
        coming, scenario = plan.coming, plan.scenario
        timeline = await asyncio.to_thread(Timeline, scenario, begin_ms, in_dialects=True, only=coming)
        part = FleetPart(self, timeline, begin_ms, self._time, self._messages, self._barriers)
        # A part that is new boots with its device.
        known = {client.device.whole_id: client for client in plan.known.values()}
        for position, device in enumerate(timeline.devices):
            before = known.get(device.whole_id)
            if before is not None:
                self._begin_above(part, position, before)
        numbers = [coming[device.device_id] for device in timeline.devices]
        for client in self._client_factory.create_clients(part, scenario, numbers):
            part.clients.append(client)
            if len(part.clients) % BUILT_AT_ONCE == 0:
                await asyncio.sleep(0)
        return part

    def _begin_above(self, part: FleetPart, position: int, before: DeviceClient) -> None:
        """Let a device begin with a boot that is greater than all of the one that had its id before."""
        least_boot = before.least_boot
        if not before.is_gone:
            # It may still be reset.
            earlier = self._parts.part_with(before)
            least_boot = max(least_boot, earlier.timeline.boot_at(earlier.position_of(before), part.begin_ms) + 1)
        if least_boot > part.timeline.boot:
            part.boots[position] = part.timeline.overrides.begin_boot(position, part.begin_ms, least_boot)

    def _take_out(self, plan: MembershipPlan, arrived: Mapping[str, DeviceClient]) -> None:
        """Let devices leave, and remember who takes their places."""
        by_part: dict[FleetPart, list[DeviceClient]] = {}
        for client in plan.leaving:
            by_part.setdefault(self._parts.part_with(client), []).append(client)
            if isinstance(client, StandbyClient):
                self.standby.unwatch_client(client)
            # Two may not have one client id at once.
            successor = arrived.get(client.device.client_id)
            if successor is not None:
                self._successors[client.carrier] = successor
        for part, clients in by_part.items():
            part.take_out(clients, partial(self._departures.begin, clients))

    def _let_in(self, part: FleetPart, newcomers: Sequence[DeviceClient]) -> None:
        self.clients += part.clients
        self.losses.devices += len(part.clients)
        self._unconnected += len(part.clients)
        self._parts.add_part(part)
        carriers = dict.fromkeys(client.carrier for client in part.clients)
        for client in dict.fromkeys([*part.clients, *carriers]):
            self.on_booted(client)
        for client in dict.fromkeys(client.carrier for client in newcomers):
            self._connect_first(client)

    def _connect_first(self, client: DeviceClient) -> None:
        if isinstance(client, StandbyClient):
            self.standby.welcome(client)
        else:
            self._connect_queue.enqueue_connect(client)

    def _on_gone(self, client: DeviceClient) -> None:
        """Count a device that has left, and let the one connect that takes its place."""
        self.acks.forget_sample(client)
        self.losses.devices -= 1
        self._parts.part_with(client).on_gone()
        successor = self._successors.pop(client.carrier, None)
        if successor is not None:
            self._connect_first(successor)

    def _record_change(self, plan: MembershipPlan, part: FleetPart | None) -> None:
        change, digest = plan.change, scenario_digest(plan.scenario)
        self._reloads.append(
            ReloadRecord(
                at_ms=self._clock.now_ms(),
                scenario_sha256=digest,
                devices=sum(group.size for group in plan.scenario.devices),
                added=len(change.added),
                removed=len(change.removed),
                replaced=len(change.replaced),
                intervals=len(change.intervals),
            )
        )
        if part is not None:
            spoken = spoken_scenario(plan.scenario)
            self._later_speech[part] = spoken, digest
        log.info("scenario applied", change=change.summary())
        for note in change.notes:
            log.warning(note)

    def _count_first(self, devices: int = 1) -> None:
        """Count so many more devices that are connected for the first time."""
        self._unconnected -= devices
        if not self._unconnected and self.connected_after_s is None:
            self.connected_after_s = self._clock.monotonic() - self._began
            self._lag_before = self._parts.lag()
            log.debug("all connected", devices=len(self.clients), after_s=round(self.connected_after_s, 2))

    @cached_property
    def _scenario_sha256(self) -> str:
        return scenario_digest(self._scenario)

    @cached_property
    def _spoken(self) -> dict[str, Any] | None:
        return spoken_scenario(self._scenario)

    @property
    def _spoken_of_start(self) -> dict[str, Any] | None:
        """Return the scenario of the start, where devices that need it have been there, or came later."""
        if self._spoken is None and any(spoken for spoken, _ in self._later_speech.values()):
            return spoken_scenario(self._scenario, always=True)
        return self._spoken

    def _powered_parts(self) -> list[PoweredPart]:
        """Return which devices were powered on together, and what changed of them."""
        found = []
        for part in self._parts:
            spoken, digest = self._later_speech.get(part, (None, ""))
            is_later = part in self._later_speech
            devices = part.timeline.devices
            found.append(
                PoweredPart(
                    shard=(self._shard.index, self._shard.count),
                    power_on_ms=part.timeline.start_ms,
                    begun_ms=part.begin_ms,
                    spoken=spoken,
                    scenario_sha256=digest,
                    device_ids=[device.device_id for device in devices] if is_later else None,
                    boots={devices[position].device_id: boot for position, boot in part.boots.items()},
                    intervals=[
                        IntervalChange(at_ms=at_ms, interval_ms=interval_ms, device_ids=ids)
                        for (at_ms, interval_ms), ids in part.interval_changes.items()
                    ],
                )
            )
        return found

    def _record(
        self,
        state: Literal["running", "complete"],
        stopped_ms: int,
        devices: list[DeviceRecord],
        snapshot: FleetSnapshot,
    ) -> RunRecord:
        return fleet_record(
            self._scenario,
            devices,
            snapshot,
            state=state,
            run_id=self._run_id,
            scenario_sha256=self._scenario_sha256,
            shard=self._shard,
            # Boots that begin in a time that is ahead of the wall's are those of a later run, too.
            fixed_boots=self._fixed_boots or (self._time.count > 0 and self._time.fastest > 1),
            name=self._name,
            broker=str(self._brokers),
            started_ms=self._started_ms,
            stopped_ms=stopped_ms,
            sim_started_ms=self._sim_started_ms,
            time_changes=[TimeChange(at_ms=at_ms, time_scale=scale) for at_ms, scale in self._time.changes],
            powered=self._powered_parts(),
            spoken=self._spoken_of_start,
            duration_s=self._duration_s,
            messages=self._messages,
            connected_after_s=self.connected_after_s,
            standby=self.standby.spans(),
            side_messages=self._side_messages,
            reloads=self._reloads,
            connected_to=self._connected_to,
            gateways=[carrier_record(one) for one in self._carriers],
        )
