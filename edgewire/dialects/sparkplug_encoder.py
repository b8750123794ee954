"""Writes what edge nodes of Sparkplug B say of themselves and of their devices, and reads what they are told to do.

Each payload here can be read by itself: names and datatypes stand in all of them. What a payload is as it goes out,
with numbers, aliases and the time, is up to `sparkplug_session`. After chapters 4 to 6 of the specification 3.0; the
controls beside `Rebirth` are the examples that it names.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import orjson

from edgewire.clock import parse_ms
from edgewire.dialects.base import DialectError
from edgewire.dialects.encoder import (
    CommandOutcome,
    DeviceNames,
    DialectCommand,
    DialectSession,
    GatewayRequest,
    MessageTemplate,
    Publication,
    seconds_argument,
)
from edgewire.dialects.kind_fields import kind_fields
from edgewire.dialects.payload_template import fill_names
from edgewire.dialects.sparkplug import BD_SEQ, NAMESPACE, REBIRTH, SparkplugOptions
from edgewire.dialects.sparkplug_payload import (
    SparkplugType,
    metric_value,
    read_payload,
    write_metric,
    write_payload,
)
from edgewire.dialects.sparkplug_session import (
    REBOOT,
    SCAN_RATE,
    SparkplugSession,
    host_topics,
)

_T = SparkplugType
_DATATYPES: Mapping[type, SparkplugType] = MappingProxyType(
    {int: _T.INT64, float: _T.DOUBLE, bool: _T.BOOLEAN, str: _T.STRING}
)


class _SparkplugEncoder:
    """Writes the readings of a kind, a metric for each value, under the name that it has in the message contract."""

    events: tuple[MessageTemplate, ...] = ()

    def __init__(self, options: SparkplugOptions, kind: str, level: Literal["N", "D"], place: str) -> None:
        """Raises `DialectError` for a kind without values."""
        self._options = options
        self._level = level
        self._place = place
        self._control = "Node Control/" if level == "N" else "Device Control/"
        self._datatypes = {field.name: _DATATYPES[field.type] for field in kind_fields(kind, "Sparkplug")}
        payload = {
            "at": {"from": "timestamp", "as": "epoch_ms"},
            "values": {name: name for name in self._datatypes},
        }
        rewrite = _metrics_writer(self._datatypes)
        self.messages: Sequence[MessageTemplate] = (MessageTemplate(self._topic("DATA"), payload, rewrite=rewrite),)
        self.shared_topics = host_topics(options.host_id)

    def _topic(self, what: str) -> str:
        return f"{NAMESPACE}/{self._options.group}/{self._level}{what}/{self._place}"

    def _birth(self, names: DeviceNames, status: Mapping[str, Any]) -> Publication:
        """Return a birth that has no values of the sensor: those that were said last, a session knows."""
        interval_s = status.get("interval_s")
        metrics = [
            *(write_metric(name, datatype, None) for name, datatype in self._datatypes.items()),
            write_metric(self._control + REBOOT, _T.BOOLEAN, False),
            write_metric(self._control + SCAN_RATE, _T.INT64, None if interval_s is None else round(interval_s * 1000)),
        ]
        if self._level == "N":
            metrics = [*_session_metrics(), *metrics]
        return self._publication("BIRTH", names, metrics, status)

    def _publication(
        self, what: str, names: DeviceNames, metrics: Sequence[bytes], status: Mapping[str, Any]
    ) -> Publication:
        said = status.get("timestamp")
        payload = write_payload(None if said is None else parse_ms(said), None, metrics)
        return Publication(fill_names(self._topic(what), names), payload, retain=False, qos=0)

    def answer_filters(self, names: DeviceNames) -> tuple[str, ...]:
        """Return none: what is set is told where readings are."""
        return ()

    def read_command(self, names: DeviceNames, topic: str, payload: bytes) -> DialectCommand | None:
        """Return what one metric asks for, which a session has looked at; None for one that asks for nothing."""
        try:
            (metric,) = read_payload(payload).metrics
            name = metric.name or ""
            value = metric_value(metric, metric.datatype, name)
        except (DialectError, ValueError):
            return None
        if name == self._control + SCAN_RATE and type(value) is int:
            return DialectCommand("set_interval", {"interval": seconds_argument(value / 1000)}, name)
        if name == self._control + REBOOT and value is True:
            return DialectCommand("reboot", {}, name)
        return None

    def answer(self, names: DeviceNames, command: DialectCommand, outcome: CommandOutcome) -> Iterator[Publication]:
        """Yield what can be set as it is now, which is as it was where the device has refused."""
        if command.name == self._control + SCAN_RATE:
            metric = write_metric(command.name, _T.INT64, round(outcome.interval_s * 1000))
            yield self._publication("DATA", names, [metric], outcome.status)


class SparkplugNodeEncoder(_SparkplugEncoder):
    """Writes what a device says that is an edge node itself: its values are the node's own."""

    def __init__(self, options: SparkplugOptions, kind: str) -> None:
        """Raises `DialectError` for a kind without values."""
        super().__init__(options, kind, "N", "{id}")

    def state(self, names: DeviceNames, status: Mapping[str, Any], *, is_first: bool = True) -> Iterator[Publication]:
        """Yield the birth; as it goes, the session says the death."""
        if status["state"] == "online":
            yield self._birth(names, status)

    def will(self, names: DeviceNames) -> Publication:
        """Return the death of a first session; a session writes its own."""
        return _node_death(fill_names(self._topic("DEATH"), names))

    def command_topics(self, names: DeviceNames) -> tuple[str, ...]:
        """Return where commands to the node come, and where its primary host tells that it is there."""
        return (fill_names(self._topic("CMD"), names), *self.shared_topics)

    def open_session(self, names: DeviceNames) -> DialectSession:
        """Return the session of a node."""
        return SparkplugSession(self._options, fill_names(self._options.group, names), names["id"])


