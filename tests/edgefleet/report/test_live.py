"""What people and Prometheus see of a running fleet."""

import urllib.request
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from devices.fleet.incidents import IncidentRecorder
from devices.fleet.latency import Histogram
from devices.fleet.metrics import FleetSnapshot, Gauges, KindGauges
from edgefleet.embedded import free_port
from edgefleet.launch.worker_status import WorkerState
from edgefleet.report.fleet_metrics import serve_metrics
from edgefleet.report.live import FleetView, table
from edgewire.errors import ConfigError, ServiceUnavailable


def snapshot(acknowledged: int, lag_ms: float) -> FleetSnapshot:
    lag = Histogram()
    lag.add([lag_ms] * acknowledged)
    counts = {"devices": 1500, "connected": 1400, "emitted": acknowledged + 5, "acknowledged": acknowledged}
    kinds = KindGauges({"gps": Gauges(**counts, buffered=4)})
    return FleetSnapshot(**counts, buffered=4, lag=lag, kinds=kinds)


def render(before: FleetView, now: FleetView) -> list[list[str]]:
    console = Console(width=200, record=True, file=None, quiet=False)
    with console.capture() as capture:
        console.print(table("fleet", before, now, 200))
    return [line.replace("│", " ").replace("┃", " ").split() for line in capture.get().splitlines()]


def test_the_table_shows_rates_and_the_lag_of_the_last_moment() -> None:
    before = FleetView(10.0, [(WorkerState.RUNNING, snapshot(100, 500.0))])
    lag = before.total.lag.copy()
    lag.add([2.0] * 200)
    now = FleetView(12.0, [(WorkerState.RUNNING, snapshot(300, 500.0))])
    now.snapshots[0][1].lag = lag
    rows = render(before, now)
    row = next(row for row in rows if row[:1] == ["1,400/1,500"])
    assert row[1:4] == ["100", "305", "300"]
    assert "500" not in " ".join(row[8:])
    assert "2.1" in " ".join(row)


def test_several_workers_have_a_row_each() -> None:
    before = FleetView(0.0, [])
    now = FleetView(1.0, [(WorkerState.RUNNING, snapshot(10, 1)), (WorkerState.DIED, snapshot(30, 1))])
    text = ["".join(row) for row in render(before, now)]
    assert any("all" in row and "2,800/3,000" in row and "40" in row for row in text)
    assert any("0running" in row for row in text)
    assert any("1died" in row for row in text)


def test_a_narrow_terminal_cuts_no_number_short_and_shows_who_is_amiss() -> None:
    recorder = IncidentRecorder(lambda: 0.0)
    recorder.record_refused("gps", "not authorized (0x87)", 1_234_567)
    large = replace(snapshot(3, 1), devices=250_000, connected=250_000, emitted=100_000_000, acknowledged=99_000_000)
    large.incidents = recorder.incidents
    for count in (1, 2, 8):
        states = [WorkerState.RUNNING] * (count - 1) + [WorkerState.SILENT]
        now = FleetView(2.0, [(state, large) for state in states])
        console = Console(width=80)
        with console.capture() as capture:
            console.print(table("fleet", FleetView(0.0, []), now, 80))
        text = capture.get()
        lines = text.splitlines()
        assert max(map(len, lines)) <= 80
        assert "…" not in text
        assert any("refused" in line and f"{1_234_567 * count:,}" in line for line in lines)
        assert count == 1 or f"{count - 1} silent" in text
        assert "The broker refused" in text


@pytest.mark.slow
def test_metrics_tell_refusals_by_kind_and_reason() -> None:
    recorder = IncidentRecorder(lambda: 0.0)
    recorder.record_refused("gps", "not authorized (0x87)", 60)
    recorder.record_server_disconnect('a "reason" of its own\n')
    recorder.record_takeover("gps-0001")
    kinds = KindGauges({"gps": Gauges(sent_qos0=7, dropped=3, dropped_by_fault=2), "people": Gauges()})
    one = FleetSnapshot(incidents=recorder.incidents, kinds=kinds)
    port = free_port()
    with serve_metrics(lambda: [(WorkerState.RUNNING, one)] * 2, str(port)):
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    assert samples["edgefleet_refused_total", "gps", "not authorized (0x87)"] == 120
    assert samples["edgefleet_server_disconnects_total", 'a "reason" of its own\n'] == 2
    assert samples["edgefleet_takeovers_total",] == 2
    assert samples["edgefleet_sent_qos0_total", "gps"] == 14
    assert samples["edgefleet_dropped_by_fault_total", "gps"] == 4
    # What has not happened yet is 0: Prometheus sees no increase of a counter that appears with 1.
    assert samples["edgefleet_refused_total", "people", "other reasons"] == 0
    assert samples["edgefleet_dropped_total", "people"] == 0
    sums = {name[1]: value for name, value in samples.items() if name[0] == "edgefleet_incidents_total"}
    assert (sums["refused"], sums["server_disconnects"], sums["takeovers"], sums["connects_refused"]) == (120, 2, 2, 0)


@pytest.mark.slow
def test_metrics_are_the_sums_of_the_workers() -> None:
    port = free_port()
    with serve_metrics(
        lambda: [(WorkerState.RUNNING, snapshot(10, 1)), (WorkerState.RUNNING, snapshot(30, 1))], str(port)
    ):
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    families = {family.name: family for family in text_string_to_metric_families(page)}
    assert families["edgefleet_acknowledged"].samples[0].value == 40
    assert families["edgefleet_connected"].samples[0].value == 2800
    buckets = [sample for sample in families["edgefleet_schedule_lag_seconds"].samples if "le" in sample.labels]
    assert [sample.value for sample in buckets][-1] == 40
    assert [sample.value for sample in buckets] == sorted(sample.value for sample in buckets)
    assert len(families["edgefleet_worker_memory_bytes"].samples) == 2


@pytest.mark.parametrize("address", ["x", "0", "70000", "host:"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="neither a port nor HOST:PORT"), serve_metrics(list, address):
        pass


@pytest.mark.slow
def test_a_taken_port_is_one_sentence() -> None:
    port = str(free_port())
    with (
        serve_metrics(list, port),
        pytest.raises(ServiceUnavailable, match=f"cannot listen on {port}"),
        serve_metrics(list, port),
    ):
        pass
