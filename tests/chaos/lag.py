"""Tells whether a drain gets on: a busy machine may make it long, but not stand still. Pure; time is given."""

from dataclasses import dataclass, field

STILL_S = 40.0
"""A run in which nothing more arrives for so long has lost what is missing, or is stuck."""
AT_MOST_S = 900.0
"""However well it gets on; on a machine that is busy with other things 3,000 single posts take minutes."""


@dataclass(slots=True)
class DrainLag:
    """What is left, and when it last became less. Repetitions do not count: they leave as much as before."""

    began: float
    """Seconds of a monotonic clock, as all moments here."""
    steps: list[tuple[float, int]] = field(default_factory=list)
    """Seconds from the beginning, and what was left then, whenever that was less than ever before."""

    def record(self, left: int, now: float) -> None:
        """So much is left."""
        if not self.steps or left < self.steps[-1][1]:
            self.steps.append((round(now - self.began, 2), left))

    def problem(self, now: float) -> str | None:
        """Why there is no use in waiting any longer; None while there is."""
        spent = now - self.began
        last, left = self.steps[-1] if self.steps else (0.0, None)
        if spent - last >= STILL_S:
            return f"stuck: nothing more arrived for {spent - last:.0f} s, {left} left since {last:.0f} s"
        if spent >= AT_MOST_S:
            return (
                f"slow, not stuck: not drained after {spent:.0f} s, {left} left, the last one {spent - last:.1f} s ago"
            )
        return None
