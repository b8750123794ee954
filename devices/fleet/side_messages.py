"""Keeps what is said on devices' topics beside their numbered messages, where no id tells the two apart.

That is what devices answer with readings to commands, and what real sensors say in the places of devices in standby:
with it, verification knows such a message where a sink has it.
"""

from collections import Counter

from devices.fleet.device_client import DeviceClient
from devices.timeline.discovery_layer import DiscoveryLayer
from devices.timeline.native_format import NativeFormat
from edgewire.run_record import SideMessage

MOST_OF_A_DEVICE, MOST_OF_ALL = 2_000, 20_000
"""So many are kept in one process."""
LONGEST = 4096
"""A longer payload (bytes) is not kept."""


class SideMessageRecorder:
    """Keeps the first of them, and counts the others by device."""

    def __init__(self) -> None:
        self.messages: list[SideMessage] = []
        self.left_out: Counter[str] = Counter()
        self._kept: Counter[str] = Counter()

    def record(self, client: DeviceClient, at_ms: int, topic: str, payload: bytes, *, is_answer: bool) -> None:
        """Keep a message that has no id, said on the devices' time `at_ms`."""
        device_id = client.device.device_id
        if _has_ids(client):
            return
        is_full = self._kept[device_id] >= MOST_OF_A_DEVICE or len(self.messages) >= MOST_OF_ALL
        if is_full or len(payload) > LONGEST:
            self.left_out[device_id] += 1
            return
        self._kept[device_id] += 1
        self.messages.append(
            SideMessage(
                device_id=device_id, at_ms=at_ms, topic=topic, payload=payload.decode("latin-1"), is_answer=is_answer
            )
        )

    def record_unheard(self, client: DeviceClient) -> None:
        """Count that there may be one that nobody has heard."""
        if not _has_ids(client):
            self.left_out[client.device.device_id] += 1


def _has_ids(client: DeviceClient) -> bool:
    wire_format = client.wire_format
    return isinstance(wire_format.inner if isinstance(wire_format, DiscoveryLayer) else wire_format, NativeFormat)
