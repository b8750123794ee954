"""Reads and checks the commands that arrive on `cmd`. `devices.fleet.command_handler` carries them out.

A command is carried out once: its id and response are kept, and when it comes again the same response is given. QoS 1
delivers twice after a lost connection, and a reboot that is done again at every start would never end.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, NamedTuple, Self

import orjson
from pydantic import Field, TypeAdapter, ValidationError

from devices.faults.registry import FAULTS, AnyFault
from devices.firmware.config import Version
from edgewire.clock import iso_ms
from edgewire.config import Config, DurationMs, describe_error
from edgewire.messages.control import Command, CommandAction

REMEMBERED = 16
"""Responses a device keeps, in flash, so they outlive a reset."""
_LONGEST_BYTES = 8192


class CommandArguments(Config):
    """Holds the arguments of an action: a class an action, which names what the device is to do."""

    of_part: ClassVar[bool] = False
    """Whether one part of a device with several can do it alone, which `part` then names; else all do."""
    of_one_part: ClassVar[bool] = False
    """Whether one of them has to be named."""

    @classmethod
    def parse(cls, arguments: Mapping[str, Any], kind: str, now_ms: int) -> Self:
        """Check what was sent to a device of this kind. Raises `ValidationError` or `ValueError`."""
        return cls.model_validate(arguments)


class SetInterval(CommandArguments):
    """Measure this often from now on."""

    of_part: ClassVar[bool] = True

    interval: DurationMs = Field(ge=10, le=7 * 86_400_000)


class RebootDevice(CommandArguments):
    """Restart."""


class ResetDevice(CommandArguments):
    """Restart, and begin with new values."""


class Identify(CommandArguments):
    """Tell what the device is."""


class ClearFaults(CommandArguments):
    """End the faults set by command."""

    of_part: ClassVar[bool] = True


class StopReadings(CommandArguments):
    """Take no readings until `start`."""

    of_part: ClassVar[bool] = True


class StartReadings(CommandArguments):
    """Take readings again."""

    of_part: ClassVar[bool] = True


class UpdateFirmware(CommandArguments):
    """Load this version and start it."""

    version: Version
    fails: bool | None = None
    """Whether the new firmware does not start; null leaves it to `firmware.update.failures`."""


class SetFault(CommandArguments):
    """Have this fault, until it is cleared or `duration_ms` is over."""

    of_part: ClassVar[bool] = True
    of_one_part: ClassVar[bool] = True

    fault: AnyFault
    duration_ms: int | None

    @classmethod
    def parse(cls, arguments: Mapping[str, Any], kind: str, now_ms: int) -> Self:
        """Check an entry of the fault calendar without its schedule, and its `duration`."""
        refused = [key for key in _SCHEDULED if key in arguments]
        if refused:
            raise ValueError(f"unknown key '{refused[0]}': a fault set by command is there from now on, for `duration`")
        fault_type = FAULTS.get(str(arguments.get("type")))
        if fault_type is not None and not fault_type.can_be_commanded:
            raise ValueError(f"a {arguments['type']} is no fault that is set by command")
        fields = dict(arguments)
        duration = fields.pop("duration", None)
        duration_ms = None if duration is None else _DURATION.validate_python(duration)
        # It begins when it is carried out; what is checked here is the fault itself.
        end = {} if duration_ms is None else {"to": iso_ms(now_ms + duration_ms)}
        fault = _FAULT.validate_python(fields | {"kind": kind, "from": iso_ms(now_ms)} | end)
        return cls(fault=fault, duration_ms=duration_ms)


_FAULT: TypeAdapter[Any] = TypeAdapter(AnyFault)
_DURATION: TypeAdapter[int] = TypeAdapter(Annotated[DurationMs, Field(ge=1)])
_SCHEDULED = ("kind", "devices", "share", "from", "from_", "to", "rate")


class InvalidCommand(NamedTuple):
    """Tells that a command cannot be carried out, and why; `id` is empty where it could not be read."""

    id: str
    error: str


class ValidCommand(NamedTuple):
    """Holds a command that can be carried out."""

    id: str
    action: CommandAction
    arguments: CommandArguments
    part: str = ""
    """The part of the device that it is for; empty for the whole device."""


NO_PARTS: Mapping[str, str] = MappingProxyType({})


def read_command(
    payload: bytes,
    kind: str,
    now_ms: int,
    arguments_of: Callable[[CommandAction], type[CommandArguments]],
    parts: Mapping[str, str] = NO_PARTS,
) -> ValidCommand | InvalidCommand:
    """Return what a payload on the `cmd` topic of a device of this kind asks for, with the arguments of its action.

    `parts` are the kinds of the device's parts by their names, where it has several.
    """
    if len(payload) > _LONGEST_BYTES:
        return InvalidCommand("", f"command of {len(payload)} bytes: {_LONGEST_BYTES} are the most")
    try:
        fields = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        return InvalidCommand("", f"command is not JSON: {error}")
    if not isinstance(fields, dict):
        return InvalidCommand("", "command is JSON, but not an object with id, action and arguments")
    command_id = _readable_id(fields)
    try:
        command = Command.model_validate(fields)
    except ValidationError as error:
        return InvalidCommand(command_id, describe_error(error))
    if command.expires is not None and command.expires.timestamp() * 1000 < now_ms:
        return InvalidCommand(command_id, f"command expired at {iso_ms(round(command.expires.timestamp() * 1000))}")
    return read_arguments(command.id, command.action, command.arguments, kind, now_ms, arguments_of, parts)


def read_arguments(
    command_id: str,
    action: CommandAction,
    arguments: Mapping[str, Any],
    kind: str,
    now_ms: int,
    arguments_of: Callable[[CommandAction], type[CommandArguments]],
    parts: Mapping[str, str] = NO_PARTS,
) -> ValidCommand | InvalidCommand:
    """Return a command with its arguments checked, and the part of the device that it is for."""
    form, part = arguments_of(action), ""
    try:
        if parts:
            part, arguments = _take_part(action, form, arguments, parts)
        checked = form.parse(arguments, parts.get(part, kind), now_ms)
    except ValidationError as error:
        return InvalidCommand(command_id, f"arguments: {describe_error(error)}")
    except ValueError as error:
        return InvalidCommand(command_id, f"arguments: {error}")
    return ValidCommand(command_id, action, checked, part)


def _take_part(
    action: CommandAction, form: type[CommandArguments], arguments: Mapping[str, Any], parts: Mapping[str, str]
) -> tuple[str, dict[str, Any]]:
    """Return the part that is named, and the other arguments. Raises `ValueError`."""
    others = dict(arguments)
    part = others.pop("part", "")
    there = ", ".join(parts)
    if "part" in arguments and not form.of_part:
        raise ValueError(f"{action} is of the whole device: leave part out")
    if "part" in arguments and (not isinstance(part, str) or part not in parts):
        raise ValueError(f"the device has no part '{str(part)[:50]}'; there are {there}")
    if form.of_one_part and not part:
        raise ValueError(f"key 'part' is missing: name one of {there}")
    return part, others


def _readable_id(fields: Mapping[str, Any]) -> str:
    found = fields.get("id")
    return found if isinstance(found, str) and 0 < len(found) <= 64 else ""


class ResponseCache:
    """Keeps the ids of the last commands and what was answered to them."""

    __slots__ = ("_responses",)

    def __init__(self) -> None:
        self._responses: dict[str, bytes] = {}

    def cached_response(self, command_id: str) -> bytes | None:
        """Return the response to a command that was here before."""
        return self._responses.get(command_id)

    def cache_response(self, command_id: str, response: bytes) -> None:
        """Keep a response; the oldest one makes room."""
        if len(self._responses) >= REMEMBERED:
            del self._responses[next(iter(self._responses))]
        self._responses[command_id] = response
