"""Knows what a device has published lately, where it may come back to it over another connection.

A status in another maker's words has the same bytes whoever says it: each that the device has published comes back
once, and one more is another's. Readings may come back twice, as they are sent again after a loss; so one that has the
bytes of a reading of the device's own is never taken for another's.
"""

from collections import deque

ECHO_S = 60.0
"""For so long, or twice that, a device knows what it has published again."""
STATUSES_KEPT = 64
"""Of what it has said of its state and has not heard again."""


class OwnPublications:
    """Remembers payloads; `now_s` is a time for durations."""

    __slots__ = ("_newer", "_older", "_since_s", "_statuses")

    def __init__(self) -> None:
        self._newer: set[bytes] = set()
        self._older: set[bytes] = set()
        self._since_s = 0.0
        self._statuses: deque[tuple[bytes, float]] = deque(maxlen=STATUSES_KEPT)

    def remember_reading(self, payload: bytes, now_s: float) -> None:
        """Know a reading, or what else was said where readings are, for a while."""
        if now_s - self._since_s > ECHO_S:
            self._older = self._newer if now_s - self._since_s <= 2 * ECHO_S else set()
            self._newer, self._since_s = set(), now_s
        self._newer.add(payload)

    def remember_status(self, payload: bytes, now_s: float) -> None:
        """Expect what was said of the device's state to come back, once."""
        self._statuses.append((payload, now_s))

    def is_own_reading(self, payload: bytes) -> bool:
        """Return whether the device has said the same lately."""
        return payload in self._newer or payload in self._older

    def take_status(self, payload: bytes, now_s: float) -> bool:
        """Return whether this is one that was expected, which is so no more."""
        while self._statuses and now_s - self._statuses[0][1] > ECHO_S:
            self._statuses.popleft()
        found = next((one for one in self._statuses if one[0] == payload), None)
        if found is None:
            return False
        self._statuses.remove(found)
        return True
