"""What `edgefleet verify` is given: run records, and of stores records of Kafka and rows of PostgreSQL."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.fuzz.target import Run, Target, require_words

if TYPE_CHECKING:
    from edgefleet.verify.arrivals import Arrivals
    from edgefleet.verify.checker import SinkChecker

_ARRIVED_MS = 1_800_000_002_000


class _Given:
    """Yields what it is given, as a sink that is read once."""

    note = ""

    def __init__(self, pages: Sequence["Arrivals"]) -> None:
        self._pages = [*pages]

    def read_arrivals(self) -> Iterator["Arrivals"]:
        while self._pages:
            yield self._pages.pop(0)

    def find_arrivals(self, devices: Sequence[tuple[str, int]]) -> Iterator["Arrivals"]:
        yield from ()

    def find_conflicts(self) -> Iterator["Arrivals"]:
        yield from ()

    def close(self) -> None:
        pass


def _checkers() -> "tuple[SinkChecker, SinkChecker]":
    """Return what compares by ids, and what compares a device's messages by what they say."""
    import numpy as np

    from edgefleet.verify.checker import Checker
    from edgefleet.verify.content_checker import ContentChecker
    from edgefleet.verify.expected_contents import ExpectedContents
    from edgefleet.verify.message_content import content_keys
    from edgefleet.verify.message_index import MessageIndex
    from tests.run_records import SIM_STARTED_MS, small_record

    index = MessageIndex(small_record())
    expected = ExpectedContents(*(np.zeros(len(index), np.int64) for _ in range(7)))
    at = index.position_of("g-1", 7)
    expected.devices, expected.ids = {"g-1": at}, {"g-1"}
    for number, slot in enumerate(range(int(index.start[at]), int(index.start[at + 1]))):
        keys = content_keys("g-1", SIM_STARTED_MS + number * 1000, {"v": number})
        expected.whole[slot], expected.moment[slot], expected.values[slot], expected.shape[slot] = keys
        expected.due_ms[slot] = SIM_STARTED_MS + number * 1000
    return Checker(index), ContentChecker(index, expected)


def _require_verdict(checkers: "tuple[SinkChecker, SinkChecker]") -> None:
    """What was entered comes to a verdict that can be written, and in which nothing is counted that was not sent."""
    from edgefleet.verify.checker import run_verdict
    from edgefleet.verify.message_index import MessageIndex
    from tests.run_records import small_record

    verdict = run_verdict(MessageIndex(small_record()), dict(zip(("ids", "content"), checkers, strict=True)), 5000, {})
    json.dumps(verdict.to_json(), allow_nan=False)
    for sink in verdict.sinks.values():
        assert 0 <= sink.total.stored <= sink.total.sent


def _kafka_records() -> Run:
    import orjson

    from edgefleet.verify.kafka_source import KafkaRow, read_record, to_arrivals
    from edgefleet.verify.recorded_source import RecordedSource
    from edgewire.messages import MessageId

    kept = Path(tempfile.mkdtemp(prefix="edgefleet-fuzz-")) / "kafka.jsonl"

    def read(line: bytes) -> KafkaRow | None:
        """Read a line that is the value of a record, or an object with that and its header."""
        try:
            entry = orjson.loads(line)
            value, ce_id = entry["value"], entry.get("ce_id")
            content = value.encode(errors="replace") if isinstance(value, str) else orjson.dumps(value)
        except (orjson.JSONDecodeError, orjson.JSONEncodeError, TypeError, LookupError):
            return read_record(line or None, (), _ARRIVED_MS)
        header = ce_id.encode(errors="replace") if isinstance(ce_id, str) else None
        return read_record(content, [("ce_id", header)], _ARRIVED_MS)

    def run(data: bytes) -> None:
        rows = [row for row in map(read, data.split(b"\n")) if row is not None]
        for row in rows:
            assert MessageId.parse(f"{row.device_id}:{row.boot}:{row.seq}") == row[:3]
        checkers = by_ids, by_content = _checkers()
        if rows:
            by_content.add_arrivals(to_arrivals("gps_positions", rows, reads_content=True))
            recorded = RecordedSource(_Given([to_arrivals("gps_positions", rows, reads_content=False)]), kept)
            recorded.read_along()
            for arrivals in recorded.read_arrivals():
                assert [*zip(*arrivals[1:6], strict=True)] == [row[:5] for row in rows]
                by_ids.add_arrivals(arrivals)
        _require_verdict(checkers)

    return run


