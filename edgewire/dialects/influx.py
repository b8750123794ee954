"""InfluxDB line protocol, as Telegraf and others write it to a broker: `temp,room=lab c=21.5 1767225600000000000`.

Read in InfluxDB's documentation (docs-v2, line protocol). Quirks: quotes in tags are part of them; lines that begin
with `#` are comments; a backslash before anything that needs none is itself; the time has no unit of its own, and is in
nanoseconds unless writer and reader agree on another. A message has as many lines as one likes, and is taken apart into
one message for each.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple

import orjson
from pydantic import Field

from edgewire.config import Config
from edgewire.dialects.base import Arrival, DialectError, DialectMessage, MessageRole, TimeSource, Value
from edgewire.dialects.encoder import MessageTemplate
from edgewire.dialects.kind_fields import kind_fields
from edgewire.dialects.plain_values import check_place
from edgewire.dialects.readings_encoder import ReadingsEncoder
from edgewire.dialects.times import device_instant
from edgewire.dialects.topic_check import TopicTemplate
from edgewire.dialects.values import MAX_PAYLOAD, shown

MAX_LINES = 1000
"""In one message."""
_MAX_LINE = 64 * 1024
_LARGEST = 1 << 64
_SCALES: Mapping[str, int] = MappingProxyType({"ns": 1_000_000, "us": 1_000, "ms": 1})
"""Unit -> how many are a millisecond; seconds are longer."""
_FLAGS: Mapping[str, bool] = MappingProxyType(
    {
        **dict.fromkeys(("t", "T", "true", "True", "TRUE"), True),
        **dict.fromkeys(("f", "F", "false", "False", "FALSE"), False),
    }
)
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"[+-]?[0-9]{1,20}")


class InfluxOptions(Config):
    """Says which tag names the device, in which unit times are, and where emulated devices publish."""

    device_tags: Annotated[tuple[str, ...], Field(min_length=1, max_length=20)] = ("device_id", "device", "id", "host")
    """Tags that name the device: the first that is there. Without any, measurement and tags together are the device."""
    precision: Literal["ns", "us", "ms", "s"] = "ns"
    """The unit of times."""
    topic: TopicTemplate = "telegraf/{id}/{kind}"
    """Of emulated devices, with names in braces: `{id}`, `{site}`, `{kind}`, `{mac}`."""


class _Line(NamedTuple):
    measurement: str
    tags: dict[str, str]
    fields: dict[str, Value]
    time: int | None


class _LineSplitter:
    """Takes messages of several lines apart."""

    def split_payload(self, payload: bytes) -> list[bytes]:
        """Return each line, or this payload alone where it has one, or more than are allowed."""
        lines = _lines_of(payload)
        return lines if 2 <= len(lines) <= MAX_LINES else [payload]


def _lines_of(payload: bytes) -> list[bytes]:
    """Return the lines that say something. A text field may have a line break in it."""
    found: list[bytes] = []
    if payload.count(b"\n") > 20 * MAX_LINES or len(payload) > MAX_PAYLOAD:
        return [payload]
    pending = b""
    for line in payload.split(b"\n"):
        text = pending + line
        pending = b""
        if not text.strip() or text.lstrip().startswith(b"#"):
            continue
        if _is_open(text) and len(text) < _MAX_LINE:
            pending = text + b"\n"
        else:
            found.append(text.strip(b" \r"))
    return [*found, pending] if pending else found


def _is_open(text: bytes) -> bool:
    """Return whether a text field has no end yet: quotes count after the first space that is not escaped."""
    if b'"' not in text:
        return False
    fields = re.split(rb"(?<!\\) ", text, maxsplit=1)
    return len(fields) == 2 and len(re.findall(rb'(?<!\\)(?:\\\\)*"', fields[1])) % 2 == 1


class InfluxDecoder:
    """Reads one line a message; those of several are taken apart before."""

    filters = ("telegraf/#",)
    lists = _LineSplitter()

    def __init__(self, options: InfluxOptions | None = None) -> None:
        self._options = options or InfluxOptions()

    def decode(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Return what a line says. Raises `DialectError`."""
        if len(payload) > MAX_PAYLOAD:
            raise DialectError(f"payload of {len(payload):,} bytes is longer than the {MAX_PAYLOAD:,} allowed")
        lines = _lines_of(payload)
        if not lines:
            raise DialectError("payload has no line of line protocol: it is empty, or has comments alone")
        if len(lines) > 1:
            raise DialectError(
                f"{len(lines):,} lines in one message, which were not taken apart as it came: a bridge does that, for a"
                f" subscription with decode: influx and up to {MAX_LINES:,} lines"
            )
        line = _read_line(lines[0])
        check_place(line.fields)
        tag = next((one for one in self._options.device_tags if line.tags.get(one)), None)
        if tag is None:
            device = ",".join([line.measurement, *(f"{name}={value}" for name, value in sorted(line.tags.items()))])
        else:
            device = line.tags[tag]
        extra: dict[str, object] = {"tags": dict(line.tags)} if line.tags else {}
        at_ms, source, remark = arrival.received_ms, TimeSource.ARRIVAL, ""
        if line.time is not None:
            scale = _SCALES.get(self._options.precision)
            written_ms = line.time * 1000 if scale is None else line.time // scale
            at_ms, source, remark = device_instant(written_ms, f"{line.time} {self._options.precision}", arrival)
        told = (remark,) if remark else ()
        return DialectMessage(
            device, MessageRole.READING, at_ms, source, line.fields, line.measurement, {}, extra, arrival.retained, told
        )


