"""Has fields of one device go along with each other as they were seen to, where both are noise."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from devices.world.random import Floats
from edgefleet.learn.payload_mapping import LearnedField
from edgewire.config import duration_ms

_LEAST = 0.3
"""A correlation that is told from chance in a short capture."""
_MOST = 0.95
_LEAST_READINGS = 12
_AS_SLOW = 2
"""Times the period of one may be that of the other."""


class _Noise(NamedTuple):
    """Is the largest noise that a field is made of."""

    name: str
    config: dict[str, Any]
    share: float
    """Of the deviation of all its noise."""


def correlate_fields(fields: Sequence[LearnedField]) -> None:
    """Write into what makes fields with which earlier one they go along; each with the one that tells most of it."""
    leaders: list[tuple[LearnedField, _Noise]] = []
    for field in fields:
        noise = _largest_noise(field)
        if noise is None:
            continue
        found = [(correlation(leader.captured, field.captured), beside) for leader, beside in leaders]
        told = [
            (value, beside)
            for value, beside in found
            if value is not None and abs(value) >= _LEAST and _is_as_slow(noise.config, beside.config)
        ]
        if not told:
            leaders.append((field, noise))
            continue
        value, beside = max(told, key=lambda entry: abs(entry[0]))
        # What else each of the two does has nothing to do with the other.
        share = float(np.clip(value / (noise.share * beside.share), -_MOST, _MOST))
        noise.config["with"], noise.config["correlation"] = beside.name, float(f"{share:.2g}")
        field.says += f", with {leaders[[one for _, one in leaders].index(beside)][0].name}"


def _is_as_slow(some: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether noise may take on the course of another: it would be as slow as that."""
    if some.get("smooth", False) != other.get("smooth", False) or some.get("shared") != other.get("shared"):
        return False
    periods = [duration_ms(one.get("period", "1ms")) for one in (some, other)]
    return max(periods) <= _AS_SLOW * min(periods)


def correlation(some: Sequence[Floats], others: Sequence[Floats]) -> float | None:
    """Return the correlation of two fields within devices, pooled; None where they are not said together."""
    if len(some) != len(others) or any(len(one) != len(other) for one, other in zip(some, others, strict=True)):
        return None
    pairs = [
        (one - one.mean(), other - other.mean())
        for one, other in zip(some, others, strict=True)
        if len(one) >= _LEAST_READINGS
    ]
    if not pairs:
        return None
    product = sum(float((one * other).sum()) for one, other in pairs)
    squares = sum(float((one**2).sum()) for one, _ in pairs) * sum(float((other**2).sum()) for _, other in pairs)
    return product / float(np.sqrt(squares)) if squares > 0 else None


def _largest_noise(field: LearnedField) -> _Noise | None:
    noises = {name: config["noise"] for name, config in field.configs.items() if "noise" in config}
    if not noises or not field.captured:
        return None
    name = max(noises, key=lambda one: noises[one]["deviation"])
    total = math.hypot(*(float(config["deviation"]) for config in noises.values()))
    return _Noise(name, noises[name], noises[name]["deviation"] / total) if total else None
