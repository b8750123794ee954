"""SenML (RFC 8428), in JSON and CBOR: packs of records, each a value with its name, unit and time.

Read in draft 16 of RFC 8428, with the units of RFC 8798 beside its own. Quirks: a base name may be the whole name; a
base value makes a value of a record that has none (4.5.4), though section 4.2 asks for one; times below 2^28 are
relative to the arrival; in CBOR labels are numbers, and values may be decimal fractions. A pack may tell of several
devices and times, and is taken apart into one message for each.
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple

import orjson
from pydantic import Field

from edgewire.config import Config
from edgewire.dialects.base import Arrival, DialectError, DialectMessage, MessageRole, TimeSource, Value
from edgewire.dialects.cbor import read_cbor, write_cbor
from edgewire.dialects.encoder import MessageTemplate
from edgewire.dialects.kind_fields import KindField, kind_fields
from edgewire.dialects.own_format import known_fields
from edgewire.dialects.plain_values import check_place, plain_value
from edgewire.dialects.readings_encoder import ReadingsEncoder
from edgewire.dialects.times import DeviceTime, device_instant
from edgewire.dialects.topic_check import TopicTemplate
from edgewire.dialects.units import to_canonical, unit_suffix
from edgewire.dialects.values import MAX_PAYLOAD, Number, number, read_json, shown

MAX_RECORDS = 1000
"""In one pack."""
_RELATIVE_BELOW = 1 << 28
"""Seconds: a smaller time is relative to the arrival (RFC 8428, 4.5.3)."""
_LABELS: Mapping[int, str] = MappingProxyType(
    {-1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs", 0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s",
     6: "t", 7: "ut", 8: "vd"}
)  # fmt: skip
"""Labels of CBOR (RFC 8428, table 4)."""
_NUMBERS: Mapping[str, int] = MappingProxyType({label: key for key, label in _LABELS.items()})
_VALUES = ("v", "vs", "vb", "vd")
_URN = re.compile(r"urn:dev:(?:mac|ow|org|os|ops|example):[^:/_]+")
"""Names of devices by RFC 9039; what is behind them is of one of its sensors."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9:./_-]*")
_NOT_IN_WORDS = re.compile(r"[^a-z0-9]+")
_VERSION = 10
_CBOR_FROM = 0x80
"""The first byte of a list in CBOR has this bit; no JSON begins with it."""

_UNITS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "Cel": ("temperature_c", "°C"), "K": ("temperature_c", "K"), "degF": ("temperature_c", "°F"),
        "%RH": ("humidity", "%"), "Pa": ("pressure_hpa", "Pa"), "hPa": ("pressure_hpa", "hPa"),
        "kPa": ("pressure_hpa", "kPa"), "bar": ("pressure_hpa", "bar"), "%EL": ("battery_pct", "%"),
        "lat": ("latitude", ""), "lon": ("longitude", ""), "m": ("length_m", "m"), "km": ("length_m", "km"),
        "mm": ("length_m", "mm"), "cm": ("length_m", "cm"), "m/s": ("speed_kmh", "m/s"), "km/h": ("speed_kmh", "km/h"),
        "deg": ("angle_deg", "°"), "rad": ("angle_deg", "rad"), "V": ("voltage_v", "V"), "mV": ("voltage_v", "mV"),
        "A": ("current_a", "A"), "mA": ("current_a", "mA"), "W": ("power_w", "W"), "kW": ("power_w", "kW"),
        "J": ("energy_wh", "J"), "Wh": ("energy_wh", "Wh"), "kWh": ("energy_wh", "kWh"), "VA": ("apparent_va", "VA"),
        "var": ("reactive_var", "var"), "Hz": ("frequency_hz", "Hz"), "MHz": ("frequency_hz", "MHz"),
        "lx": ("illuminance_lx", "lx"), "dBm": ("signal_dbm", "dBm"), "s": ("duration_s", "s"), "ms": ("duration_s",
        "ms"), "min": ("duration_s", "min"), "h": ("duration_s", "h"), "ppm": ("level_ppm", "ppm"), "ppb":
        ("level_ppb", "ppb"), "%": ("level_pct", "%"),
    }
)  # fmt: skip
"""Unit of RFC 8428 or 8798 -> name of a value that has no other, and the unit as `units` knows it."""
_WORDS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "temperature_c": frozenset({"", "t", "temp", "temperature"}),
        "humidity": frozenset({"", "h", "rh", "hum", "humidity", "relative_humidity"}),
        "pressure_hpa": frozenset({"", "p", "pressure", "barometer"}),
        "battery_pct": frozenset({"", "bat", "batt", "battery", "battery_level"}),
        "latitude": frozenset({"", "lat", "latitude"}),
        "longitude": frozenset({"", "lon", "lng", "long", "longitude"}),
    }
)
"""Name -> words by which its quantity is called, with the unit that it has."""
_SAID_AS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "temperature_c": ("temperature", "Cel"), "humidity": ("humidity", "%RH"), "pressure_hpa": ("pressure", "hPa"),
        "latitude": ("latitude", "lat"), "longitude": ("longitude", "lon"), "altitude_m": ("altitude", "m"),
        "speed_kmh": ("speed", "km/h"), "heading_deg": ("heading", "deg"), "battery_v": ("battery", "V"),
        "signal_dbm": ("signal", "dBm"), "avg_speed": ("avg_speed", "km/h"), "min_speed": ("min_speed", "km/h"),
        "max_speed": ("max_speed", "km/h"), "interval_s": ("interval", "s"), "uptime": ("uptime", "s"),
        "following_distance_m": ("following_distance", "m"), "trip_duration_minutes": ("trip_duration_minutes", "min"),
    }
)  # fmt: skip
"""Field of the message contract -> its name and unit in a pack."""


