"""`python -m benchmarks.peers CLIENT HOST PORT CONNECTIONS MESSAGES_PER_S SECONDS QOS`: one client library as a fleet.

Prints what `floor.c` prints. The others publish a payload made in advance; ours is the whole fleet, with its model, its
JSON and its books. Connections take turns, and the pace holds while more than `WINDOW` messages a connection are out.
A library is loaded by the client that needs it: the others run without it.
"""

import asyncio
import contextlib
import gc
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import orjson
import uvloop

from benchmarks.formats import FORMATS
from benchmarks.sampling import Profile
from devices.fleet.fleet import Fleet
from devices.fleet.metrics import FleetSnapshot
from devices.scenario.scenario import Scenario
from devices.sensors.registry import KINDS
from devices.timeline.timeline import Timeline
from edgefleet.launch.process_tuning import tuned_process
from edgewire.messages import CONTRACT

PAYLOAD = b"x" * 125
WINDOW = 10
TICK_S = 0.001


class Counted:
    """What a run has done so far."""

    def __init__(self, connections: int, rate: float, seconds: float) -> None:
        self.connections = connections
        self.rate = rate
        self.messages = round(rate * seconds)
        self.sent = 0
        self.acknowledged = 0
        self.elapsed_s = 0.0

    def due(self, began: float) -> int:
        """How many may be sent now."""
        due = min(self.messages, int((time.monotonic() - began) * self.rate) + 1) - self.sent
        return max(0, min(due, self.acknowledged + WINDOW * self.connections - self.sent))


async def paced(counted: Counted, publish: Callable[[int], object]) -> None:
    """Publish what is due, message n on connection n modulo their number, until all is sent and acknowledged."""
    began = time.monotonic()
    limit_s = 3 * counted.messages / counted.rate + 30
    while counted.sent < counted.messages and time.monotonic() - began < limit_s:
        for _ in range(counted.due(began)):
            made = publish(counted.sent % counted.connections)
            counted.sent += 1
            if isinstance(made, Awaitable):
                await made
        await asyncio.sleep(TICK_S)
    counted.elapsed_s = time.monotonic() - began
    end = time.monotonic() + 5
    while counted.acknowledged < counted.sent and time.monotonic() < end:
        await asyncio.sleep(TICK_S)


def topic(number: int) -> str:
    return f"edge/riverside/bme280/peer-{number}/telemetry"


async def run_paho(host: str, port: int, counted: Counted, qos: int) -> None:
    """A thread a connection, as its users run it."""
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    clients = []
    began = time.monotonic()
    for number in range(counted.connections):
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"paho-{number}")

        def on_publish(*_: object) -> None:
            counted.acknowledged += 1

        client.on_publish = on_publish
        client.connect(host, port, keepalive=600)
        client.loop_start()
        clients.append(client)
    while not all(client.is_connected() for client in clients):
        await asyncio.sleep(TICK_S)
    connect_s = time.monotonic() - began
    before = cpu_s()
    await paced(counted, lambda number: clients[number].publish(topic(number), PAYLOAD, qos=qos))
    report(counted, connect_s, cpu_s() - before)


async def run_aiomqtt(host: str, port: int, counted: Counted, qos: int) -> None:
    """A task a message, since its publish waits for the PUBACK."""
    import aiomqtt

    async with contextlib.AsyncExitStack() as stack:
        began = time.monotonic()
        clients = [
            await stack.enter_async_context(aiomqtt.Client(host, port, identifier=f"aiomqtt-{number}", keepalive=600))
            for number in range(counted.connections)
        ]
        connect_s = time.monotonic() - began
        tasks: set[asyncio.Task[None]] = set()

        async def one(number: int) -> None:
            await clients[number].publish(topic(number), PAYLOAD, qos=qos, timeout=30)
            counted.acknowledged += 1

        def publish(number: int) -> None:
            task = asyncio.create_task(one(number))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        before = cpu_s()
        await paced(counted, publish)
        report(counted, connect_s, cpu_s() - before)


async def run_gmqtt(host: str, port: int, counted: Counted, qos: int) -> None:
    """All connections on one loop."""
    import gmqtt

    clients = []
    began = time.monotonic()
    for number in range(counted.connections):
        client = gmqtt.Client(f"gmqtt-{number}")
        await client.connect(host, port, keepalive=600)
        clients.append(client)
    connect_s = time.monotonic() - began

    def publish(number: int) -> None:
        clients[number].publish(topic(number), PAYLOAD, qos=qos)
        counted.acknowledged += qos == 0

    # It has no callback for a PUBACK: what is still in its store has none.
    def outstanding() -> int:
        return sum(len(client._persistent_storage._messages) for client in clients)

    async def watch() -> None:
        while True:
            await asyncio.sleep(0.1)
            counted.acknowledged = counted.sent - outstanding()

    watching = asyncio.create_task(watch()) if qos else None
    before = cpu_s()
    await paced(counted, publish)
    used_s = cpu_s() - before
    report(counted, connect_s, used_s)
    if watching:
        watching.cancel()
    for client in clients:
        await client.disconnect()


