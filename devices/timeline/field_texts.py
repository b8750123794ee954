"""Writes one field of many messages: in the unit, with the decimals and in the form of time that a mapping names."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import orjson
from numpy.typing import NDArray

from devices.firmware.vitals import battery_pct, battery_v, rssi_dbm_column
from devices.scenario.devices import Device
from devices.sensors.base import EPOCH_MS
from devices.sensors.columns import DictionaryColumn
from devices.sensors.derived import DERIVED, derived_column
from devices.timeline.encode import json_texts
from devices.timeline.table import Table
from devices.world.random import Flags, Ints
from devices.world.timestamps import timestamps
from edgewire.dialects.own_format import MappedField
from edgewire.dialects.units import linear_units

_QUARTER_MS = 900_000
"""Offsets from UTC are multiples of it, and zones change theirs at such moments."""


class Vitals(NamedTuple):
    """Says what devices of a group tell of themselves with their readings."""

    firmware: str
    rssi_dbm: float
    """Typical of the place."""
    battery_life_ms: int | None
    zone: ZoneInfo
    """Of times without an offset."""


class TableRows(NamedTuple):
    """Holds messages whose fields are to be written; every sequence has one entry a row."""

    table: Table
    devices: Sequence[Device]
    times_ms: Ints
    """What the devices' clocks show."""
    boot: int
    vitals: Vitals


def field_texts(field: MappedField, rows: TableRows, *, is_bare: bool = False) -> list[bytes | None]:
    """Return the text of a field in each message: JSON, or bare; None where the field is left out."""
    if field.name == "timestamp":
        return list(_time_texts(field, rows, is_bare=is_bare))
    column = _column(field.name, rows)
    if isinstance(column, DictionaryColumn):
        return column.with_dictionary([_one_text(one, field, is_bare=is_bare) for one in column.dictionary]).tolist()
    if isinstance(column, np.ndarray) and column.dtype.kind in "iuf":
        numbers = converted_numbers(column, field)
        if field.is_fixed:
            form = b"%%.%df" % (field.decimals or 0)
            return [form % value for value in numbers.tolist()]
        return list(json_texts(numbers).values)
    values = column.tolist() if isinstance(column, np.ndarray) else column
    return [_one_text(value, field, is_bare=is_bare) for value in values]


def has_value(name: str, table: Table, vitals: Vitals) -> Flags:
    """Return of each row whether a field has a value."""
    if name in _OF_BATTERY:
        return np.full(len(table.times), vitals.battery_life_ms is not None)
    columns = table.columns
    column = columns.get(name, _NONE) if isinstance(columns, dict) else [row.get(name) for row in columns]
    if column is _NONE:
        return np.zeros(len(table.times), dtype=bool)
    if isinstance(column, np.ndarray):
        return np.ones(len(column), dtype=bool)
    return np.array([value is not None for value in column], dtype=bool)


def _one_text(value: Any, field: MappedField, *, is_bare: bool) -> bytes | None:
    if value is None:
        if field.is_optional:
            return None
        value = field.missing
        if isinstance(value, str) and is_bare:
            return value.encode()
        return b"" if value is None and is_bare else orjson.dumps(value)
    if isinstance(value, float | int) and not isinstance(value, bool):
        number = converted_numbers(np.array([value]), field)[0].item()
        return b"%.*f" % (field.decimals or 0, number) if field.is_fixed else orjson.dumps(number)
    if is_bare and isinstance(value, str):
        return value.encode()
    return orjson.dumps(value)


def converted_numbers(numbers: NDArray[Any], field: MappedField) -> NDArray[Any]:
    """Return numbers in the unit and with the decimals of a mapping."""
    if field.unit:
        factor, offset = linear_units(field.name, field.unit)
        if (factor, offset) != (1, 0):
            numbers = (numbers - offset) / factor
            if field.decimals is None:
                numbers = np.round(numbers, 9)
    if field.decimals is not None and numbers.dtype.kind == "f":
        numbers = np.round(numbers, field.decimals) + 0.0  # no -0.0
    if field.decimals == 0 and not field.is_fixed:
        return numbers.astype(np.int64)
    return numbers


def _column(name: str, rows: TableRows) -> NDArray[Any] | Sequence[Any]:
    if (of_device := _OF_DEVICE.get(name)) is not None:
        found: NDArray[Any] | Sequence[Any] = of_device(rows)
        return found
    columns = rows.table.columns
    if not isinstance(columns, dict):
        if name in DERIVED and not (columns and name in columns[0]):
            return derived_column(name, {need: [row.get(need) for row in columns] for need in DERIVED[name].needs})
        return [row.get(name) for row in columns]
    if name in columns:
        return columns[name]
    if name in DERIVED:
        return derived_column(name, columns)
    # The settings of the group leave it out.
    return [None] * len(rows.devices)


