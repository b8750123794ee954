"""Needs against limits: what is not enough is named, with the setting that changes it."""

import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from edgefleet.doctor.broker_probe import BrokerFacts
from edgefleet.doctor.checks import DoctorCheck, evaluate
from edgefleet.doctor.machine import Machine
from edgefleet.doctor.needs import Needs
from edgefleet.doctor.report import NotEnough, require_healthy
from edgewire.link import BrokerUrl
from edgewire.mqtt import Version
from edgewire.mqtt.limits import ServerLimits

MACHINE = Machine(open_files=20_000, ports=(32768, 60999), memory_bytes=4 * 2**30, cores=2)
MIB = 2**20
URL = "mqtt://10.0.0.1"


def scenario(count: int = 15_000, interval: str = "10s", broker: Any = URL, **keys: Any) -> Scenario:
    return Scenario(broker=broker, devices=[{"kind": "bme280", "count": count, "interval": interval}], **keys)


def facts(url: str = URL, process: tuple[int, int] | None = None, **limits: Any) -> BrokerFacts:
    given = {"maximum_packet_size": 1_048_576, "keep_alive_s": 65_535, "session_expiry_s": 3600} | limits
    return BrokerFacts(
        url=BrokerUrl.parse(url), version=Version.V5, limits=replace(ServerLimits(), **given), process=process
    )


def wrong(checks: list[DoctorCheck]) -> dict[str, str]:
    return {check.name: f"{check.verdict}: {check.fix}" for check in checks if check.verdict != "ok"}


def test_a_fleet_that_fits_has_nothing_to_change() -> None:
    checks = evaluate(Needs.of(scenario()), MACHINE, [facts()])
    assert wrong(checks) == {}
    assert not any(check.fix for check in checks)
    require_healthy(checks)


def test_too_few_open_files() -> None:
    found = wrong(evaluate(Needs.of(scenario(25_000)), MACHINE, [facts()]))
    assert found["open files a process"] == (
        "failure: --workers 2, or ulimit -n 25300 (beyond the hard limit as root: prlimit --pid $$ --nofile=25300)"
    )
    assert "open files a process" not in wrong(evaluate(Needs.of(scenario(25_000), workers=2), MACHINE, [facts()]))


def test_too_few_ports_to_a_remote_broker() -> None:
    big = scenario(30_000)
    found = wrong(evaluate(Needs.of(big, workers=2), MACHINE, [facts()]))
    assert found == {"local ports to 10.0.0.1:1883": "failure: sysctl -w net.ipv4.ip_local_port_range='1024 65535'"}
    more = Needs.of(big.model_copy(update={"source_addresses": ("10.0.0.8", "10.0.0.9")}), workers=2)
    assert wrong(evaluate(more, MACHINE, [facts()])) == {}
    huge = Needs.of(scenario(100_000, "1m"), workers=6)
    assert "list 4 addresses" in wrong(evaluate(huge, MACHINE, [facts()]))["local ports to 10.0.0.1:1883"]


@pytest.mark.parametrize(
    ("tracked", "expected"),
    [
        (None, {}),
        ((100, 262_144), {}),
        ((240_000, 262_144), "warning: sysctl -w net.netfilter.nf_conntrack_max=270000"),
        ((250_000, 262_144), "failure: sysctl -w net.netfilter.nf_conntrack_max=280000"),
    ],
)
def test_a_firewall_that_tracks_too_few_connections(tracked: tuple[int, int] | None, expected: Any) -> None:
    machine = replace(MACHINE, tracked_connections=tracked)
    found = wrong(evaluate(Needs.of(scenario(15_000)), machine, [facts()]))
    assert found == (expected and {"connections that the firewall tracks": expected})


def test_a_broker_of_this_machine_at_which_too_few_may_wait() -> None:
    machine, fix = replace(MACHINE, listen_backlog=16), "sysctl -w net.core.somaxconn=4096, then start the broker again"
    there, here = evaluate(Needs.of(scenario()), machine, []), scenario(broker="mqtt://127.0.0.1")
    assert wrong(there) == {}
    found = wrong(evaluate(Needs.of(here), machine, []))
    assert found == {"connections that wait to be accepted": f"warning: {fix}"}
    assert wrong(evaluate(Needs.of(here), replace(machine, listen_backlog=4096), [])) == {}


