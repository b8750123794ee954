"""Sparkplug B: edge nodes with devices, whose births name what their data tell by number.

Read in the specification 3.0 (chapters 4 to 6) and in Tahu's `sparkplug_b.proto`. Quirks: a negative number comes in 8,
16, 32 or 64 bits (tahu 71, pysparkplug 26); old Tahu writes UInt32 as a long (tahu 76); version 2.2 has `STATE/HOST`
with `ONLINE` or `OFFLINE`. What a number without a name means, only the births say: a bridge keeps these, and puts
names and datatypes into the data as it comes, so that nothing is remembered here.
"""

import base64
from typing import Annotated, NamedTuple

from pydantic import Field

from edgewire.clock import LAST_MS, iso_ms
from edgewire.config import Config
from edgewire.config_errors import text_matching
from edgewire.dialects.base import Arrival, DialectError, DialectMessage, MessageRole, TimeSource, Value, unread
from edgewire.dialects.plain_values import check_place, plain_value
from edgewire.dialects.sparkplug_payload import (
    SparkplugMetric,
    SparkplugPayload,
    SparkplugType,
    ValueField,
    is_single,
    metric_value,
    read_payload,
)
from edgewire.dialects.times import device_instant
from edgewire.dialects.values import read_object, read_text, shown

NAMESPACE = "spBv1.0"
BD_SEQ = "bdSeq"
REBIRTH = "Node Control/Rebirth"
_CONTROLS = ("Node Control/", "Device Control/")
BIRTHS = frozenset({"NBIRTH", "DBIRTH"})
DATA = frozenset({"NDATA", "DDATA"})
DEATHS = frozenset({"NDEATH", "DDEATH"})
_COMMANDS = frozenset({"NCMD", "DCMD"})
_TYPES = BIRTHS | DATA | DEATHS | _COMMANDS
_GOOD = 192
_BYTE_TYPES = (None, 0, 17, 18)
"""Bytes and File; other datatypes in bytes are arrays."""


_Level = Annotated[
    str, Field(min_length=1, max_length=200), text_matching(r"^[^/+#\x00]+$", "one level of a topic, without / + #")
]


class SparkplugOptions(Config):
    """Says what a bridge does about nodes that it does not know, and how emulated nodes speak."""

    rebirth: bool = True
    """Whether the bridge asks a node for its births, by `NCMD`, where it has none or something is missing."""
    host_id: _Level | None = None
    """The host application: as which the bridge tells by `STATE` that it is there, and for which emulated nodes wait as
    their primary host. Without it the bridge tells nothing, and nodes wait for none."""
    group: _Level = "{site}"
    """Of emulated nodes: the Group ID. With names in braces: `{site}`, `{kind}`."""
    aliases: bool = True
    """Whether data of emulated nodes has numbers in the place of names."""


def state_topic(host_id: str) -> str:
    """Return where a host application tells that it is there, as 3.0 has it."""
    return f"{NAMESPACE}/STATE/{host_id}"


class SparkplugTopic(NamedTuple):
    """Holds the levels of a topic of a node or a device."""

    group: str
    type: str
    node: str
    device: str
    """Empty of a node's own."""

    @property
    def node_name(self) -> str:
        """Return what tells a node from all others."""
        return f"{self.group}/{self.node}"

    @property
    def name(self) -> str:
        """Return the name of the device, or of the node itself."""
        return f"{self.node_name}/{self.device}" if self.device else self.node_name


def parse_topic(topic: str) -> SparkplugTopic:
    """Return the levels of `spBv1.0/GROUP/TYPE/NODE[/DEVICE]`. Raises `DialectError`."""
    levels = topic.split("/")
    if levels[0] != NAMESPACE or not 4 <= len(levels) <= 5 or "" in levels:
        raise DialectError(f"topic '{topic}' is no {NAMESPACE}/GROUP/TYPE/NODE, with or without /DEVICE")
    group, kind, node = levels[1:4]
    if kind not in _TYPES:
        raise DialectError(f"topic '{topic}' has the type {shown(kind)}, which Sparkplug does not have")
    if kind[0] != ("D" if len(levels) == 5 else "N"):
        raise DialectError(f"topic '{topic}' has the type {kind} {'with' if len(levels) == 5 else 'without'} a device")
    return SparkplugTopic(group, kind, node, levels[4] if len(levels) == 5 else "")


def is_control(metric: SparkplugMetric) -> bool:
    """Say whether a metric is no measurement: a session's number, or what a node can be told to do."""
    return metric.name is not None and (metric.name == BD_SEQ or metric.name.startswith(_CONTROLS))


def reading_groups(payload: SparkplugPayload) -> list[list[SparkplugMetric]]:
    """Return the measurements of a payload, those of one time together; none twice in a group."""
    groups: dict[tuple[int | None, bool, int], list[SparkplugMetric]] = {}
    times: dict[tuple[str | None, int | None, int | None, bool], int] = {}
    for metric in payload.metrics:
        if is_control(metric):
            continue
        at_ms = payload.timestamp if metric.timestamp is None else metric.timestamp
        key = metric.name, metric.alias, at_ms, metric.is_historical
        times[key] = again = times.get(key, 0) + 1
        groups.setdefault((at_ms, metric.is_historical, again), []).append(metric)
    return list(groups.values())


