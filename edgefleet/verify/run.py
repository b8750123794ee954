"""Verifies a run against running services: reads them until everything has arrived or the time is over."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from edgefleet.verify.arrivals import ArrivalSource
from edgefleet.verify.checker import Checker, SinkChecker, run_verdict
from edgefleet.verify.clocks import ALLOWANCE_MS
from edgefleet.verify.http_source import HttpSource
from edgefleet.verify.message_index import MessageIndex
from edgefleet.verify.row_source import RowSource
from edgefleet.verify.topics import accepted_topics, contract_topics
from edgefleet.verify.verdict import RunVerdict
from edgewire.clock import Clock, SystemClock
from edgewire.extras import require_kafka
from edgewire.messages import CONTRACT
from edgewire.messages.base import to_device_id
from edgewire.messages.contract import DEVICE_KIND
from edgewire.run_record import RunRecord

if TYPE_CHECKING:
    from bridge.config import BridgeConfig
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
    kafka_properties: Mapping[str, Any] | None = None,
    rows: Path | None = None,
    row_keys: Mapping[str, str] | None = None,
    bridge: "BridgeConfig | None" = None,
    read_along: Mapping[str, ArrivalSource] | None = None,
    wait_s: float = 0,
    late_after_ms: int = LATE_AFTER_MS,
    allowance_ms: int = ALLOWANCE_MS,
    progress: ReportProgress | None = None,
) -> RunVerdict:
    """Return the verdict on a run, from the ingest at a URL, the Kafka at these servers and rows; None leaves one out.

    Of Kafka, the topics of the message contract are read where none are given; `kafka_properties` are further ones of
    librdkafka, such as `security.protocol`. `rows` is a file of what any other store
    has, and `row_keys` the names in it (see `RowSource`). `read_along` are sources by name that were read while the run
    went on; they are closed as well. With the configuration of a `bridge`, what its own rules leave out is not
    expected, and what it reads is read as it does.
    Blocks for up to `wait_s` seconds, while something is missing. Where another run has the same ids, what arrived more
    than `allowance_ms` before this one sent it is not this run's. Raises `ServiceUnavailable` within 10 s where a
    sink cannot be read, and `ConfigError` for a URL that is none.
    """
    with ExitStack() as stack:
        sources: dict[str, ArrivalSource] = {}
        since_ms = record.started_ms - CLOCK_SKEW_MS
        index = MessageIndex(record)
        expected: ExpectedContents | None = None
        wanted = [name for name, one in (("http", ingest), ("kafka", kafka), ("rows", rows)) if one is not None]
        views = {name: _bridge_view(record, bridge, name) for name in wanted} if bridge is not None else {}
        names = list(dict.fromkeys(device.device_id for device in record.devices))
        if record.spoken is not None:
            # Of the bridge and the devices, which nobody else's verdict needs.
            from edgefleet.verify.content_checker import ContentChecker
            from edgefleet.verify.expected_contents import expect_contents

            # By a bridge's rules, what is expected is not the same in each of its sinks.
            known = [one.expected for one in views.values() if one.expected] or [expect_contents(record, index)]
            expected = known[0]
            names = list(dict.fromkeys([*map(to_device_id, names), *(name for one in known for name in one.devices)]))
        if ingest is not None:
            http = HttpSource(
                ingest, ingest_token, since_ms=since_ms, device_ids=names, reads_content=expected is not None
            )
            sources["http"] = stack.enter_context(closing(http))
        if kafka is not None:
            require_kafka("--kafka")
            from edgefleet.verify.kafka_source import KafkaSource

            topics = kafka_topics or (contract_topics() if expected is None else accepted_topics())
            if not kafka_topics:
                # A kind of the user's own has the topic of its name.
                topics = (*topics, *sorted({device.kind for device in record.devices} - {*CONTRACT, DEVICE_KIND}))
            source = KafkaSource(
                kafka,
                since_ms=since_ms,
                topics=topics,
                reads_content=expected is not None,
                properties=kafka_properties,
            )
            sources["kafka"] = stack.enter_context(closing(source))
        row_source: RowSource | None = None
        if rows is not None:
            row_source = sources["rows"] = RowSource(rows, record, row_keys)
        for name, along in (read_along or {}).items():
            sources[name] = stack.enter_context(closing(along))
        checkers: dict[str, SinkChecker] = {}
        for name in sources:
            view = views.get(name) or BridgeView(index, expected)
            checkers[name] = (
                Checker(view.messages, allowance_ms)
                if view.expected is None
                else ContentChecker(view.messages, view.expected, allowance_ms)
            )
        read_until_complete(sources, checkers, wait_s, SystemClock(), time.sleep, progress)
        for name, checker in checkers.items():
            for arrivals in sources[name].find_arrivals(checker.missing_devices()):
                checker.add_arrivals(arrivals)
            for conflicts in sources[name].find_conflicts():
                checker.add_conflicts(conflicts)
        notes = {
            name: "; ".join(filter(None, (source.note, *(views[name].notes if name in views else ()))))
            for name, source in sources.items()
        }
        gaps = [] if expected is None or views else list(expected.gaps)
        gaps += dict.fromkeys(f"{name}: {gap}" for name, view in views.items() for gap in view.all_gaps)
        untimed = [name for name, source in sources.items() if source is row_source and not row_source.has_times]
    verdict = run_verdict(index, checkers, late_after_ms, notes, gaps=gaps)
    return verdict.without_times(untimed)


class BridgeView(NamedTuple):
    """Holds what is expected in one sink of a bridge."""

    messages: MessageIndex
    expected: "ExpectedContents | None"
    notes: Sequence[str] = ()
    gaps: Sequence[str] = ()

    @property
    def all_gaps(self) -> list[str]:
        """Return sentences on what cannot be compared in this sink."""
        return [*self.gaps, *(() if self.expected is None else self.expected.gaps)]


def _bridge_view(record: RunRecord, bridge: "BridgeConfig", sink: str) -> BridgeView:
    """Return what a run should have in a sink by the rules of a bridge. Raises `ConfigError`."""
    from edgefleet.verify.bridge_rules import BridgeRules, omit_by_topic
    from edgefleet.verify.expected_contents import expect_contents

    index, rules = MessageIndex(record), BridgeRules(bridge, sink)
    expected = None if record.spoken is None else expect_contents(record, index, rules)
    notes, gaps = omit_by_topic(rules, index, () if expected is None else expected.ids)
    return BridgeView(index, expected, notes, gaps)


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
