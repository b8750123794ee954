"""The seam between what devices have to say and how it is written on the wire: topics and payloads of a device.

Nothing outside a format knows the names in a topic or the keys of a payload. There is `native_format.NativeFormat`; a
further format is a class with these methods, and is chosen in `Timeline.wire_format`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from devices.scenario.devices import Device
from devices.timeline.table import Table
from devices.world.random import Ints
from edgewire.messages import Channel


class Publication(NamedTuple):
    """A message that a device publishes beside its readings, or the broker for it."""

    topic: str
    payload: bytes
    retain: bool


class WireFormat(Protocol):
    """Writes what the devices of a group say. Stateless: one object serves all devices of a run."""

    def topic(self, device: Device, channel: Channel) -> str:
        """Return the topic of one of a device's channels."""
        ...

    def command_topics(self, device: Device) -> Sequence[str]:
        """Return the topics that a device subscribes to for its commands."""
        ...

    def encode(self, table: Table, device_ids: Sequence[str], timestamps_ms: Ints, boot: int) -> list[bytes]:
        """Return the payload of each row of a table, whose rows are all of one boot.

        `timestamps_ms` are what the devices' clocks show, which is `table.times` unless a fault sets them wrong.
        """
        ...

    def status(self, device: Device, status: Mapping[str, Any]) -> Publication:
        """Return the message that tells a device's state; `status` has the fields of `edgewire.messages.Status`."""
        ...

    def result(self, device: Device, result: Mapping[str, Any]) -> bytes:
        """Return the payload that answers a command; `result` has the fields of `edgewire.messages.Result`."""
        ...

    def will(self, device: Device, status: Mapping[str, Any]) -> Publication:
        """Return the message that the broker publishes when the device goes without a goodbye."""
        ...
