"""Gathers what stands at each place of the payloads of a topic."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgefleet.learn.field_models import Series
from edgefleet.learn.seen import Scalar, SeenMessage
from edgewire.dialects.values import Path


@dataclass(slots=True)
class PayloadValues:
    """Holds what stands at one place of the payloads of a topic."""

    path: Path
    series: dict[str, Series]
    """By device, without what is missing."""
    present: float
    """The share of messages that have it."""

    @property
    def values(self) -> list[Scalar]:
        """Return all values."""
        return [value for _, told in self.series.values() for value in told]


def values_by_path(told: Mapping[str, Sequence[SeenMessage]]) -> list[PayloadValues]:
    """Return what stands at each place, in the order of the payloads; places within another value are left out."""
    counts: Counter[Path] = Counter()
    total = 0
    for messages in told.values():
        total += len(messages)
        for message in messages:
            counts.update(message.leaves.keys())
    found = []
    for path in _consistent(counts):
        series: dict[str, Series] = {}
        for device, messages in told.items():
            rows = [(one.at_ms, one.leaves[path]) for one in messages if one.leaves.get(path) is not None]
            if rows:
                series[device] = np.array([at for at, _ in rows], dtype=np.int64), [value for _, value in rows]
        known = sum(len(told) for _, told in series.values())
        found.append(PayloadValues(path, series, known / total))
    return found


def _consistent(counts: Counter[Path]) -> list[Path]:
    """Return the places that can be in one payload: where some have an object and others a list, those of the most."""
    children: dict[Path, Counter[type]] = defaultdict(Counter)
    for path, count in counts.items():
        for size in range(len(path)):
            children[path[:size]][type(path[size])] += count
    usual = {path: kinds.most_common(1)[0][0] for path, kinds in children.items()}
    return [
        path
        for path in counts
        if path not in children and all(type(path[size]) is usual[path[:size]] for size in range(len(path)))
    ]
