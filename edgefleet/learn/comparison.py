"""Sets what was captured and what the written scenario says side by side, field by field, by the same estimators."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from devices.scenario.scenario import Scenario
from devices.sensors.columns import DictionaryColumn
from devices.timeline.table import Table
from devices.timeline.timeline import Timeline
from devices.world.random import Floats
from edgefleet.learn.learned import LearnedFleet, LearnedGroup, LearnedPart
from edgefleet.learn.moments import Moments, measure
from edgewire.clock import parse_ms

_BEGIN_MS = parse_ms("2026-03-02T12:00:00Z")
_MOST_DEVICES = 50
"""Of a group whose readings are computed for it."""
_MOST_ROWS = 100_000
_SHORTEST_S = 10.0


class FieldComparison(NamedTuple):
    """Holds the moments of a field, as it was seen and as the scenario says it."""

    name: str
    says: str
    captured: Moments | None
    emulated: Moments | None


class PartComparison(NamedTuple):
    """Holds what is compared of messages that come together."""

    group: str
    dialect: str
    topics: tuple[str, ...]
    devices: int
    messages: int
    captured_gaps: tuple[float, float]
    """Mean and deviation, in seconds."""
    emulated_gaps: tuple[float, float]
    fields: tuple[FieldComparison, ...]


def compare(fleet: LearnedFleet, scenario: Scenario) -> list[PartComparison]:
    """Return both sides of each group, and of each part of its devices."""
    limit = _limited(scenario)
    timeline = Timeline(limit, _BEGIN_MS)
    rate = max(timeline.rate_per_s, 1e-6)
    span_s = min(max(fleet.seconds, _SHORTEST_S), max(_MOST_ROWS / rate, _SHORTEST_S))
    tables: dict[str, list[Table]] = {}
    for table in timeline.tables(_BEGIN_MS, _BEGIN_MS + round(span_s * 1000)):
        tables.setdefault(table.kind, []).append(table)
    return [_compared(group, part, tables.get(part.kind, [])) for group in fleet.groups for part in group.parts]


def emulated_series(scenario: Scenario, kind: str, field: str, seconds: float) -> list[Floats]:
    """Return the numbers of a field that each device of a kind says in so many seconds, a series a device."""
    tables = Timeline(_limited(scenario), _BEGIN_MS).tables(_BEGIN_MS, _BEGIN_MS + round(seconds * 1000))
    return [one for table in tables if table.kind == kind for one in _series(table, field)]


def _limited(scenario: Scenario) -> Scenario:
    """Return the scenario with fewer devices: the first of each group."""
    devices = tuple(
        group.model_copy(update={"count": min(group.count or 1, _MOST_DEVICES)}) for group in scenario.devices
    )
    return scenario.model_copy(update={"devices": devices})


def _compared(group: LearnedGroup, part: LearnedPart, tables: Sequence[Table]) -> PartComparison:
    messages = part.config.get("messages") or [part.config]
    fields = []
    for one in part.fields:
        if one.captured:
            series = [values for table in tables for values in _series(table, one.name)]
            fields.append(
                FieldComparison(one.name, one.says, measure(one.captured), measure(series) if series else None)
            )
        else:
            fields.append(FieldComparison(one.name, one.says, None, None))
    gaps = [
        np.diff(table.times[table.positions == device]) for table in tables for device in np.unique(table.positions)
    ]
    return PartComparison(
        part.kind,
        group.dialect,
        tuple(message["topic"] for message in messages if "topic" in message),
        group.devices,
        part.messages,
        _mean_and_deviation(part.gaps),
        _mean_and_deviation(np.concatenate(gaps) if gaps else np.empty(0)),
        tuple(fields),
    )


def _series(table: Table, name: str) -> list[Floats]:
    """Return the numbers of a field of each device."""
    columns: Any = table.columns
    if not isinstance(columns, dict):
        column: Any = [row.get(name) for row in columns]
    elif name in columns:
        column = columns[name]
    else:
        return []
    if isinstance(column, DictionaryColumn):
        return []
    values = np.array([np.nan if one is None else one for one in column], dtype=np.float64)
    found = [values[table.positions == device] for device in np.unique(table.positions)]
    return [kept for one in found if len(kept := one[~np.isnan(one)])]


def _mean_and_deviation(gaps_ms: Floats) -> tuple[float, float]:
    return (float(gaps_ms.mean()) / 1000, float(gaps_ms.std()) / 1000) if len(gaps_ms) else (0.0, 0.0)


def as_json(fleet: LearnedFleet, parts: Sequence[PartComparison], counts: Sequence[int]) -> dict[str, Any]:
    """Return the comparison as a JSON document."""
    return {
        "messages": fleet.read,
        "used": fleet.used,
        "unused": dict(fleet.unused.counts),
        "remarks": dict(fleet.remarks),
        "stopped_at": fleet.stopped_at or None,
        "seconds": fleet.seconds,
        "devices": {"seen": fleet.devices, "written": sum(counts)},
        "groups": [
            {
                "kind": part.group,
                "dialect": part.dialect or None,
                "topics": part.topics,
                "devices": part.devices,
                "messages": part.messages,
                "interval_s": {
                    side: {"mean": gaps[0], "deviation": gaps[1]}
                    for side, gaps in (("captured", part.captured_gaps), ("emulated", part.emulated_gaps))
                },
                "fields": [
                    {"name": one.name, "learned": one.says}
                    | {
                        side: _moments(found)
                        for side, found in (("captured", one.captured), ("emulated", one.emulated))
                    }
                    for one in part.fields
                ],
            }
            for part in parts
        ],
    }


def _moments(found: Moments | None) -> Mapping[str, Any] | None:
    if found is None:
        return None
    return {
        "count": found.count,
        "min": found.low,
        "max": found.high,
        "mean": found.mean,
        "deviation": found.deviation,
        "lag_1": found.lags[0],
    }