SEND, EVENTS, MQTT, FIRMWARE, PACE, MODEL = STAGES = (
    "send(): the kernel, and uvloop's way there",
    "epoll, recv() and the event loop",
    "MQTT session and link",
    "firmware, outbox, books",
    "pacing",
    "model and JSON, in a thread of its own",
)
_PLACES = {
    "edgewire/link/protocol.py:_write": SEND,
    # A signal that arrives in recv() is seen where Python goes on.
    "edgewire/link/protocol.py:data_received": EVENTS,
    "edgewire/": MQTT,
    "devices/fleet/pacer.py": PACE,
    "devices/fleet/latency.py": PACE,
    "devices/": FIRMWARE,
}


async def run_sampled(host: str, port: int, counted: Counted, qos: int) -> None:
    """As `run_edgefleet`, which prints besides what each stage has taken."""
    await run_edgefleet(host, port, counted, qos, Profile(_PLACES, {}, EVENTS))


async def run_spoken(name: str, host: str, port: int, counted: Counted, qos: int) -> None:
    """As `run_edgefleet`, in one of `FORMATS`."""
    await run_edgefleet(host, port, counted, qos, said=FORMATS[name])


async def run_kind(kind: str, host: str, port: int, counted: Counted, qos: int) -> None:
    """As `run_edgefleet`, of another kind of device; of people counters, visits come beside their readings."""
    await run_edgefleet(host, port, counted, qos, said={"kind": kind})


async def run_edgefleet(
    host: str,
    port: int,
    counted: Counted,
    qos: int,
    profile: Profile | None = None,
    said: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """A fleet of BME280s, each reading modelled, encoded, published and accounted for; `said` in some format."""
    group = {"kind": "bme280", "count": counted.connections, "qos": qos, "interval": "1s", **said}
    scenario = Scenario(devices=[group])
    parts = Timeline(scenario, 0, in_dialects=True).wire_format(0).parts(KINDS[group["kind"]].channel)
    published = len(parts) / sum(part.is_numbered for part in parts)
    interval_ms = max(10, round(len(parts) * counted.connections / counted.rate * 1000))
    group["interval"] = f"{interval_ms}ms"
    scenario = Scenario(broker=f"mqtt://{host}:{port}", devices=[group], connects_per_second=5000)
    with tuned_process():
        await _measure_fleet(scenario, counted, published, profile)


def _sent(now: FleetSnapshot) -> int:
    """Count what is sent for good: acknowledged, or at QoS 0, where nobody acknowledges."""
    return now.acknowledged + now.sent_qos0


async def _measure_fleet(scenario: Scenario, counted: Counted, published: float, profile: Profile | None) -> None:
    """Measure a fleet once it is connected, in a process that does for it what that of a run does."""
    fleet = Fleet(scenario, name="bench")
    gc.freeze()
    seconds = counted.messages / counted.rate
    stop = asyncio.Event()
    running = asyncio.create_task(fleet.run(float("inf"), stop))
    while fleet.connected_after_s is None:
        await asyncio.sleep(0.1)
    gc.freeze()
    await asyncio.sleep(1)
    if profile:
        profile.begin()
        threads = profile.threads()
    before, first, started = cpu_s(), _sent(fleet.snapshot()), time.monotonic()
    await asyncio.sleep(seconds)
    used_s, now = cpu_s() - before, fleet.snapshot()
    stages = {}
    if profile:
        profile.end()
        model_s = sum(spent - threads.get(name, 0) for name, spent in profile.threads().items())
        stages = {"stages": {stage: profile.spent[stage] for stage in STAGES} | {MODEL: model_s}}
    counted.sent = counted.acknowledged = round((_sent(now) - first) * published)
    counted.elapsed_s = time.monotonic() - started
    lag = {"lag_p50_ms": now.lag_connected.percentile_ms(50), "lag_p99_ms": now.lag_connected.percentile_ms(99)}
    report(counted, fleet.connected_after_s, used_s, **lag, **stages)
    stop.set()
    await running


def cpu_s() -> float:
    """CPU time of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def report(counted: Counted, connect_s: float, used_s: float, **more: object) -> None:
    """Print the result."""
    result = {
        "connected": counted.connections,
        "connect_s": connect_s,
        "elapsed_s": counted.elapsed_s,
        "sent": counted.sent,
        "acknowledged": counted.acknowledged,
        "cpu_s": used_s,
        "rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        **more,
    }
    sys.stdout.write(orjson.dumps(result).decode() + "\n")
    sys.stdout.flush()


CLIENTS: Mapping[str, Callable[[str, int, Counted, int], Coroutine[Any, Any, None]]] = {
    **{name: partial(run_spoken, name) for name in FORMATS},
    **{kind: partial(run_kind, kind) for kind in CONTRACT},
    "edgefleet": run_edgefleet,
    "sampled": run_sampled,
    "gmqtt": run_gmqtt,
    "paho": run_paho,
    "aiomqtt": run_aiomqtt,
}

if __name__ == "__main__":
    name, host, port, connections, rate, seconds, qos = sys.argv[1:]
    runner = asyncio.run if name in ("paho", "aiomqtt") else uvloop.run
    counted = Counted(int(connections), float(rate), float(seconds))
    runner(CLIENTS[name](host, int(port), counted, int(qos)))
