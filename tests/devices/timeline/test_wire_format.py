"""The format of a device writes all that it says; the native one is what the contract has."""

from collections.abc import Sequence

import orjson

from devices.scenario.devices import Device
from devices.scenario.scenario import Scenario
from devices.timeline.native_format import NativeFormat
from devices.timeline.table import Table
from devices.timeline.timeline import Timeline
from devices.timeline.wire_format import WireFormat
from devices.world.random import Ints
from edgewire.clock import parse_ms
from edgewire.dialects.encoder import Publication
from edgewire.messages import Channel, Status, Topic

NOON_MS = parse_ms("2026-03-04T12:00:00Z")
DEVICE = Device("gps-0001", "gps", "riverside", 1, 1000, 0, 7, "gps-0001", {})
STATUS = {
    "state": "offline", "device_id": "gps-0001", "boot": 3, "firmware": "1", "origin": "emulated", "timestamp": None,
    "sent": 0, "buffered": 0, "dropped": 0,
}  # fmt: skip


def test_native_topics_are_those_of_the_contract() -> None:
    native = NativeFormat()
    channels = {
        Channel.TELEMETRY: native.topics(DEVICE)[native.parts(Channel.TELEMETRY)[0].address],
        Channel.EVENT: native.topics(DEVICE)[native.parts(Channel.EVENT)[0].address],
        Channel.STATUS: native.will(DEVICE, STATUS).topic,
        Channel.CMD: native.command_topics(DEVICE)[0],
        Channel.RESULT: native.result_topic(DEVICE),
    }
    assert channels == {channel: f"edge/riverside/gps/gps-0001/{channel.value}" for channel in Channel}
    assert {Topic.parse(topic).channel for topic in channels.values()} == set(Channel)


def test_native_status_and_will_are_retained_and_of_the_contract() -> None:
    native = NativeFormat()
    (status,) = native.status(DEVICE, STATUS)
    assert status == native.will(DEVICE, STATUS)
    assert status == Publication("edge/riverside/gps/gps-0001/status", orjson.dumps(STATUS), True)
    assert Status.model_validate_json(status.payload).state == "offline"


class TerseFormat(NativeFormat):
    """Writes the seq alone."""

    def encode(self, table: Table, devices: Sequence[Device], timestamps_ms: Ints, boot: int) -> list[bytes]:
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
