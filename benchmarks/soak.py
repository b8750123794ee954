"""`python -m benchmarks.soak`: a bridge at work for hours while something around it fails every minute.

Mosquitto, Kafka, ingest, bridge and fleet are processes on loopback. Of the bridge's memory, descriptors, threads and
spool, of the fleet's memory, and of how long messages take into both sinks, it tells whether they grow: by the end of
each minute, when its fault is over and what had waited is delivered. It stops by itself, verifies that everything the
fleet sent is in the ingest's store and in Kafka, and deletes all but its result. Exit code 1 if anything was lost, or
grows.
"""

import argparse
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from benchmarks.proc import descriptors, memory, pid_of, threads
from benchmarks.sink_latency import SinkLatency
from benchmarks.soak_faults import FaultCycle, faults_every
from benchmarks.stack import STORES, FleetLoad, Stack, groups_of, running_stack, start_fleet
from edgefleet.verify import verify_run
from edgefleet.verify.http_source import HttpSource
from edgefleet.verify.kafka_source import KafkaSource
from edgewire.errors import EdgefleetError

SETTLE_SHARE = 0.3
"""The first part of the run, in which caches fill and each fault comes several times, is left out."""
QUIET_FROM = 0.6
"""Of the time between two faults: from here on the last is over, and what had waited is delivered."""
FLAT_SHARE_AN_HOUR = 0.05
"""Flat: it rises in an hour by less than this share of its median, or by no more than chance may explain."""
JUDGED_FROM_HOURS = 0.3
"""A shorter rest says nothing of a slope."""
RECONNECT = {"base": "500ms", "cap": "5s"}
"""Of the fleet, so that all are back in the quiet part of a minute in which the broker was away."""


class Sample(NamedTuple):
    """The bridge at one moment."""

    t_s: float
    rss_bytes: int
    anonymous_bytes: int
    """Of these, what is no file's."""
    descriptors: int
    threads: int
    spool_file_bytes: int
    pending: int
    """Of the sink that is further behind."""
    fleet_rss_bytes: int
    """Of the fleet that publishes, which nothing ends."""


class Trend(NamedTuple):
    """How something went from interval to interval, and whether it grows."""

    median: float
    least: float
    most: float
    rise_per_hour: float
    """Of the straight line through the means of the intervals (least squares)."""
    uncertainty: float
    """Two standard errors of that rise."""
    flat: bool | None
    """None where the time is too short to tell."""
    means: list[float]
    """Of each interval."""


