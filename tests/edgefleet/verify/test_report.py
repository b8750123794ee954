"""What people read."""

import io

import pytest
from rich.console import Console

from edgefleet.verify import RunVerdict, from_rows, print_verdict, verify
from edgewire.run_record import DeviceRecord, RunRecord

Row = tuple[str, int, int, int, int]


def printed(verdict: RunVerdict, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    print_verdict(verdict, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_the_last_line_is_the_verdict(record: RunRecord, everything: list[Row]) -> None:
    lines = printed(verify(record, http=from_rows(everything), kafka=from_rows(everything + everything[:2])))
    assert lines[-1] == (
        "PASS  sent 15 · http stored 15 lost 0 · kafka stored 15 lost 0 · duplicates 2 · p50 20 ms p95 20 ms p99 20 ms"
    )


def test_what_is_missing_is_listed(record: RunRecord, everything: list[Row]) -> None:
    lines = printed(verify(record, http=from_rows(everything[2:])))
    assert lines[-1].startswith("FAIL  sent 15 · http stored 13 lost 2 · ")
    assert "missing in http: g-1:7:0, g-1:7:1" in lines


def test_one_row_a_kind_and_sink(record: RunRecord, everything: list[Row]) -> None:
    lines = printed(verify(record, http=from_rows(everything), kafka=from_rows(everything)))
    rows = [line.split() for line in lines if "http " in line or "kafka " in line][:-1]
    assert [row[:5] for row in rows] == [
        ["bme280", "http", "5", "5", "0"],
        ["bme280", "kafka", "5", "5", "0"],
        ["gps", "http", "10", "10", "0"],
        ["gps", "kafka", "10", "10", "0"],
        ["people", "http", "0", "0", "0"],
        ["people", "kafka", "0", "0", "0"],
        ["total", "http", "15", "15", "0"],
        ["total", "kafka", "15", "15", "0"],
    ]


def test_large_numbers_fit_80_columns() -> None:
    device = DeviceRecord(device_id="g", kind="telematics", site="s", boot=1, first_seq=0, last_seq=9_999_999)
    record = RunRecord(
        run_id="r", scenario="", seed=0, broker="", started_ms=0, stopped_ms=0, sim_started_ms=0, devices=[device]
    )
    lines = printed(verify(record, kafka=from_rows([("g", 1, 0, 0, 123_456)])))
    assert any("10,000,000" in line and "9,999,999" in line and "123,456" in line for line in lines)


def test_an_empty_run_says_so(record: RunRecord) -> None:
    record.devices = []
    assert printed(verify(record, http=[]))[-1].startswith("FAIL  sent 0 · http stored 0 lost 0")
    assert "the record holds nothing that was sent" in printed(verify(record, http=[]))


def test_what_needs_explaining_is_explained(record: RunRecord, everything: list[Row]) -> None:
    late_arrival = ("b-1", 7, 9, record.sim_started_ms, record.started_ms)
    lines = printed(verify(record, http=from_rows([*everything, late_arrival])))
    assert "http: 1 arrived that the device counts as not sent" in lines


@pytest.mark.parametrize("ok", [True, False])
def test_colours_only_where_there_is_a_terminal(record: RunRecord, everything: list[Row], ok: bool) -> None:
    verdict = verify(record, http=from_rows(everything if ok else everything[1:]))
    assert not any("\x1b" in line for line in printed(verdict))
