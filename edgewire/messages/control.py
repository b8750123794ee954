"""The messages that every device has: its status, the commands it takes, and their results."""

from typing import Annotated, Any, Literal

from pydantic import Field

from edgewire.messages.base import EXAMPLE_BOOT, EXAMPLE_TIME, DeviceId, Examples, Payload, UtcTime

Count = Annotated[int, Field(ge=0)]

ResetReason = Literal["power_on", "brown_out", "watchdog", "panic", "command", "update", "rollback"]
"""Why a device started: its supply came or sagged, it hung, its program failed, it was told to, or new firmware did or
did not start."""


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
    """Messages since that boot."""
    buffered: Count
    """Messages that wait in the device."""
    dropped: Count
    """Messages since that boot that the device gave up."""
    uptime_s: Annotated[float, Field(ge=0)] | None = None
    """Since that boot; not in a will."""
    reset_reason: ResetReason | None = None
    """Why that boot happened."""
    run_id: str | None = None
    """Of the run that an emulated device belongs to, as in its record; hardware has none."""
    rssi_dbm: int | None = None
    """Signal strength of the radio, where there is one."""
    battery_pct: Annotated[float, Field(ge=0, le=100)] | None = None
    """Charge of the battery, where there is one."""
    battery_v: float | None = None
    """Its voltage."""


STATUS_EXAMPLES: Examples = (
    {
        "state": "online",
        "device_id": "gps-0007",
        "boot": EXAMPLE_BOOT,
        "firmware": "edgefleet/0.1.0",
        "origin": "emulated",
        "timestamp": EXAMPLE_TIME,
        "sent": 4022,
        "buffered": 0,
        "dropped": 0,
        "uptime_s": 4022.5,
        "reset_reason": "power_on",
        "run_id": "4f6d1c0be2a94d5f8a7c3e21d0b95a64",
        "rssi_dbm": -67,
        "battery_pct": 81.5,
        "battery_v": 4.03,
    },
)
CommandAction = Literal[
    "set_interval",
    "reboot",
    "reset",
    "identify",
    "set_fault",
    "clear_faults",
    "stop",
    "start",
    "update_firmware",
]
"""What a device can be told to do; `devices.fleet.command_handler` has the table of what each does."""


class Command(Payload):
    """On the `cmd` channel: something for the device to do."""

    id: Annotated[str, Field(min_length=1, max_length=64)]
    """Chosen by the sender, repeated in the result."""
    action: CommandAction
    arguments: dict[str, Any] = {}
    expires: UtcTime | None = None
    """A device that gets the command after this, by its own clock, does nothing and answers with an error."""


COMMAND_EXAMPLES: Examples = (
    {"id": "c-17", "action": "set_interval", "arguments": {"interval": "5s"}},
    {"id": "c-18", "action": "reboot", "expires": "2026-03-02T08:16:00.000Z"},
)


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
    """When the command was carried out; null while the device does not know the time. A command that comes twice is
    carried out once, and answered twice with the same result."""
    data: dict[str, Any] | None = None
    """What was asked for, or what follows."""


RESULT_EXAMPLES: Examples = (
    {"id": "c-17", "device_id": "gps-0007", "boot": EXAMPLE_BOOT, "ok": True, "timestamp": EXAMPLE_TIME},
    {
        "id": "c-18",
        "device_id": "gps-0007",
        "boot": EXAMPLE_BOOT,
        "ok": False,
        "error": "key 'interval' is missing",
        "timestamp": EXAMPLE_TIME,
    },
)