def main(arguments: Sequence[str]) -> int:
    """Run, print and write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=int, default=3000, help="messages a second")
    parser.add_argument("--store", choices=STORES, default="sqlite", help="where ingest stores")
    parser.add_argument("--sample", type=float, default=5, help="seconds between two samples")
    parser.add_argument("--fault-every", type=float, default=60, help="seconds between two faults")
    parser.add_argument("--seed", type=int, help="of the order of the faults")
    parser.add_argument("--out", type=Path, default=Path("build/soak.json"))
    options = parser.parse_args(arguments)
    numbers = options.minutes, options.rate, options.sample, options.fault_every
    if not all(0 < number < math.inf for number in numbers):
        parser.error("minutes, rate, and seconds between samples and faults are above 0")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    try:
        result = soak(options.minutes * 60, options.rate, options.store, options.sample, options.fault_every, seed)
    except EdgefleetError as error:
        sys.exit(f"soak: {error}")
    options.out.write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2))
    for trend in result["trends"].values():
        if trend:
            del trend["means"]
    print(orjson.dumps({key: value for key, value in result.items() if key not in ("samples", "injected")}).decode())
    return 0 if result["ok"] else 1


def soak(seconds: float, rate: int, store: str, sample_s: float, fault_s: float, seed: int) -> dict[str, Any]:
    """Return the result, with all samples and all faults."""
    with running_stack(store=store, messages=int(rate * (seconds + 60))) as stack:
        fleet = start_fleet(stack, groups_of(rate), reconnect=RECONNECT)
        with faults_every(fault_s, SETTLE_SHARE * seconds, stack, seed) as cycle:
            begun_ms = time.time() * 1000
            samples = _watch(stack, fleet, cycle, seconds, sample_s)
        record = fleet.finish()
        print("soak: comparing what was sent with what arrived", file=sys.stderr)
        kafka = stack.kafka.bootstrap_servers
        verdict = verify_run(record, ingest=stack.ingest_url, kafka=kafka, wait_s=120)
        books = stack.ledger()
        in_http = SinkLatency.read(HttpSource(stack.ingest_url), record)
        in_kafka = SinkLatency.read(KafkaSource(kafka, since_ms=record.started_ms - 60_000), record)
    trends = {
        **sample_trends(samples, fault_s),
        "due_to_http_p99_ms": latency_trend(in_http, begun_ms, seconds, fault_s),
        "due_to_kafka_p99_ms": latency_trend(in_kafka, begun_ms, seconds, fault_s),
    }
    lost = sum(one.lost for one in verdict.totals) if verdict.total_sent else None
    balanced = all(sink["balanced"] for sink in books)
    grows = [name for name, trend in trends.items() if trend and trend.flat is False]
    total = verdict.to_json()
    return {
        "ok": verdict.ok and lost == 0 and balanced and not grows,
        "rate": rate,
        "seconds": seconds,
        "store": store,
        "seed": seed,
        "sent": verdict.total_sent,
        "lost": lost,
        "http": total["http"],
        "kafka": total["kafka"],
        "balanced": balanced,
        "faults": dict(sorted(Counter(one.fault for one in cycle.injected).items())),
        "most_pending": max(sample.pending for sample in samples),
        "grows": grows,
        "trends": {name: trend and trend._asdict() for name, trend in trends.items()},
        "injected": [one._asdict() for one in cycle.injected],
        "samples": [sample._asdict() for sample in samples],
    }


def sample_trends(samples: Sequence[Sample], interval_s: float) -> dict[str, Trend | None]:
    """Return how the bridge's needs went, by samples of the quiet part of each interval; MB are of a million bytes."""
    settled_s = samples[-1].t_s * SETTLE_SHARE
    quiet = [one for one in samples if one.t_s >= settled_s and one.t_s % interval_s >= QUIET_FROM * interval_s]
    intervals = np.array([one.t_s // interval_s for one in quiet])

    def trend_of(values: list[float]) -> Trend | None:
        if not values:
            return None
        means = [np.array(values)[intervals == one].mean() for one in np.unique(intervals)]
        return fit_trend(np.unique(intervals) * interval_s / 3600, np.array(means))

    return {
        "memory_mb": trend_of([one.rss_bytes / 1e6 for one in quiet]),
        "anonymous_memory_mb": trend_of([one.anonymous_bytes / 1e6 for one in quiet]),
        "descriptors": trend_of([one.descriptors for one in quiet]),
        "threads": trend_of([one.threads for one in quiet]),
        "spool_file_mb": trend_of([one.spool_file_bytes / 1e6 for one in quiet]),
        "fleet_memory_mb": trend_of([one.fleet_rss_bytes / 1e6 for one in quiet]),
    }


def latency_trend(latency: SinkLatency, begun_ms: float, seconds: float, interval_s: float) -> Trend | None:
    """Return how p99 from due to stored went, of what was due in the quiet part of each interval."""
    hours, p99 = [], []
    for number in range(int(seconds * SETTLE_SHARE // interval_s), int(seconds // interval_s)):
        end_ms = begun_ms + (number + 1) * interval_s * 1000
        # What is due in its last second may wait for the next fault.
        found = latency.latency_ms(end_ms - (1 - QUIET_FROM) * interval_s * 1000, end_ms - 1000)
        if found["messages"]:
            hours.append(number * interval_s / 3600)
            p99.append(found["p99"])
    return fit_trend(np.array(hours), np.array(p99, float)) if hours else None


def fit_trend(hours: NDArray[np.float64], values: NDArray[np.float64]) -> Trend:
    """Fit a straight line to values at these hours, one or more, in order, and judge its slope."""
    median = float(np.median(values))
    slope = error = 0.0
    if len(values) > 2:
        centred = hours - hours.mean()
        slope = float(centred @ values / (centred @ centred))
        rest = values - values.mean() - slope * centred
        error = float(np.sqrt(rest @ rest / (len(values) - 2) / (centred @ centred)))
    long_enough = len(values) > 2 and hours[-1] - hours[0] >= JUDGED_FROM_HOURS
    flat = bool(slope - 2 * error <= FLAT_SHARE_AN_HOUR * median) if long_enough else None
    least, most = float(values.min()), float(values.max())
    return Trend(
        round(median, 3),
        round(least, 3),
        round(most, 3),
        round(slope, 3),
        round(2 * error, 3),
        flat,
        values.round(3).tolist(),
    )


def _watch(stack: Stack, fleet: FleetLoad, cycle: FaultCycle, seconds: float, every_s: float) -> list[Sample]:
    """Sample until the time is over, or a fault could not be mended."""
    pid, fleet_pid = pid_of(stack.bridge), pid_of(fleet.process)
    samples: list[Sample] = []
    started, told_s = time.monotonic(), 0.0
    while (now := time.monotonic() - started) < seconds and cycle.failure is None:
        sample = Sample(
            round(now, 1),
            *memory(pid),
            descriptors(pid),
            threads(pid),
            stack.spool_file_bytes(),
            max(stack.pending().values()),
            memory(fleet_pid)[0],
        )
        samples.append(sample)
        if now >= told_s:
            told_s += 60
            print(
                f"soak: {now / 60:3.0f} of {seconds / 60:.0f} min, RSS {sample.rss_bytes / 1e6:.1f} MB, "
                f"{sample.descriptors} descriptors, {sample.threads} threads, pending {sample.pending:,}, "
                f"spool file {sample.spool_file_bytes / 1e6:.1f} MB",
                file=sys.stderr,
                flush=True,
            )
        time.sleep(max(0, min(len(samples) * every_s, seconds) - (time.monotonic() - started)))
    return samples


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
