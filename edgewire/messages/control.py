"""What a device says about itself, and what it can be told to do."""

from typing import Annotated, Any, Literal

from pydantic import Field

from edgewire.messages.base import DeviceId, Payload, UtcTime

Count = Annotated[int, Field(ge=0)]


class Status(Payload):
    """Retained on the `status` channel; the will has the same shape, with `state` "offline"."""

    state: Literal["online", "offline", "sleeping"]
    device_id: DeviceId
    boot: Count
    firmware: str
    origin: Literal["emulated", "hardware"]
    """The one place where emulated and real devices are told apart."""
    timestamp: UtcTime | None
    """When it was said; null in a will, which is written before the device goes."""
    sent: Count
    buffered: Count
    dropped: Count


class Command(Payload):
    """On the `cmd` channel: something for the device to do."""

    id: Annotated[str, Field(min_length=1, max_length=64)]
    """Chosen by the sender, repeated in the result."""
    action: Literal[
        "set_interval", "reboot", "identify", "set_fault", "clear_faults", "stop", "start", "update_firmware"
    ]
    arguments: dict[str, Any] = {}


class Result(Payload):
    """On the `result` channel: the answer to a command."""

    id: str
    """Of the command; empty where it could not be read."""
    device_id: DeviceId
    boot: Count
    ok: bool
    error: str | None = None
    """Why nothing was done; null when `ok`."""
    timestamp: UtcTime | None