class SenmlOptions(Config):
    """Says where emulated devices publish, and how; what is read needs no options."""

    topic: TopicTemplate = "senml/{id}"
    """With names in braces: `{id}`, `{site}`, `{kind}`, `{mac}`."""
    base_name: Annotated[str, Field(min_length=1, max_length=200)] = "{id}/"
    """What the names of all records of a device begin with; it ends in `/`, `:` or `_`."""
    encoding: Literal["json", "cbor"] = "json"
    """In which emulated devices write. Both are read."""


class _Record(NamedTuple):
    """Holds a record without anything that is of the whole pack."""

    name: str
    unit: str
    time_s: float
    """Seconds since 1970 UTC, or since the arrival where it is small."""
    value: object
    sum: Number | None
    remark: str


class _PackSplitter:
    """Takes packs apart that tell of several devices or times."""

    def split_payload(self, payload: bytes) -> list[bytes]:
        """Return a pack for each device and time, or this one alone where it has one or cannot be read."""
        try:
            body = _read_body(payload)
            records = _resolve(body)
        except DialectError:
            return [payload]
        places: dict[tuple[str, float], list[_Record]] = {}
        for record in records:
            places.setdefault((_parts_of(record.name)[0], record.time_s), []).append(record)
        if len(places) < 2:
            return [payload]
        return [orjson.dumps([_written(record) for record in group]) for group in places.values()]


def _written(record: _Record) -> dict[str, object]:
    found: dict[str, object] = {"n": record.name, "t": record.time_s}
    if record.unit:
        found["u"] = record.unit
    if record.sum is not None:
        found["s"] = record.sum
    if isinstance(record.value, _Data):
        found["vd"] = record.value.text
    elif record.value is not None:
        found[_label(record.value)] = record.value
    return found


def _label(value: object) -> str:
    return "vb" if isinstance(value, bool) else "vs" if isinstance(value, str) else "v"


class _Data(NamedTuple):
    text: str
    """Base64url of the bytes, without padding."""


