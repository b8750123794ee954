"""`python -m benchmarks.broker_cost [DEVICES]`: what Mosquitto takes for each connected device, and for each message.

The devices are those of `edgefleet run`: a session, a will, the retained status and a subscription to commands. Their
messages are QoS 1, and go on to one subscriber, as to a bridge.
"""

import argparse
import asyncio
import resource
import subprocess
from typing import NamedTuple

import uvloop

from benchmarks.proc import memory, pid_of, thread_cpu_s
from devices.fleet.fleet import Fleet
from devices.scenario.scenario import Scenario
from edgefleet.embedded import MosquittoProcess

FEWEST, MOST = 500, 4000
"""Two fleets at rest, whose difference is divided, so that what the broker has at its start does not count."""
AT_REST_S, BUSY_S = 3.0, 10.0
BUSY_DEVICES, INTERVAL = 300, "100ms"


class _Cost(NamedTuple):
    rss_bytes: int
    """Of the broker once all are connected."""
    message_us: float
    """Its CPU time for a message while they speak; 0 where none has."""


async def _cost(broker: MosquittoProcess, devices: int, interval: str, seconds: float) -> _Cost:
    pid = pid_of(broker)
    group = {"kind": "bme280", "count": devices, "interval": interval, "qos": 1}
    fleet = Fleet(Scenario(broker=broker.url, devices=[group], connects_per_second=1000), name="cost")
    stop = asyncio.Event()
    running = asyncio.create_task(fleet.run(float("inf"), stop))
    while fleet.connected_after_s is None:
        await asyncio.sleep(0.1)
    await asyncio.sleep(1)
    before, first = _cpu_s(pid), fleet.snapshot().acknowledged
    await asyncio.sleep(seconds)
    spent_s, messages = _cpu_s(pid) - before, fleet.snapshot().acknowledged - first
    found = _Cost(memory(pid)[0], 1e6 * spent_s / messages if messages else 0.0)
    stop.set()
    await running
    return found


def _cpu_s(pid: int) -> float:
    return sum(spent for _, spent in thread_cpu_s(pid).values())


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="benchmarks.broker_cost", description=__doc__)
    parser.add_argument("devices", type=int, nargs="?", default=MOST, help=f"more than {FEWEST:,} ({MOST:,})")
    most: int = parser.parse_args().devices
    if most <= FEWEST:
        parser.error(f"devices: {most}: give more than {FEWEST}")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    found = []
    for devices in (FEWEST, most):
        with MosquittoProcess() as broker:
            found.append(uvloop.run(_cost(broker, devices, "1h", AT_REST_S)).rss_bytes)
    print(f"{(found[1] - found[0]) / (most - FEWEST):,.0f} bytes a device, its socket in the kernel not counted")
    with MosquittoProcess() as broker:
        listen = ["mosquitto_sub", "-p", str(broker.port), "-t", "edge/#", "-q", "1", "-F", ""]
        with subprocess.Popen(listen, stdout=subprocess.DEVNULL) as subscriber:
            try:
                cost = uvloop.run(_cost(broker, BUSY_DEVICES, INTERVAL, BUSY_S))
            finally:
                subscriber.terminate()
    who = f"{BUSY_DEVICES} devices, each every {INTERVAL}"
    print(f"{cost.message_us:.1f} µs of CPU a message of QoS 1, in and out, from {who}")


if __name__ == "__main__":
    main()
