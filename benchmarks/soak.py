"""`python -m benchmarks.soak`: the memory of a bridge that works for an hour, sampled every 10 seconds.

Mosquitto, Kafka, ingest, bridge and fleet are processes on loopback. It stops by itself, verifies that everything the
fleet sent is in the ingest's store and in Kafka, and deletes all but its result. Exit code 1 if anything was lost.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from benchmarks.proc import memory, pid_of
from benchmarks.stack import STORES, Stack, groups_of, running_stack, start_fleet
from edgefleet.verify import verify_run

SETTLE_SHARE = 0.25
"""The first part of the run, in which caches fill, is left out of the slope."""
FLAT_SHARE_AN_HOUR = 0.05
"""Flat: the straight line through the rest rises by less than this share of the memory in an hour."""
JUDGED_FROM_HOURS = 0.3
"""A shorter rest says nothing of a slope."""


class Sample(NamedTuple):
    """The bridge at one moment."""

    t_s: float
    rss_bytes: int
    anonymous_bytes: int
    """Of these, what is no file's."""
    spool_file_bytes: int
    pending: int
    """Of the sink that is further behind."""


def main(arguments: Sequence[str]) -> int:
    """Run, print and write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=int, default=2000, help="messages a second")
    parser.add_argument("--store", choices=STORES, default="sqlite", help="where ingest stores")
    parser.add_argument("--sample", type=float, default=10, help="seconds between two samples")
    parser.add_argument("--out", type=Path, default=Path("build/soak.json"))
    options = parser.parse_args(arguments)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    result = soak(options.minutes * 60, options.rate, options.store, options.sample)
    options.out.write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2))
    print(orjson.dumps({key: value for key, value in result.items() if key != "samples"}).decode())
    return 0 if result["lost"] == 0 else 1


def soak(seconds: float, rate: int, store: str, every_s: float) -> dict[str, Any]:
    """The result, with all samples."""
    with running_stack(store=store, messages=int(rate * (seconds + 60))) as stack:
        fleet = start_fleet(stack, groups_of(rate))
        samples = _watch(stack, seconds, every_s)
        record = fleet.finish()
        print("soak: comparing what was sent with what arrived", file=sys.stderr)
        verdict = verify_run(record, ingest=stack.ingest_url, kafka=stack.kafka.bootstrap_servers, wait_s=60)
        books = stack.ledger()
    total = verdict.to_json()
    return {
        "rate": rate,
        "seconds": seconds,
        "store": store,
        "sent": verdict.total_sent,
        "lost": sum(one.lost for one in verdict.totals) if verdict.total_sent else None,
        "http": total["http"],
        "kafka": total["kafka"],
        "balanced": all(sink["balanced"] for sink in books),
        "memory": evaluate_memory(samples),
        "samples": [sample._asdict() for sample in samples],
    }


def evaluate_memory(samples: Sequence[Sample]) -> dict[str, Any]:
    """Slope and range of the memory once the first quarter of the run is over, in MB of a million bytes."""
    begin = samples[-1].t_s * SETTLE_SHARE
    settled = [sample for sample in samples if sample.t_s >= begin]
    hours = np.array([sample.t_s for sample in settled]) / 3600
    rss = np.array([sample.rss_bytes for sample in settled]) / 1e6
    slope, _ = np.polyfit(hours, rss, 1) if len(settled) > 1 else (float("nan"), 0)
    span = float(hours[-1] - hours[0])
    return {
        "slope_mb_per_hour": round(float(slope), 2),
        "median_mb": round(float(np.median(rss)), 1),
        "max_less_min_mb": round(float(np.ptp(rss)), 1),
        "measured_hours": round(span, 3),
        "flat": bool(slope <= FLAT_SHARE_AN_HOUR * np.median(rss)) if span >= JUDGED_FROM_HOURS else None,
        "most_pending": max(sample.pending for sample in settled),
        "largest_spool_file_mb": round(max(sample.spool_file_bytes for sample in settled) / 1e6, 1),
    }


def _watch(stack: Stack, seconds: float, every_s: float) -> list[Sample]:
    pid = pid_of(stack.bridge)
    samples: list[Sample] = []
    started, told_s = time.monotonic(), 0.0
    while (now := time.monotonic() - started) < seconds:
        rss, anonymous = memory(pid)
        sample = Sample(round(now, 1), rss, anonymous, stack.spool_file_bytes(), max(stack.pending().values()))
        samples.append(sample)
        if now >= told_s:
            told_s += 60
            print(
                f"soak: {now / 60:3.0f} of {seconds / 60:.0f} min, RSS {rss / 1e6:.1f} MB, pending {sample.pending:,}, "
                f"spool file {sample.spool_file_bytes / 1e6:.1f} MB",
                file=sys.stderr,
                flush=True,
            )
        time.sleep(max(0, min(len(samples) * every_s, seconds) - (time.monotonic() - started)))
    return samples


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
