"""Holds what the devices of a group are built with: settings of their firmware, shared by all of them."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from devices.firmware.reconnect import ReconnectConfig
from edgewire.config import Config, DurationMs, SizeBytes
from edgewire.config_errors import text_matching

Version = Annotated[
    str,
    text_matching(
        r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,31}$",
        "letters, digits, '_', '.', '+' and '-', at most 32 of them, and begin with a letter or digit",
    ),
]
"""Of a firmware, such as 1.4.2."""


class OutboxConfig(Config):
    """Says how much a device can keep while it is offline."""

    max_messages: int = Field(default=1000, ge=1)
    max_bytes: SizeBytes = Field(default=256 * 1024, ge=1024)
    when_full: Literal["drop-oldest", "drop-newest"] = "drop-oldest"
    storage: Literal["ram", "flash"] = "ram"
    """What a reset does to waiting readings: from `ram` they are lost and count as dropped, `flash` keeps them."""
    flush_per_second: float | None = Field(default=None, gt=0, le=100_000)
    """No more waiting readings than this leave a device in a second once it is connected again; without it as fast as
    the broker takes them. Below the rate at which it measures, the outbox never empties."""


class SleepConfig(Config):
    """Deep sleep: readings are collected, then handed in together over a short connection."""

    readings: int = Field(default=1, ge=1, le=100_000)
    """Messages collected before the device wakes its radio."""
    awake: DurationMs = Field(default=500, ge=0, le=3_600_000)
    """Wall time for which it stays connected at the least, so that commands which wait at the broker reach it."""


class UpdateConfig(Config):
    """Firmware updates, begun by the command `update_firmware`."""

    download: DurationMs = Field(default=20_000, ge=0, le=86_400_000)
    """How long a download takes."""
    failures: float = Field(default=0.0, ge=0, le=1)
    """Part of the updates whose new firmware does not start: the device rolls back to the one it had."""


class FirmwareConfig(Config):
    """Says what a device's firmware does beside measuring."""

    version: Version = "1.0.0"
    """As reported in `status`, until an update."""
    commands: bool = True
    """Whether the device subscribes to its `cmd` topic."""
    boot_time: DurationMs = Field(default=2000, ge=1000, le=3_600_000)
    """How long a reset by command takes: no readings, no connection."""
    first_sync: DurationMs = Field(default=0, ge=0, le=86_400_000)
    """After a boot, until the first NTP answer the device does not know the time: it holds its readings, and stamps and
    sends them then. Its status has a `timestamp` of null until then."""
    status_interval: DurationMs | None = Field(default=300_000, ge=1000)
    """How often a connected device publishes its status again, with radio, battery and uptime as they are by then, as
    firmware does (Tasmota: every 300 s); each at a moment of its own. Null: as it comes and goes alone. For messages of
    the contract; other dialects have the state in their readings, or say it as it changes."""
    sleep: SleepConfig | None = None
    """Deep sleep between transmissions; without it the device stays connected."""
    battery_life: DurationMs | None = Field(default=None, ge=60_000)
    """How long a battery lasts, from power-on, and again after each change; `status` has `battery_pct` and
    `battery_v`."""
    rssi: float | None = Field(default=None, ge=-120, le=-20)
    """Typical signal strength of the radio in dBm, around which each device has its own; `status` has `rssi_dbm`."""
    update: UpdateConfig = UpdateConfig()


@dataclass(frozen=True, slots=True)
class Build:
    """Holds all settings of a device's firmware; one object for all devices of a group."""

    firmware: FirmwareConfig = field(default_factory=FirmwareConfig)
    outbox: OutboxConfig = field(default_factory=OutboxConfig)
    reconnect: ReconnectConfig = field(default_factory=ReconnectConfig)
    run_id: str = ""
    """The run that the devices belong to, which their status tells; empty where it tells none."""
