"""Writes what devices say to Azure IoT Hub: messages with properties, their twin, and answers to direct methods.

After Azure IoT Hub's documentation and the conventions of IoT Plug and Play (how a writable property is acknowledged):
see `azure_iot`. Changes of the twin that come while a device is away are not sent to it later: it asks as it comes.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import orjson

from edgewire.dialects.azure_iot import HUB, AzureIotOptions, read_bag
from edgewire.dialects.base import DialectError, MessageRole
from edgewire.dialects.encoder import CommandOutcome, DeviceNames, DialectCommand, MessageTemplate, Publication
from edgewire.dialects.introduction import introduced
from edgewire.dialects.kind_fields import event_mapping, measured_mapping
from edgewire.dialects.payload_template import fill_names
from edgewire.dialects.remote_methods import INTERVAL_S, asked_action, asked_interval, method_name, unknown_method
from edgewire.dialects.timed_object import TIME_KEY
from edgewire.dialects.values import read_object

_DONE, _REFUSED, _UNKNOWN = 200, 400, 404
_METHOD, _DESIRED = "method", "desired"
_GET, _REPORTED = "twin", "reported"
"""What requests of the twin are known by in their answers."""
_NOTHING_TO_DO = DialectCommand("", {}, "")


class AzureIotEncoder:
    """Writes messages and reported properties of one device, and takes desired ones, methods and messages."""

    def __init__(self, options: AzureIotOptions, kind: str) -> None:
        """Raises `DialectError` for a kind without values."""
        self._prefix = options.prefix
        bag = {"$.ct": "application/json", "$.ce": "utf-8", **options.properties}
        written = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in bag.items())
        topic = f"{self._prefix}devices/{{id}}/messages/events/{written}"
        measured = measured_mapping(kind, "Azure IoT Hub")
        happened = event_mapping(kind)
        self.messages = (MessageTemplate(topic, {TIME_KEY: "timestamp", **measured}),)
        self.events = (
            (MessageTemplate(topic, {TIME_KEY: "timestamp", **happened}, MessageRole.EVENT),) if happened else ()
        )

    def state(self, names: DeviceNames, status: Mapping[str, Any], *, is_first: bool = True) -> Iterator[Publication]:
        """Yield, as a device comes, what it is, and a request of what was desired of it meanwhile."""
        if status["state"] != "online":
            return
        yield self._report({"device": introduced(names, status)}, names)
        yield Publication(self._hub(f"twin/GET/?$rid={_GET}", names), b"", retain=False)

    def will(self, names: DeviceNames) -> None:
        """Return none: the hub knows whether a device is there."""
        return

    def command_topics(self, names: DeviceNames) -> tuple[str, ...]:
        """Return the filters of methods, of desired properties, of answers of the twin, and of messages."""
        hub = tuple(
            self._hub(one, names) for one in ("methods/POST/#", "twin/PATCH/properties/desired/#", "twin/res/#")
        )
        return (*hub, f"{self._bound(names)}#")

    def answer_filters(self, names: DeviceNames) -> tuple[str, ...]:
        """Return the filters of answers to methods, of reported properties, and of requests of the twin."""
        return tuple(
            self._hub(one, names) for one in ("methods/res/#", "twin/PATCH/properties/reported/#", "twin/GET/#")
        )

    def read_command(self, names: DeviceNames, topic: str, payload: bytes) -> DialectCommand | None:
        """Return what a method, a desired property or a message asks for; None for what asks for nothing."""
        try:
            said = read_object(payload) if payload else {}
            if topic.startswith(self._bound(names)):
                asked = asked_action(said.get("method"), said.get("params"))
                return None if asked is None else DialectCommand(*asked, "message")
            *what, written = topic.removeprefix(self._hub("", names)).split("/")
            bag = read_bag(written)
        except DialectError:
            return None
        match what:
            case ["methods", "POST", name]:
                rid = bag.get("$rid")
                return None if rid is None else self._asked(name, rid, said)
            case ["twin", "PATCH", "properties", "desired"]:
                return _desired(said)
            case ["twin", "res", "200"] if bag.get("$rid") == _GET and isinstance(said.get("desired"), dict):
                return _desired(said["desired"])
            case ["twin", "res", ("200" | "202" | "204")]:
                return _NOTHING_TO_DO
        return None

    @staticmethod
    def _asked(name: str, rid: str, said: object) -> DialectCommand:
        asked = asked_action(name, said)
        kept = orjson.dumps({"rid": rid, "method": method_name(name)}).decode()
        return DialectCommand("", {}, _METHOD, kept) if asked is None else DialectCommand(*asked, _METHOD, kept)

    def answer(self, names: DeviceNames, command: DialectCommand, outcome: CommandOutcome) -> Iterator[Publication]:
        """Yield the answer to a method, or the acknowledgement of a desired property; a message has none."""
        kept = orjson.loads(command.argument) if command.argument else {}
        told: dict[str, Any]
        if command.name == _METHOD:
            if not command.action:
                status, told = _UNKNOWN, {"error": unknown_method(kept["method"])}
            elif outcome.error is not None:
                status, told = _REFUSED, {"error": outcome.error}
            else:
                status, told = _DONE, {"ok": True, **outcome.data}
            topic = self._hub(f"methods/res/{status}/?$rid={quote(kept['rid'], safe='')}", names)
            yield Publication(topic, orjson.dumps(told), retain=False)
        elif command.name == _DESIRED:
            acknowledged: dict[str, Any] = {"value": kept["asked"], "ac": _DONE, "av": kept["version"]}
            if outcome.error is not None:
                acknowledged |= {"value": outcome.interval_s, "ac": _REFUSED, "ad": outcome.error}
            yield self._report({INTERVAL_S: acknowledged}, names)

    def _report(self, reported: Mapping[str, Any], names: DeviceNames) -> Publication:
        topic = self._hub(f"twin/PATCH/properties/reported/?$rid={_REPORTED}", names)
        return Publication(topic, orjson.dumps(reported), retain=False)

    def _hub(self, below: str, names: DeviceNames) -> str:
        return f"{fill_names(self._prefix, names)}{HUB}/{below}"

    def _bound(self, names: DeviceNames) -> str:
        return fill_names(f"{self._prefix}devices/{{id}}/messages/devicebound/", names)


def _desired(desired: Mapping[str, Any]) -> DialectCommand:
    """Return the command that is in desired properties; one that does nothing where they are of something else."""
    asked, version = asked_interval(desired), desired.get("$version")
    if asked is None:
        return _NOTHING_TO_DO
    kept = {"asked": desired[INTERVAL_S], "version": version if type(version) is int else 0}
    return DialectCommand("set_interval", asked, _DESIRED, orjson.dumps(kept).decode())


def _quoted(text: str) -> str:
    """Return a name or value as it stands in a bag: a `/`, a blank or `$` as it is would end the connection."""
    return quote(text, safe="")
