"""`python -m benchmarks.latency_runs`: how long messages take to both sinks at a steady rate, in twenty runs.

One stack for all runs, a fleet of its own for each, whose sessions and retained messages the broker keeps. It does
not write them to disk meanwhile, unless `--autosave` says how often: each time it does nothing else, for the longer the
more devices there have been. Beside the latency stands how many commits of the spool took 100 ms and more, by the
bridge's own metrics: what both sinks wait for at the same time is mostly the disk. Exit code 1 where p99 was above the
limit in a run, or nothing came.
"""

import argparse
import os
import sys
import time
import urllib.request
from collections.abc import Sequence
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.sink_latency import SinkLatency
from benchmarks.stack import STORES, Stack, running_stack, start_fleet
from edgefleet.verify.http_source import HttpSource
from edgefleet.verify.kafka_source import KafkaSource

CONNECTING_S, STEADY_S, RATE = 6, 15, 3000
_LONG_S = 0.1
_STORED_S = 2.0


class LatencyRun(NamedTuple):
    """Percentiles of one run in each sink; see `SinkLatency.latency_ms`."""

    http: dict[str, Any]
    kafka: dict[str, Any]

    @property
    def p99_ms(self) -> float:
        """Of the slower sink; infinite where nothing came."""
        return max(float(sink.get("p99", "inf")) for sink in self)


def measure_latency(
    stack: Stack, rate: int, steady_s: float = STEADY_S, connecting_s: float = CONNECTING_S
) -> LatencyRun:
    """Let a fleet publish so many messages a second, and read both sinks once every device is connected."""
    name = f"steady{time.time_ns()}"
    fleet = start_fleet(stack, [{"kind": "bme280", "count": rate, "interval": "1s", "id": f"{name}-{{n}}"}])
    time.sleep(connecting_s + steady_s)
    record = fleet.finish()
    from_ms = max(record.started_ms + 1000 * ((record.connected_after_s or 0) + 1), record.stopped_ms - 1000 * steady_s)
    time.sleep(_STORED_S)
    kafka = KafkaSource(stack.kafka.bootstrap_servers, since_ms=record.started_ms)
    http, kafka_ms = (
        SinkLatency.read(source, record, devices=name).latency_ms(from_ms, record.stopped_ms)
        for source in (HttpSource(stack.ingest_url), kafka)
    )
    return LatencyRun(http, kafka_ms)


def _long_commits(stack: Stack) -> int:
    """Return how many commits of the bridge have taken `_LONG_S` and more."""
    with urllib.request.urlopen(f"{stack.bridge_url}/metrics", timeout=60) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        (commits,) = [family for family in families if family.name == "edgefleet_bridge_commit_seconds"]
    counts = {sample.labels["le"]: sample.value for sample in commits.samples if "le" in sample.labels}
    return round(counts["+Inf"] - next(count for bound, count in counts.items() if float(bound) == _LONG_S))


def main(arguments: Sequence[str]) -> int:
    """Measure, and print a row for each run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency_runs", description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--rate", type=int, default=RATE, help="messages a second")
    parser.add_argument("--seconds", type=float, default=STEADY_S, help="of each run, all devices being connected")
    parser.add_argument("--connecting", type=float, default=CONNECTING_S, help="seconds for the fleet to be there")
    parser.add_argument("--limit", type=float, default=50.0, help="milliseconds in which p99 is to be")
    parser.add_argument("--autosave", type=int, default=0, help="seconds between what the broker writes of its state")
    parser.add_argument("--store", choices=STORES, default="sqlite", help="of the ingest")
    options = parser.parse_args(arguments)
    messages = int(options.runs * options.rate * (options.seconds + options.connecting))
    above = 0
    broker_options = {"autosave_interval": str(options.autosave)}
    with running_stack(store=options.store, messages=messages, broker_options=broker_options) as stack:
        print(f"| run | load | HTTP: p50 / p95 / p99 / most | Kafka | commits of {_LONG_S * 1000:g} ms and more |")
        print("|---:|---:|---|---|---:|")
        for number in range(1, options.runs + 1):
            before = _long_commits(stack)
            found = measure_latency(stack, options.rate, options.seconds, options.connecting)
            above += found.p99_ms > options.limit
            sinks = " | ".join(_text(sink) for sink in found)
            load = os.getloadavg()[0]
            print(f"| {number} | {load:.1f} | {sinks} | {_long_commits(stack) - before} |", flush=True)
    print(f"\n{options.runs - above} of {options.runs} runs have a p99 of {options.limit:g} ms at most, in both sinks.")
    return 1 if above else 0


def _text(sink: dict[str, Any]) -> str:
    if not sink["messages"]:
        return "nothing came"
    return f"{sink['p50']} / {sink['p95']} / {sink['p99']} / {sink['max']} ms"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
