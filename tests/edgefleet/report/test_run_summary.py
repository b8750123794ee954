"""What is said at the end of a run of who was in it, and of what is labelled."""

import pytest

from devices.faults.labels import Label
from devices.fleet.metrics import FleetSnapshot
from edgefleet.launch.shard import ShardResult
from edgefleet.report.run_summary import summary_json, summary_text
from edgewire.run_record import DeviceRecord, GatewayRecord
from tests.run_records import run_record


def carrier(name: str, *devices: str, has_parts: bool = False) -> GatewayRecord:
    return GatewayRecord(gateway_id=name, site="s", devices=list(devices), has_parts=has_parts)


@pytest.mark.parametrize(
    ("gateways", "said"),
    [
        ([], "5 devices emitted"),
        ([carrier("g", "a", "b", "c", "d", "e")], "5 devices behind 1 gateway emitted"),
        ([carrier("g", "a", "b")], "5 devices, 2 of them behind 1 gateway, emitted"),
        ([carrier("x", "a", "b", has_parts=True)], "4 devices, 1 of them with 2 parts, emitted"),
        (
            # One that was replaced is there twice.
            [carrier("x", "a", "b", has_parts=True), carrier("x", "a", "b", "c", "d", "e", has_parts=True)],
            "1 device, with 5 parts, emitted",
        ),
    ],
)
def test_devices_are_counted_and_not_their_parts(gateways: list[GatewayRecord], said: str) -> None:
    record = run_record(*(DeviceRecord(device_id=name, kind="gps", site="s", boot=1) for name in "abcde"))
    record.gateways = gateways
    result = ShardResult(record=record, final=FleetSnapshot(), labels=[])
    assert summary_text(result, "run", "labels.jsonl").startswith(said)
    with_parts = {one.gateway_id for one in gateways if one.has_parts}
    assert summary_json(result, "run")["devices_with_parts"] == len(with_parts)


@pytest.mark.parametrize(
    ("types", "said"),
    [
        ([], None),
        (["stuck", "gps_loss"], "; 2 faults in labels.jsonl"),
        (["snow", "town_event", "snow"], "; 3 labels of rare days in labels.jsonl"),
        (["snow", "stuck"], "; 1 fault and 1 label of rare days in labels.jsonl"),
    ],
)
def test_rare_days_are_labelled_and_no_faults(types: list[str], said: str | None) -> None:
    labels = [
        Label(device_id="a", kind="traffic", boot=1, type=one, fields=(), parameters={}, layer="physics",
              start_ms=0, end_ms=1000, first_seq=0, last_seq=0, messages=1)
        for one in types
    ]  # fmt: skip
    record = run_record(DeviceRecord(device_id="a", kind="traffic", site="s", boot=1))
    result = ShardResult(record=record, final=FleetSnapshot(), labels=labels)
    text = summary_text(result, "run", "labels.jsonl")
    assert said in text if said else "labels.jsonl" not in text
    assert summary_json(result, "run")["labels"] == len(types)
    assert summary_json(result, "run")["rare_day_labels"] == sum(one in {"snow", "town_event"} for one in types)


def test_it_is_told_how_long_connections_took_and_how_long_the_ramp_was_slowed() -> None:
    final = FleetSnapshot(slowed_s=2.25)
    final.connack.add([20.0] * 500)
    told = summary_json(ShardResult(record=run_record(), final=final, labels=[]), "run")
    assert told["connack_ms"]["count"] == 500
    assert told["connack_ms"]["p50"] == pytest.approx(20, rel=0.1)
    assert told["ramp_slowed_s"] == 2.2
