"""Faults of a device as a whole and of its link: they change when and whether messages travel, not what they say.

All of them end. A live fleet begins and ends them (`devices.fleet.fault_injector` has a row for each); an export shows
of them only a `reboot`, in boot, seq and the readings that are not taken.
"""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from devices.faults.base import Fault, Layer, Share
from edgewire.messages.control import ResetReason


class ConnectionFault(Fault):
    """A fault that affects a whole device, or its link, for a while."""

    layer: ClassVar[Layer] = "transport"
    is_executed_live: ClassVar[bool] = True
    is_of_connection: ClassVar[bool] = True
    shows_in_exports: ClassVar[bool] = False

    @model_validator(mode="after")
    def _check_end(self) -> "ConnectionFault":
        if self.from_ is not None and self.to is None:
            raise ValueError("to: is missing: this fault must end")
        return self


class Reboot(ConnectionFault):
    """The device resets: it is down for as long as the fault lasts, then begins a new boot with seq 0.

    What waits in an outbox in RAM is lost.
    """

    layer: ClassVar[Layer] = "firmware"
    is_of_connection: ClassVar[bool] = False
    shows_in_exports: ClassVar[bool] = True
    can_be_commanded: ClassVar[bool] = False

    type: Literal["reboot"]
    reason: ResetReason = "brown_out"
    """As reported in `status` afterwards. Some chips report a brown-out as `watchdog` (espressif/esp-idf#10834)."""

    @model_validator(mode="after")
    def _check_length(self) -> "Reboot":
        shortest = self.duration[0] if self.duration else 1000
        if self.from_ is not None and self.to is not None:
            shortest = round((self.to - self.from_).total_seconds() * 1000)
        if shortest < 1000:
            raise ValueError("a reboot takes a second at least: boots are told apart by the second in which they begin")
        return self

    @property
    def reset_reason(self) -> ResetReason:
        """The reason that the scenario gives."""
        return self.reason


class SilentDeath(ConnectionFault):
    """The connection dies without DISCONNECT, so the will is published; the device is back when the fault ends."""

    type: Literal["silent_death"]
    how: Literal["rst", "fin"] = "rst"
    """Whether TCP resets the connection or closes it."""


class HalfOpen(ConnectionFault):
    """The connection stands, but nothing passes in either direction, and the device does not notice.

    The broker publishes the will when one and a half times the keep-alive has passed without a packet. When the fault
    ends, the device finds the connection dead and dials again.
    """

    type: Literal["half_open"]


class Takeover(ConnectionFault):
    """Another client connects with this device's client id; the broker ends the device's connection."""

    type: Literal["takeover"]


class Duplicate(ConnectionFault):
    """Acknowledgements do not reach the device, then the connection breaks: what it sent meanwhile, at QoS 1 or 2, is
    sent again with DUP.
    """

    type: Literal["duplicate"]


class Delay(ConnectionFault):
    """Messages stay in the device, and leave in their order when the fault ends."""

    holds_messages: ClassVar[bool] = True

    type: Literal["delay"]


class Reorder(ConnectionFault):
    """Messages stay in the device, and leave when the fault ends, the newest first."""

    holds_messages: ClassVar[bool] = True

    type: Literal["reorder"]


class Corrupt(ConnectionFault):
    """Payloads are damaged on their way: a byte of them is none of UTF-8, or their end is missing.

    What arrives is no JSON. The messages count as dropped in the run record.
    """

    strikes_messages: ClassVar[bool] = True

    type: Literal["corrupt"]
    chance: Share = Field(default=1.0)
    """That a message is damaged."""

    @property
    def strike_chance(self) -> float:
        """The chance that the scenario gives."""
        return self.chance
