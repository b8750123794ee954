"""`python -m benchmarks.outage_http`: HTTP is away for minutes while Kafka goes on, then the backlog drains.

The ingest process is really stopped and started again; the fleet publishes all the time. What is said of the three
phases is computed from the times at which Kafka and the ingest stored each message, not from what the bridge says.
Exit code 1 if anything was lost, came out of order, or the backlog did not drain.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from benchmarks.sink_latency import SinkLatency
from benchmarks.stack import STORES, FleetLoad, Stack, groups_of, running_stack, start_fleet
from edgefleet.verify import verify_run
from edgefleet.verify.http_source import HttpSource
from edgefleet.verify.kafka_source import KafkaSource

BEFORE_S, AFTER_S = 30, 20
"""Of normal operation, on either side of the outage and the drain."""
NORMAL_MS = 1000
"""A message that took longer than this to the store waited for the outage."""


def main(arguments: Sequence[str]) -> int:
    """Run, print and write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outage_http", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10, help="how long HTTP is away")
    parser.add_argument("--rate", type=int, default=1000, help="messages a second, all the time")
    parser.add_argument("--store", choices=STORES, default="sqlite", help="where ingest stores")
    parser.add_argument("--out", type=Path, default=Path("build/outage_http.json"))
    options = parser.parse_args(arguments)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    result = outage(options.minutes * 60, options.rate, options.store)
    text = orjson.dumps(result, option=orjson.OPT_INDENT_2)
    options.out.write_bytes(text)
    print(text.decode())
    return 0 if result["ok"] else 1


def outage(seconds: float, rate: int, store: str) -> dict[str, Any]:
    """The result of one outage of so many seconds."""
    # The drain is given as long as the outage took and two minutes more; at twice the input rate it needs the former.
    allowed_s = seconds + 120
    with running_stack(store=store, messages=int(rate * (BEFORE_S + seconds + allowed_s + AFTER_S))) as stack:
        fleet = start_fleet(stack, groups_of(rate))
        time.sleep(BEFORE_S)
        stopping_ms = time.time() * 1000
        stopped_ms, restarted_ms, backlog = _stop_ingest(stack, seconds)
        drained = _wait_until(lambda: stack.pending()["http"] < rate, allowed_s, stack)
        time.sleep(AFTER_S)
        found = _report(stack, fleet, rate, (stopping_ms, stopped_ms, restarted_ms))
    return {
        **found,
        "ok": found["ok"] and drained,
        "outage_seconds": round((restarted_ms - stopped_ms) / 1000, 1),
        "backlog_at_restart": backlog,
        "drained": drained,
    }


def _stop_ingest(stack: Stack, seconds: float) -> tuple[float, float, int]:
    """Stop the ingest for so long; when it began and ended (ms), and what waited for it then."""
    begun = time.monotonic()
    stack.ingest.terminate()
    stopped_ms = time.time() * 1000
    _say(f"the ingest took {time.monotonic() - begun:.1f} s to stop, and stays so for {seconds:.0f} s")
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 60))
        _say(f"pending: {stack.pending()}")
    backlog = stack.pending()["http"]
    stack.ingest.start()
    return stopped_ms, time.time() * 1000, backlog


def _wait_until(done: Callable[[], bool], allowed_s: float, stack: Stack) -> bool:
    begun = told = time.monotonic()
    while not done():
        now = time.monotonic()
        if now - begun > allowed_s:
            return False
        if now - told >= 10:
            told = now
            _say(f"pending: {stack.pending()}")
        time.sleep(0.5)
    return True


def _report(stack: Stack, fleet: FleetLoad, rate: int, moments_ms: tuple[float, float, float]) -> dict[str, Any]:
    """`moments_ms`: when the ingest was told to stop, when it had, and when it was there again."""
    stopping_ms, stopped_ms, restarted_ms = moments_ms
    record = fleet.finish()
    _say("comparing what was sent with what arrived")
    kafka = stack.kafka.bootstrap_servers
    verdict = verify_run(record, ingest=stack.ingest_url, kafka=kafka, wait_s=60)
    in_http = SinkLatency.read(HttpSource(stack.ingest_url), record)
    in_kafka = SinkLatency.read(KafkaSource(kafka, since_ms=record.started_ms - 60_000), record)
    drain = _drain(in_http, restarted_ms)
    drained_ms = drain.pop("end_ms", record.stopped_ms)
    begun_ms = record.started_ms + 1000 * (record.connected_after_s or 0) + 5000
    phases = {
        "before": (begun_ms, stopping_ms - NORMAL_MS),
        "during": (stopped_ms, restarted_ms),
        "drain": (restarted_ms, drained_ms),
        "after": (drained_ms + NORMAL_MS, record.stopped_ms),
    }
    lost = sum(one.lost for one in verdict.totals)
    out_of_order = sum(one.out_of_order for one in verdict.totals)
    return {
        "ok": verdict.ok and not out_of_order and all(sink["balanced"] for sink in stack.ledger()),
        "rate": rate,
        "sent": verdict.total_sent,
        "lost": lost,
        "out_of_order": out_of_order,
        "duplicates": sum(one.duplicates for one in verdict.totals),
        "drain": {**drain, "times_input": round(drain["http_messages_per_s"] / rate, 2)},
        "due_to_kafka_ms": {name: in_kafka.latency_ms(*phase) for name, phase in phases.items()},
        "due_to_http_ms": {name: in_http.latency_ms(*phase) for name, phase in phases.items()},
    }


def _drain(in_http: SinkLatency, restarted_ms: float) -> dict[str, float]:
    """How many the store took a second, from the first message after the restart to the last that had to wait."""
    stored = in_http.stored_ms
    waited = stored[(stored >= restarted_ms - NORMAL_MS) & (stored - in_http.due_ms > NORMAL_MS)]
    if not len(waited):
        return {"messages": 0, "seconds": 0.0, "http_messages_per_s": 0.0, "resumed_after_s": 0.0}
    first, last = int(waited.min()), int(waited.max())
    messages = int(((stored >= first) & (stored <= last)).sum())
    seconds = max(1, last - first) / 1000
    return {
        "messages": messages,
        "seconds": round(seconds, 1),
        "http_messages_per_s": round(messages / seconds, 1),
        "resumed_after_s": round(max(0.0, first - restarted_ms) / 1000, 1),
        "end_ms": last,
    }


def _say(text: str) -> None:
    print(f"outage: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