def _kafka_seeds() -> Iterator[bytes]:
    fields = {"device_id": "g-1", "boot": 7, "seq": 3, "timestamp": "2023-11-14T22:13:23Z", "v": 3}
    decoded: dict[str, Any] = fields | {"source": {"format": "a", "time": "device"}, "other": {"historical": True}}
    lines: list[object] = [{"value": fields}, {"value": fields | {"seq": 4}, "ce_id": "g-1:7:5"}, {"value": decoded}]
    yield b"\n".join(json.dumps(one).encode() for one in lines)
    yield b"\n".join(json.dumps({"value": decoded | {"v": number}}).encode() for number in range(2))
    yield json.dumps(fields).encode() + b"\n" + json.dumps({"value": "{", "ce_id": "a"}).encode()


def _stored_rows() -> Run:
    import orjson

    from edgefleet.ingest.api import page_body
    from edgefleet.ingest.json_text import check_json_text
    from edgefleet.ingest.store import Query, StoredMessage
    from edgefleet.verify.http_source import read_page
    from edgewire.messages import ContractError

    def fits(row: StoredMessage) -> bool:
        """Return whether the ingest takes such a message, of which the table alone keeps the types."""
        try:
            check_json_text((row.payload or "").encode(), orjson.loads(row.payload or ""))
        except (orjson.JSONDecodeError, ContractError):
            return False
        numbers = (row.boot, row.seq, row.timestamp_ms, row.received_ms)
        return (row.payload or "").startswith("{") and all(abs(one) <= 10**15 for one in numbers)

    def run(data: bytes) -> None:
        rows = [row for row in map(_stored_row, data.split(b"\n")) if row is not None]
        rows = [row._replace(cursor=number) for number, row in enumerate(rows, 1)]
        checkers = _checkers()
        for checker, payload in zip(checkers, (False, True), strict=True):
            shown = rows if payload else [row._replace(payload=None) for row in rows]
            try:
                body = page_body(shown, Query(limit=2, payload=payload))
                page = read_page(body, 0, "received_ms", reads_content=payload)
            except (orjson.JSONDecodeError, KeyError, TypeError):
                assert not all(map(fits, rows)), "what the ingest takes is not read"
                continue
            columns = [[row[at] for row in rows] for at in (1, 2, 3, 5, 6)]
            assert [*map(list, page.arrivals[1:6])] == columns, "what is read is not what is stored"
            assert page.has_more == (len(rows) == 2)
            checker.add_arrivals(page.arrivals)
        _require_verdict(checkers)

    return run


def _stored_row(line: bytes) -> Any:
    """Return a line as a row of the table, which has these types; None where it is none."""
    import orjson

    from edgefleet.ingest.store import StoredMessage

    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, list) or [*map(type, found)][:8] != [int, str, int, int, str, int, int, str]:
        return None
    conflict_ms = found[8] if len(found) > 8 and type(found[8]) is int else None
    return StoredMessage(*found[:8], conflict_ms)


def _stored_seeds() -> Iterator[bytes]:
    payload = {"v": 1, "source": {"format": "a"}, "timestamp": "2023-11-14T22:13:23Z"}
    rows = [
        [at, "g-1", 7, at, "gps", 1_700_000_003_000, _ARRIVED_MS, json.dumps(payload), conflict]
        for at, conflict in ((1, None), (2, _ARRIVED_MS))
    ]
    yield b"\n".join(json.dumps(row).encode() for row in rows)
    yield json.dumps([*rows[0][:7], '{"a":1e400}']).encode()


