"""`python -m benchmarks.plan DEVICES --every SECONDS`: what a fleet of so many devices needs, by what was measured.

It computes and runs nothing. Every constant says where it was measured; what a machine has and costs is for the user to
say. It is a plan on paper: 250,000 devices at once are the most that were run.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil

PROCESS_DEVICES = 16_700
"""Devices of one process: a fifteenth of 250,000, benchmarks/RESULTS.md, large fleets."""
BROKER_DEVICES = 16_700
"""Devices of one Mosquitto, ibid.; more were not tried."""
DEVICE_BYTES = 3_762
"""Of a device in the fleet's process, 90 % bme280, ibid."""
PROCESS_BYTES = 90 * 2**20
"""Of a process without devices: docs/fleet.md."""
BROKER_BYTES = 8 * 2**20
"""Of a Mosquitto 2.0.11 without devices: `python -m benchmarks.broker_cost`."""
SESSION_BYTES = 3_541
"""Of a device in it, ibid."""
SOCKET_BYTES = 3_712
"""Of a socket in the kernel at rest: TCP, sock_inode_cache, filp, dentry and epitem of /proc/slabinfo, Linux 6.18."""
MESSAGE_US = 71.0
"""Of CPU for a QoS 1 message where each wakes its process anew: of 15,000 devices, RESULTS.md, as the fleet grows."""
BROKER_MESSAGE_US = 23.0
"""Of CPU of Mosquitto for a message in and out: `python -m benchmarks.broker_cost`."""
CONNECT_US = 590.0
"""Of CPU for a connect, broker and device together: two cores had 250,000 in 74 s, RESULTS.md."""
BRIDGE_PER_S = 16_000
"""Messages a second of a bridge to HTTP and Kafka, with broker, sinks and ingest on the same two cores: RESULTS.md."""
BRIDGE_CORES = 2
PORTS = 28_232
"""Local ports of an address, towards one address and port: net.ipv4.ip_local_port_range as Linux has it."""
SPARE_FILES = 64
"""Descriptors of a process beside its devices'."""
WIRE_BYTES = 250
"""Of a QoS 1 message beside its payload, with its PUBACK: topic and MQTT header 56 bytes, and TCP/IP of two segments,
and of those that acknowledge them."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Says what one machine has, and how far it is used."""

    cores: int
    memory_gib: float
    load: float
    """Share of its cores and its memory that the plan uses."""

    def needed(self, cores: float, memory_bytes: float) -> int:
        """Return how many of these have so many cores and so much memory together."""
        by_memory = memory_bytes / (self.memory_gib * 2**30 * self.load)
        return max(1, ceil(cores / (self.cores * self.load)), ceil(by_memory))


@dataclass(frozen=True, slots=True)
class Plan:
    """Holds what is needed; a field a line of the table."""

    devices: int
    messages_per_s: float
    fleet_processes: int
    fleet_cores: float
    fleet_memory_gib: float
    fleet_machines: int
    addresses_a_machine: int
    """Source addresses of a fleet's machine: where it reaches brokers at so many addresses and ports."""
    files_a_process: int
    brokers: int
    broker_cores: float
    broker_memory_gib: float
    broker_machines: int
    bridge_members: int
    bridge_machines: int
    kafka_mb_per_s: float
    """What a topic takes in, once, without replicas, headers and compression."""
    network_mbit_a_machine: float
    """Each way, of a fleet's machine."""
    connected_after_s: float
    """At the least, by the cores of fleet and brokers."""
    machines: int
    cost: float | None
    """In the currency of the price of a machine's hour; None where that is not given."""


def plan(
    devices: int,
    every_s: float,
    machine: Machine,
    *,
    payload_bytes: int = 300,
    broker_devices: int = BROKER_DEVICES,
    broker_addresses: int | None = None,
    machine_hour: float | None = None,
    hours: float = 1.0,
) -> Plan:
    """Return the plan. `broker_addresses` is 1 where a load balancer is before all brokers; None for one each."""
    rate = devices / every_s
    processes, brokers = ceil(devices / PROCESS_DEVICES), ceil(devices / broker_devices)
    fleet_cores, broker_cores = rate * MESSAGE_US / 1e6, rate * BROKER_MESSAGE_US / 1e6
    fleet_bytes = devices * (DEVICE_BYTES + SOCKET_BYTES) + processes * PROCESS_BYTES
    fleet_machines = machine.needed(fleet_cores, fleet_bytes)
    # A Mosquitto is one thread: of one that has more to do than a core can there have to be more.
    brokers = max(brokers, ceil(broker_cores / machine.load))
    broker_bytes = devices * (SESSION_BYTES + SOCKET_BYTES) + brokers * BROKER_BYTES
    broker_machines = machine.needed(broker_cores, broker_bytes)
    members = ceil(rate / (BRIDGE_PER_S * machine.load))
    bridge_machines = max(1, ceil(members * BRIDGE_CORES / machine.cores))
    machines = fleet_machines + broker_machines + bridge_machines
    on_machine = ceil(devices / fleet_machines)
    connecting_cores = (fleet_machines + broker_machines) * machine.cores * machine.load
    return Plan(
        devices=devices,
        messages_per_s=rate,
        fleet_processes=processes,
        fleet_cores=fleet_cores,
        fleet_memory_gib=fleet_bytes / 2**30,
        fleet_machines=fleet_machines,
        addresses_a_machine=ceil(on_machine / (broker_addresses or brokers) / PORTS),
        files_a_process=min(PROCESS_DEVICES, devices) + SPARE_FILES,
        brokers=brokers,
        broker_cores=broker_cores,
        broker_memory_gib=broker_bytes / 2**30,
        broker_machines=broker_machines,
        bridge_members=members,
        bridge_machines=bridge_machines,
        kafka_mb_per_s=rate * payload_bytes / 1e6,
        network_mbit_a_machine=rate * (payload_bytes + WIRE_BYTES) * 8 / 1e6 / fleet_machines,
        connected_after_s=devices * CONNECT_US / 1e6 / connecting_cores,
        machines=machines,
        cost=None if machine_hour is None else machines * machine_hour * hours,
    )