class SparkplugDeviceEncoder(_SparkplugEncoder):
    """Writes what devices say behind a gateway, which is their edge node, and what that says itself."""

    def __init__(self, options: SparkplugOptions, kind: str) -> None:
        """Raises `DialectError` for a kind without values."""
        super().__init__(options, kind, "D", "{gateway}/{id}")

    @property
    def base_topic(self) -> str:
        """Return where a gateway's data would be, with names in braces."""
        return self._node_topic("DATA")

    def _node_topic(self, what: str) -> str:
        return f"{NAMESPACE}/{self._options.group}/N{what}/{{gateway}}"

    def state(self, names: DeviceNames, status: Mapping[str, Any], *, is_first: bool = True) -> Iterator[Publication]:
        """Yield the birth of a device, or its death."""
        if status["state"] == "online":
            yield self._birth(names, status)
        else:
            yield self._publication("DEATH", names, (), status)

    def will(self, names: DeviceNames) -> None:
        """Return none: it is the gateway's that tells of all its devices."""
        return

    def command_topics(self, names: DeviceNames) -> tuple[str, ...]:
        """Return where commands to the device come."""
        return (fill_names(self._topic("CMD"), names),)

    def gateway_state(
        self, gateway: DeviceNames, devices: Sequence[DeviceNames], status: Mapping[str, Any]
    ) -> Iterator[Publication]:
        """Yield the birth of a gateway, which has no values itself; as it goes, the session says the death."""
        if status["state"] == "online":
            metrics = [*_session_metrics(), write_metric(f"Node Control/{REBOOT}", _T.BOOLEAN, False)]
            said = status.get("timestamp")
            payload = write_payload(None if said is None else parse_ms(said), None, metrics)
            yield Publication(fill_names(self._node_topic("BIRTH"), gateway), payload, retain=False, qos=0)

    def gateway_will(self, gateway: DeviceNames) -> Publication:
        """Return the death of a first session; a session writes its own."""
        return _node_death(fill_names(self._node_topic("DEATH"), gateway))

    def gateway_filters(self, gateway: DeviceNames) -> tuple[str, ...]:
        """Return where commands to a gateway and to its devices come."""
        devices = fill_names(f"{NAMESPACE}/{self._options.group}/DCMD/{{gateway}}/+", gateway)
        return (fill_names(self._node_topic("CMD"), gateway), devices)

    def gateway_answer_filters(self, gateway: DeviceNames) -> tuple[str, ...]:
        """Return none."""
        return ()

    def read_request(
        self, gateway: DeviceNames, devices: Sequence[DeviceNames], topic: str, payload: bytes
    ) -> GatewayRequest | None:
        """Return that a gateway restarts, where one metric says so, which a session has looked at."""
        try:
            (metric,) = read_payload(payload).metrics
        except (DialectError, ValueError):
            return None
        is_restart = metric.name == f"Node Control/{REBOOT}" and metric.value is True
        return GatewayRequest(is_restart=True) if is_restart else None

    def told_names(
        self, gateway: DeviceNames, devices: Sequence[DeviceNames], topic: str, payload: bytes
    ) -> Mapping[str, str]:
        """Return none: devices have the names of their topics."""
        return {}

    def open_session(self, names: DeviceNames) -> DialectSession:
        """Return the session of a gateway, over which its devices speak."""
        return SparkplugSession(self._options, fill_names(self._options.group, names), names["gateway"])


def _session_metrics() -> tuple[bytes, bytes]:
    return write_metric(BD_SEQ, _T.INT64, 0), write_metric(REBIRTH, _T.BOOLEAN, False)


def _node_death(topic: str) -> Publication:
    return Publication(topic, write_payload(None, None, [write_metric(BD_SEQ, _T.INT64, 0)]), retain=False, qos=1)


def _metrics_writer(datatypes: Mapping[str, SparkplugType]) -> Callable[[bytes], bytes]:
    """Return what makes a payload of a reading in JSON: all its values, those that are not there as null."""

    def write(payload: bytes) -> bytes:
        body = orjson.loads(payload)
        at_ms, values = body["at"], body["values"]
        metrics = [write_metric(name, datatype, values[name], timestamp=at_ms) for name, datatype in datatypes.items()]
        return write_payload(at_ms, None, metrics)

    return write
