"""Compares needs with limits: what is enough, what is not, and the exact setting or command that changes it. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any, Literal

from devices.fleet.brokers import is_loopback
from devices.fleet.connect_queue import CONCURRENT_CONNECTS
from edgefleet.doctor.broker_probe import BrokerFacts
from edgefleet.doctor.machine import Machine
from edgefleet.doctor.needs import SPARE_FILES, Needs
from edgewire.mqtt.packets import Version

CheckOutcome = Literal["ok", "warning", "failure"]

# Beyond this a process that publishes is late now and then.
BUSY = 0.7
# Mosquitto works on one core: measured 37,000 messages a second in and out at QoS 1 (mosquitto #2039).
BROKER_MESSAGES_PER_S = 30_000
# Files a broker has open beside its clients'.
BROKER_FILES = 100
MIB = 2**20


@dataclass(frozen=True, slots=True)
class DoctorCheck:
    """Holds one thing that was compared."""

    name: str
    verdict: CheckOutcome
    need: str
    have: str
    fix: str = ""
    """Setting or command to change; empty where all is well."""

    def to_json(self) -> dict[str, Any]:
        """Return it as `doctor --json` prints it."""
        return asdict(self)


def evaluate(needs: Needs, machine: Machine, brokers: Sequence[BrokerFacts]) -> list[DoctorCheck]:
    """Return a check for everything that can be known before the start."""
    checks = [_files(needs, machine), *_ports(needs, machine), *_kernel(needs, machine)]
    checks += [_memory(needs, machine), _cpu(needs, machine)]
    for broker in brokers:
        checks += _broker(needs, broker)
    return checks


def _files(needs: Needs, machine: Machine) -> DoctorCheck:
    need, have = needs.files_a_worker, machine.open_files
    fix = ""
    if need > have:
        workers = ceil(needs.devices / (have - SPARE_FILES)) if have > SPARE_FILES else 0
        more = f"--workers {workers}, or " if workers else ""
        fix = f"{more}ulimit -n {need} (beyond the hard limit as root: prlimit --pid $$ --nofile={need})"
    return DoctorCheck("open files a process", _fails(need > have), f"{need:,}", _number(have), fix)


def _ports(needs: Needs, machine: Machine) -> Iterator[DoctorCheck]:
    if machine.ports is None:
        return
    first, last = machine.ports
    span = last - first + 1
    for url, need in needs.connections_by_broker.items():
        if not url.host:
            continue  # a file
        sources = needs.sources_by_broker[url]
        fix = ""
        if need > sources * span:
            missing = ceil(need / span)
            fix = (
                "sysctl -w net.ipv4.ip_local_port_range='1024 65535'"
                if need <= sources * 64_000
                else f"list {missing} addresses of this machine in the scenario's source_addresses"
            )
        have = f"{sources * span:,}" + (f" from {sources} addresses" if sources > 1 else "")
        yield DoctorCheck(f"local ports to {url.place}", _fails(need > sources * span), f"{need:,}", have, fix)


def _kernel(needs: Needs, machine: Machine) -> Iterator[DoctorCheck]:
    if machine.tracked_connections is not None:
        now, most = machine.tracked_connections
        # One that has ended is tracked for up to two minutes more, so after an outage there are twice as many.
        need, have = needs.connections, most - now
        verdict: CheckOutcome = "failure" if need > have else "warning" if 2 * need > have else "ok"
        fix = "" if verdict == "ok" else f"sysctl -w net.netfilter.nf_conntrack_max={2 * need + now}"
        text = f"{need:,}, twice that after an outage"
        yield DoctorCheck("connections that the firewall tracks", verdict, text, f"{have:,} of {most:,}", fix)
    here = [need for url, need in needs.connections_by_broker.items() if is_loopback(url.host)]
    if machine.listen_backlog is not None and here:
        backlog, have = min(max(here), CONCURRENT_CONNECTS), machine.listen_backlog
        short = backlog > have
        fix = "sysctl -w net.core.somaxconn=4096, then start the broker again" if short else ""
        yield DoctorCheck(
            "connections that wait to be accepted", "warning" if short else "ok", f"{backlog:,}", f"{have:,}", fix
        )


def _memory(needs: Needs, machine: Machine) -> DoctorCheck:
    need, have, limit = needs.memory_bytes, machine.memory_bytes, machine.memory_limit_bytes
    short = have is not None and need > have
    fix = f"fewer devices on this machine: --shard 0/{ceil(need / max(have or 1, 1))} here" if short else ""
    text = "unknown" if have is None else f"{have // MIB:,} MiB"
    if limit is not None:
        text += f" of the {limit // MIB:,} MiB that its control group may have"
        # Less than a process takes by itself is no matter of devices.
        if short:
            more = f"a memory limit of {ceil((limit + need - (have or 0)) / MIB):,} MiB for the container"
            fix = more if (have or 0) < needs.memory_without_devices_bytes else f"{more}, or {fix}"
    return DoctorCheck("memory", _fails(short), f"{need // MIB:,} MiB", text, fix)


def _cpu(needs: Needs, machine: Machine) -> DoctorCheck:
    need, have = needs.cpu_cores, machine.cores
    fix = ""
    verdict: CheckOutcome = "ok"
    if need > have:
        verdict, fix = "failure", f"longer intervals, or several machines: --shard 0/{ceil(need / (have * BUSY))} here"
    elif need > needs.workers * BUSY:
        workers = min(ceil(need / BUSY), ceil(have))
        if workers > needs.workers:
            verdict, fix = ("failure" if need > needs.workers else "warning"), f"--workers {workers}"
        else:
            verdict, fix = "warning", "longer intervals, or several machines with --shard"
    whose = "" if machine.cpu_quota_cores is None else " (the quota of its control group)"
    text = f"{have:g} cores{whose}, {needs.workers} of them used"
    if needs.workers >= have:
        text = f"{have:g} cores{whose}, shared with all else that runs here"
    return DoctorCheck("processor", verdict, f"{need:.2f} cores for {needs.messages_per_s:,.0f} messages/s", text, fix)


def _broker(needs: Needs, broker: BrokerFacts) -> Iterator[DoctorCheck]:
    limits, name = broker.limits, f"broker {broker.url.place}"
    clients = needs.all_connections_by_broker.get(broker.url, 0)
    yield _broker_connections(name, clients, broker)
    yield _broker_messages(name, needs)
    need, have = needs.largest_packet_bytes, limits.maximum_packet_size
    fix = f"max_packet_size {2 * need} in mosquitto.conf" if need > have else ""
    yield DoctorCheck(f"{name}, packet size", _fails(need > have), f"{need:,} bytes", f"{have:,} bytes", fix)
    fix = f"max_qos {needs.highest_qos} in mosquitto.conf, or qos: {limits.maximum_qos} in the scenario"
    wrong = needs.highest_qos > limits.maximum_qos
    yield DoctorCheck(
        f"{name}, QoS", _fails(wrong), str(needs.highest_qos), str(limits.maximum_qos), fix if wrong else ""
    )
    if not limits.retain_available:
        fix = "retain_available true in mosquitto.conf, or live without: who comes later sees no status"
        yield DoctorCheck(f"{name}, retained status", "warning", "retained messages", "not allowed", fix)
    yield from _sessions(name, needs, broker)


def _broker_messages(name: str, needs: Needs) -> DoctorCheck:
    rate = needs.messages_per_s_by_broker
    have = f"about {BROKER_MESSAGES_PER_S:,}/s of a Mosquitto on one core"
    if rate <= BROKER_MESSAGES_PER_S:
        return DoctorCheck(f"{name}, messages", "ok", f"{rate:,.0f}/s", have)
    brokers = ceil(rate * len(needs.all_connections_by_broker) / BROKER_MESSAGES_PER_S)
    return DoctorCheck(
        f"{name}, messages", "warning", f"{rate:,.0f}/s", have, f"{brokers} brokers in the scenario's broker"
    )


def _broker_connections(name: str, clients: int, broker: BrokerFacts) -> DoctorCheck:
    if broker.process is None:
        seen = broker.sys.get("$SYS/broker/clients/connected")
        have = "not visible from here" + (f"; {seen} connected now" if seen else "")
        return DoctorCheck(f"{name}, connections", "ok", f"{clients:,}", have)
    pid, files = broker.process
    need = clients + BROKER_FILES
    fix = f"prlimit --pid {pid} --nofile={need}, and no max_connections below {clients} in its configuration"
    return DoctorCheck(
        f"{name}, open files", _fails(need > files), f"{need:,}", _number(files), fix if need > files else ""
    )


def _sessions(name: str, needs: Needs, broker: BrokerFacts) -> Iterator[DoctorCheck]:
    """Yield what a broker of version 5 may decide otherwise than the scenario asks."""
    if broker.version is not Version.V5:
        return
    limits = broker.limits
    yield DoctorCheck(f"{name}, in flight", "ok", "1 or more a device", f"{limits.receive_maximum:,}")
    if 0 < limits.keep_alive_s < needs.keep_alive_s:
        fix = f"keep_alive: {limits.keep_alive_s}s in the scenario"
        yield DoctorCheck(f"{name}, keep alive", "warning", f"{needs.keep_alive_s} s", f"{limits.keep_alive_s} s", fix)
    if limits.session_expiry_s < needs.session_expiry_s:
        have = f"{limits.session_expiry_s} s"
        fix = f"session_expiry: {limits.session_expiry_s}s in the scenario, or a longer one in the broker"
        yield DoctorCheck(f"{name}, session expiry", "warning", f"{needs.session_expiry_s} s", have, fix)


def _fails(failed: bool) -> CheckOutcome:
    return "failure" if failed else "ok"


def _number(value: int) -> str:
    return "unlimited" if value >= 2**62 else f"{value:,}"
