"""Who a device is, wherever it is computed."""

from dataclasses import dataclass

from edgewire.messages import Channel, Topic


@dataclass(frozen=True, slots=True)
class Device:
    """Who a device is, and when it speaks."""

    device_id: str
    kind: str
    site: str
    qos: int
    interval_ms: int
    phase_ms: int
    ordinal: int
    """Number within its kind, from 0: gps 3 and telematics 3 ride in the same vehicle."""
    key: int
    """Stable 64-bit hash of the device id: what its randomness is drawn by."""

    def topic(self, channel: Channel) -> str:
        """The topic of one of its channels."""
        return str(Topic(self.site, self.kind, self.device_id, channel))