def test_on_loopback_the_ports_suffice() -> None:
    url = "mqtt://127.0.0.1"
    needs = Needs.of(scenario(100_000, "1m", url), workers=6)
    assert wrong(evaluate(needs, MACHINE, [facts(url)])) == {}


def test_a_shard_needs_its_part_and_the_broker_the_whole() -> None:
    needs = Needs.of(scenario(broker=[URL, "mqtt://10.0.0.2"]), shard=Shard(1, 4), workers=3)
    assert (needs.devices, needs.files_a_worker) == (3750, 1550)
    assert sum(needs.connections_by_broker.values()) == 3750
    assert set(needs.all_connections_by_broker.values()) == {7500}
    assert needs.messages_per_s == pytest.approx(375)


def test_several_readings_in_one_message_are_one_message_of_all_of_them() -> None:
    own = {"topic": "p/{id}", "payload": {"t": {"each": "temperature_c"}}}
    fleets = [
        Scenario(broker=URL, devices=[{"kind": "bme280", "count": 60, "interval": "1s", "batch": batch, **own}])
        for batch in (1, 60)
    ]
    one, sixty = map(Needs.of, fleets)
    assert (one.messages_per_s, sixty.messages_per_s) == (pytest.approx(60), pytest.approx(1))
    assert 59 * 4 <= sixty.largest_packet_bytes - one.largest_packet_bytes <= 59 * 8


def test_too_little_memory_and_processor() -> None:
    small = replace(MACHINE, memory_bytes=100 * 2**20, cores=1)
    found = wrong(evaluate(Needs.of(scenario(interval="200ms")), small, [facts()]))
    assert found["memory"] == "failure: fewer devices on this machine: --shard 0/3 here"
    assert found["processor"].startswith("failure: longer intervals, or several machines: --shard 0/")
    two = wrong(evaluate(Needs.of(scenario(interval="400ms")), MACHINE, [facts()]))
    assert two["processor"] == "failure: --workers 2"


def test_a_local_broker_with_too_few_files_is_told_its_command() -> None:
    found = wrong(evaluate(Needs.of(scenario()), MACHINE, [facts(process=(4711, 1024))]))
    assert found["broker 10.0.0.1:1883, open files"] == (
        "failure: prlimit --pid 4711 --nofile=15100, and no max_connections below 15000 in its configuration"
    )


def test_what_connack_says_is_compared() -> None:
    broker = facts(maximum_packet_size=100, maximum_qos=0, retain_available=False, keep_alive_s=30, session_expiry_s=60)
    found = wrong(evaluate(Needs.of(scenario()), MACHINE, [broker]))
    name = "broker 10.0.0.1:1883"
    assert found[f"{name}, packet size"].startswith("failure: max_packet_size")
    assert found[f"{name}, QoS"] == "failure: max_qos 1 in mosquitto.conf, or qos: 0 in the scenario"
    assert found[f"{name}, retained status"].startswith("warning: retain_available true in mosquitto.conf")
    assert found[f"{name}, keep alive"] == "warning: keep_alive: 30s in the scenario"
    assert found[f"{name}, session expiry"].startswith("warning: session_expiry: 60s in the scenario")


@pytest.mark.parametrize("qos", [0, 1])
def test_no_qos_is_asked_for_that_the_scenario_has_not(qos: int) -> None:
    """Statuses, wills and subscriptions follow what the broker has."""
    needs = Needs.of(Scenario(broker="mqtt://10.0.0.1", devices=[{"kind": "bme280", "count": 1, "qos": qos}]))
    found = wrong(evaluate(needs, MACHINE, [facts(maximum_qos=0)]))
    assert ("broker 10.0.0.1:1883, QoS" in found) is (qos > 0)


def test_a_run_that_would_not_come_up_is_one_sentence() -> None:
    with pytest.raises(NotEnough, match=r"would not come up: open files a process: 25,300 needed, 20,000 there"):
        require_healthy(evaluate(Needs.of(scenario(25_000)), MACHINE, [facts()]))


