"""The bridge and a naive one on the same real services: throughput, latency, CPU a message, losses."""

import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from threading import Thread
from typing import NamedTuple

from benchmarks.backlog import Backlog, Inbox, wait_for
from benchmarks.bridge_processes import NaiveBridge, ours, profiled, read_profile, wait_until
from benchmarks.latency_runs import CONNECTING_S, RATE, STEADY_S, measure_latency
from benchmarks.profiled_bridge import KAFKA, OTHER, SPOOL, STAGES
from benchmarks.sampling import table
from benchmarks.stack import Stack, running_stack
from edgefleet.embedded import ManagedProcess

OURS, NAIVE = 60_000, 3_000
"""Messages of a backlog, by which bridge has to take it: some seconds for either."""
NAIVE_RATE = 100
DRAINED_S = 60


class Throughput(NamedTuple):
    """A backlog, from the first publish until both sinks had all of it."""

    per_s: float
    lost: int


class Loss(NamedTuple):
    """What a bridge that was killed in the middle of a backlog, and started again, did not deliver."""

    name: str
    messages: int
    delivered: int
    """To Kafka, when it was killed."""
    http: int
    kafka: int
    kafka_duplicates: int

    @property
    def row(self) -> str:
        """Of the table."""
        counts = (self.messages, self.delivered, self.http, self.kafka, self.kafka_duplicates)
        return f"| {self.name} | {' | '.join(f'{one:,}' for one in counts)} |"


def run() -> list[str]:
    """All of it on PostgreSQL, our bridge on SQLite too."""
    messages = 4 * OURS + 4 * NAIVE + RATE * (STEADY_S + CONNECTING_S)
    with running_stack(store="postgresql", messages=messages) as stack:
        rows = [_row("edgefleet, ingest on PostgreSQL", *_measure(stack, OURS, RATE), RATE)]
        stages = _stages(stack)
        losses = [_killed(stack, "edgefleet", ours(stack), OURS)]
        _end_session(stack)
        with NaiveBridge(stack):
            measured = _throughput(stack, NAIVE, has_ledger=False), _latency(stack, NAIVE_RATE)
            naive = _row("the naive bridge, ingest on PostgreSQL", *measured, NAIVE_RATE)
        for name, persistent in (("the naive one, its session kept", True), ("the naive one, as paho connects", False)):
            losses.append(_killed(stack, name, NaiveBridge(stack, persistent=persistent), NAIVE // 2))
    with running_stack(store="sqlite", messages=messages) as stack:
        rows.append(_row("edgefleet, ingest on SQLite", *_measure(stack, OURS, RATE), RATE))
    return [
        "## The bridge beside a naive one: Mosquitto, Kafka, ingest and fleet on the same cores",
        "",
        "The naive bridge (`benchmarks/naive_bridge.py`) is paho-mqtt, one `requests.Session.post` and one "
        "`Producer.produce` a message. PostgreSQL has fsync on, as has the spool.",
        "",
        "Latency is from due to stored, p50 / p95 / p99.",
        "",
        "| bridge | a backlog to both sinks | lost | at a steady | to HTTP | to Kafka |",
        "|---|---:|---:|---:|---:|---:|",
        *rows,
        naive,
        "",
        "### Killed (SIGKILL) in the middle of a backlog, and started again",
        "",
        "| bridge | messages | delivered before the kill | lost for HTTP | lost for Kafka | twice in Kafka |",
        "|---|---:|---:|---:|---:|---:|",
        *(loss.row for loss in losses),
        "",
        *stages,
    ]


def _row(name: str, throughput: Throughput, latency: list[str], rate: int) -> str:
    backlog = f"{throughput.per_s:,.0f} msg/s | {throughput.lost:,}"
    return f"| {name} | {backlog} | {rate:,} msg/s | {' | '.join(latency)} |"


def _measure(stack: Stack, count: int, rate: int) -> tuple[Throughput, list[str]]:
    return _throughput(stack, count), _latency(stack, rate)


def _throughput(stack: Stack, count: int, *, has_ledger: bool = True) -> Throughput:
    backlog = Backlog.of(count)
    with closing(Inbox.http(stack, backlog)) as http, closing(Inbox.kafka(stack, backlog)) as kafka:
        received = _least_done(stack) if has_ledger else 0
        started_ms = time.time() * 1000
        backlog.publish(stack.broker.url)
        # To read a message back takes the sinks as long as to store it, so it is done afterwards, or seldom: they say
        # when the last one came.
        if has_ledger:
            wait_until(lambda: _least_done(stack) >= received + count, DRAINED_S, f"both sinks have {count:,} messages")
        wait_for((http, kafka), every_s=3)
        seconds = (max(http.last_ms, kafka.last_ms) - started_ms) / 1000
        return Throughput(count / seconds, max(http.missing, kafka.missing))


def _least_done(stack: Stack) -> int:
    """Return how many messages the sink that is behind is done with, by the bridge's books."""
    return min(int(sink["received"]) - int(sink["pending"]) for sink in stack.ledger())


def _latency(stack: Stack, rate: int) -> list[str]:
    """Percentiles in HTTP and in Kafka once every device is connected."""
    # Nothing: the machine was so busy that the devices were not connected in time, or nothing of theirs came.
    return [
        f"{found['p50']} / {found['p95']} / {found['p99']} ms" if found["messages"] else "not measured"
        for found in measure_latency(stack, rate)
    ]


def _killed(stack: Stack, name: str, bridge: ManagedProcess, count: int) -> Loss:
    """Kill the bridge when some of a backlog has come, start it again a second later, and count what comes."""
    backlog = Backlog.of(count)
    stack.bridge.terminate()
    with bridge, closing(Inbox.http(stack, backlog)) as http, closing(Inbox.kafka(stack, backlog)) as kafka:
        publishing = Thread(target=backlog.publish, args=(stack.broker.url,))
        publishing.start()
        wait_until(lambda: kafka.look() > count / 10, 60, "a tenth of the backlog has come")
        bridge.kill()
        delivered = kafka.look()
        time.sleep(1)
        publishing.join()
        bridge.start()
        wait_for((http, kafka))
        return Loss(name, count, delivered, http.missing, kafka.missing, kafka.duplicates)


def _end_session(stack: Stack) -> None:
    """Make the broker forget our bridge, so that it queues nothing for it while others are measured."""
    stack.bridge.terminate()
    command = [sys.executable, "-m", "edgefleet", "bridge", "drain", str(stack.config)]
    subprocess.run(command, check=True, capture_output=True, timeout=DRAINED_S)


def _stages(stack: Stack) -> list[str]:
    """CPU time a message while a backlog goes through, by stage."""
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder) / "profile.json"
        stack.bridge.terminate()
        with profiled(stack, profile) as bridge:
            before = read_profile(bridge, profile)
            throughput = _throughput(stack, OURS)
            after = read_profile(bridge, profile)
    spent = {stage: after["loop"].get(stage, 0) - before["loop"].get(stage, 0) for stage in STAGES}
    for thread, seconds in after["threads"].items():
        stage = SPOOL if thread == "spool-writer" else KAFKA if thread.startswith("rdk:") else OTHER
        spent[stage] += seconds - before["threads"].get(thread, 0)
    return [
        f"### CPU of our bridge a message, by stage, while a backlog goes through at {throughput.per_s:,.0f} msg/s",
        "",
        "The event loop's thread is sampled every 2 ms of CPU time, each sample weighs what that thread has used since "
        "the last; the spool's writer and librdkafka's threads have clocks of their own in the kernel.",
        "",
        *table(spent, OURS),
    ]
