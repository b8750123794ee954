"""Tells a connection that ended alone from one of many that ended together. Pure: the time is given."""

from collections import Counter

BUCKET_S = 0.1
KEPT_S = 60.0


class LossWindow:
    """Remembers when connections ended without a word: a broker that restarts ends all of them at once."""

    def __init__(self, devices: int) -> None:
        self.devices = devices
        """How many there are."""
        self._buckets: Counter[int] = Counter()

    def record_loss(self, at_s: float) -> None:
        """Count one that ended now."""
        bucket = int(at_s / BUCKET_S)
        if bucket not in self._buckets:
            oldest = bucket - KEPT_S / BUCKET_S
            for one in [one for one in self._buckets if one < oldest]:
                del self._buckets[one]
        self._buckets[bucket] += 1

    def was_alone(self, at_s: float) -> bool:
        """Return whether less than half of the devices lost their connections with the one that was lost at `at_s`."""
        bucket = int(at_s / BUCKET_S)
        lost = sum(self._buckets[one] for one in range(bucket - 1, bucket + 2))
        return 2 * lost < self.devices
