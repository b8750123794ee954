"""The fleet beside other MQTT clients and beside C, all on one Mosquitto: CPU a message, saturation, and growth.

Everybody has the same number of connections, takes turns on them and waits for PUBACKs in the same way. The others
send a payload made in advance; the fleet models, encodes and accounts for each. A library that is not installed is left
out, and named; peers written in Go (mqtt-benchmark, emqtt-bench) are not built here.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from benchmarks.formats import FORMATS
from benchmarks.sampling import table
from edgefleet.embedded import MosquittoProcess
from edgewire.messages import CONTRACT

CONNECTIONS = 300
"""What paho and aiomqtt can hold: select() ends at 1,024 descriptors, three a client."""
RATE, SECONDS = 3000, 5.0
SLOW = 1000
"""Messages a second for those that cannot keep up with `RATE` on one core."""
FLAT_OUT = 100_000
MANY = 1000
"""Connections at saturation, of those who can hold them: a device measures every 10 ms at the least, so these ask for
`FLAT_OUT` together, three times what a core of this machine can send."""
ROUNDS = 5
GROWTH = (100, 1000, 15_000)
GROWTH_RATE = 1500
OPEN_FILES = 20_000
LIBRARIES = {"gmqtt": "gmqtt", "paho": "paho-mqtt", "aiomqtt": "aiomqtt"}
"""Clients that are not ours, and what to install for them."""
_MISSING = {
    client: package
    for client, package in LIBRARIES.items()
    if find_spec("paho" if client == "paho" else client) is None
}


def run() -> list[str]:
    """All tables."""
    with tempfile.TemporaryDirectory() as folder:
        floor = compile_floor(Path(folder))
        return [
            *_clients(floor),
            "",
            *_stages(),
            "",
            *_kinds(),
            "",
            *_formats(),
            "",
            *_saturation(floor),
            "",
            *_growth(),
        ]


def compile_floor(folder: Path) -> Path:
    """Return the program in C, made in this folder."""
    floor = folder / "floor"
    subprocess.run(["cc", "-O2", "-o", floor, Path(__file__).with_name("floor.c")], check=True)
    return floor


def measure(
    client: str | Path, connections: int, rate: float, seconds: float, qos: int, tree: Path | None = None
) -> dict[str, Any]:
    """One client on a Mosquitto of its own; what is Python imported from `tree`."""
    command = [str(client)] if isinstance(client, Path) else [sys.executable, "-m", "benchmarks.peers", client]
    with MosquittoProcess() as broker:
        numbers = [str(connections), str(rate), str(seconds), str(qos)]
        done = subprocess.run(
            ["prlimit", f"--nofile={OPEN_FILES}", *command, "127.0.0.1", str(broker.port), *numbers],
            capture_output=True,
            timeout=300,
            check=False,
            cwd=tree,
            env=None if tree is None else os.environ | {"PYTHONPATH": str(tree)},
        )
    if done.returncode:
        sys.exit(f"benchmarks: {client} failed: {done.stderr.decode()[-500:]}")
    result: dict[str, Any] = orjson.loads(done.stdout.splitlines()[-1])
    return result


def cost_us(result: dict[str, Any]) -> float:
    """Return the CPU of a message that was acknowledged."""
    return float(result["cpu_s"] / max(1, result["acknowledged"]) * 1e6)


def _clients(floor: Path) -> list[str]:
    lines = [
        f"## CPU of a published message: {CONNECTIONS} connections, {RATE:,} messages a second",
        "",
        f"paho-mqtt and aiomqtt at {SLOW:,} a second. The fleet's figure has its sensor models, JSON and books in it.",
        "",
        "| client | QoS 0 | QoS 1 | QoS 1 against C |",
        "|---|---:|---:|---:|",
    ]
    least = 0.0
    for name, client, rate in _installed(
        ("C, one send() a message", floor, RATE),
        ("edgefleet run", "edgefleet", RATE),
        ("gmqtt on uvloop", "gmqtt", RATE),
        ("paho-mqtt, a thread each", "paho", SLOW),
        ("aiomqtt", "aiomqtt", SLOW),
    ):
        costs = [cost_us(measure(client, CONNECTIONS, rate, SECONDS, qos)) for qos in (0, 1)]
        least = least or costs[1]
        lines.append(f"| {name} | {costs[0]:.0f} µs | {costs[1]:.0f} µs | {costs[1] / least:.1f} × |")
    return [*lines, *_left_out()]


def _installed(*rows: tuple[str, str | Path, int]) -> list[tuple[str, str | Path, int]]:
    """Return those rows, of name, client and a number, whose client can be run here."""
    return [row for row in rows if row[1] not in _MISSING]


def _left_out() -> list[str]:
    """Say which clients have no row, and what brings them."""
    if not _MISSING:
        return []
    return ["", f"Without {', '.join(_MISSING)}, not installed here: pip install {' '.join(_MISSING.values())}"]


def _stages() -> list[str]:
    result = measure("sampled", CONNECTIONS, RATE, 2 * SECONDS, 1)
    heading = f"### Where it goes: the fleet's {cost_us(result):.0f} µs of a QoS 1 message at {RATE:,} a second"
    return [heading, "", *table(result["stages"], result["acknowledged"])]


def _formats() -> list[str]:
    return [
        f"### What the devices speak: CPU of a QoS 1 message that is published, {RATE:,} a second",
        "",
        f"Medians of {ROUNDS} rounds. Of Tasmota every second message is a state, of ESPHome each is one value.",
        "",
        *_medians("format", FORMATS, "the contract"),
    ]


def _kinds() -> list[str]:
    return [
        f"### What the devices measure: CPU of a QoS 1 message that is published, {RATE:,} a second",
        "",
        f"Medians of {ROUNDS} rounds.",
        "",
        *_medians("kind", CONTRACT, "bme280"),
    ]


def _medians(what: str, names: Iterable[str], first: str) -> list[str]:
    """Return a table of all in turn, several times: the processor is not the same from one minute to the next."""
    rounds = [{name: cost_us(measure(name, CONNECTIONS, RATE, SECONDS, 1)) for name in names} for _ in range(ROUNDS)]
    medians = {name: median(one[name] for one in rounds) for name in rounds[0]}
    least = next(iter(medians.values()))
    return [
        f"| {what} | CPU a message | against {first} |",
        "|---|---:|---:|",
        *(f"| {name} | {cost:.0f} µs | {cost / least:.2f} × |" for name, cost in medians.items()),
    ]


def _saturation(floor: Path) -> list[str]:
    lines = [
        "## Saturation at QoS 1, broker and client on the same cores",
        "",
        f"Everybody is asked for {FLAT_OUT:,} messages a second.",
        "",
        "| client | connections | acknowledged a second | CPU a message |",
        "|---|---:|---:|---:|",
    ]
    for name, client, messages in _installed(
        ("C", floor, 200_000),
        ("edgefleet run", "edgefleet", 400_000),
        ("gmqtt on uvloop", "gmqtt", 60_000),
        ("paho-mqtt", "paho", 10_000),
        ("aiomqtt", "aiomqtt", 10_000),
    ):
        # The fleet is measured for a time; the others send so many messages.
        connections = CONNECTIONS if client in ("paho", "aiomqtt") else MANY
        result = measure(client, connections, FLAT_OUT, messages / FLAT_OUT, 1)
        reached = result["acknowledged"] / result["elapsed_s"]
        lines.append(f"| {name} | {connections:,} | {reached:,.0f} | {cost_us(result):.0f} µs |")
        if client == "edgefleet":
            saturation = reached
    lines += _left_out()
    lines += ["", "| fleet at | messages a second | schedule lag p50 | p99 |", "|---|---:|---:|---:|"]
    for share in (0.5, 0.9):
        result = measure("edgefleet", MANY, saturation * share, SECONDS, 1)
        reached = result["acknowledged"] / result["elapsed_s"]
        lag = f"{result['lag_p50_ms']:.1f} ms | {result['lag_p99_ms']:.1f} ms"
        lines.append(f"| {share:.0%} of saturation | {reached:,.0f} | {lag} |")
    return lines


def _growth() -> list[str]:
    lines = [
        f"## As the fleet grows, at {GROWTH_RATE:,} messages a second in all",
        "",
        "| devices | connected in | connects a second | memory a device | CPU a message | lag p50 / p99 |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    empty = 0.0
    for devices in GROWTH:
        result = measure("edgefleet", devices, GROWTH_RATE, 15, 1)
        empty = empty or result["rss_bytes"]
        memory = f"{(result['rss_bytes'] - empty) / devices / 1024:.1f} KiB" if devices != GROWTH[0] else "–"
        lag = f"{result['lag_p50_ms']:.1f} / {result['lag_p99_ms']:.1f} ms"
        lines.append(
            f"| {devices:,} | {result['connect_s']:.1f} s | {devices / result['connect_s']:,.0f} | {memory} |"
            f" {cost_us(result):.0f} µs | {lag} |"
        )
    return [
        *lines,
        "",
        f"Memory beyond that of {GROWTH[0]} devices, sessions, outboxes and sockets' buffers included. "
        "Lag once all are connected.",
    ]