def test_this_machine_can_be_read() -> None:
    machine = Machine.read()
    assert machine.open_files > 0
    assert machine.cores > 0
    assert machine.memory_bytes is not None
    assert machine.memory_bytes > 10 * MIB


def test_a_limit_of_a_container_is_the_memory_there_is_and_named() -> None:
    """Of what a machine of 23,010 MiB shows: what the kernel kills above is what counts."""
    contained = replace(MACHINE, memory_bytes=24 * MIB, memory_limit_bytes=114 * MIB)
    checks = {check.name: check for check in evaluate(Needs.of(scenario(100)), contained, [facts()])}
    assert checks["memory"].have == "24 MiB of the 114 MiB that its control group may have"
    assert checks["memory"].fix == "a memory limit of 181 MiB for the container"
    roomier = replace(contained, memory_bytes=150 * MIB, memory_limit_bytes=160 * MIB)
    assert wrong(evaluate(Needs.of(scenario(100)), roomier, [facts()])) == {}
    assert wrong(evaluate(Needs.of(scenario(100), workers=2), roomier, [facts()])) == {
        "memory": "failure: a memory limit of 281 MiB for the container"
    }
    found = wrong(evaluate(Needs.of(scenario()), roomier, [facts()]))["memory"]
    assert found == (
        "failure: a memory limit of 218 MiB for the container, or fewer devices on this machine: --shard 0/2 here"
    )


@pytest.mark.parametrize("version", [1, 2])
def test_nested_limits_of_either_version_are_read(tmp_path: Path, version: int) -> None:
    root = machine_folder(tmp_path, version)
    read = Machine.read(root)
    own = 3000 * resource.getpagesize()
    assert (read.memory_bytes, read.memory_limit_bytes) == (14 * MIB + own, 114 * MIB)
    assert (read.cores, read.cpu_quota_cores) == (0.5, 0.5)
    assert read.ports == (2000, 3000)
    assert (read.tracked_connections, read.listen_backlog) == ((12, 1000), 4096)
    cpu = next(check for check in evaluate(Needs.of(scenario(10)), read, [facts()]) if check.name == "processor")
    assert cpu.have == "0.5 cores (the quota of its control group), shared with all else that runs here"


def machine_folder(folder: Path, version: int) -> Path:
    """A machine of 23,010 MiB with a group of 114 MiB, of which 100 are used, and half a core, around ours."""
    group = "sys/fs/cgroup" if version == 2 else "sys/fs/cgroup/{}"
    limit, used = (
        ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    )
    files = {
        "proc/meminfo": f"MemTotal: 99999999 kB\nMemAvailable: {23_010 * 1024} kB\n",
        "proc/self/statm": "9000 5000 2000 1 0 1 0\n",
        "proc/sys/net/ipv4/ip_local_port_range": "2000\t3000\n",
        "proc/sys/net/netfilter/nf_conntrack_count": "12\n",
        "proc/sys/net/netfilter/nf_conntrack_max": "1000\n",
        "proc/sys/net/core/somaxconn": "4096\n",
        "proc/self/cgroup": "0::/pod/app\n" if version == 2 else "4:memory:/pod/app\n3:cpu:/pod/app\n",
        "proc/self/mountinfo": "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
        if version == 2
        else "".join(f"31 1 0:2 / /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}\n" for name in ("memory", "cpu")),
        f"{group.format('memory')}/pod/{limit}": f"{114 * MIB}\n",
        f"{group.format('memory')}/pod/{used}": f"{100 * MIB}\n",
        f"{group.format('memory')}/pod/app/{limit}": f"{500 * MIB}\n",
        f"{group.format('memory')}/pod/app/{used}": f"{5 * MIB}\n",
    }
    cpu = f"{group.format('cpu')}/pod"
    files |= (
        {f"{cpu}/cpu.max": "50000 100000\n"}
        if version == 2
        else {f"{cpu}/cpu.cfs_quota_us": "50000\n", f"{cpu}/cpu.cfs_period_us": "100000\n"}
    )
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder
