"""Writes what things say to AWS IoT Core: telemetry, their shadow, and what came of commands.

After AWS IoT's developer guide: see `aws_iot`. A device has no memory of its shadow. What it was told to be it reports
with the version at which it was told: where the shadow has changed since, that is refused (409), and the device asks
for the shadow as it is now. So it ends at the newest, in whatever order things come.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from edgewire.dialects.aws_iot import AwsIotOptions
from edgewire.dialects.base import DialectError, MessageRole
from edgewire.dialects.encoder import CommandOutcome, DeviceNames, DialectCommand, MessageTemplate, Publication
from edgewire.dialects.introduction import introduced
from edgewire.dialects.kind_fields import event_mapping, measured_mapping
from edgewire.dialects.payload_template import fill_names
from edgewire.dialects.remote_methods import INTERVAL_S, asked_action, asked_interval, method_name, unknown_method
from edgewire.dialects.timed_object import TIME_KEY
from edgewire.dialects.values import read_object

SETTINGS = "settings"
"""Where in a shadow settings are, so that they are told from what is measured."""
_CONFLICT = 409
_DELTA, _EXECUTION, _ASK_AGAIN = "delta", "execution", "get"
_NOTHING_TO_DO = DialectCommand("", {}, "")
_LONGEST_REASON = 1024
"""Letters of a reason in an answer to a command."""


class AwsIotEncoder:
    """Writes telemetry and reports of one thing, and takes what is desired of it, and commands."""

    def __init__(self, options: AwsIotOptions, kind: str) -> None:
        """Raises `DialectError` for a kind without values."""
        self._commands = options.commands
        self._things = "$aws/things/{id}/shadow" + (f"/name/{options.shadow}" if options.shadow else "")
        self._in_shadow = options.readings == "shadow"
        self._topic = f"{self._things}/update" if self._in_shadow else options.topic
        measured = measured_mapping(kind, "AWS IoT")
        happened = event_mapping(kind)
        self.messages = (self._template(measured, MessageRole.READING),)
        self.events = (self._template(happened, MessageRole.EVENT),) if happened else ()

    def _template(self, values: Mapping[str, Any], role: MessageRole) -> MessageTemplate:
        told = {TIME_KEY: "timestamp", **values}
        return MessageTemplate(self._topic, {"state": {"reported": told}} if self._in_shadow else told, role)

    def state(self, names: DeviceNames, status: Mapping[str, Any], *, is_first: bool = True) -> Iterator[Publication]:
        """Yield, as a device comes, what it is, and a request of what was desired of it meanwhile."""
        if status["state"] != "online":
            return
        yield self._update({"reported": {"device": introduced(names, status)}}, names)
        yield Publication(self._shadow("get", names), b"", retain=False)

    def will(self, names: DeviceNames) -> None:
        """Return none: AWS IoT tells by lifecycle events whether a thing is there, and takes no will on a shadow."""
        return

    def command_topics(self, names: DeviceNames) -> tuple[str, ...]:
        """Return the topics of what is desired, of what was asked for or refused, and the filter of commands."""
        shadow = tuple(self._shadow(one, names) for one in ("update/delta", "get/accepted", "update/rejected"))
        return (*shadow, f"{self._executions(names)}/+/request/+") if self._commands else shadow

    def answer_filters(self, names: DeviceNames) -> tuple[str, ...]:
        """Return the topics of reports and requests of the shadow, and the filter of answers to commands."""
        shadow = self._shadow("update", names), self._shadow("get", names)
        return (*shadow, f"{self._executions(names)}/+/response/json") if self._commands else shadow

    def read_command(self, names: DeviceNames, topic: str, payload: bytes) -> DialectCommand | None:
        """Return what is desired or commanded; None for what is neither."""
        if topic.startswith(begin := f"{self._executions(names)}/"):
            number, _, form = topic.removeprefix(begin).partition("/request/")
            return self._commanded(f"{number}", form, payload)
        try:
            said = read_object(payload)
        except DialectError:
            return None
        if topic == self._shadow("update/rejected", names):
            is_own = said.get("code") == _CONFLICT and said.get("clientToken") == self._token(names)
            return DialectCommand("", {}, _ASK_AGAIN) if is_own else None
        state, version = said.get("state"), said.get("version")
        if topic == self._shadow("get/accepted", names):
            state = state.get("delta") if isinstance(state, dict) else None
        settings = state.get(SETTINGS) if isinstance(state, dict) else None
        if not isinstance(settings, dict) or (asked := asked_interval(settings)) is None:
            return _NOTHING_TO_DO
        kept = {"version": version if type(version) is int else None, "asked": settings[INTERVAL_S]}
        return DialectCommand("set_interval", asked, _DELTA, orjson.dumps(kept).decode())

    def _commanded(self, number: str, form: str, payload: bytes) -> DialectCommand:
        try:
            said = read_object(payload) if form == "json" else {}
        except DialectError:
            said = {}
        asked = asked_action(said.get("method"), said.get("params"))
        kept = {"number": number, "method": method_name(said.get("method"))}
        action, arguments = asked or ("", {})
        return DialectCommand(action, arguments, _EXECUTION, orjson.dumps(kept).decode())

    def answer(self, names: DeviceNames, command: DialectCommand, outcome: CommandOutcome) -> Iterator[Publication]:
        """Yield what is reported now, what came of a command, or a request of the shadow after a conflict."""
        if command.name == _ASK_AGAIN:
            yield Publication(self._shadow("get", names), b"", retain=False)
        elif command.name == _DELTA:
            kept = orjson.loads(command.argument)
            yield self._update(_settled(kept["asked"], outcome), names, kept["version"])
        elif command.name == _EXECUTION:
            kept = orjson.loads(command.argument)
            told = {"status": "SUCCEEDED"} if command.action and outcome.error is None else _rejected(kept, outcome)
            topic = f"{self._executions(names)}/{kept['number']}/response/json"
            yield Publication(topic, orjson.dumps(told), retain=False)

    def _update(self, state: Mapping[str, Any], names: DeviceNames, version: int | None = None) -> Publication:
        body: dict[str, Any] = {"state": state, "clientToken": self._token(names)}
        if version is not None:
            body["version"] = version
        return Publication(self._shadow("update", names), orjson.dumps(body), retain=False)

    @staticmethod
    def _token(names: DeviceNames) -> str:
        return f"edgefleet-{names['mac']}"  # 64 bytes at the most, and ids may be as long

    def _shadow(self, below: str, names: DeviceNames) -> str:
        return fill_names(f"{self._things}/{below}", names)

    @staticmethod
    def _executions(names: DeviceNames) -> str:
        return f"$aws/commands/things/{names['id']}/executions"


def _settled(asked: object, outcome: CommandOutcome) -> dict[str, Any]:
    """Return the state that has no difference any more.

    What was taken is told as it was asked for: 60 and 60.0 may be two values. What was refused is no longer desired;
    else it would come again with each report.
    """
    if outcome.error is None:
        return {"reported": {SETTINGS: {INTERVAL_S: asked, "error": None}}}
    told = {INTERVAL_S: outcome.interval_s, "error": outcome.error}
    return {"desired": {SETTINGS: {INTERVAL_S: None}}, "reported": {SETTINGS: told}}


def _rejected(kept: Mapping[str, Any], outcome: CommandOutcome) -> dict[str, Any]:
    reason = outcome.error if outcome.error is not None else unknown_method(kept["method"])
    return {
        "status": "REJECTED",
        "statusReason": {"reasonCode": "NOT_CARRIED_OUT", "reasonDescription": reason[:_LONGEST_REASON]},
    }
