"""`python -m benchmarks.ingest`: how many messages a second the HTTP ingest stores, and what each takes of CPU.

Batches of the size that the bridge sends are posted on two connections, as the bridge has them, into a SQLite file on
the disk of TMPDIR, with fsync. Two checkouts can be compared: they take turns in each round.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import aiohttp
import uvloop

from benchmarks.proc import pid_of, thread_cpu_s
from edgefleet.embedded import ManagedProcess, answers, free_port

_HERE = Path(__file__).parents[1]
_DEVICES, _BATCH, _CONNECTIONS = 1000, 500, 2
_MESSAGES, _ROUNDS = 100_000, 5
_HEAD = (
    "| checkout | messages/s | messages/s of its CPU | CPU a message | load |",
    "|---|---:|---:|---:|---:|",
)
_PAYLOAD = (
    b'{"device_id":"bme280-%04d","timestamp":"2026-03-04T11:59:00.013Z","boot":825940741,"seq":%d,"temperature_c":23.0,'
    b'"humidity":46.04,"pressure_hpa":1013.11,"metadata":{"generator":"edgefleet-bme280","version":"1.0.0",'
    b'"in_weather_event":false,"weather_event_type":null}}'
)


class Stored(NamedTuple):
    """Tells what one ingest made of all batches."""

    per_s: float
    per_cpu_s: float
    """Messages for each second of its CPU time: what one core would take."""
    cpu_us: float
    """A message."""


def measure(tree: Path, messages: int) -> Stored:
    """Start the ingest of a checkout, and post; ends the program where a message is not stored."""
    with tempfile.TemporaryDirectory(prefix="edgefleet-bench-") as folder:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        command: list[str | Path] = [sys.executable, "-m", "edgefleet", "ingest", "--port", str(port)]
        command += ["--store", f"sqlite:///{Path(folder) / 'ingest.db'}", "--log-level", "warning"]
        env = {"PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}
        with ManagedProcess("ingest", command, ready=lambda: answers(f"{url}/readyz"), env=env) as process:
            bodies = [_body(start) for start in range(0, messages, _BATCH)]
            uvloop.run(_post(url, [_body(-_BATCH)]))
            spent, begun = _cpu_s(process), time.monotonic()
            uvloop.run(_post(url, bodies))
            took, spent = time.monotonic() - begun, _cpu_s(process) - spent
    count = len(bodies) * _BATCH
    return Stored(count / took, count / spent, spent / count * 1e6)


def _cpu_s(process: ManagedProcess) -> float:
    return sum(seconds for _, seconds in thread_cpu_s(pid_of(process)).values())


def _body(start: int) -> bytes:
    """Return a batch; before 0 are those that warm it up."""
    numbers = (divmod(number + _BATCH, _DEVICES) for number in range(start, start + _BATCH))
    return b"\n".join([_PAYLOAD % (device, seq) for seq, device in numbers])


async def _post(url: str, bodies: Sequence[bytes]) -> None:
    waiting = iter(bodies)
    async with aiohttp.ClientSession(headers={"Content-Type": "application/x-ndjson"}) as session:

        async def post() -> None:
            for body in waiting:
                async with session.post(f"{url}/ingest/batch", data=body) as response:
                    answer = await response.json()
                if answer.get("stored") != _BATCH:
                    sys.exit(f"benchmarks: a batch of {_BATCH} new messages was answered {response.status}, {answer}")

        await asyncio.gather(*(post() for _ in range(_CONNECTIONS)))


def run() -> list[str]:
    """Return its table."""
    rows = [_row(f"round {number}", measure(_HERE, _MESSAGES)) for number in range(1, _ROUNDS + 1)]
    title = f"## The ingest: batches of {_BATCH} on {_CONNECTIONS} connections, SQLite with fsync"
    return [title, "", *_HEAD, *rows]


def main(arguments: Sequence[str]) -> None:
    """Measure, and print every figure and the medians."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__.partition("\n")[0])
    parser.add_argument("messages", type=int, nargs="?", default=_MESSAGES)
    parser.add_argument("--beside", type=Path, help="another checkout, whose ingest takes turns with this one's")
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    options = parser.parse_args(arguments)
    trees = [_HERE] if options.beside is None else [options.beside.resolve(), _HERE]
    found: dict[Path, list[Stored]] = {tree: [] for tree in trees}
    print("\n".join(_HEAD))
    for number in range(options.rounds):
        for tree in trees[:: 1 if number % 2 else -1]:
            found[tree].append(one := measure(tree, options.messages))
            print(_row(str(tree), one), flush=True)
    for tree, figures in found.items():
        median = Stored(*(statistics.median(column) for column in zip(*figures, strict=True)))
        print(_row(f"{tree}, median", median), flush=True)


def _row(name: str, one: Stored) -> str:
    load = os.getloadavg()[0]
    return f"| {name} | {one.per_s:,.0f} | {one.per_cpu_s:,.0f} | {one.cpu_us:.1f} µs | {load:.1f} |"


if __name__ == "__main__":
    main(sys.argv[1:])
