"""Exponential backoff with full jitter, as a pure function of the attempt and a uniform draw.

Full jitter (a uniform draw between zero and the growing ceiling) spreads the retries of many clients best;
see "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Tells how long to wait before attempt `n` (0 = the first retry). Times are in seconds."""

    base_s: float = 0.5
    cap_s: float = 60.0
    factor: float = 2.0

    def ceiling(self, attempt: int) -> float:
        """Return the longest wait before this attempt; it grows by `factor` until `cap_s`."""
        # Beyond 64 doublings any cap is reached; a larger exponent would overflow the float.
        return min(self.cap_s, self.base_s * self.factor ** min(attempt, 64))

    def delay(self, attempt: int, uniform: float) -> float:
        """Return the wait before this attempt, for a draw `uniform` in [0, 1)."""
        return uniform * self.ceiling(attempt)
