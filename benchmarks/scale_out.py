"""`python -m benchmarks scale_out`: what a second worker adds, and what a message takes in each way to have several.

Workers of one `edgefleet run`, actors of Ray, and shards as they run in the pods of Kubernetes, each with a Mosquitto
of its own, all on the same cores.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import NamedTuple

import orjson

from edgefleet.embedded import MosquittoProcess

CONNECTIONS = 300
"""Of each worker."""
WORKERS = (1, 2)
RATES_A_WORKER, SECONDS = (10_000, 30_000), 15
"""A third of what a worker can send, and as much."""
SHARDS, SHARDS_RATE, ROUNDS = 2, 3000, 5
"""Workers, actors or pods; messages a second of each; measured in turns."""
# Ray takes 127.0.0.1 for the machine's address towards others, where its nodes do not listen.
_ON_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
_RAY_NODES = Path(__file__).parents[1] / "tests" / "edgefleet" / "launch" / "ray_nodes.py"
_HOW_TO_GET_RAY = "Ray is not installed: pip install 'edgefleet[ray]'"


class _Reached(NamedTuple):
    """Tells what one way has reached."""

    per_s: float
    """Messages that were acknowledged in a second, once all devices were connected."""
    cpu_us: float
    """CPU of the fleet's processes, a message."""


def run() -> list[str]:
    """Both tables."""
    lines = [
        f"## More workers, QoS 1, {CONNECTIONS} connections and a Mosquitto for each, all on the same cores",
        "",
        "| asked of each worker | workers | acknowledged a second | against one | CPU a message |",
        "|---:|---:|---:|---:|---:|",
    ]
    for rate in RATES_A_WORKER:
        one = 0.0
        for workers in WORKERS:
            with _fleet(workers, rate) as (folder, command):
                found = _measured(folder, [[*command, "--workers", str(workers)]], workers)
            one = one or found.per_s
            ratio = found.per_s / one
            lines.append(f"| {rate:,} | {workers} | {found.per_s:,.0f} | {ratio:.2f} × | {found.cpu_us:.0f} µs |")
    return [*lines, "", *_ways()]


def _ways() -> list[str]:
    """In turns, as all have the machine as it is then."""
    ways = ["--workers", "--shard", *(["--ray"] if find_spec("ray") else [])]
    found: dict[str, list[_Reached]] = {way: [] for way in ways}
    with ExitStack() as exits:
        address = exits.enter_context(_ray_cluster()) if "--ray" in ways else ""
        for _ in range(ROUNDS):
            for way in ways:
                with _fleet(SHARDS, SHARDS_RATE) as (folder, command):
                    found[way].append(_measured(folder, _commands(way, command, address), SHARDS))
    names = {"--workers": "workers of one run", "--shard": "shards, as in pods", "--ray": "actors of Ray"}
    least = median(one.cpu_us for one in found["--workers"])
    lines = [
        f"## {SHARDS} × {SHARDS_RATE:,} messages a second in each way to have several processes",
        "",
        f"Medians of {ROUNDS} rounds in turns; CPU of the fleet's own processes, Ray's not among them.",
        *([] if "--ray" in ways else ["", f"{_HOW_TO_GET_RAY}."]),
        "",
        "| way | acknowledged a second | CPU a message | against workers | all rounds |",
        "|---|---:|---:|---:|---|",
    ]
    for way, all_rounds in found.items():
        cpu_us = median(one.cpu_us for one in all_rounds)
        per_s = median(one.per_s for one in all_rounds)
        rounds = ", ".join(f"{one.cpu_us:.0f}" for one in all_rounds)
        lines.append(f"| {names[way]} | {per_s:,.0f} | {cpu_us:.1f} µs | {cpu_us / least:.2f} × | {rounds} |")
    return lines


def _commands(way: str, command: list[str], ray_address: str) -> list[list[str]]:
    if way == "--shard":
        return [[*command, "--shard", f"{shard}/{SHARDS}", "--run-id", "scale-out"] for shard in range(SHARDS)]
    if way == "--ray":
        return [[*command, "--workers", str(SHARDS), "--ray-address", ray_address]]
    return [[*command, "--workers", str(SHARDS)]]


@contextmanager
def _ray_cluster() -> Iterator[str]:
    """Run two nodes on loopback, and yield their address."""
    command = [sys.executable, str(_RAY_NODES)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | _ON_LOOPBACK,
    ) as nodes:
        assert nodes.stdout is not None
        try:
            yield nodes.stdout.readline().decode().strip()
        finally:
            nodes.communicate(timeout=60)


@contextmanager
def _fleet(processes: int, rate_each: float) -> Iterator[tuple[Path, list[str]]]:
    """Run a Mosquitto for each process; yield a folder and the command, without how many processes there are."""
    group = {
        "kind": "bme280",
        "count": CONNECTIONS * processes,
        "qos": 1,
        "interval": f"{round(CONNECTIONS / rate_each * 1000)}ms",
    }
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        urls = [stack.enter_context(MosquittoProcess()).url for _ in range(processes)]
        scenario = {"broker": urls, "broker_list": "fixed", "connects_per_second": 2000, "devices": [group]}
        path = folder / "scale_out.yaml"
        path.write_bytes(orjson.dumps(scenario))
        command = [sys.executable, "-m", "edgefleet", "run", str(path), "--json", "--no-check"]
        yield folder, [*command, "--duration", f"{SECONDS}s"]


def _measured(folder: Path, commands: Sequence[list[str]], processes: int) -> _Reached:
    """Run these at the same time, each with a record of its own."""
    records = [folder / f"run-{number}" for number in range(len(commands))]
    running = [
        subprocess.Popen(
            [*command, "--record", str(record)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | _ON_LOOPBACK,
        )
        for command, record in zip(commands, records, strict=True)
    ]
    # They end with 1 where they could not keep up, which is what is asked of them.
    said = [process.communicate(timeout=300)[0] for process in running]
    if not all(said):
        sys.exit(f"benchmarks: {' '.join(commands[0][1:])} ended with exit code {running[0].returncode}")
    reports = [orjson.loads(one) for one in said]
    devices = CONNECTIONS * processes // len(commands)
    acknowledged, cpu_s = (sum(report[name] for report in reports) for name in ("acknowledged", "cpu_s"))
    return _Reached(sum(_per_s(record, devices) for record in records), cpu_s / max(1, acknowledged) * 1e6)


def _per_s(record: Path, devices: int) -> float:
    """From all connected to the end of the readings; what drains afterwards is no part of the rate."""
    lines = (record / "status.jsonl").read_bytes().splitlines()
    states = [state for line in lines if (state := orjson.loads(line).get("state"))]
    full = [state for state in states if state["connected"] == devices and not state["is_stopping"]]
    first, last = full[1], full[-1]
    per_s: float = (last["acknowledged"] - first["acknowledged"]) / (last["at_ms"] - first["at_ms"]) * 1000
    return per_s
