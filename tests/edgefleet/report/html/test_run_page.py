"""The report of a run: whole in itself, and its figures are those of `--json`."""

from dataclasses import replace

import pytest

from devices.fleet.metrics import FleetSnapshot, Gauges, KindGauges
from edgefleet.launch.shard import ShardResult
from edgefleet.report.history import FleetHistory
from edgefleet.report.html.markup import show_number
from edgefleet.report.html.run_page import run_page
from edgefleet.report.run_summary import summary_json
from edgewire.run_record import DeviceRecord
from tests.edgefleet.report.html.pages import read_page, require_self_contained
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
    history = FleetHistory()
    for second in range(1, 20):
        history.add(second, snapshot(10 * second))
    history.close(20, result.final)
    page = read_page(run_page(result, history))
    require_self_contained(page)
    document = summary_json(result, "runs/1")
    assert {"devices", "emitted", "acknowledged", "dropped"} <= page.figures.keys()
    for path, shown in page.figures.items():
        assert shown == {show_number(document[path])}, path
    assert ">FAIL<" in page.text
    assert '<li class="bad">20 messages were dropped by full outboxes.</li>' in page.text
    assert "<li>Nothing was the limit.</li>" in page.text
    assert "due: from 10 to 10" in page.text  # a second
    assert "99 % within (ms). due → handed over: from 2" in page.text


def test_a_run_without_devices_has_a_report() -> None:
    page = read_page(run_page(ShardResult(record=run_record(), labels=[], final=FleetSnapshot()), FleetHistory()))
    require_self_contained(page)
    assert page.figures["emitted"] == {"0"}


def test_a_long_run_has_few_points_and_loses_no_count() -> None:
    history = FleetHistory(most=40)
    for tick in range(1, 5001):
        history.add(tick, FleetSnapshot(emitted=7 * tick))
    history.close(5000.5, FleetSnapshot(emitted=35_003))
    assert 20 <= len(history.points) <= 41
    assert history.points[-1].emitted == 35_003
    rates = [round(rate, 1) for _, rate in history.rates(lambda point: point.emitted)]
    assert set(rates) == {7.0}
