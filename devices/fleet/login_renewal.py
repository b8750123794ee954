"""Says when a device logs in anew whose token ends after a while."""

SPARE, SPREAD = 0.15, 0.15
"""Parts of a token's life: by how much before its end at the latest, and over how long a fleet is spread that came at
the same time."""
SHORTEST_SPARE_S = 2.0
"""Clients are looked at once a second."""


class LoginRenewal:
    """Keeps how far the token of one connection is."""

    __slots__ = ("_begins_s", "_urgent_s", "is_due")

    def __init__(self, now_s: float, life_s: float, uniform: float) -> None:
        """Take when the token was made, by a clock for durations, its life, and a draw from [0, 1)."""
        spare_s = max(life_s * SPARE, SHORTEST_SPARE_S)
        self._begins_s = now_s + life_s * (1 - SPREAD * uniform) - spare_s
        self._urgent_s = now_s + life_s - spare_s / 2
        self.is_due = False
        """Whether nothing more is to be published on the connection."""

    def begins(self, now_s: float) -> bool:
        """Return whether the token is to be renewed now."""
        return now_s >= self._begins_s

    def is_urgent(self, now_s: float) -> bool:
        """Return whether answers can be waited for no longer."""
        return now_s >= self._urgent_s
