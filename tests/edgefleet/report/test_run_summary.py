"""What is said at the end of a run of who was in it."""

import pytest

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
