"""`python -m benchmarks.memory 10000`: what a connected device takes in user space, and which objects take it.

Each fleet runs in a process of its own on a Mosquitto of its own, until every device has sent and been acknowledged
twice. Its resident memory beyond that of `FEW` devices is what the kernel sees; the objects are those that nobody but
one device refers to, by their class. Prints Markdown.
"""

import argparse
import asyncio
import gc
import subprocess
import sys
import tempfile
import types
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import uvloop

from devices.fleet.device_client import DeviceClient
from devices.fleet.fleet import Fleet
from devices.fleet.metrics import process_usage
from devices.scenario.scenario import Scenario
from edgefleet.embedded import MosquittoProcess
from edgefleet.launch.process_tuning import raise_open_files, tune_allocator, tuned_process
from edgefleet.provision.authority import Authority
from edgefleet.provision.files import write_secret
from edgewire.clock import parse_ms
from edgewire.messages import CONTRACT

FEW = 100
SAMPLE = 200
"""Devices whose objects are counted."""
INTERVAL_S = 10
CONNECTS_PER_S, TLS_CONNECTS_PER_S = 5000, 400
"""More than a process reaches, so that what it connects in a second is what it can; not so much more over TLS that
handshakes run into their time limit and are made in vain."""
MOST_OVER_TLS = 3000
LONGEST_S = 300

# Kinds other than bme280 remember what they have seen, such as a route or visitors: 10 to 160 KiB each (see `doctor`).
FLEETS: dict[str, dict[str, float]] = {
    **{kind: {kind: 1.0} for kind in CONTRACT},
    "nine bme280 to one of gps and telematics": {"bme280": 0.9, "gps": 0.05, "telematics": 0.05},
}

_HEAD = (
    "| fleet | resident a device | its own objects | connects a second | CPU a connect |",
    "|---|---:|---:|---:|---:|",
)


@dataclass(slots=True)
class OwnObjects:
    """Counts objects by class, and their bytes; of so many owners in all."""

    owners: int
    sizes: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def bytes_each(self) -> float:
        """All objects of one owner."""
        return self.sizes.total() / self.owners


def own_objects(roots: Sequence[object], shared: Collection[object] = (), without: tuple[type, ...] = ()) -> OwnObjects:
    """What each of these objects holds that no other of them does.

    Nothing is looked for behind what is `shared`, or of a type that is to be left out.
    Sizes are those of `sys.getsizeof`: what a class written in C has allocated besides is not among them.
    """
    ends, left_out = {id(one) for one in shared}, _OF_EVERYBODY + without
    holders: Counter[int] = Counter()
    found: dict[int, object] = {}
    for root in roots:
        reached, waiting = {id(root): root}, [root]
        while waiting:
            for one in gc.get_referents(waiting.pop()):
                if id(one) not in reached and id(one) not in ends and not isinstance(one, left_out):
                    reached[id(one)] = one
                    waiting.append(one)
        holders.update(reached.keys())
        found |= reached
    own = OwnObjects(len(roots))
    for identity, one in found.items():
        if holders[identity] == 1:
            own.sizes[_name(one)] += sys.getsizeof(one)
            own.counts[_name(one)] += 1
    return own


_OF_EVERYBODY = (types.ModuleType, type, types.FunctionType, types.BuiltinFunctionType, asyncio.Task)


def _name(one: object) -> str:
    kind = type(one)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def objects_of(clients: Sequence[DeviceClient], fleet: Fleet, without: tuple[type, ...] = ()) -> OwnObjects:
    """What these devices of a fleet hold."""
    shared: list[object] = [fleet, fleet.incidents, fleet.timeline, asyncio.get_running_loop()]
    for client in clients:
        shared += [client.wire_format, client.firmware.build]
    return own_objects(clients, shared, without)


