"""Verifies a run against running services: reads them until everything has arrived or the time is over."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing

from edgefleet.verify.arrivals import ArrivalSource
from edgefleet.verify.checker import Checker, run_verdict
from edgefleet.verify.clocks import ALLOWANCE_MS
from edgefleet.verify.http_source import HttpSource
from edgefleet.verify.message_index import MessageIndex
from edgefleet.verify.topics import CONTRACT_TOPICS
from edgefleet.verify.verdict import RunVerdict
from edgewire.clock import Clock, SystemClock
from edgewire.extras import require_kafka
from edgewire.run_record import RunRecord

LATE_AFTER_MS = 5000
CLOCK_SKEW_MS = 300_000
"""How far a sink's clock may be behind that of the fleet: what is older is looked for by name, if at all."""
_POLL_S = 0.5

ReportProgress = Callable[[str, int, int], None]
"""Called with the name of a sink, how many messages have arrived in it, and how many should."""


def verify_run(
    record: RunRecord,
    *,
    ingest: str | None = None,
    ingest_token: str | None = None,
    kafka: str | None = None,
    kafka_topics: Sequence[str] = CONTRACT_TOPICS,
    wait_s: float = 0,
    late_after_ms: int = LATE_AFTER_MS,
    allowance_ms: int = ALLOWANCE_MS,
    progress: ReportProgress | None = None,
) -> RunVerdict:
    """Return the verdict on a run, from the ingest at a URL and the Kafka at these servers; None leaves one out.

    Blocks for up to `wait_s` seconds, while something is missing. Where another run has the same ids, what arrived more
    than `allowance_ms` before this one sent it is not this run's. Raises `ServiceUnavailable` within 10 s where a
    sink cannot be read, and `ConfigError` for a URL that is none.
    """
    with ExitStack() as stack:
        sources: dict[str, ArrivalSource] = {}
        since_ms = record.started_ms - CLOCK_SKEW_MS
        if ingest is not None:
            names = list(dict.fromkeys(device.device_id for device in record.devices))
            http = HttpSource(ingest, ingest_token, since_ms=since_ms, device_ids=names)
            sources["http"] = stack.enter_context(closing(http))
        if kafka is not None:
            require_kafka("--kafka")
            from edgefleet.verify.kafka_source import KafkaSource

            source = KafkaSource(kafka, since_ms=since_ms, topics=kafka_topics)
            sources["kafka"] = stack.enter_context(closing(source))
        index = MessageIndex(record)
        checkers = {name: Checker(index, allowance_ms) for name in sources}
        read_until_complete(sources, checkers, wait_s, SystemClock(), time.sleep, progress)
        for name, checker in checkers.items():
            for arrivals in sources[name].find_arrivals(checker.missing_devices()):
                checker.add_arrivals(arrivals)
            for conflicts in sources[name].find_conflicts():
                checker.add_conflicts(conflicts)
        notes = {name: source.note for name, source in sources.items()}
    return run_verdict(index, checkers, late_after_ms, notes)


def read_until_complete(
    sources: Mapping[str, ArrivalSource],
    checkers: Mapping[str, Checker],
    wait_s: float,
    clock: Clock,
    sleep: Callable[[float], None],
    progress: ReportProgress | None = None,
) -> None:
    """Read every source at least once, and again until every checker is complete or `wait_s` seconds are over."""
    deadline = clock.monotonic() + wait_s
    while True:
        for name, source in sources.items():
            for arrivals in source.read_arrivals():
                checkers[name].add_arrivals(arrivals)
                if progress:
                    progress(name, checkers[name].stored, checkers[name].sent)
        remaining = deadline - clock.monotonic()
        if remaining <= 0 or all(checker.complete for checker in checkers.values()):
            return
        sleep(min(_POLL_S, remaining))