def table(made: Plan, machine: Machine) -> list[str]:
    """Return the plan as lines that a person reads."""
    rows = [
        ("devices, messages a second", f"{made.devices:,}, {made.messages_per_s:,.0f}"),
        ("fleet: processes, machines", f"{made.fleet_processes:,}, {made.fleet_machines:,}"),
        ("  cores and memory that are used", f"{made.fleet_cores:,.1f}, {made.fleet_memory_gib:,.0f} GiB"),
        ("  source addresses a machine", f"{made.addresses_a_machine:,}"),
        ("  open files a process", f"{made.files_a_process:,}"),
        ("  network of a machine", f"{made.network_mbit_a_machine:,.0f} Mbit/s"),
        ("brokers, machines", f"{made.brokers:,}, {made.broker_machines:,}"),
        ("  cores and memory that are used", f"{made.broker_cores:,.1f}, {made.broker_memory_gib:,.0f} GiB"),
        ("bridge: members, machines", f"{made.bridge_members:,}, {made.bridge_machines:,}"),
        ("Kafka takes in", f"{made.kafka_mb_per_s:,.0f} MB/s"),
        ("all connected after, at the least", f"{made.connected_after_s:,.0f} s"),
        (f"machines of {machine.cores} cores, {machine.memory_gib:g} GiB", f"{made.machines:,}"),
        ("cost", "say --machine-hour PRICE" if made.cost is None else f"{made.cost:,.2f}"),
    ]
    return [f"{name:40}{value}" for name, value in rows]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    options = _options(arguments)
    machine = Machine(options.cores, options.memory_gib, options.load)
    made = plan(
        options.devices,
        options.every,
        machine,
        payload_bytes=options.payload,
        broker_devices=options.broker_devices,
        broker_addresses=options.broker_addresses,
        machine_hour=options.machine_hour,
        hours=options.hours,
    )
    sys.stdout.write((json.dumps(asdict(made), indent=2) if options.json else "\n".join(table(made, machine))) + "\n")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.plan", description=__doc__)
    add = parser.add_argument
    add("devices", type=_whole)
    add("--every", type=_positive, required=True, metavar="SECONDS", help="between two messages of a device")
    add("--cores", type=_whole, default=32, help="of a machine (32)")
    add("--memory-gib", type=_positive, default=128.0, help="of a machine (128)")
    add("--load", type=_share, default=0.6, help="share of a machine that the plan uses (0.6)")
    add("--payload", type=_whole, default=300, metavar="BYTES", help="of a message (300)")
    add("--broker-devices", type=_whole, default=BROKER_DEVICES, metavar="COUNT", help="of a broker (16,700)")
    add("--broker-addresses", type=_whole, metavar="COUNT", help="of all brokers: 1 for a load balancer (one each)")
    add("--machine-hour", type=_positive, metavar="PRICE", help="what a machine's hour costs")
    add("--hours", type=_positive, default=1.0, help="that the run takes (1)")
    add("--json", action="store_true", help="JSON instead of a table")
    return parser.parse_args(arguments)


def _positive(text: str) -> float:
    return _number(text, 1e12, "a number above 0")


def _share(text: str) -> float:
    return _number(text, 1.0, "a share above 0, at most 1")


def _whole(text: str) -> int:
    value = _number(text, 1e12, wanted := "a whole number above 0")
    if value != int(value):
        raise argparse.ArgumentTypeError(f"{text}: give {wanted}")
    return int(value)


def _number(text: str, most: float, wanted: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= most:
        raise argparse.ArgumentTypeError(f"{text}: give {wanted}")
    return value


if __name__ == "__main__":
    sys.exit(main())
