"""The report of a verification: whole in itself, as true as the JSON, and readable of no device as of thousands."""

from dataclasses import replace
from functools import reduce
from typing import Any

import pytest

from devices.faults.labels import Label
from edgefleet.report.html.markup import show_number
from edgefleet.report.html.sections import DEVICES_SHOWN
from edgefleet.report.html.verify_page import verify_page
from edgefleet.verify import from_rows, verify
from edgefleet.verify.verdict import RunVerdict
from edgewire.run_record import DeviceRecord, RunRecord
from tests.edgefleet.report.html.pages import Page, read_page, require_self_contained
from tests.run_records import SIM_STARTED_MS, STARTED_MS, run_record

KINDS = ("bme280", "gps", "people", "telematics", "traffic")
Row = tuple[str, int, int, int, int]


def troubled_run(devices: int) -> tuple[RunRecord, list[Row]]:
    """Return a run of which every seventh device was refused a message, and another message of every third is lost."""
    records, rows = [], []
    for number in range(devices):
        device_id = f"{KINDS[number % 5]}-{number}"
        refused = {"Quota exceeded": [(2, 2)]} if number % 7 == 0 else {}
        record = DeviceRecord(
            device_id=device_id, kind=KINDS[number % 5], site="s", boot=7, first_seq=0, last_seq=3, refused=refused
        )
        records.append(record)
        for seq in range(4):
            if not (refused and seq == 2) and not (number % 3 == 0 and seq == 1):
                due_ms = 15_000 * seq + number % 1000
                latency_ms = 20 + 7_000 * (seq == 3 and number % 5 == 0)
                rows.append((device_id, 7, seq, SIM_STARTED_MS + due_ms, STARTED_MS + due_ms + latency_ms))
    return run_record(*records), rows


def show(verdict: RunVerdict, record: RunRecord, labels: list[Label] | None = None) -> Page:
    """Return the page, which is whole in itself."""
    places = {"http": "http://u:s3cret@host:8000/?token=t0ken", "kafka": "127.0.0.1:9092"}
    page = read_page(verify_page(verdict, record, labels or [], places, 5000))
    require_self_contained(page)
    return page


def find(document: dict[str, Any], path: str) -> Any:
    """Return what is at a place of a document, as in `kafka.lost`."""
    return reduce(lambda inner, name: None if inner is None else inner[name], path.split("."), document)


@pytest.mark.parametrize("devices", [0, 1, 100], ids=str)
def test_every_figure_is_that_of_the_json(devices: int) -> None:
    record, rows = troubled_run(devices)
    verdict = verify(record, http=from_rows(rows), kafka=from_rows(rows[: len(rows) // 2]))
    page, document = show(verdict, record), verdict.to_json()
    assert {"sent", "http.stored", "kafka.lost", "http.refused", "late"} <= page.figures.keys()
    assert devices == 0 or {f"per_kind.bme280.kafka.{name}" for name in ("lost", "late")} <= page.figures.keys()
    for path, shown in page.figures.items():
        assert shown == {show_number(find(document, path))}, path
    for sentence in verdict.failures():
        assert sentence[1:] in page.text
    assert f">{verdict.outcome.value}<" in page.text


@pytest.mark.slow
def test_the_report_of_15000_devices_is_small_and_says_how_many_it_leaves_out() -> None:
    record, rows = troubled_run(15_000)
    verdict = verify(record, http=from_rows(rows))
    page = show(verdict, record)
    assert len(page.text) < 150_000
    in_trouble = sum(number % 3 == 0 or number % 7 == 0 for number in range(15_000))
    assert f"{in_trouble:,} of 15,000 devices; the {DEVICES_SHOWN} with the most messages" in page.text
    assert f"and {in_trouble - DEVICES_SHOWN:,} more that are not listed" in page.text
    assert page.figures["http.lost"] == {"5,000"}


def test_causes_are_told_by_reason_and_kind() -> None:
    record, rows = troubled_run(10)
    page = show(verify(record, http=from_rows(rows)), record)
    cells = '<td class="n">{}</td>' * 6
    assert '"row">refused by the broker: Quota exceeded</th>' + cells.format(1, 0, 1, 0, 0, 2) in page.text
    assert '"row">sent and not in http</th>' + cells.format(1, 1, 0, 1, 1, 4) in page.text
    assert '"row">in http later than 5 s</th>' + cells.format(2, 0, 0, 0, 0, 2) in page.text


def test_what_comes_from_outside_is_escaped_and_secrets_are_hidden() -> None:
    evil = "<script>alert(1)</script>\"'&\u202e\x00\ud800"
    device = DeviceRecord(
        device_id=evil, kind=evil, site="s", boot=1, first_seq=0, last_seq=3, refused={evil: [(0, 1)]}
    )
    record = replace(
        run_record(device), scenario=evil, run_id=evil, broker="mqtts://user:pa55word@broker:8883", failures=[evil]
    )
    label = Label(
        device_id=evil, kind=evil, boot=1, type=evil, fields=(), parameters={}, layer="link",
        start_ms=SIM_STARTED_MS + 1000, end_ms=None, first_seq=None, last_seq=None, messages=1,
    )  # fmt: skip
    page = show(verify(record, http=[]), record, [label])
    assert page.text.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 8
    assert evil[:20] in page.chart("Faults of the scenario")["rows"][0]["name"]
    assert not {"\u202e", "\x00"} & set(page.text)
    for secret in ("pa55word", "s3cret", "t0ken"):
        assert secret not in page.text
    assert "mqtts://***@broker:8883" in page.text


@pytest.mark.parametrize(("count", "words"), [(0, "No fault"), (3, "gps-2, 2.0 s to 7.0 s"), (300, "300 devices")])
def test_faults_stand_on_a_time_line(count: int, words: str) -> None:
    record, rows = troubled_run(1)
    labels = [
        Label(
            device_id=f"gps-{number}", kind="gps", boot=7, type="dropout", fields=(), parameters={}, layer="transport",
            start_ms=SIM_STARTED_MS + 1000 * (number % 50), end_ms=SIM_STARTED_MS + 1000 * (number % 50 + 5),
            first_seq=0, last_seq=0, messages=1,
        )
        for number in range(count)
    ]  # fmt: skip
    page = show(verify(record, http=from_rows(rows)), record, labels)
    assert words in page.text
    assert sum(len(row["spans"]) for one in page.charts for row in one.get("rows", ())) <= 120


def test_rare_days_stand_on_a_time_line_of_their_own() -> None:
    record, rows = troubled_run(1)
    labels = [
        Label(
            device_id="gps-1", kind="gps", boot=7, type=name, fields=(), parameters={}, layer="physics",
            start_ms=SIM_STARTED_MS + 1000, end_ms=SIM_STARTED_MS + 5000, first_seq=0, last_seq=0, messages=1,
        )
        for name in ("snow", "town_event")
    ]  # fmt: skip
    page = show(verify(record, http=from_rows(rows)), record, labels)
    assert "No fault" in page.text
    assert [row["name"].split(" ")[0] for row in page.chart("Rare days")["rows"]] == ["snow", "town_event"]


def test_where_clocks_differ_no_latency_is_shown() -> None:
    record, rows = troubled_run(5)
    record.fixed_boots = False
    early = [(*row[:4], row[4] - 600_000) for row in rows]
    page = show(verify(record, http=from_rows(early)), record)
    assert "http: no latencies, as the clocks differ." in page.text
    assert page.figures["per_kind.gps.http.late"] == {"–"}