class SenmlDecoder:
    """Reads packs. A device is what names begin with, up to the last `/` or `:`, or a URN of RFC 9039."""

    filters = ("senml/#",)
    lists = _PackSplitter()

    def __init__(self, options: SenmlOptions | None = None) -> None:
        del options

    def decode(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Return what the records of one device and time say. Raises `DialectError`."""
        records = _resolve(_read_body(payload))
        devices = dict.fromkeys((_parts_of(one.name)[0], one.time_s) for one in records)
        if len(devices) > 1:
            raise DialectError(
                f"the pack tells of {len(devices)} devices or times, and was not taken apart as it came: a bridge does"
                " that, for a subscription with decode: senml"
            )
        at_ms, source, told = _time(records[0].time_s, arrival)
        values: dict[str, Value] = {}
        extra: dict[str, object] = {}
        remarks = [told] if told else []
        for record in records:
            name, value, remark = _named(record)
            remarks += [one for one in (record.remark, remark) if one]
            if isinstance(value, _Data):
                extra[name] = value.text
            elif value is not None:
                values[name] = value
            if record.sum is not None:
                values[f"{name}_sum"] = record.sum
        check_place(values)
        (device, _), *_ = devices
        role = MessageRole.READING
        return DialectMessage(
            device, role, at_ms, source, values, "", {}, extra, arrival.retained, tuple(dict.fromkeys(remarks))
        )


def _read_body(payload: bytes) -> list[Any]:
    if payload[:1] and payload[0] >= _CBOR_FROM:
        if len(payload) > MAX_PAYLOAD:
            raise DialectError(f"payload of {len(payload):,} bytes is longer than the {MAX_PAYLOAD:,} allowed")
        body = read_cbor(payload, whole_keys=True)
    else:
        body = read_json(payload)
    if not isinstance(body, list) or not body:
        raise DialectError(f"payload is no pack of SenML, which is a list of records: {shown(payload)}")
    if len(body) > MAX_RECORDS:
        raise DialectError(f"{len(body):,} records in one pack, more than the {MAX_RECORDS:,} allowed")
    return body


def _resolve(body: Sequence[Any]) -> list[_Record]:
    """Return the records with all that the base fields say. Raises `DialectError`."""
    base: dict[str, Any] = {}
    found: list[_Record] = []
    for place, written in enumerate(body, 1):
        if not isinstance(written, dict):
            raise DialectError(f"record {place} is no object: {shown(written)}")
        record = {_LABELS.get(key, str(key)) if type(key) is int else key: value for key, value in written.items()}
        if odd := next((key for key in record if key.endswith("_")), None):
            raise DialectError(f"record {place} has {shown(odd)}: what ends in _ has to be understood, and is not")
        if "bver" in record and record["bver"] != base.setdefault("bver", record["bver"]):
            raise DialectError(f"record {place} has another bver than those before it")
        base |= {key: value for key, value in record.items() if key in ("bn", "bt", "bu", "bv", "bs", "bver")}
        if type(base.get("bver", _VERSION)) is not int or not 1 <= base.get("bver", _VERSION) <= _VERSION:
            raise DialectError(f"the pack is of version {shown(base['bver'])}, and {_VERSION} is read")
        found.append(_record(record, base, place))
    return found


def _record(record: Mapping[str, Any], base: Mapping[str, Any], place: int) -> _Record:
    name = _text(base, "bn", place) + _text(record, "n", place)
    if not name:
        raise DialectError(f"record {place} has no name, and the pack has no base name")
    if len(name) > 500:
        raise DialectError(f"record {place} has a name of {len(name):,} letters")
    remarks = [] if _NAME.fullmatch(name) else [f"{shown(name)} is no name by RFC 8428, 4.5.1"]
    there = [label for label in _VALUES if record.get(label) is not None]
    if len(there) > 1:
        raise DialectError(f"record {place} has {' and '.join(there)}: one value is allowed")
    added, total = _number(base, "bv", place), _number(record, "s", place)
    if total is not None or "bs" in base:
        total = (_number(base, "bs", place) or 0) + (total or 0)
    value: object = None
    if not there:
        if added is None and total is None:
            raise DialectError(f"record {place} has no value: none of {', '.join(_VALUES)}, s")
        if added is not None:
            value = added
            remarks.append("a record without a value has the base value (RFC 8428, 4.5.4)")
    elif there == ["v"]:
        value = (added or 0) + (_number(record, "v", place) or 0)
    elif there == ["vb"]:
        if not isinstance(record["vb"], bool):
            raise DialectError(f"record {place}: vb is {shown(record['vb'])}, neither true nor false")
        value = record["vb"]
    else:
        said = _text(record, there[0], place)
        value = said if there == ["vs"] else _Data(said)
    time_s = (_number(base, "bt", place) or 0) + (_number(record, "t", place) or 0)
    unit = _text(record, "u", place) or _text(base, "bu", place)
    return _Record(name, unit, time_s, value, total, "; ".join(remarks))


def _text(record: Mapping[str, Any], label: str, place: int) -> str:
    value = record.get(label)
    if value is not None and not isinstance(value, str):
        raise DialectError(f"record {place}: {label} is {shown(value)}, and no text")
    return value or ""


def _number(record: Mapping[str, Any], label: str, place: int) -> Number | None:
    value = record.get(label)
    if value is None:
        return None
    if isinstance(value, bool | str):
        raise DialectError(f"record {place}: {label} is {shown(value)}, and no number")
    read = number(value)
    if read is not None and abs(read) > 1e300:
        raise DialectError(f"record {place}: {label} is {shown(value)}, which no sensor measures")
    return read


def _time(time_s: float, arrival: Arrival) -> DeviceTime:
    if time_s == 0:
        return arrival.received_ms, TimeSource.ARRIVAL, ""
    if time_s < _RELATIVE_BELOW:
        at_ms = arrival.received_ms + round(time_s * 1000)
        return device_instant(at_ms, f"{time_s} s from now", arrival)
    return device_instant(round(time_s * 1000), time_s, arrival)


def _parts_of(name: str) -> tuple[str, str]:
    """Return the device of a name, and the word for what it measures, which may be empty."""
    if urn := _URN.match(name):
        return urn[0], name[urn.end() :].strip(":/_")
    cut = max(name.rfind("/"), name.rfind(":"))
    device, word = name[:cut], name[cut + 1 :]
    return (device, word) if cut > 0 else (name, "")


def _named(record: _Record) -> tuple[str, Value | _Data | None, str]:
    """Return a value under its name, in the unit of that, and a remark where its unit is not known."""
    value = record.value
    word = _NOT_IN_WORDS.sub("_", _parts_of(record.name)[1].lower()).strip("_")
    if isinstance(value, _Data | bool | str) or not record.unit or record.unit == "/":
        plain = value if isinstance(value, _Data) else plain_value(value)
        return word or "value", plain, ""
    read = None if value is None else float(value) if not isinstance(value, int) else value  # type: ignore[arg-type]
    if record.unit not in _UNITS:
        name = f"{word or 'value'}_{unit_suffix(record.unit)}"
        return name, read, "" if record.unit in ("count", "1/s", "1/min") else f"{name}: unit {record.unit!r} is kept"
    usual, unit = _UNITS[record.unit]
    suffix = usual.rpartition("_")[2]
    if word in _WORDS.get(usual, ("",)):
        name = usual
    elif word in known_fields() or not unit:
        name = word
    else:
        name = f"{word}_{suffix}" if usual not in ("humidity",) else f"{word}_pct"
    if read is None:
        return name, None, ""
    # A field of the contract whose name has no unit at its end has that of its quantity.
    return name, to_canonical(name if suffix in name else usual, read, unit) if unit else read, ""


class SenmlEncoder(ReadingsEncoder):
    """Writes a pack for each reading: a record for each of its values, and the time and name of all in the first."""

    def __init__(self, options: SenmlOptions, kind: str) -> None:
        """Raises `DialectError` for a kind without values, and for a base name that ends in a letter."""
        if options.base_name[-1] not in "/:_":
            raise DialectError(f"base_name '{options.base_name}' has to end in /, : or _: the values' names follow it")
        fields = kind_fields(kind, "SenML")
        first: dict[str, Any] = {"bn": options.base_name, "bt": {"from": "timestamp", "as": "epoch_s", "round": 3}}
        pack: list[dict[str, Any]] = []
        for field in fields:
            pack.append({**({} if pack else first), **_mapping(field)})
        rewrite = _as_cbor if options.encoding == "cbor" else _without_nulls
        content_type = f"application/senml+{options.encoding}"
        properties = {"content_type": content_type}
        super().__init__([MessageTemplate(options.topic, pack, properties=properties, rewrite=rewrite)])


def _mapping(field: KindField) -> dict[str, Any]:
    name, unit = _SAID_AS.get(field.name, (field.name, ""))
    label = {bool: "vb", str: "vs"}.get(field.type, "v")
    return {"n": {"const": name}, **({"u": {"const": unit}} if unit else {}), label: field.name}


def _valued(payload: bytes) -> list[dict[str, Any]]:
    """Return the records that have a value; what the first says of all goes to the first of them."""
    records: list[dict[str, Any]] = orjson.loads(payload)
    first = {key: records[0].pop(key) for key in ("bn", "bt")}
    kept = [record for record in records if all(value is not None for value in record.values())]
    return [first | kept[0], *kept[1:]] if kept else [first | {"n": "none", "vs": ""}]


def _without_nulls(payload: bytes) -> bytes:
    return payload if b":null" not in payload else orjson.dumps(_valued(payload))


def _as_cbor(payload: bytes) -> bytes:
    return write_cbor([{_NUMBERS[key]: value for key, value in record.items()} for record in _valued(payload)])
