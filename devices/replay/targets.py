"""Tells which fields of a kind can be played back, of which type, and within which bounds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from devices.sensors.fields import reading_of
from devices.sensors.kind import DeviceKind
from edgewire.messages.base import Measurement
from edgewire.messages.declared import FieldType

_TYPES: Mapping[Any, FieldType] = {float: "number", int: "whole", bool: "flag", str: "text"}


@dataclass(frozen=True, slots=True)
class ReplayTarget:
    """Says what a field takes."""

    name: str
    type: FieldType
    is_nullable: bool = False
    low: float = -1e12
    high: float = 1e12
    is_below_high: bool = False
    """Whether `high` itself is too much."""
    words: tuple[str, ...] = ()
    """The only texts that it takes; any where there is none."""

    def fault(self, value: float) -> str:
        """Return what is wrong with a number that is there; an empty text where nothing is."""
        too_high = value >= self.high if self.is_below_high else value > self.high
        if value < self.low or too_high or value != value:
            return f"{self.name} goes from {self.low:g} to {self.high:g}"
        if self.type == "whole" and value != round(value):
            return f"{self.name} is a whole number"
        return ""


def targets_of(kind: DeviceKind) -> dict[str, ReplayTarget]:
    """Return what can be played back of a kind, by field: of one that a scenario declares what it says is recorded."""
    if kind.recorded:
        return {name: ReplayTarget(name, type_, is_nullable=True) for name, type_ in kind.recorded.items()}
    model = reading_of(kind.name).model
    named = ((name, field) for name, field in model.model_fields.items() if name not in Measurement.model_fields)
    found = (_target(name, field) for name, field in named)
    return {target.name: target for target in found if target is not None}


def _target(name: str, field: FieldInfo) -> ReplayTarget | None:
    parts = [*_parts(field.annotation), *field.metadata]
    types = {one for one in parts if one in _TYPES and isinstance(one, type)}
    words = tuple(one for one in parts if isinstance(one, str))
    if words:
        types.add(str)
    others = {one for one in parts if isinstance(one, type)} - types - {NoneType}
    if len(types) != 1 or others:
        return None
    low, high, is_below = -1e12, 1e12, False
    for one in parts:
        match one:
            case Ge(ge=bound) | Gt(gt=bound):
                low = float(str(bound))
            case Le(le=bound):
                high = float(str(bound))
            case Lt(lt=bound):
                high, is_below = float(str(bound)), True
    return ReplayTarget(name, _TYPES[types.pop()], NoneType in parts, low, high, is_below, words)


def _parts(annotation: Any) -> Iterator[Any]:
    """Yield the types, the texts and the constraints in an annotation."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *constraints = get_args(annotation)
        yield from _parts(inner)
        for one in constraints:
            yield from [*getattr(one, "metadata", ()), one]
    elif origin in (Union, UnionType):
        for one in get_args(annotation):
            yield from _parts(one)
    elif origin is Literal:
        yield from get_args(annotation)
    else:
        yield annotation if origin is None else origin
