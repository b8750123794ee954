"""Counts the fleet at a moment, in numbers that several processes can add up.

What is too dear to keep up to date is counted in the regular round over all devices, which also keeps their connections
alive. It goes a few devices at a time, spread over the round, so that no message waits for it.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace

from devices.fleet.carrier_client import CarrierClient
from devices.fleet.device_client import DeviceClient
from devices.fleet.incidents import Incidents
from devices.fleet.latency import Histogram
from edgewire.os_support import own_usage, page_bytes

# Devices that are looked at in one go, and at the most where a busy loop has woken us late.
SLICE = 200
LARGEST_SLICE = 2000
# What a look at one device takes (3.7 µs of a quiet core were measured, and a third less since, on a busy one), and
# which part of its core, or of its part of one, a process may take for all of them.
LOOK_S, LOOK_SHARE = 2.5e-6, 0.02


@dataclass(slots=True)
class Gauges:
    """Holds sums over devices: those of one kind, or all."""

    devices: int = 0
    connected: int = 0
    resting: int = 0
    standby: int = 0
    emitted: int = 0
    acknowledged: int = 0
    sent_qos0: int = 0
    inflight: int = 0
    buffered: int = 0
    collecting: int = 0
    stalled: int = 0
    dropped: int = 0
    dropped_by_fault: int = 0
    reconnects: int = 0

    def count_client(self, client: DeviceClient) -> None:
        """Count one device."""
        firmware = client.firmware
        waiting = firmware.outbox.readings
        if not client.is_retired:
            self.devices += 1
            if client.is_online:
                self.connected += 1
                if waiting and client.is_stalled:
                    self.stalled += waiting
            elif client.is_withdrawn:
                self.standby += 1
            elif client.is_resting:
                self.resting += 1
        for counters in firmware.all_counters():
            self.emitted += counters.emitted
            self.acknowledged += counters.acknowledged
            self.sent_qos0 += counters.sent_qos0
            if counters.has_dropped:
                self.dropped += len(counters.dropped)
                self.dropped_by_fault += counters.dropped_by_fault
        self.inflight += client.inflight
        self.buffered += waiting
        self.collecting += firmware.collecting
        if client.reconnects > 0:
            self.reconnects += client.reconnects

    def merge(self, other: "Gauges") -> None:
        """Count what another one has counted."""
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))


class KindGauges(dict[str, Gauges]):
    """Holds the sums by the kind of the devices."""

    @classmethod
    def of_kinds(cls, devices: Iterable[str]) -> "KindGauges":
        """Return zeros, but for the number of devices; `devices` has the kind of each."""
        return cls({kind: Gauges(devices=count) for kind, count in Counter(devices).items()})

    @classmethod
    def of_clients(cls, clients: Iterable[DeviceClient]) -> "KindGauges":
        """Return those of these devices as they are now."""
        counted = cls()
        for client in clients:
            counted.count_client(client)
        return counted

    def count_client(self, client: DeviceClient) -> None:
        """Count one device."""
        kind = client.device.kind
        if kind not in self:
            self[kind] = Gauges()
        self[kind].count_client(client)

    def copy(self) -> "KindGauges":
        """Return one to which others can be added."""
        copy = KindGauges()
        copy.merge(self)
        return copy

    def merge(self, other: "KindGauges") -> None:
        """Count what another one has counted, of other devices."""
        for kind, gauges in other.items():
            self.setdefault(kind, Gauges()).merge(gauges)

    def total(self) -> Gauges:
        """Return all kinds together."""
        total = Gauges()
        for gauges in self.values():
            total.merge(gauges)
        return total


@dataclass(slots=True, kw_only=True)
class FleetSnapshot:
    """Holds what live views, metrics and the report are made of. Counts are since the start of the run."""

    devices: int = 0
    connected: int = 0
    resting: int = 0
    """Not connected because they want no connection: they sleep, or are down during a reset."""
    standby: int = 0
    """Not connected because real sensors are in their places."""
    unconnected: int = 0
    """Not connected even once so far."""
    gateways: int = 0
    """Each has one connection for many of the devices."""
    gateways_connected: int = 0
    emitted: int = 0
    acknowledged: int = 0
    sent_qos0: int = 0
    """Handed to the connection at QoS 0: nobody says whether they arrived."""
    inflight: int = 0
    """Published and not yet acknowledged."""
    buffered: int = 0
    """In the outboxes."""
    collecting: int = 0
    """Waiting for others of their message."""
    stalled: int = 0
    """Of those in outboxes: the ones whose device is connected, so that only the broker's window holds them back."""
    dropped: int = 0
    dropped_by_fault: int = 0
    """Of those dropped: by a fault of the scenario or a reset, and not by a full outbox."""
    batches: int = 0
    """Messages that say several readings."""
    batched: int = 0
    """The readings in them."""
    unsent: int = 0
    """Still in the outboxes when the run was over."""
    unacknowledged: int = 0
    """Sent, and never acknowledged before the run was over or the device was reset."""
    unacknowledged_by_fault: int = 0
    """Of those: what a reset has cut off."""
    unaccounted: int = 0
    """When the run was over: emitted, less all that became of it. Anything but 0 is a mistake of ours."""
    reconnects: int = 0
    failed_dials: int = 0
    refused_dials: int = 0
    """Of the failed dials: those that the broker answered with a refusal."""
    slowed_s: float = 0.0
    """How long the ramp went slower than it was allowed to, because the broker was slow to answer."""
    incidents: Incidents = field(default_factory=Incidents)
    """What the broker refused or ended, by reason."""
    lag: Histogram = field(default_factory=Histogram)
    """Handed to the connection - due."""
    lag_connected: Histogram = field(default_factory=Histogram)
    """Of that, what came after all devices had connected once."""
    puback: Histogram = field(default_factory=Histogram)
    """Acknowledged - published; a sample."""
    connack: Histogram = field(default_factory=Histogram)
    """Accepted by the broker - dialled."""
    elapsed_s: float = 0.0
    """Since the process began to connect, of all processes together."""
    cpu_s: float = 0.0
    """Processor time since then."""
    rss_bytes: int = 0
    """Memory of the process."""
    cpu_periods: int = 0
    """Since then, periods in which the control group of the process wanted the processor; 0 without a quota."""
    cpu_throttled_periods: int = 0
    """Of those: in which its quota was used up."""
    kinds: KindGauges = field(default_factory=KindGauges)
    """The same by kind of device, where it is known by device: as it was in the last round over all devices."""

    @property
    def delivered(self) -> int:
        """Return how many messages left, as far as anybody says: acknowledged, or sent at QoS 0."""
        return self.acknowledged + self.sent_qos0

    @property
    def lost(self) -> int:
        """Return how many messages did not leave, or may not have, for whatever reason; right when the run is over."""
        return self.refused + self.dropped + self.unsent + self.unacknowledged + max(0, self.unaccounted)

    @property
    def not_connected(self) -> int:
        """Return how many devices have no connection though they want one."""
        return self.devices - self.connected - self.resting - self.standby

    @property
    def refused(self) -> int:
        """Return how many messages the broker refused."""
        return self.incidents.refused.total()

    @property
    def gateways_not_connected(self) -> int:
        """Return how many gateways have no connection, each of which all its devices miss."""
        return self.gateways - self.gateways_connected

    def without_connections(self) -> "FleetSnapshot":
        """Return the same fleet with no device connected, resting or in standby: nobody vouches for them any more."""
        kinds = KindGauges({kind: replace(one, connected=0, resting=0, standby=0) for kind, one in self.kinds.items()})
        return replace(self, connected=0, gateways_connected=0, resting=0, standby=0, kinds=kinds)

    @classmethod
    def total(cls, parts: "Iterable[FleetSnapshot]") -> "FleetSnapshot":
        """Return all of them together."""
        total = cls()
        for part in parts:
            for item in fields(cls):
                value = getattr(part, item.name)
                if isinstance(value, Histogram | Incidents | KindGauges):
                    getattr(total, item.name).merge(value)
                else:
                    setattr(total, item.name, getattr(total, item.name) + value)
        return total


