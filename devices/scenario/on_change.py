"""Says that devices of a group report by exception: they measure at their interval, and publish what has changed."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated

from pydantic import Field

from devices.sensors.derived import DERIVED
from devices.sensors.fields import numeric_fields
from devices.sensors.registry import KINDS
from edgewire.config import Config, DurationMs, duration_text
from edgewire.config_errors import located_error
from edgewire.dialects.registry import DIALECTS
from edgewire.messages import Channel

MOST_READINGS = 20_000
"""Between two that are published whatever they say: so far back one looks for what a device said last."""

MOST_COUNTED_LIVE = 2_000_000
"""Readings of all devices that a live run counts as it begins: some seconds, in which nothing is published."""

DeadBand = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class OnChange(Config):
    """Which readings are published: the first of a boot, one each `max_interval`, and in between those that differ."""

    change: dict[str, DeadBand] = Field(default={}, max_length=50)
    """Field -> by how much it has to differ from what was published last, in its own unit: `{temperature_c: 0.2}`; 0:
    at all. Empty: any value that is said, by however little."""
    min_interval: DurationMs = Field(default=0, ge=0, le=7 * 86_400_000)
    """Between two messages at the least; what changes meanwhile is told after it."""
    max_interval: DurationMs = Field(default=3_600_000, ge=10, le=7 * 86_400_000)
    """Between two messages at the most: readings at this distance are published whatever they say."""


def check_on_change(rule: OnChange, kind: str, dialect: str, interval_ms: int) -> None:
    """Raise a `located_error` where devices of a kind that measure so often cannot report like this."""
    if KINDS[kind].channel is Channel.EVENT:
        raise located_error(("on",), f"{kind} tells what happens as it happens, and has no readings; leave it out")
    if KINDS[kind].counts_interval:
        said = f"a reading of {kind} counts what passed since the one before, and none may be missing; leave it out"
        raise located_error(("on",), said)
    if dialect in DIALECTS and not DIALECTS[dialect].reports_on_change:
        spoken = ", ".join(one.name for one in DIALECTS.values() if one.encoder is not None and one.reports_on_change)
        said = f"{dialect} tells its sensors at an interval, changed or not: leave this out, or speak {spoken}"
        raise located_error(("on",), said)
    known = compared_fields(kind)
    for name in rule.change:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; there are {', '.join(known)}"
            raise located_error(("on", "change", name), f"{kind} measures no number '{name}'{hint}")
    if rule.max_interval < interval_ms:
        said = f"is shorter than the interval, {duration_text(interval_ms)}: every reading would be published"
        raise located_error(("on", "max_interval"), said)
    if rule.max_interval > MOST_READINGS * interval_ms:
        said = (
            f"is more than {MOST_READINGS:,} intervals of {duration_text(interval_ms)}: write"
            f" {duration_text(MOST_READINGS * interval_ms)} or less, or a longer interval"
        )
        raise located_error(("on", "max_interval"), said)
    if rule.min_interval > rule.max_interval:
        raise located_error(("on", "min_interval"), f"is longer than max_interval, {duration_text(rule.max_interval)}")


def compared_fields(kind: str) -> tuple[str, ...]:
    """Return the numbers of a kind's reading that may have a dead band."""
    own = numeric_fields(kind)
    return (*own, *(name for name, field in DERIVED.items() if name not in own and {*own}.issuperset(field.needs)))


def at_pace_of(rule: OnChange, factor: float, interval_ms: int) -> OnChange:
    """Return the rule of devices that speak `factor` times as often, at this interval."""
    changes: Mapping[str, int] = {
        "min_interval": round(rule.min_interval / factor),
        "max_interval": max(round(rule.max_interval / factor), interval_ms),
    }
    return rule.model_copy(update=dict(changes))
