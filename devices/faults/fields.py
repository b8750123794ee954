"""Which fields of a reading are numbers, and how many decimals they are sent with."""

import types
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AwareDatetime

from edgewire.messages import CONTRACT

# As the sensors round them (devices/sensors).
_DECIMALS = {
    "temperature_c": 2, "humidity": 2, "pressure_hpa": 2, "interval_s": 3, "uptime": 3, "avg_speed": 1, "min_speed": 1,
    "max_speed": 1, "traffic_density_score": 3, "latitude": 6, "longitude": 6, "altitude_m": 1, "speed_kmh": 1,
    "heading_deg": 1, "hdop": 2, "battery_v": 2, "speed_mph": 1, "braking_g": 2, "lateral_g": 2, "over_speed_mph": 1,
    "following_distance_m": 1, "traffic_density": 2,
}  # fmt: skip
_OTHERWISE = 3
_HEAD = ("boot", "seq")


def decimals(field: str) -> int:
    """How many decimals a field with a fraction is sent with."""
    return _DECIMALS.get(field, _OTHERWISE)


@cache
def numeric_fields(kind: str) -> tuple[str, ...]:
    """The numbers of the reading that a kind takes at intervals; its last message is that reading."""
    model = CONTRACT[kind].messages[-1].model
    return tuple(
        name
        for name, field in model.model_fields.items()
        if name not in _HEAD and _types(field.annotation) & {int, float}
    )


@cache
def whole_numbers(kind: str) -> frozenset[str]:
    """The numbers of that reading that have no fraction."""
    fields = CONTRACT[kind].messages[-1].model.model_fields
    return frozenset(name for name in numeric_fields(kind) if float not in _types(fields[name].annotation))


@cache
def time_fields(kind: str) -> tuple[str, ...]:
    """The times in messages of a kind beside `timestamp`: they come from the same clock."""
    fields = [field for message in CONTRACT[kind].messages for field in message.model.model_fields.items()]
    names = dict.fromkeys(name for name, field in fields if AwareDatetime in _types(field.annotation))
    return tuple(name for name in names if name != "timestamp")


def _types(annotation: Any) -> set[Any]:
    if get_origin(annotation) is Annotated:
        return _types(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return set().union(*(_types(part) for part in get_args(annotation)))
    return {annotation}