def process_usage() -> tuple[float, int]:
    """Return processor time (s) and memory (bytes) of this process."""
    cpu_s, most_bytes = own_usage()
    return cpu_s, _rss_bytes(most_bytes)


def _rss_bytes(most_bytes: int) -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * page_bytes()
    except OSError:
        # Without /proc only the largest so far is known.
        return most_bytes


class PeriodicTick:
    """Goes over the clients once every `period_s`; `kinds` are the gauges of the last whole round.

    Of many clients a round takes longer, up to `longest_s`, where no client needs more care: 15,000 would take 4 % of a
    core. `core_share` is which part of a core the process has. `carriers` have the connections of some of the clients,
    and are not counted themselves.
    """

    def __init__(
        self,
        clients: Sequence[DeviceClient],
        period_s: float,
        carriers: Sequence[CarrierClient] = (),
        longest_s: float = 0.0,
        core_share: float = 1.0,
    ) -> None:
        self._clients = clients
        self._carriers = carriers
        self._period_s = period_s
        self._longest_s = longest_s
        self._share = LOOK_SHARE * core_share
        self.kinds = KindGauges.of_kinds(client.device.kind for client in clients)

    async def run_ticks(self) -> None:
        """Go round until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            # Others may come at any time.
            everyone = [*self._clients, *self._carriers] if self._carriers else self._clients
            devices, period_s = len(self._clients), self._round_s()
            pause_s = period_s * min(1.0, SLICE / max(1, len(everyone)))
            began, done, kinds = loop.time(), 0, KindGauges()
            while done < len(everyone):
                await asyncio.sleep(pause_s)
                # A busy loop wakes us late: then more of them at once, or the round would never end.
                due = round((loop.time() - began) / period_s * len(everyone))
                stop = max(done + 1, min(due, done + LARGEST_SLICE))
                for client in everyone[done : min(stop, devices)]:
                    client.tick()
                    kinds.count_client(client)
                for carrier in everyone[max(done, devices) : stop]:
                    carrier.tick()
                done = stop
            self.kinds = kinds
            if not everyone:
                await asyncio.sleep(self._period_s)

    def _round_s(self) -> float:
        """Return how long the next round is to take."""
        wanted_s = min(self._longest_s, len(self._clients) * LOOK_S / self._share)
        if wanted_s <= self._period_s or self._carriers or any(client.needs_care for client in self._clients):
            return self._period_s
        return wanted_s

    def count_clients(self) -> KindGauges:
        """Return the gauges as they are now; takes long where there are many devices."""
        self.kinds = KindGauges.of_clients(self._clients)
        return self.kinds
