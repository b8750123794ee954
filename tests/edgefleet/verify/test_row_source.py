"""Rows of a store that we do not know: every form of an id, other names, and one sentence for what is none."""

import sqlite3
from collections import namedtuple
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import orjson
import pytest

from edgefleet.testing.verification import Verification, verify, write_rows
from edgefleet.verify import Outcome, verify_run
from edgefleet.verify.junit import junit_xml
from edgefleet.verify.row_source import RowSource
from edgewire.errors import ConfigError
from edgewire.run_record import RunRecord
from tests.run_records import SIM_STARTED_MS, STARTED_MS

SENT = [("g-1", 7, seq) for seq in range(10)] + [("b-1", 7, seq) for seq in range(3, 8)]


def written(path: Path, *rows: object) -> Path:
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


def fields(device_id: str, boot: int, seq: int) -> dict[str, object]:
    return {"device_id": device_id, "boot": boot, "seq": seq}


def test_all_rows_are_a_pass_without_latencies(record: RunRecord, tmp_path: Path) -> None:
    rows = written(tmp_path / "rows.jsonl", *(fields(*one) for one in SENT))
    verdict = verify_run(record, rows=rows)
    assert (verdict.outcome, verdict.sinks["rows"].total.stored) == (Outcome.PASS, 15)
    assert verdict.sinks["rows"].total.latency is None
    assert "has rows without times" in verdict.sinks["rows"].note


def test_with_times_there_are_latencies(record: RunRecord, tmp_path: Path) -> None:
    times = {"timestamp": SIM_STARTED_MS + 1000, "arrived": STARTED_MS + 1020}
    verdict = verify_run(record, rows=written(tmp_path / "rows.jsonl", *(fields(*one) | times for one in SENT)))
    latency = verdict.sinks["rows"].total.latency
    assert latency is not None
    assert latency.p50 == 20


def test_what_is_missing_or_there_twice_is_counted(record: RunRecord, tmp_path: Path) -> None:
    rows = written(tmp_path / "rows.jsonl", *(fields(*one) for one in [*SENT[1:], SENT[2]]), {"id": "other:1:1"})
    verdict = verify_run(record, rows=rows)
    total = verdict.sinks["rows"].total
    assert (verdict.outcome, total.lost, total.missing, total.duplicates) == (Outcome.FAIL, 1, ("g-1:7:0",), 1)


def test_other_names_and_ids_in_one_piece(record: RunRecord, tmp_path: Path) -> None:
    named = [{"sensor": device, "start": boot, "n": seq} for device, boot, seq in SENT[:7]]
    pieces = [{"n": None, "message": ":".join(map(str, one))} for one in SENT[7:]]
    rows = written(tmp_path / "rows.jsonl", *named, *pieces)
    keys = {"device_id": "sensor", "boot": "start", "seq": "n", "id": "message"}
    assert verify_run(record, rows=rows, row_keys=keys).ok


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "rows.jsonl:2: is not JSON"),
        (b"[]", "rows.jsonl:2: is no JSON object"),
        (b'{"boot": 1, "t": 2}', "rows.jsonl:2: has no 'device_id'; it has boot, t"),
        (b'{"device_id": "g-1", "boot": 7, "seq": "1"}', "rows.jsonl:2: seq should be a whole number, got '1'"),
        (b'{"device_id": "g-1", "boot": true, "seq": 1}', "rows.jsonl:2: boot should be a whole number, got True"),
        (b'{"id": "g-1/7/1"}', "rows.jsonl:2: 'g-1/7/1' is no message id"),
        (b'{"id": "g-1:7:1", "timestamp": "noon"}', "rows.jsonl:2: timestamp should be an ISO 8601 time"),
        (b'{"id": "g-1:7:1", "arrived": 1e300}', "rows.jsonl:2: arrived should be an ISO 8601 time"),
    ],
)
def test_a_row_that_is_none_is_named(record: RunRecord, tmp_path: Path, line: bytes, said: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"id": "g-1:7:0"}\n' + line + b"\n")
    with pytest.raises(ConfigError, match=said.replace("[", r"\[")):
        verify_run(record, rows=path)


