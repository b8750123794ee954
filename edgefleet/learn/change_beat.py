"""Tells devices that speak when something has changed, and how often they look: their gaps are whole numbers of that.

A message that was lost leaves such a gap as well. So it has to show in the values that repetitions were left out: they
are so coarse that many would be equal, and none is.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from devices.scenario.on_change import MOST_READINGS
from edgefleet.learn.field_models import Series, decimals_of
from edgefleet.learn.intervals import Beat, gaps_of, round_interval
from edgefleet.learn.seen import Scalar, SeenSlot
from edgewire.config import duration_text
from edgewire.dialects.values import Path

_LEAST_MESSAGES = 40
_UNEVEN = 1.9
"""Times the shortest gaps that the longest are at least."""
_WHOLE, _MOSTLY = 0.15, 0.9
_REPEATED = 0.02
_COARSE_SHARE, _COARSE_STEPS = 0.2, 2.5
_USUAL_MAX_MS = 3_600_000
_MOST_REPEATED = 0.4
"""Share of messages that are sent in any case, every so long, though nothing has changed."""
_LEAST_REPEATS = 5
_MOST_FILLED = 1000
"""Readings between two messages."""


def learn_change_beat(slot: SeenSlot) -> Beat | None:
    """Return at which interval devices look, where they speak of changes alone; None where they speak at a beat."""
    gaps = gaps_of(slot.by_device.values())
    if len(gaps) < _LEAST_MESSAGES:
        return None
    low, high = (float(one) for one in np.percentile(gaps, (5, 95)))
    if low < 10 or high < _UNEVEN * low:
        return None
    base = float(np.median(gaps[gaps < 1.5 * low]))
    multiples = gaps / base
    if (np.abs(multiples - np.round(multiples)) < _WHOLE).mean() < _MOSTLY:
        return None
    repeats, is_coarse = _repeats(slot)
    if not is_coarse:
        return None
    interval_ms = round_interval(base)
    most_ms = min(_USUAL_MAX_MS, MOST_READINGS * interval_ms)
    if sum(map(len, repeats)) > _REPEATED * len(gaps):
        beat_ms = _common_beat(repeats)
        if beat_ms is None or sum(map(len, repeats)) > _MOST_REPEATED * len(gaps):
            return None
        most_ms = min(max(round_interval(beat_ms), interval_ms), most_ms)
    on = "change" if most_ms == _USUAL_MAX_MS else {"change": {}, "max_interval": duration_text(most_ms)}
    return Beat(interval_ms, {"interval": duration_text(interval_ms), "on": on}, gaps)


def _common_beat(repeats: Sequence[Sequence[int]]) -> float | None:
    """Return the time between messages that are sent in any case; None where repetitions come at any time."""
    apart = np.concatenate([np.diff(one) for one in repeats if len(one) > 1] or [np.empty(0, dtype=np.int64)])
    if len(apart) < _LEAST_REPEATS:
        return None
    beat = float(np.median(apart[apart < 1.5 * apart.min()]))
    multiples = apart / beat
    return beat if (np.abs(multiples - np.round(multiples)) < _WHOLE).mean() >= _MOSTLY else None


def _repeats(slot: SeenSlot) -> tuple[list[list[int]], bool]:
    """Return when each device said what it had said before, in ms, and whether values are so coarse that many would."""
    paths = _measured(slot)
    equal = pairs = 0
    found: list[list[int]] = []
    steps: list[float] = []
    units = {path: 10.0 ** -decimals_of(_values(slot, path)) for path in paths}
    for told in slot.by_device.values():
        found.append([])
        for before, after in pairwise(told):
            same = [before.leaves.get(path) == after.leaves.get(path) for path in paths]
            if all(same):
                found[-1].append(after.at_ms)
                continue
            equal += sum(same)
            pairs += len(same)
            steps += [
                abs(float(after.leaves[path]) - float(before.leaves[path])) / units[path]  # type: ignore[arg-type]
                for path, is_same in zip(paths, same, strict=True)
                if not is_same and _is_number(before.leaves.get(path)) and _is_number(after.leaves.get(path))
            ]
    is_coarse = bool(pairs) and (
        equal >= _COARSE_SHARE * pairs or (bool(steps) and float(np.median(steps)) <= _COARSE_STEPS)
    )
    return found, is_coarse


def _measured(slot: SeenSlot) -> list[Path]:
    """Return the places of values, without those that go up with each message: times, and numbers of messages."""
    paths = dict.fromkeys(path for told in slot.by_device.values() for one in told for path in one.leaves)
    return [path for path in paths if not _goes_up(slot, path)]


def _goes_up(slot: SeenSlot, path: Path) -> bool:
    """Return whether each message has more there than the one before; a time in ISO 8601 does so as a text."""
    told: list[list[Any]] = [[one.leaves.get(path) for one in messages] for messages in slot.by_device.values()]
    is_alike = any(all(is_one(value) for values in told for value in values) for is_one in (_is_number, _is_text))
    return is_alike and all(before < after for values in told for before, after in pairwise(values))


def _is_text(value: Scalar) -> bool:
    return isinstance(value, str)


def _is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _values(slot: SeenSlot, path: Path) -> list[Scalar]:
    return [one.leaves.get(path) for told in slot.by_device.values() for one in told]


def fill_series(series: Series, interval_ms: int) -> Series:
    """Return a series with what was measured between two messages as well: the value of the one before."""
    times, values = series
    found_times: list[int] = []
    found: list[object] = []
    ends: Sequence[int] = [*times[1:].tolist(), int(times[-1]) + 1] if len(times) else []
    for at, until, value in zip(times.tolist(), ends, values, strict=True):
        count = max(1, min(round((until - at) / interval_ms), _MOST_FILLED))
        found_times += range(at, at + count * interval_ms, interval_ms)
        found += [value] * count
    return np.array(found_times, dtype=np.int64), found
