"""The native wire format: topics and payloads as `edgewire.messages` has them."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from devices.scenario.devices import Device
from devices.timeline.encode import encode_columns, encode_events
from devices.timeline.table import Table
from devices.timeline.wire_format import Publication
from devices.world.random import Ints
from edgewire.messages import Channel, Topic


class NativeFormat:
    """The contract of `edgewire.messages`: `edge/{site}/{kind}/{device_id}/{channel}`, and flat JSON."""

    def topic(self, device: Device, channel: Channel) -> str:
        """Return the topic of one of a device's channels."""
        return str(Topic(device.site, device.kind, device.device_id, channel))

    def command_topics(self, device: Device) -> tuple[str, ...]:
        """Return the one topic on which a device takes commands."""
        return (self.topic(device, Channel.CMD),)

    def encode(self, table: Table, device_ids: Sequence[str], timestamps_ms: Ints, boot: int) -> list[bytes]:
        """Return the payload of each row of a table, whose rows are all of one boot."""
        columns = table.columns
        if isinstance(columns, list):
            return encode_events(device_ids, timestamps_ms, boot, table.seqs, columns)
        return encode_columns(device_ids, timestamps_ms, boot, table.seqs, columns)

    def status(self, device: Device, status: Mapping[str, Any]) -> Publication:
        """Return the retained message that tells a device's state."""
        return Publication(self.topic(device, Channel.STATUS), orjson.dumps(status), retain=True)

    def result(self, device: Device, result: Mapping[str, Any]) -> bytes:
        """Return the payload that answers a command."""
        return orjson.dumps(result)

    def will(self, device: Device, status: Mapping[str, Any]) -> Publication:
        """Return what the broker publishes when the device goes without a goodbye: a status like any other."""
        return self.status(device, status)
