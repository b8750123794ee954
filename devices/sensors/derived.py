"""Names what a device can say of a reading: the fields of its messages, and what follows from these."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from devices.world.weather import dew_point_c
from edgewire.messages import CONTRACT, Channel, Measurement

Numbers = NDArray[np.float64]

DEVICE_FIELDS = frozenset(
    {
        "id",
        "site",
        "firmware",
        "uptime_s",
        "uptime_clock",
        "rssi_dbm",
        "wifi_quality_pct",
        "link_quality",
        "battery_pct",
        "supply_v",
    }
)
"""What every device knows of itself, whatever it measures."""
_KMH_A_MPH = 1.609344
_RANGE_ERROR_M = 5.0
"""By which receivers multiply HDOP for the accuracy that they state: what one satellite's distance is wrong by."""


class DerivedField(NamedTuple):
    """Says how a field follows from others of the same message."""

    needs: tuple[str, ...]
    derive: Callable[..., Numbers]


def _rounded_dew_point_c(temperature_c: Numbers, humidity: Numbers) -> Numbers:
    return np.asarray(np.round(dew_point_c(temperature_c, humidity), 2))


def _speed_kmh(speed_mph: Numbers) -> Numbers:
    return np.asarray(np.round(speed_mph * _KMH_A_MPH, 3))


def _accuracy_m(hdop: Numbers) -> Numbers:
    return np.asarray(np.round(_RANGE_ERROR_M * hdop, 1))


DERIVED: Mapping[str, DerivedField] = {
    "dew_point_c": DerivedField(("temperature_c", "humidity"), _rounded_dew_point_c),
    "accuracy_m": DerivedField(("hdop",), _accuracy_m),
    "speed_kmh": DerivedField(("speed_mph",), _speed_kmh),
}
"""What follows from other fields of a message, where it is not among them."""


def spoken_fields(kind: str, channel: Channel) -> frozenset[str]:
    """Return the fields that can be said of the messages of a kind on a channel."""
    return _spoken(tuple(message.model for message in CONTRACT[kind].messages if message.channel is channel))


@cache
def _spoken(models: tuple[type[Measurement], ...]) -> frozenset[str]:
    own = {name for model in models for name in model.model_fields}
    own.discard("device_id")
    derived = {name for name, field in DERIVED.items() if own.issuperset(field.needs)}
    return frozenset(own | derived | DEVICE_FIELDS)


def derived_column(name: str, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> NDArray[Any] | list[Any]:
    """Return a derived field of many messages; None where a field that it follows from has no value."""
    needs, derive = DERIVED[name]
    arrays = [np.array([np.nan if value is None else value for value in columns[need]], dtype=float) for need in needs]
    found = derive(*arrays)
    if not np.isnan(found).any():
        return found
    return [None if value != value else value for value in found.tolist()]
