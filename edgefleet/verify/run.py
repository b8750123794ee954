"""Verifies a run against running services: reads them until everything has arrived or the time is over."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from edgefleet.verify.arrivals import ArrivalSource
from edgefleet.verify.checker import Checker, SinkChecker, run_verdict
from edgefleet.verify.clocks import ALLOWANCE_MS
from edgefleet.verify.http_source import HttpSource
from edgefleet.verify.message_index import MessageIndex
from edgefleet.verify.row_source import RowSource
from edgefleet.verify.topics import ACCEPTED_TOPICS, CONTRACT_TOPICS
from edgefleet.verify.verdict import RunVerdict
from edgewire.clock import Clock, SystemClock
from edgewire.extras import require_kafka
from edgewire.messages.base import to_device_id
from edgewire.run_record import RunRecord

if TYPE_CHECKING:
    from edgefleet.verify.expected_contents import ExpectedContents

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
    kafka_topics: Sequence[str] | None = None,
    rows: Path | None = None,
    row_keys: Mapping[str, str] | None = None,
    wait_s: float = 0,
    late_after_ms: int = LATE_AFTER_MS,
    allowance_ms: int = ALLOWANCE_MS,
    progress: ReportProgress | None = None,
) -> RunVerdict:
    """Return the verdict on a run, from the ingest at a URL, the Kafka at these servers and rows; None leaves one out.

    Of Kafka, the topics of the message contract are read where none are given. `rows` is a file of what any other store
    has, and `row_keys` the names in it (see `RowSource`).
    Blocks for up to `wait_s` seconds, while something is missing. Where another run has the same ids, what arrived more
    than `allowance_ms` before this one sent it is not this run's. Raises `ServiceUnavailable` within 10 s where a
    sink cannot be read, and `ConfigError` for a URL that is none.
    """
    with ExitStack() as stack:
        sources: dict[str, ArrivalSource] = {}
        since_ms = record.started_ms - CLOCK_SKEW_MS
        index = MessageIndex(record)
        expected: ExpectedContents | None = None
        names = list(dict.fromkeys(device.device_id for device in record.devices))
        if record.spoken is not None:
            # Of the bridge and the devices, which nobody else's verdict needs.
            from edgefleet.verify.content_checker import ContentChecker
            from edgefleet.verify.expected_contents import expect_contents

            expected = expect_contents(record, index)
            names = list(dict.fromkeys([*map(to_device_id, names), *expected.devices]))
        if ingest is not None:
            http = HttpSource(
                ingest, ingest_token, since_ms=since_ms, device_ids=names, reads_content=expected is not None
            )
            sources["http"] = stack.enter_context(closing(http))
        if kafka is not None:
            require_kafka("--kafka")
            from edgefleet.verify.kafka_source import KafkaSource

            topics = kafka_topics or (CONTRACT_TOPICS if expected is None else ACCEPTED_TOPICS)
            source = KafkaSource(kafka, since_ms=since_ms, topics=topics, reads_content=expected is not None)
            sources["kafka"] = stack.enter_context(closing(source))
        row_source: RowSource | None = None
        if rows is not None:
            row_source = sources["rows"] = RowSource(rows, record, row_keys)
        checkers: dict[str, SinkChecker] = {
            name: Checker(index, allowance_ms) if expected is None else ContentChecker(index, expected, allowance_ms)
            for name in sources
        }
        read_until_complete(sources, checkers, wait_s, SystemClock(), time.sleep, progress)
        for name, checker in checkers.items():
            for arrivals in sources[name].find_arrivals(checker.missing_devices()):
                checker.add_arrivals(arrivals)
            for conflicts in sources[name].find_conflicts():
                checker.add_conflicts(conflicts)
        notes = {name: source.note for name, source in sources.items()}
        untimed = [name for name, source in sources.items() if source is row_source and not row_source.has_times]
    verdict = run_verdict(index, checkers, late_after_ms, notes, gaps=() if expected is None else expected.gaps)
    return verdict.without_times(untimed)


def read_until_complete(
    sources: Mapping[str, ArrivalSource],
    checkers: Mapping[str, SinkChecker],
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