async def _measure(
    url: str, devices: int, mix: dict[str, float], ca_file: str | None, from_ms: int | None
) -> dict[str, Any]:
    tune_allocator()
    with tuned_process():
        groups = [
            {"kind": kind, "count": round(devices * share), "interval": f"{INTERVAL_S}s"} for kind, share in mix.items()
        ]
        connects = TLS_CONNECTS_PER_S if ca_file else CONNECTS_PER_S
        scenario = Scenario(broker=url, devices=groups, connects_per_second=connects, ca_file=ca_file)
        fleet = Fleet(scenario, name="memory", from_ms=from_ms)
        stop = asyncio.Event()
        running = asyncio.create_task(fleet.run(float("inf"), stop))
        cpu_before_s = process_usage()[0]
        while fleet.connected_after_s is None:
            await asyncio.sleep(0.2)
        cpu_s = process_usage()[0] - cpu_before_s
        await asyncio.sleep(2 * INTERVAL_S)
        gc.collect()
        rss = process_usage()[1]
        own = objects_of(fleet.clients[-SAMPLE:], fleet)
        stop.set()
        record = await running
    return {
        "rss": rss,
        "connect_us": cpu_s / devices * 1e6,
        "connected_s": record.connected_after_s,
        "bytes": own.bytes_each,
        "sizes": {name: size / own.owners for name, size in own.sizes.items()},
        "counts": {name: count / own.owners for name, count in own.counts.items()},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="benchmarks.memory", description=__doc__)
    parser.add_argument("devices", type=int, nargs="?", default=10_000)
    parser.add_argument("--fleet", choices=FLEETS, help="this one alone")
    parser.add_argument("--plain", action="store_true", help="without TLS")
    parser.add_argument("--at", type=parse_ms, metavar="TIME", help="as if it were then, such as 2026-11-28T16:30:00Z")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        url, devices, fleet, ca_file, from_ms = orjson.loads(options.child)
        found = uvloop.run(_measure(url, devices, FLEETS[fleet], ca_file, from_ms))
        sys.stdout.write(orjson.dumps(found).decode() + "\n")
        return 0
    raise_open_files()
    with tempfile.TemporaryDirectory(prefix="edgefleet-memory-") as folder:
        for line in _tables(options, Path(folder)):
            print(line, flush=True)
    return 0


def run() -> list[str]:
    """Return its table: every kind over plain TCP, and a BME280 over TLS."""
    raise_open_files()
    with tempfile.TemporaryDirectory(prefix="edgefleet-memory-") as folder:
        fleets = [*((name, None) for name in FLEETS), ("bme280", Path(folder))]
        rows = [_measured(name, MOST_OVER_TLS, tls_folder)[0] for name, tls_folder in fleets]
    return ["## What a connected device takes, a message every 10 s", "", *_HEAD, *rows]


def _tables(options: argparse.Namespace, folder: Path) -> Iterator[str]:
    yield from _HEAD
    by_class: dict[str, dict[str, Any]] = {}
    for name in [options.fleet] if options.fleet else FLEETS:
        for has_tls in (False,) if options.plain else (False, True):
            devices = min(options.devices, MOST_OVER_TLS) if has_tls else options.devices
            row, found = _measured(name, devices, folder if has_tls else None, options.at)
            yield row
            by_class[f"{devices:,} {name}{', TLS' if has_tls else ''}"] = found
    for label, found in by_class.items():
        yield from ("", f"Objects of a device, {label}:", "", "| class | bytes | objects |", "|---|---:|---:|")
        for kind, size in sorted(found["sizes"].items(), key=lambda one: -one[1]):
            if size >= 1:
                yield f"| `{kind}` | {size:,.0f} | {found['counts'][kind]:.1f} |"


def _measured(
    fleet: str, devices: int, tls_folder: Path | None, from_ms: int | None = None
) -> tuple[str, dict[str, Any]]:
    """Return a row of the table, and all that was found in so many devices."""
    few, many = (_run(fleet, number, tls_folder, from_ms) for number in (FEW, devices))
    resident = (many["rss"] - few["rss"]) / (devices - FEW)
    label = f"{devices:,} {fleet}{', TLS' if tls_folder else ''}"
    rate = devices / many["connected_s"]
    row = (
        f"| {label} | {resident:,.0f} bytes | {many['bytes']:,.0f} bytes | {rate:,.0f} | {many['connect_us']:,.0f} µs |"
    )
    return row, many


def _run(fleet: str, devices: int, tls_folder: Path | None, from_ms: int | None) -> dict[str, Any]:
    """One fleet in a process of its own; over TLS with what is made in a folder."""
    settings, ca_file, scheme = {}, None, "mqtt"
    if tls_folder is not None:
        scheme, ca_file = "mqtts", str(tls_folder / "ca.crt")
        pem = tls_folder / "broker.pem"
        if not pem.exists():
            now = datetime.now(UTC)
            write_secret(pem, Authority.open(tls_folder, now).issue_server(["127.0.0.1"], now, 2))
        settings = {"certfile": str(pem), "keyfile": str(pem)}
    with MosquittoProcess(options=settings) as broker:
        child = orjson.dumps([f"{scheme}://{broker.host}:{broker.port}", devices, fleet, ca_file, from_ms]).decode()
        command = [sys.executable, "-m", "benchmarks.memory", "--child", child]
        done = subprocess.run(command, stdout=subprocess.PIPE, timeout=LONGEST_S, check=True)
    found: dict[str, Any] = orjson.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    sys.exit(main())
