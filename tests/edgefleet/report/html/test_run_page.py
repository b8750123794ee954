"""The report of a run: whole in itself, and its figures are those of `--json`."""

from dataclasses import replace

import pytest

from devices.fleet.metrics import FleetSnapshot, Gauges, KindGauges
from edgefleet.launch.shard import ShardResult
from edgefleet.report.html.markup import show_number
from edgefleet.report.html.run_page import run_page
from edgefleet.report.run_summary import summary_json
from edgefleet.report.status_series import series_state
from edgewire.run_record import DeviceRecord
from tests.edgefleet.report.html.pages import read_page, require_self_contained
from tests.edgefleet.report.series import bridge_of, status_at
from tests.run_records import run_record


def snapshot(emitted: int) -> FleetSnapshot:
    """Return the numbers of a fleet of ten devices, of which each message took 20 ms and every tenth was dropped."""
    now = FleetSnapshot(devices=10, connected=9, emitted=emitted, acknowledged=emitted * 9 // 10, dropped=emitted // 10)
    now.kinds = KindGauges({"gps": Gauges(devices=10, emitted=emitted)})
    now.lag.add([20.0] * emitted)
    now.puback.add([4.0] * emitted)
    return now


@pytest.fixture
def result() -> ShardResult:
    """Ten devices that emitted 20 messages each and dropped two."""
    devices = [
        DeviceRecord(device_id=f"g-{n}", kind="gps", site="s", boot=1, first_seq=0, last_seq=19, acknowledged=18,
                     dropped=[(3, 4)])
        for n in range(10)
    ]  # fmt: skip
    final = snapshot(200)
    record = replace(
        run_record(*devices),
        lag_ms=final.lag.to_json(),
        puback_ms=final.puback.to_json(),
        problems={"dropped": "20 messages were dropped by full outboxes"},
        notes={"adapted": "The limits of the broker are obeyed"},
        verdict="20 messages were dropped by full outboxes. Nothing was the limit.",
    )
    return ShardResult(record=record, labels=[], final=final)


def test_figures_are_those_of_the_json_and_the_page_loads_nothing(result: ShardResult) -> None:
    states = [series_state(status_at(second), 1000) for second in range(20)]
    page = read_page(run_page(result, states))
    require_self_contained(page)
    document = summary_json(result, "runs/1")
    assert {"devices", "emitted", "acknowledged", "dropped"} <= page.figures.keys()
    for path, shown in page.figures.items():
        assert shown == {show_number(document[path])}, path
    assert ">FAIL<" in page.text
    assert '<li class="bad">20 messages were dropped by full outboxes.</li>' in page.text
    assert "<li>Nothing was the limit.</li>" in page.text
    assert [one["sent_per_s"] for one in page.chart("run")["states"]] == [10.0] * 20
    assert page.chart("spark")["values"] == [10.0] * 19
    assert sum(bar["count"] for bar in page.chart("From PUBLISH to PUBACK, of a sample, 200 values")["bars"]) == 200


def test_a_run_without_devices_has_a_report() -> None:
    page = read_page(run_page(ShardResult(record=run_record(), labels=[], final=FleetSnapshot()), []))
    require_self_contained(page)
    assert page.figures["emitted"] == {"0"}
    assert "has left no time line" in page.text


def test_a_long_run_has_few_points_and_keeps_what_was_wrong(result: ShardResult) -> None:
    states = [series_state(status_at(second, broker_is_away=second == 700), 1000) for second in range(1500)]
    states[500] |= {"bridge": bridge_of("open", 0.0)}
    page = read_page(run_page(result, states))
    drawn = page.chart("run")["states"]
    assert 200 <= len(drawn) <= 400
    assert sum(one["broker_is_away"] for one in drawn) == 1
    assert page.text.count('<td class="n">yes</td>') == 1  # of the table beside it
    assert len(page.text) < 250_000