class SparkplugDecoder:
    """Reads what nodes and hosts publish. A device is `GROUP/NODE/DEVICE`, and a node `GROUP/NODE`."""

    filters = (f"{NAMESPACE}/#", "STATE/#")
    has_births = True
    """A bridge names metrics by the births, see `bridge.message.sparkplug_births`."""

    def __init__(self, options: SparkplugOptions | None = None) -> None:
        given = options or SparkplugOptions()
        self.asks_rebirth = given.rebirth
        self.host_id = given.host_id
        """As which host application a bridge tells that it is there; None where it does not."""
        self.request_filters = (
            *((f"{NAMESPACE}/+/NCMD/+",) if given.rebirth else ()),
            *(() if given.host_id is None else (state_topic(given.host_id),)),
        )
        """Where a bridge publishes: it asks nodes for their births, and tells that it is there."""

    def decode(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Return what a message says. Raises `DialectError`."""
        if topic.startswith((f"{NAMESPACE}/STATE/", "STATE/")):
            return _host_state(topic, payload, arrival)
        place = parse_topic(topic)
        read = read_payload(payload)
        if place.type in _COMMANDS:
            names = [metric.name or f"alias {metric.alias}" for metric in read.metrics[:20]]
            return unread(place.name, MessageRole.COMMAND, arrival, {"metrics": names})
        if place.type in DEATHS:
            return _death(place, read, arrival)
        return _reading(place, read, arrival)


def _host_state(topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
    host = topic.partition("STATE/")[2]
    if not topic.startswith(NAMESPACE):
        said = read_text(payload)
        if said not in ("ONLINE", "OFFLINE"):
            raise DialectError(f"state of host {shown(host)} is {shown(said)}, neither ONLINE nor OFFLINE")
        online: object = said == "ONLINE"
    else:
        online = read_object(payload).get("online")
    if not isinstance(online, bool):
        raise DialectError(f"state of host {shown(host)} has no online that is true or false: {shown(payload)}")
    return unread(f"STATE/{host}", MessageRole.AVAILABILITY, arrival, values={"online": online})


def _death(place: SparkplugTopic, read: SparkplugPayload, arrival: Arrival) -> DialectMessage:
    session = next((one for one in read.metrics if one.name == BD_SEQ), None)
    if session is not None and session.is_historical:
        # So the bridge marks the will of a session before the one that has been born since.
        return unread(place.name, MessageRole.STATE, arrival, {"death": "of an earlier session"})
    told = {BD_SEQ: session.value} if session is not None and type(session.value) is int else {}
    return unread(place.name, MessageRole.AVAILABILITY, arrival, told, {"online": False})


def _reading(place: SparkplugTopic, read: SparkplugPayload, arrival: Arrival) -> DialectMessage:
    groups = reading_groups(read)
    if len(groups) > 1:
        raise DialectError(
            f"the payload tells of {len(groups):,} times, and was not taken apart as it came: a bridge does that, for a"
            " subscription with decode: sparkplug"
        )
    metrics = groups[0] if groups else []
    values: dict[str, Value] = {}
    extra: dict[str, object] = {}
    remarks: list[str] = []
    for metric in metrics:
        if metric.name is None:
            said = "no name and no alias" if metric.alias is None else f"alias {metric.alias} and no name"
            raise DialectError(f"a metric has {said}: no birth of {place.name} that was received names it")
        _read_metric(metric.name, metric, values, extra, remarks)
    check_place(values)
    if any(metric.is_historical for metric in metrics) and (values or extra):
        extra["historical"] = True
    written = next((one.timestamp for one in metrics if one.timestamp is not None), read.timestamp)
    at_ms, time_source, told = arrival.received_ms, TimeSource.ARRIVAL, ""
    if written is not None:
        at_ms, time_source, told = device_instant(written, written, arrival)
    remarks += [told] if told else []
    return DialectMessage(
        place.name, MessageRole.READING, at_ms, time_source, values, "", {}, extra, arrival.retained, tuple(remarks)
    )


def _read_metric(
    name: str, metric: SparkplugMetric, values: dict[str, Value], extra: dict[str, object], remarks: list[str]
) -> None:
    """Take in a metric; what is bad or stale by its quality is no value."""
    if metric.is_null:
        return
    if not is_single(metric, metric.datatype):
        if metric.field is ValueField.BYTES and metric.datatype in _BYTE_TYPES and isinstance(metric.value, bytes):
            extra[name] = base64.urlsafe_b64encode(metric.value).rstrip(b"=").decode()
        else:
            remarks.append(f"{name}: a value of datatype {metric.datatype} is not read")
        return
    value = metric_value(metric, metric.datatype, name)
    if metric.datatype == SparkplugType.DATETIME and type(value) is int:
        if value > LAST_MS:
            raise DialectError(f"metric {shown(name)} is a time after the year 9999: {value:,} ms")
        value = iso_ms(value)
    found = plain_value(value)
    if found is None:
        return
    if metric.quality is not None and metric.quality != _GOOD:
        _list_in(extra, "quality")[name] = {"quality": metric.quality, "value": found}
        return
    values[name] = found
    if metric.is_transient:
        _list_in(extra, "transient")[name] = True


def _list_in(extra: dict[str, object], key: str) -> dict[str, object]:
    found = extra.setdefault(key, {})
    assert isinstance(found, dict)
    return found