def _read_line(data: bytes) -> _Line:
    """Return what a line says. Raises `DialectError`."""
    if len(data) > _MAX_LINE:
        raise DialectError(f"a line of {len(data):,} bytes is longer than the {_MAX_LINE:,} allowed")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise DialectError(f"line is no UTF-8: {shown(data)}") from None
    series, at = _until(text, 0, " ")
    names = _parted(series)
    measurement = _unescaped(names[0], ", ")
    if not measurement:
        raise DialectError(f"line has no measurement: {shown(text)}")
    tags: dict[str, str] = {}
    for one in names[1:]:
        key, end = _until(one, 0, "=")
        if not key or end >= len(one) - 1:
            raise DialectError(f"tag {shown(one)} is no name=value: {shown(text)}")
        tags[_unescaped(key, ",= ")] = _unescaped(one[end + 1 :], ",= ")
    at = _next_word(text, at)
    if at >= len(text):
        raise DialectError(f"line has no fields: {shown(text)}")
    fields, at = _read_fields(text, at)
    rest = text[_next_word(text, at) :].strip()
    if rest and not _WHOLE.fullmatch(rest):
        raise DialectError(f"time {shown(rest)} is no whole number: {shown(text)}")
    return _Line(measurement, tags, fields, int(rest) if rest else None)


def _read_fields(text: str, at: int) -> tuple[dict[str, Value], int]:
    """Return the fields that begin at a place, and where they end."""
    fields: dict[str, Value] = {}
    while True:
        key, end = _until(text, at, "= ,")
        if not key or text[end : end + 1] != "=":
            raise DialectError(f"field {shown(text[at : at + 40])} is no name=value: {shown(text)}")
        name = _unescaped(key, ",= ")
        if text[end + 1 : end + 2] == '"':
            said, at = _quoted(text, end + 2)
            value: Value = said
        else:
            said, at = _until(text, end + 1, ", ")
            value = _value(said, name)
        fields[name] = value
        if text[at : at + 1] != ",":
            if at < len(text) and text[at] != " ":
                raise DialectError(f"field {shown(name)} has something behind its end: {shown(text)}")
            return fields, at
        at += 1


def _value(said: str, name: str) -> Value:
    if said in _FLAGS:
        return _FLAGS[said]
    if said[-1:] in ("i", "u") and _WHOLE.fullmatch(said[:-1]):
        whole = int(said[:-1])
        least, most = (0, _LARGEST) if said[-1] == "u" else (-_LARGEST // 2, _LARGEST // 2)
        if least <= whole < most:
            return whole
    elif _FLOAT.fullmatch(said) and abs(read := float(said)) < 1e309:
        return read
    raise DialectError(f"field {shown(name)} has {shown(said)}: neither a number, true or false, nor a text in quotes")


def _quoted(text: str, at: int) -> tuple[str, int]:
    """Return a text in quotes that begins at a place, and where it ends."""
    begin = at
    while at < len(text) and text[at] != '"':
        at += 2 if text[at] == "\\" and text[at + 1 : at + 2] in ('"', "\\") else 1
    if at >= len(text):
        raise DialectError(f"text {shown(text[begin : begin + 40])} has no quote at its end")
    return re.sub(r'\\(["\\])', r"\1", text[begin:at]), at + 1


def _until(text: str, at: int, ends: str) -> tuple[str, int]:
    """Return what stands before the first of some characters that is not escaped, and where that is."""
    begin = at
    while at < len(text) and text[at] not in ends:
        at += 2 if text[at] == "\\" else 1
    at = min(at, len(text))
    return text[begin:at], at


def _parted(series: str) -> list[str]:
    found, at = [], 0
    while True:
        part, at = _until(series, at, ",")
        found.append(part)
        if at >= len(series):
            return found
        at += 1


def _next_word(text: str, at: int) -> int:
    while at < len(text) and text[at] == " ":
        at += 1
    return at


def _unescaped(text: str, special: str) -> str:
    return re.sub(rf"\\([{re.escape(special)}])", r"\1", text) if "\\" in text else text


class InfluxEncoder(ReadingsEncoder):
    """Writes a line for each reading: the kind is the measurement, the device a tag, and each value a field."""

    def __init__(self, options: InfluxOptions, kind: str) -> None:
        """Raises `DialectError` for a kind without values."""
        fields = kind_fields(kind, "line protocol")
        self._whole = frozenset(field.name for field in fields if field.type is int)
        self._scale = _SCALES.get(options.precision)
        payload: dict[str, Any] = {
            "measurement": "{kind}",
            "device": "{id}",
            "site": "{site}",
            "at": {"from": "timestamp", "as": "epoch_ms"},
            "fields": {field.name: field.name for field in fields},
        }
        self._device_tag = options.device_tags[0]
        super().__init__([MessageTemplate(options.topic, payload, rewrite=self._line)])

    def _line(self, payload: bytes) -> bytes:
        body = orjson.loads(payload)
        tags = ((self._device_tag, body["device"]), ("site", body["site"]))
        series = "".join(f",{_escaped(name, ',= ')}={_escaped(value, ',= ')}" for name, value in tags if value)
        written = [
            f"{_escaped(name, ',= ')}={self._written(name, value)}"
            for name, value in body["fields"].items()
            if value is not None
        ]
        at_ms = body["at"]
        time = at_ms // 1000 if self._scale is None else at_ms * self._scale
        # A line has a field at least: this one tells that nothing was measured.
        fields = ",".join(written) or 'none=""'
        return f"{_escaped(body['measurement'], ', ')}{series} {fields} {time}".encode()

    def _written(self, name: str, value: Any) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str):
            quoted = re.sub(r'(["\\])', r"\\\1", value)
            return f'"{quoted}"'
        return f"{round(value)}i" if name in self._whole else repr(float(value))


def _escaped(text: str, special: str) -> str:
    return re.sub(rf"([{re.escape(special)}])", r"\\\1", text)
