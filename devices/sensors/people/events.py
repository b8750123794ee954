"""Types of visits that a user's module tells apart: which hold, with which attributes, become fields of the session.

A type is one function and one entry of the module's list `EVENT_TYPES`, as of telematics.
"""

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from devices.sensors.columns import Columns, NullableColumn, first_known, nullable
from devices.sensors.user_module import call_type, load_attribute
from devices.world.random import Flags, Floats, Hashes, Ints, extend, uniform
from devices.world.world import DAY_MS, HOUR_MS
from edgewire.errors import ConfigError
from edgewire.messages.people import FootTrafficSession


@dataclass(frozen=True, slots=True)
class VisitState:
    """Hold all that a type can depend on; one value a visit, when it has ended."""

    entries_ms: Ints
    """Instants in ms since 1970 UTC."""
    exits_ms: Ints
    bits: Hashes
    """Random bits of each visit."""

    @property
    def minutes(self) -> Floats:
        """Return how long each visit was."""
        return np.asarray((self.exits_ms - self.entries_ms) / 60_000)

    @property
    def hour(self) -> Floats:
        """Return the time of day of each entry, in hours UTC."""
        return np.asarray(self.entries_ms % DAY_MS / HOUR_MS)

    def uniform(self, name: str) -> Floats:
        """Return a number in [0, 1) for each visit; other names have other numbers."""
        return uniform(extend(self.bits, zlib.crc32(name.encode())))


_OWN_FIELDS = frozenset({*FootTrafficSession.model_fields, "events"})
VisitDetection = tuple[Flags, dict[str, Floats]]


@dataclass(frozen=True, slots=True)
class VisitEvent:
    """A type of visit: its name is in `events` of the sessions for which `detect` says so, its attributes beside it."""

    name: str
    detect: Callable[[VisitState], VisitDetection]


def random_visit_event(name: str, *, chance: float, **attributes: tuple[float, float]) -> VisitEvent:
    """Return a type that a visit is of by chance, with attributes drawn from ranges.

    `random_visit_event("purchase", chance=0.3, amount_eur=(2, 80))`
    """

    def detect(visits: VisitState) -> VisitDetection:
        found = {
            field: np.round(low + (high - low) * visits.uniform(f"{name}/{field}"), 2)
            for field, (low, high) in attributes.items()
        }
        return visits.uniform(f"{name}/chance") < chance, found

    return VisitEvent(name, detect)


@lru_cache(16)
def visit_events_of(path: str | None) -> tuple[VisitEvent, ...]:
    """Return the types of a user's module; raises `ConfigError` where it has none, or one with a wrong name."""
    if path is None:
        return ()
    types = load_attribute(path, "EVENT_TYPES")
    if not isinstance(types, list | tuple) or not all(isinstance(one, VisitEvent) for one in types):
        raise ConfigError(f"{path}: EVENT_TYPES needs to be a list of VisitEvent")
    names = [one.name for one in types]
    wrong = next((name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or names.count(name) > 1), None)
    if wrong is not None:
        raise ConfigError(f"{path}: '{wrong}' is no name of a type of visit: write lower_case, each name once")
    return tuple(_guarded(path, kind) for kind in types)


def _guarded(path: str, kind: VisitEvent) -> VisitEvent:
    """Return a user's type, whose mistakes are told in a sentence that names it."""
    where = f"{path}: the type of visit '{kind.name}'"

    def detect(visits: VisitState) -> VisitDetection:
        found: VisitDetection = call_type(where, len(visits.entries_ms), _OWN_FIELDS, kind.detect, visits)
        return found

    return replace(kind, detect=detect)


def visit_columns(types: tuple[VisitEvent, ...], visits: VisitState) -> Columns:
    """Return for each visit the names of its types, and every attribute, None where no type that holds gives it."""
    names: list[list[str]] = [[] for _ in range(len(visits.entries_ms))]
    attributes: dict[str, NullableColumn] = {}
    for kind in types:
        holds, found = kind.detect(visits)
        for row in np.flatnonzero(holds).tolist():
            names[row].append(kind.name)
        for name, values in found.items():
            column = nullable(values.astype(np.float64) if values.dtype.kind == "f" else values, holds)
            # Of two types that have an attribute in common, it is that of the first that holds.
            attributes[name] = first_known(attributes[name], column) if name in attributes else column
    return {"events": names, **attributes}
