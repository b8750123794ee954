"""Writes what devices say to ThingsBoard: each over its own connection, or all of a gateway over one.

After ThingsBoard's documentation (MQTT device API; gateway API): see `thingsboard`. A method of an RPC is a command of
the message contract. The shared attribute `interval_s` sets the interval; what is in force is told by another name, as
on a broker that is not ThingsBoard a device hears its own attributes.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from edgewire.dialects.base import DialectError, MessageRole
from edgewire.dialects.encoder import CommandOutcome, DeviceNames, DialectCommand, MessageTemplate, Publication
from edgewire.dialects.introduction import introduced
from edgewire.dialects.kind_fields import event_mapping, measured_mapping
from edgewire.dialects.payload_template import fill_names
from edgewire.dialects.remote_methods import INTERVAL_S, asked_action, asked_interval, method_name, unknown_method
from edgewire.dialects.thingsboard import DEVICE_API, GATEWAY_API, ThingsBoardOptions
from edgewire.dialects.values import read_object

_ATTRIBUTES, _RPC = "attributes", "rpc"
_IN_FORCE = "active_interval_s"
_NOT_FOR_US = DialectCommand("", {}, "")
"""What a device hears, and has nothing to do or say about: other attributes, and its own words."""


def _result(command: DialectCommand, outcome: CommandOutcome) -> dict[str, Any]:
    if not command.action:
        return {"error": unknown_method(command.argument)}
    return {"error": outcome.error} if outcome.error is not None else {"ok": True, **outcome.data}


def _published(topic: str, body: object) -> Publication:
    return Publication(topic, orjson.dumps(body), retain=False)


class ThingsBoardEncoder:
    """Writes telemetry and attributes of a device that has a connection of its own, and answers its RPCs."""

    def __init__(self, options: ThingsBoardOptions, kind: str) -> None:
        """Raises `DialectError` for a kind without values."""
        self._root = f"{options.prefix}{DEVICE_API}"
        happened = event_mapping(kind)
        self.messages = (self._template(measured_mapping(kind, "ThingsBoard"), MessageRole.READING),)
        self.events = (self._template(happened, MessageRole.EVENT),) if happened else ()
        self.is_known_by_login = "{id}" not in options.prefix and "{mac}" not in options.prefix
        """Whether ThingsBoard alone can tell whose messages these are: by the access token, as they name no device."""

    def _template(self, values: Mapping[str, Any], role: MessageRole) -> MessageTemplate:
        payload = {"ts": {"from": "timestamp", "as": "epoch_ms"}, "values": dict(values)}
        return MessageTemplate(f"{self._root}/telemetry", payload, role)

    def state(self, names: DeviceNames, status: Mapping[str, Any], *, is_first: bool = True) -> Iterator[Publication]:
        """Yield, as a device comes, its client attributes, and a request of the shared one that it heeds."""
        if status["state"] == "online":
            yield _published(self._topic(_ATTRIBUTES, names), introduced(names, status))
            yield _published(self._topic(f"{_ATTRIBUTES}/request/1", names), {"sharedKeys": INTERVAL_S})

    def will(self, names: DeviceNames) -> None:
        """Return none: ThingsBoard knows whether a device is there."""
        return

    def command_topics(self, names: DeviceNames) -> tuple[str, ...]:
        """Return the filters of RPCs, of shared attributes that change, and of those that were asked for."""
        below = (f"{_RPC}/request/+", _ATTRIBUTES, f"{_ATTRIBUTES}/response/+")
        return tuple(self._topic(one, names) for one in below)

    def answer_filters(self, names: DeviceNames) -> tuple[str, ...]:
        """Return the filters of answers to RPCs, and of attributes."""
        below = (f"{_RPC}/response/+", _ATTRIBUTES, f"{_ATTRIBUTES}/request/+")
        return tuple(self._topic(one, names) for one in below)

    def read_command(self, names: DeviceNames, topic: str, payload: bytes) -> DialectCommand | None:
        """Return what an RPC or a shared attribute asks for; None for what is neither."""
        try:
            said = read_object(payload)
        except DialectError:
            return None
        below = topic.removeprefix(f"{self._topic(_RPC, names)}/request/")
        if below != topic:
            asked = asked_action(said.get("method"), said.get("params"))
            if asked is None:
                return DialectCommand("", {}, below, method_name(said.get("method")))
            return DialectCommand(*asked, below)
        shared = said.get("shared") if topic != self._topic(_ATTRIBUTES, names) else said
        interval = asked_interval(shared) if isinstance(shared, dict) else None
        return _NOT_FOR_US if interval is None else DialectCommand("set_interval", interval, "", _ATTRIBUTES)

    def answer(self, names: DeviceNames, command: DialectCommand, outcome: CommandOutcome) -> Iterator[Publication]:
        """Yield the answer to an RPC, or the interval that is in force as a client attribute."""
        if command.name:
            yield _published(self._topic(f"{_RPC}/response/{command.name}", names), _result(command, outcome))
        elif command.action:
            told = {_IN_FORCE: outcome.interval_s} if outcome.error is None else {"interval_error": outcome.error}
            yield _published(self._topic(_ATTRIBUTES, names), told)

    def _topic(self, below: str, names: DeviceNames) -> str:
        return fill_names(f"{self._root}/{below}", names)


class ThingsBoardGatewayEncoder:
    """Writes what a gateway says of its devices, which all have its topics: each message names the device."""

    def __init__(self, options: ThingsBoardOptions, kind: str) -> None:
        """Raises `DialectError` for a kind without values."""
        self._root = f"{options.prefix}{GATEWAY_API}"
        happened = event_mapping(kind)
        self.messages = (self._template(measured_mapping(kind, "ThingsBoard"), MessageRole.READING),)
        self.events = (self._template(happened, MessageRole.EVENT),) if happened else ()

    def _template(self, values: Mapping[str, Any], role: MessageRole) -> MessageTemplate:
        reading = {"ts": {"from": "timestamp", "as": "epoch_ms"}, "values": dict(values)}
        payload = {"device": "{id}", "data": reading}
        return MessageTemplate(f"{self._root}/telemetry", payload, role, rewrite=_below_device)

    def state(self, names: DeviceNames, status: Mapping[str, Any], *, is_first: bool = True) -> Iterator[Publication]:
        """Yield that a device comes, with its attributes, or that it goes."""
        device = names["id"]
        if status["state"] != "online":
            yield _published(self._topic("disconnect", names), {"device": device})
            return
        yield _published(self._topic("connect", names), {"device": device, "type": names["kind"]})
        yield _published(self._topic(_ATTRIBUTES, names), {device: introduced(names, status)})

    def will(self, names: DeviceNames) -> None:
        """Return none: the connection is the gateway's."""
        return

    def command_topics(self, names: DeviceNames) -> tuple[str, ...]:
        """Return the topics of RPCs, and of shared attributes that change, of all devices."""
        return self._topic(_RPC, names), self._topic(_ATTRIBUTES, names)

    def answer_filters(self, names: DeviceNames) -> tuple[str, ...]:
        """Return the topics on which devices come, go, tell attributes, and answer."""
        return tuple(self._topic(one, names) for one in ("connect", "disconnect", _ATTRIBUTES, _RPC))

    def addressed_device(self, payload: bytes) -> str | None:
        """Return the name of the device that a message is for; None where it names none. Raises nothing."""
        try:
            device = read_object(payload).get("device")
        except DialectError:
            return None
        return device if isinstance(device, str) else None

    def read_command(self, names: DeviceNames, topic: str, payload: bytes) -> DialectCommand | None:
        """Return what an RPC or a shared attribute asks of this device; None where it is for none or another."""
        try:
            said = read_object(payload)
        except DialectError:
            return None
        data = said.get("data")
        if said.get("device") != names["id"] or not isinstance(data, dict):
            return None
        if topic == self._topic(_ATTRIBUTES, names):
            interval = asked_interval(data)
            return _NOT_FOR_US if interval is None else DialectCommand("set_interval", interval, "", _ATTRIBUTES)
        number = data.get("id")
        if "id" in said or type(number) is not int:
            return _NOT_FOR_US
        asked = asked_action(data.get("method"), data.get("params"))
        if asked is None:
            return DialectCommand("", {}, str(number), method_name(data.get("method")))
        return DialectCommand(*asked, str(number))

    def answer(self, names: DeviceNames, command: DialectCommand, outcome: CommandOutcome) -> Iterator[Publication]:
        """Yield the answer to an RPC, or the interval that is in force as a client attribute."""
        device = names["id"]
        if command.name:
            answered = {"device": device, "id": int(command.name), "data": _result(command, outcome)}
            yield _published(self._topic(_RPC, names), answered)
        elif command.action:
            told = {_IN_FORCE: outcome.interval_s} if outcome.error is None else {"interval_error": outcome.error}
            yield _published(self._topic(_ATTRIBUTES, names), {device: told})

    def _topic(self, below: str, names: DeviceNames) -> str:
        return fill_names(f"{self._root}/{below}", names)


def _below_device(payload: bytes) -> bytes:
    """Return a message whose key is the device: `{"x7":[{"ts":1,"values":{}}]}`; a template has it as a value."""
    name, _, reading = payload.partition(b'","data":')
    return b'{%b":[%b]}' % (name.removeprefix(b'{"device":'), reading[:-1])