def _run_record() -> Run:
    from io import StringIO

    import orjson
    from rich.console import Console

    from edgefleet.control.recorded_run import RecordedRun
    from edgefleet.report.html.verify_page import verify_page
    from edgefleet.verify import print_verdict, verify_run
    from edgefleet.verify.junit import junit_xml
    from edgewire.errors import ConfigError
    from edgewire.run_record import FILE_NAME, RunRecord, parse_record

    folder = Path(tempfile.mkdtemp(prefix="edgefleet-fuzz-"))
    rows = folder / "rows.jsonl"
    rows.write_text('{"id":"g-1:7:0"}\n{"id":"b-1:7:3","timestamp":"2023-11-14T22:13:23Z"}\n')

    def run(data: bytes) -> None:
        (folder / FILE_NAME).write_bytes(data)
        try:
            record = RunRecord.load(folder)
        except ConfigError as error:
            require_words(error, 5000, about=FILE_NAME)
            return
        assert parse_record(orjson.loads(record.save(folder).read_bytes())) == record
        RecordedRun(folder)
        ran_ms = (record.stopped_ms - record.started_ms) * max((1, *(one.time_scale for one in record.time_changes)))
        if record.totals["emitted"] > _MOST_EMITTED or ran_ms * record.time_scale > _LONGEST_MS:
            return
        try:
            verdict = verify_run(record, rows=rows)
        except ConfigError as error:
            require_words(error, 5000)
            return
        json.dumps(verdict.to_json(), allow_nan=False)
        print_verdict(verdict, Console(file=StringIO()))
        assert junit_xml(verdict, (record.stopped_ms - record.started_ms) / 1000)
        assert verify_page(verdict, record, (), {"rows": "rows.jsonl"}, 5000)

    return run


def _run_record_seeds() -> Iterator[bytes]:
    from dataclasses import asdict

    from edgewire.run_record import (
        ActionRecord,
        GatewayRecord,
        PoweredPart,
        ReloadRecord,
        SideMessage,
        StandbySpan,
        TimeChange,
        UnaccountedPart,
    )
    from tests.run_records import SIM_STARTED_MS, STARTED_MS, run_record, small_record

    yield from (json.dumps(asdict(record)).encode() for record in (run_record(), small_record()))
    later, wall = SIM_STARTED_MS + 1000, STARTED_MS + 1000
    record = small_record()
    record.shards = [(0, 2)]
    record.time_changes = [TimeChange(at_ms=later, time_scale=2.0)]
    record.unaccounted = [UnaccountedPart(name="worker 1", shard=(1, 2), reason="it died", device_ids=["b-1"])]
    record.standby = [StandbySpan(device_id="g-1", kind="gps", from_ms=later, why="heard", withheld={"8": [(0, 3)]})]
    record.actions = [ActionRecord(number=1, at_ms=wall, device_at_ms=later, action="outage", ended_ms=wall)]
    record.reloads = [ReloadRecord(at_ms=wall, scenario_sha256="a", devices=3, added=1)]
    record.gateways = [GatewayRecord(gateway_id="gw", site="s", devices=["g-1"])]
    record.devices[0].refused = {"not authorized (0x87)": [(0, 1)]}
    record.devices[0].dropped = [(2, 2)]
    record.devices[0].renames = [(4, "g-one")]
    record.lag_ms = {"count": 3, "p50": 1.0, "p99": 2.0, "buckets": [(1.0, 2), (2.0, 1)]}
    yield json.dumps(asdict(record)).encode()
    record = run_record(small_record().devices[0])
    record.spoken = {"devices": [{"kind": "gps", "ids": ["g-1"], "dialect": "owntracks"}], "seed": 1}
    record.powered = [PoweredPart(shard=(0, 1), power_on_ms=SIM_STARTED_MS, begun_ms=SIM_STARTED_MS)]
    record.side_messages = [SideMessage(device_id="g-1", at_ms=later, topic="a", payload="{}", is_answer=True)]
    record.state = "running"
    yield json.dumps(asdict(record)).encode()


_MOST_EMITTED = 100_000
_LONGEST_MS = 7_200_000
"""What a verdict takes grows with what was sent, and with how long devices ran whose messages are computed again."""

_COMPARES_ARRAYS = ("edgefleet.verify.checker",)

VERIFY_TARGETS = {
    "run-record": Target(
        _run_record,
        _run_record_seeds,
        ("edgewire.run_record", "edgefleet.verify", "edgefleet.report.html", "edgefleet.control.recorded_run"),
        unmeasured=_COMPARES_ARRAYS,
    ),
    "kafka-records": Target(_kafka_records, _kafka_seeds, ("edgefleet.verify",), 2048, unmeasured=_COMPARES_ARRAYS),
    "stored-rows": Target(
        _stored_rows,
        _stored_seeds,
        ("edgefleet.verify", "edgefleet.ingest.json_text"),
        2048,
        unmeasured=_COMPARES_ARRAYS,
    ),
}
