"""Reads in Mosquitto's logs when devices came back after an outage."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

# Seconds since 1970, and whom the broker has let in.
_ACCEPTED = re.compile(rb"^(\d+): New client connected from \S+ as (\S+) ", re.MULTILINE)
_JUDGE = b"judge-"


@dataclass(frozen=True, slots=True)
class Comeback:
    """How a fleet came back."""

    devices: int
    """That were let in again."""
    took_s: int
    """From the end of the outage to the last of them."""
    by_second: dict[int, int]
    """Connections, by second since the end of the outage."""

    @property
    def peak(self) -> int:
        """Connections in one second at the most."""
        return max(self.by_second.values(), default=0)

    @property
    def by_ten_seconds(self) -> list[int]:
        """Connections in each ten seconds."""
        tens: Counter[int] = Counter()
        for second, count in self.by_second.items():
            tens[second // 10] += count
        return [tens[number] for number in range(max(tens, default=-1) + 1)]


def comeback(logs: Iterable[Path], began_s: float, ended_s: float) -> Comeback:
    """What these logs say of an outage between two instants, in seconds since 1970."""
    first: dict[bytes, int] = {}
    by_second: Counter[int] = Counter()
    for log in logs:
        for second, name in _ACCEPTED.findall(log.read_bytes()):
            # The brokers start a little before each other.
            at_s = int(second)
            if at_s >= began_s and not name.startswith(_JUDGE):
                by_second[max(0, at_s - int(ended_s))] += 1
                first.setdefault(name, at_s)
    took_s = max(first.values(), default=int(ended_s)) - int(ended_s)
    return Comeback(len(first), took_s, dict(by_second))
