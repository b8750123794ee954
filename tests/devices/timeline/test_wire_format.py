"""The format of a device writes all that it says; the native one is what the contract has."""

from collections.abc import Sequence

import orjson
import pytest

from devices.scenario.devices import Device
from devices.scenario.scenario import Scenario
from devices.timeline.native_format import NativeFormat
from devices.timeline.table import Table
from devices.timeline.timeline import Timeline
from devices.timeline.wire_format import Publication, WireFormat
from devices.world.random import Ints
from edgewire.clock import parse_ms
from edgewire.messages import Channel, Status, Topic

NOON_MS = parse_ms("2026-03-04T12:00:00Z")
DEVICE = Device("gps-0001", "gps", "riverside", 1, 1000, 0, 0, 7)
STATUS = {
    "state": "offline", "device_id": "gps-0001", "boot": 3, "firmware": "1", "origin": "emulated", "timestamp": None,
    "sent": 0, "buffered": 0, "dropped": 0,
}  # fmt: skip


@pytest.mark.parametrize("channel", Channel)
def test_a_native_topic_is_one_of_the_contract(channel: Channel) -> None:
    topic = NativeFormat().topic(DEVICE, channel)
    assert topic == f"edge/riverside/gps/gps-0001/{channel.value}"
    assert Topic.parse(topic) == Topic("riverside", "gps", "gps-0001", channel)


def test_native_status_and_will_are_retained_and_of_the_contract() -> None:
    native = NativeFormat()
    assert native.status(DEVICE, STATUS) == native.will(DEVICE, STATUS)
    assert native.will(DEVICE, STATUS) == Publication("edge/riverside/gps/gps-0001/status", orjson.dumps(STATUS), True)
    assert Status.model_validate_json(native.status(DEVICE, STATUS).payload).state == "offline"
    assert native.command_topics(DEVICE) == ("edge/riverside/gps/gps-0001/cmd",)


class TerseFormat(NativeFormat):
    """Writes the seq alone."""

    def encode(self, table: Table, device_ids: Sequence[str], timestamps_ms: Ints, boot: int) -> list[bytes]:
        return [b"%d" % seq for seq in table.seqs.tolist()]


class MixedTimeline(Timeline):
    """Has its people counters write another format."""

    def wire_format(self, position: int) -> WireFormat:
        return TerseFormat() if self.devices[position].kind == "people" else super().wire_format(position)


def test_payloads_are_written_in_the_format_of_their_device() -> None:
    groups = [{"kind": "people", "count": 2, "interval": "1m"}, {"kind": "gps", "count": 2, "interval": "1m"}]
    scenario = Scenario(
        devices=groups, faults=[{"type": "reboot", "kind": "people", "rate": "48/day", "duration": "1m"}]
    )
    usual, mixed = (line(scenario, NOON_MS).batch(NOON_MS, NOON_MS + 3_600_000) for line in (Timeline, MixedTimeline))
    assert (usual.seq, usual.device, usual.boot) == (mixed.seq, mixed.device, mixed.boot)
    assert len(set(usual.boot)) > 1
    for device, seq, native, payload in zip(usual.device, usual.seq, usual.payload, mixed.payload, strict=True):
        assert payload == (b"%d" % seq if device < 2 else native)