def test_a_name_that_no_row_has_and_a_file_that_is_not_there(record: RunRecord, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'device' is none of the names in a row: device_id, boot"):
        RowSource(tmp_path / "rows", record, {"device": "sensor"})
    with pytest.raises(ConfigError, match="rows: cannot be read: No such file"):
        verify_run(record, rows=tmp_path / "rows")


def test_whatever_a_store_gives_is_a_row(record: RunRecord, tmp_path: Path) -> None:
    @dataclass
    class Stored:
        device_id: str
        boot: int
        seq: int

    stored = namedtuple("stored", ("device_id", "boot", "seq"))
    with sqlite3.connect(":memory:") as database:
        database.row_factory = sqlite3.Row
        (row,) = database.execute("SELECT 'g-1' AS device_id, 7 AS boot, 4 AS seq").fetchall()
    database.close()
    rows = [
        orjson.dumps(fields(*SENT[0])),
        orjson.dumps(fields(*SENT[1])).decode(),
        Stored(*SENT[2]),
        stored(*SENT[3]),
        row,
        fields(*SENT[5]) | {"boot": np.int64(7), "arrived": datetime(2027, 1, 15, 8, tzinfo=UTC), "value": b"\xff"},
        *SENT[6:],
    ]
    path = tmp_path / "rows.jsonl"
    write_rows(path, rows)
    assert verify_run(record, rows=path).ok
    with pytest.raises(ConfigError, match="row 2 is int: give mappings"):
        write_rows(path, [SENT[0], 5])  # type: ignore[list-item]


def test_a_function_is_asked_again_until_all_is_there(record: RunRecord, tmp_path: Path) -> None:
    record.save(tmp_path)
    asked: list[int] = []

    def rows() -> list[tuple[str, int, int]]:
        asked.append(len(asked))
        return SENT if len(asked) > 1 else SENT[1:]

    assert verify(tmp_path, rows, within=20).ok
    assert len(asked) == 2
    late = verify(tmp_path, SENT[1:], within=20)
    assert (late.lost, [one.id for one in late.missing]) == (1, ["g-1:7:0"])


def test_junit_has_a_case_for_each_kind_and_one_for_the_run(record: RunRecord, tmp_path: Path) -> None:
    rows = written(tmp_path / "rows.jsonl", *(fields(*one) for one in SENT[1:]))
    suite = ElementTree.fromstring(junit_xml(verify_run(record, rows=rows), 5.25)).find("testsuite")
    assert suite is not None
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "time")} == {
        "tests": "4",
        "failures": "2",
        "errors": "0",
        "time": "5.250",
    }
    cases = {f"{case.get('classname')}.{case.get('name')}": case for case in suite}
    failure = cases["edgefleet.verify.rows.gps"].find("failure")
    assert failure is not None
    assert failure.text == "1 were sent and did not arrive: g-1:7:0"
    assert cases["edgefleet.verify.rows.bme280"].find("failure") is None
    assert cases["edgefleet.verify.run.all that was sent is there"].find("failure") is not None


def test_what_is_not_known_is_an_error_and_no_character_breaks_the_document(record: RunRecord, tmp_path: Path) -> None:
    record.failures = ["worker 1 \x1b[31m was killed"]
    rows = written(tmp_path / "rows.jsonl", *(fields(*one) for one in SENT))
    document = junit_xml(verify_run(record, rows=rows), 5)
    assert b"\x1b" not in document
    suite = ElementTree.fromstring(document).find("testsuite")
    assert suite is not None
    assert (suite.get("failures"), suite.get("errors")) == ("0", "1")


def test_an_assertion_says_how_much_more_is_missing() -> None:
    found = Verification(
        outcome="PASS", sent=2, stored=2, lost=0, duplicates=1, out_of_order=1, unexpected=0,
        missing=(), sentences=(), report={},
    )  # fmt: skip
    found.assert_nothing_lost()
    with pytest.raises(AssertionError, match="1 messages are there more than once, 0 were never sent"):
        found.assert_exactly_once()
    with pytest.raises(AssertionError, match="1 messages are there after a later one"):
        found.assert_in_order()