def _uptime_s(rows: TableRows) -> Ints:
    # A boot is numbered by the second in which it began.
    return np.maximum(0, (rows.table.times - EPOCH_MS) // 1000 - (rows.boot - 1))


def _uptime_clock(rows: TableRows) -> list[str]:
    """Return the uptime as days, hours, minutes and seconds: `0T01:02:03`."""
    texts = []
    for seconds in _uptime_s(rows).tolist():
        days, rest = divmod(seconds, 86_400)
        texts.append(f"{days}T{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}")
    return texts


def _rssi_dbm(rows: TableRows) -> Ints:
    keys = np.array([device.whole_key for device in rows.devices], dtype=np.uint64)
    return rssi_dbm_column(rows.vitals.rssi_dbm, keys, rows.table.times)


def _wifi_quality_pct(rows: TableRows) -> Ints:
    """Return the signal strength in per cent, -50 dBm being all and -100 nothing, as ESP8266 firmwares show it."""
    return np.asarray(np.clip(2 * (_rssi_dbm(rows) + 100), 0, 100))


def _link_quality(rows: TableRows) -> Ints:
    """Return the link quality of Zigbee, 0 to 255: by the signal strength, -100 dBm being nothing and -15 all."""
    return np.asarray(np.clip(3 * (_rssi_dbm(rows) + 100), 0, 255))


def _battery_pct(rows: TableRows) -> list[float | None]:
    life_ms = rows.vitals.battery_life_ms
    if life_ms is None:
        return [None] * len(rows.devices)
    return [
        battery_pct(at - EPOCH_MS + device.whole_key % life_ms, life_ms)
        for device, at in zip(rows.devices, rows.table.times.tolist(), strict=True)
    ]


def _supply_v(rows: TableRows) -> list[float | None]:
    return [None if charge is None else battery_v(charge) for charge in _battery_pct(rows)]


_NONE: list[Any] = []
_OF_BATTERY = frozenset({"battery_pct", "supply_v"})
"""Fields that have a value where a device has a battery."""
_OF_DEVICE: Mapping[str, Callable[[TableRows], Any]] = {
    "id": lambda rows: [device.whole_id for device in rows.devices],
    "site": lambda rows: [device.site for device in rows.devices],
    "boot": lambda rows: np.full(len(rows.devices), rows.boot),
    "seq": lambda rows: rows.table.seqs,
    "timestamp": lambda rows: rows.times_ms,
    "firmware": lambda rows: [rows.vitals.firmware] * len(rows.devices),
    "uptime_s": _uptime_s,
    "uptime_clock": _uptime_clock,
    "rssi_dbm": _rssi_dbm,
    "wifi_quality_pct": _wifi_quality_pct,
    "link_quality": _link_quality,
    "battery_pct": _battery_pct,
    "supply_v": _supply_v,
}
"""Fields that follow from the device and the time."""


def _time_texts(field: MappedField, rows: TableRows, *, is_bare: bool) -> list[bytes]:
    times = rows.times_ms
    quote = b"" if is_bare else b'"'
    match field.time:
        case "epoch_ms":
            return [b"%d" % at for at in times.tolist()]
        case "epoch_us":
            return [b"%d" % (at * 1000) for at in times.tolist()]
        case "epoch_s":
            decimals = field.decimals or 0
            return [b"%.*f" % (decimals, at / 1000) if decimals else b"%d" % (at // 1000) for at in times.tolist()]
        case "local" | "iso_local":
            offsets_s = _offsets_ms(times, rows.vitals.zone) // 1000
            pairs, inverse = np.unique([times // 1000 + offsets_s, offsets_s], axis=1, return_inverse=True)
            texts = np.datetime_as_string(pairs[0].astype("datetime64[s]")).tolist()
            if field.time == "iso_local":
                texts = [text + _offset_text(offset) for text, offset in zip(texts, pairs[1].tolist(), strict=True)]
            told = [quote + text.encode() + quote for text in texts]
            return [told[at] for at in inverse.tolist()]
    return [quote + text.encode() + quote for text in timestamps(times)]


def _offset_text(offset_s: int) -> str:
    """Return an offset from UTC as ISO 8601 has it, in whole minutes."""
    hours, minutes = divmod(abs(offset_s) // 60, 60)
    return f"{'-' if offset_s < 0 else '+'}{hours:02d}:{minutes:02d}"


def _offsets_ms(times_ms: Ints, zone: ZoneInfo) -> Ints:
    """Return the zone's offset from UTC at each time."""
    quarters, inverse = np.unique(times_ms // _QUARTER_MS, return_inverse=True)
    offsets = np.empty(len(quarters), dtype=np.int64)
    for place, quarter in enumerate(quarters.tolist()):
        moment = datetime.fromtimestamp(quarter * _QUARTER_MS / 1000, UTC).astimezone(zone)
        offset = moment.utcoffset()
        offsets[place] = 0 if offset is None else round(offset.total_seconds() * 1000)
    return offsets[inverse]
