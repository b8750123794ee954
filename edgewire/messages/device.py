"""Devices of other makers, as the bridge reads them: values with one name and one unit, whatever they came as."""

from typing import Any, Literal

from edgewire.messages.base import EXAMPLE_TIME, Examples, Measurement, Payload


class DeviceSource(Payload):
    """Where the values are from."""

    format: str
    """Name of the dialect, or `own` for a mapping of the user's."""
    name: str
    """The device's own name, which may have more letters than a device id."""
    time: Literal["device", "zone", "arrival"] = "device"
    """Whether the time is the device's, its local time in the zone that was configured, or that of the arrival."""
    sensor: str | None = None
    """Which of the device's sensors the values are of."""
    retained: bool = False
    """Whether the broker had kept the message: then the values are of the past."""
    remarks: list[str] = []
    """What was read otherwise than it stands, and why."""


DeviceValue = int | float | bool | str


class DeviceReading(Measurement):
    """Values of a device, under their canonical names (`temperature_c`, `battery_pct`), beside these fields."""

    source: DeviceSource
    parts: dict[str, dict[str, DeviceValue]] | None = None
    """The values of each sensor, where a message had those of several."""
    other: dict[str, Any] | None = None
    """What has no canonical name, as it came."""


DEVICE_EXAMPLES: Examples = (
    {
        "device_id": "kitchen",
        "timestamp": EXAMPLE_TIME,
        "boot": 825667200,
        "seq": 117,
        "temperature_c": 20.84,
        "humidity": 47.31,
        "battery_pct": 91,
        "source": {"format": "zigbee2mqtt", "name": "kitchen", "time": "arrival"},
    },
)
