"""Learns what makes a value: which generator of a declared kind gives series like those that were seen.

Numbers that stand in a scenario are rounded, so that none identifies the one device it was seen of.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Self

import numpy as np

from devices.world.random import Floats, Ints
from edgefleet.learn.daily_course import course_at, course_points, daily_course
from edgefleet.learn.drift_fit import fit_drift
from edgefleet.learn.moments import measure
from edgefleet.learn.noise_fit import fit_noise
from edgefleet.learn.shared_course import shared_at, shared_course
from edgewire.config import duration_text

Series = tuple[Ints, Sequence[Any]]
"""When a device said something, and what."""
Configs = dict[str, dict[str, Any]]
"""Name -> what makes a field, the hidden ones that it is made of before it."""
_MOST_CHOICES = 6
_MOST_DECIMALS = 6
_GROWS = 0.98
_IDENTIFYING = 10_000
"""From which on a whole number that never changes may be a serial number: two of its digits are kept."""
_SECONDS_AN_HOUR = 3600
_MOST_BEYOND = 3


@dataclass(frozen=True, slots=True)
class FieldModel:
    """Holds what makes a field."""

    configs: Configs
    says: str
    """In words, for the report."""

    def saying(self, says: str) -> Self:
        """Return the same with other words."""
        return replace(self, says=says)


def decimals_of(values: Sequence[Any]) -> int:
    """Return how many decimals numbers are written with."""
    most = 0
    for value in values[:2000]:
        if isinstance(value, float) and not value.is_integer():
            text = np.format_float_positional(value, trim="-")
            most = max(most, len(text.partition(".")[2]))
    return min(most, _MOST_DECIMALS)


def significant(value: float, digits: int = 3) -> float | int:
    """Return a number rounded to so many digits, a whole one without a point."""
    if not value:
        return 0
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def number_model(name: str, series: Sequence[Series], interval_ms: int) -> FieldModel:
    """Return what makes a number."""
    values = [value for _, told in series for value in told]
    decimals = decimals_of(values)
    columns = [np.array(told, dtype=np.float64) for _, told in series if len(told)]
    if len(set(values)) == 1:
        is_exact = not decimals and (abs(values[0]) >= _IDENTIFYING or len(series) < 2)
        return FieldModel({name: {"constant": significant(values[0], 2 if is_exact else 5)}}, "constant")
    if all(len(set(one.tolist())) == 1 for one in columns):
        return _constant_of_each(name, columns, decimals)
    if (grown := _counter(name, columns, series, decimals)) is not None:
        return grown
    if len(set(values)) <= _MOST_CHOICES and not decimals and len(values) >= 5 * len(set(values)):
        return choice_model(name, series, interval_ms, [significant(one, 3) for one in sorted(set(values))])
    return _with_day(name, series, columns, decimals, interval_ms)


def _constant_of_each(name: str, columns: Sequence[Floats], decimals: int) -> FieldModel:
    means = np.array([one[0] for one in columns])
    made: dict[str, Any] = {"constant": float(significant(float(means.mean()))), "decimals": decimals}
    return FieldModel({name: made | {"vary": significant(float(means.std(ddof=1)))}}, "constant, each its own")


def _counter(name: str, columns: Sequence[Floats], series: Sequence[Series], decimals: int) -> FieldModel | None:
    """Return a counter where nearly all steps go up, and there are enough of them to say so."""
    steps = np.concatenate([np.diff(one) for one in columns])
    up = steps[steps > 0]
    if len(steps) < 8 or len(up) < 3 or (steps >= 0).mean() < _GROWS or not _keeps_on(columns):
        return None
    hours = sum((int(times[-1]) - int(times[0])) / 1000 for times, told in series if len(told) > 1) / _SECONDS_AN_HOUR
    if hours <= 0:
        return None
    step = max(round(float(np.percentile(up, 5)), decimals), 10.0**-decimals)
    made = {
        "per_hour": significant(float(up.sum()) / step / hours, 4),
        "step": significant(step),
        "start": significant(round(float(np.mean([one[0] for one in columns])), decimals), 2),
    }
    if not 0 < made["per_hour"] <= 1e7:
        return None
    config: dict[str, Any] = {"counter": made}
    if any(not float(one).is_integer() for one in (made["step"], made["start"])):
        config["decimals"] = decimals
    return FieldModel({name: config}, f"counter, {made['per_hour']:g} steps an hour")


def _keeps_on(columns: Sequence[Floats]) -> bool:
    """Return whether it grows in each device that is long enough to tell."""
    told = [one for one in columns if len(one) >= 4]
    return bool(told) and sum(one[-1] > one[0] for one in told) >= 0.6 * len(told)


def _with_day(
    name: str, series: Sequence[Series], columns: Sequence[Floats], decimals: int, interval_ms: int
) -> FieldModel:
    """Return noise, about a course of the day where one was seen."""
    told = [(times, values) for times, values in series if len(values)]
    times = [one for one, _ in told]
    course = daily_course(series)
    if course is None:
        return _shared(name, times, columns, decimals, interval_ms)
    left = [one - course_at(course, at) for one, at in zip(columns, times, strict=True)]
    noise = _shared(f"{name}_noise", times, left, decimals, interval_ms)
    return _about(name, "day", {"profile": {"points": course_points(course)}}, noise, columns, decimals).saying(
        f"a course of the day, and {noise.says}"
    )


def _shared(name: str, times: Sequence[Ints], columns: Sequence[Floats], decimals: int, interval_ms: int) -> FieldModel:
    """Return noise, about a course that all devices have where one was seen."""
    common = shared_course(times, columns, interval_ms)
    if common is None:
        return _drifting(name, columns, decimals, interval_ms)
    begin_ms = min(int(at[0]) for at in times)
    left = [one - shared_at(common, begin_ms, at, interval_ms) for one, at in zip(columns, times, strict=True)]
    own = _drifting(f"{name}_own", left, decimals, interval_ms)
    shape = fit_noise(measure([common]), len(common), interval_ms)
    # How far one course goes beyond what it did is not seen: a slow one is taken for a few times that.
    moved = float(common.std())
    deviation = min(shape.slow, _MOST_BEYOND * moved) if shape.slow else moved
    made: dict[str, Any] = {"deviation": significant(deviation), "shared": True}
    if shape.slow:
        made["period"] = _period(shape.period_ms)
        if shape.is_smooth:
            made["smooth"] = True
    over = f", over {made['period']}" if shape.slow else ""
    says = f"noise of all together{over}, and {own.says}"
    return _about(name, "site", {"noise": made}, own, columns, decimals).saying(says)


def _drifting(name: str, columns: Sequence[Floats], decimals: int, interval_ms: int) -> FieldModel:
    """Return noise, and a drift where some devices have much of one and others little."""
    drift = fit_drift(columns, interval_ms)
    if drift is None:
        return _noise(name, columns, decimals, interval_ms)
    made: dict[str, Any] = {"deviation": significant(drift.deviation), "period": _period(drift.period_ms)}
    made |= {"spread": significant(drift.spread, 2)} if drift.spread else {}
    made |= {"smooth": True} if drift.is_smooth else {}
    # How far the means of all differ is no matter of the calm ones alone.
    means = np.array([one.mean() for one in columns])
    calm = [one - one.mean() for one in drift.calm]
    placed = [one + mean for one, mean in zip(calm, np.resize(means, len(calm)), strict=True)]
    quiet = _noise(f"{name}_calm", placed, decimals, interval_ms)
    says = f"a drift of some, over {made['period']}, and {quiet.says}"
    return _about(name, "drift", {"noise": made}, quiet, columns, decimals).saying(says)


def _about(
    name: str, part: str, made: dict[str, Any], noise: FieldModel, columns: Sequence[Floats], decimals: int
) -> FieldModel:
    """Return the sum of a hidden part and of noise, within the bounds of what was seen."""
    *_, inner = noise.configs
    own = {key: value for key, value in noise.configs[inner].items() if key not in ("min", "max", "decimals")}
    every = np.concatenate(columns)
    bounds = _bounds(every, float(every.min()), float(every.max()), decimals)
    return FieldModel(
        noise.configs
        | {
            inner: own | {"hidden": True},
            f"{name}_{part}": made | {"hidden": True},
            name: {"formula": f"{name}_{part} + {inner}", "decimals": decimals} | bounds,
        },
        noise.says,
    )


def _noise(name: str, columns: Sequence[Floats], decimals: int, interval_ms: int) -> FieldModel:
    seen = measure(columns)
    readings = round(float(np.median([len(one) for one in columns])))
    noise = fit_noise(seen, readings, interval_ms, 10.0**-decimals)
    bounds = _bounds(np.concatenate(columns), seen.low, seen.high, decimals)
    mean = significant(seen.mean, 5)
    shape: dict[str, Any] = {"decimals": decimals} | bounds
    if noise.vary > 0.05 * seen.within:
        shape["vary"] = significant(noise.vary)
    slow = {"deviation": significant(noise.slow), "period": _period(noise.period_ms)}
    if noise.is_smooth:
        slow["smooth"] = True
    fast = {"deviation": significant(noise.fast)}
    if not noise.slow or (noise.fast > 0 and noise.moves < 0.05 * noise.fast):
        return FieldModel({name: {"noise": {"mean": mean} | fast} | shape}, "noise, each reading alone")
    if noise.fast < 0.05 * noise.moves:
        return FieldModel({name: {"noise": {"mean": mean} | slow} | shape}, f"noise, over {slow['period']}")
    configs: Configs = {
        f"{name}_slow": {"noise": slow, "hidden": True},
        f"{name}_fast": {"noise": fast, "hidden": True},
        name: {"formula": f"{mean} + {name}_slow + {name}_fast"} | shape,
    }
    return FieldModel(configs, f"noise, over {slow['period']} and each reading alone")


def _period(milliseconds: int) -> str:
    return duration_text(max(1000, round(milliseconds / 1000) * 1000))


def _bounds(values: Floats, low: float, high: float, decimals: int) -> dict[str, float | int]:
    """Return between which a number stays: a floor where it often lies, else a quarter of the range beyond."""
    margin = max((high - low) / 4, 10.0**-decimals)
    least = low if (values == low).mean() > 0.05 else max(low - margin, 0.0) if low >= 0 else low - margin
    most = high if (values == high).mean() > 0.05 else high + margin
    found = {"min": round(float(np.floor(least * 10**decimals) / 10**decimals), decimals),
             "max": round(float(np.ceil(most * 10**decimals) / 10**decimals), decimals)}  # fmt: skip
    return {key: int(one) if float(one).is_integer() else one for key, one in found.items()}


def choice_model(name: str, series: Sequence[Series], interval_ms: int, values: Sequence[Any]) -> FieldModel:
    """Return a choice of values, each as often as it was seen, and kept as long."""
    counts = Counter(value for _, told in series for value in told)
    total = sum(counts.values())
    shares = [significant(count / total) for _, count in sorted(counts.items(), key=lambda entry: str(entry[0]))]
    ordered = sorted(counts, key=str)
    written = dict(zip(sorted(counts), values, strict=True)) if not isinstance(ordered[0], str) else {}
    of = [written.get(one, one) for one in ordered]
    changes = sum(before != after for _, told in series for before, after in pairwise(told))
    gaps = sum(max(0, len(told) - 1) for _, told in series)
    if not changes:
        every = "device"
    else:
        # Drawn anew, it is another value but for the share that it has itself.
        drawn = changes / gaps / max(1e-9, 1 - sum((count / total) ** 2 for count in counts.values()))
        every = "reading" if drawn > 0.8 else duration_text(max(1000, round(interval_ms / drawn / 1000) * 1000))
    made: dict[str, Any] = {"of": of, "weights": shares, "every": every}
    return FieldModel({name: {"choice": made}}, f"choice of {len(of)}, each {every}")


def state_model(
    name: str, series: Sequence[Series], interval_ms: int, on: Any, says: Sequence[str] | None
) -> FieldModel:
    """Return a state of two, with how long it stays each; `on` is the value that counts as on."""
    spans = {True: 0.0, False: 0.0}
    changes = 0
    for times, told in series:
        for place in range(len(told) - 1):
            spans[told[place] == on] += float(times[place + 1] - times[place])
            changes += told[place] != told[place + 1]
    kept = sum(spans.values()) / changes if changes else 0.0
    if not changes or kept < 2.5 * interval_ms or min(spans.values()) / changes * 2 < 1:
        return choice_model(name, series, interval_ms, sorted({one for _, told in series for one in told}))
    lasts = {state: span / (changes / 2) for state, span in spans.items()}
    made: dict[str, Any] = {
        key: f"{duration_text(_whole(lasts[state] / 2))}..{duration_text(_whole(lasts[state] * 1.5))}"
        for key, state in (("on", True), ("off", False))
    }
    if says is not None:
        made["says"] = list(says)
    return FieldModel({name: {"on_off": made}}, f"on for {made['on']}, off for {made['off']}")


def _whole(milliseconds: float) -> int:
    step = 1000 if milliseconds >= 10_000 else 10
    return max(step, round(milliseconds / step) * step)
