"""When a device that lost its connection dials again.

Common firmware waits a fixed time (ESPHome 5 s, Tasmota 10 s), so all devices of a broker that went away return
together, again and again. Exponential waits with full jitter spread them; see `edgewire.backoff`.
"""

from typing import Literal

from pydantic import Field

from edgewire.backoff import Backoff
from edgewire.config import Config, DurationMs


class ReconnectConfig(Config):
    """How a device comes back after its connection is lost."""

    policy: Literal["exponential", "fixed"] = "exponential"
    """`exponential`: a random part (full jitter) of a wait that doubles from `base` to `cap`. `fixed`: always
    `interval`, as common firmware does; a fleet of such devices returns as a storm."""
    base: DurationMs = Field(default=1000, ge=1)
    cap: DurationMs = Field(default=60_000, ge=1)
    interval: DurationMs = Field(default=5000, ge=1)
    """Of the policy `fixed`. ESPHome waits 5 s, Tasmota 10 s."""

    def delay_s(self, failures: int, uniform: float) -> float:
        """Seconds to wait after so many failures in a row, for a draw in [0, 1)."""
        if self.policy == "fixed":
            return self.interval / 1000
        return Backoff(base_s=self.base / 1000, cap_s=self.cap / 1000).delay(failures, uniform)
