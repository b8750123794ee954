"""Commands: what arrives on `cmd`, read and judged. Who carries an order out is told in `devices.fleet`.

A command is carried out once: its id and answer are remembered, and when it comes again the same answer is given.
QoS 1 delivers twice after a lost connection, and a reboot that is done again at every start would never end.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

import orjson
from pydantic import Field, TypeAdapter, ValidationError

from devices.faults.base import Instant
from devices.faults.registry import FAULTS, AnyFault
from devices.firmware.config import Version
from edgewire.clock import iso_ms
from edgewire.config import Config, DurationMs, describe_error
from edgewire.messages.control import Command

REMEMBERED = 16
"""Answers a device keeps, in flash, so they outlive a reset."""
_LONGEST_BYTES = 8192


class _Nothing(Config):
    """No arguments."""


class SetInterval(Config):
    """Measure this often from now on."""

    interval: DurationMs = Field(ge=10, le=7 * 86_400_000)


class Reboot(_Nothing):
    """Reset."""


class Identify(_Nothing):
    """Say who you are."""


class ClearFaults(_Nothing):
    """End the faults set by command."""


class Stop(_Nothing):
    """Take no readings until `start`."""


class Start(_Nothing):
    """Take readings again."""


class UpdateFirmware(Config):
    """Load this version and start it."""

    version: Version
    fails: bool | None = None
    """Whether the new firmware does not start; null leaves it to `firmware.update.failures`."""


@dataclass(frozen=True, slots=True)
class SetFault:
    """Have this fault, until it is cleared or `duration_ms` is over."""

    fault: AnyFault
    duration_ms: int | None


Order = SetInterval | Reboot | Identify | ClearFaults | Stop | Start | UpdateFirmware | SetFault
"""What a device is to do."""

_ORDERS: Mapping[str, type[Config]] = MappingProxyType(
    {
        "set_interval": SetInterval,
        "reboot": Reboot,
        "identify": Identify,
        "clear_faults": ClearFaults,
        "stop": Stop,
        "start": Start,
        "update_firmware": UpdateFirmware,
    }
)
_FAULT: TypeAdapter[Any] = TypeAdapter(AnyFault)
_DURATION: TypeAdapter[int] = TypeAdapter(Annotated[DurationMs, Field(ge=1)])
_SCHEDULED = ("kind", "devices", "share", "from", "from_", "to", "rate")


class InvalidCommand(NamedTuple):
    """A command that cannot be carried out, and why; `id` is empty where it could not be read."""

    id: str
    error: str


class ValidCommand(NamedTuple):
    """A command that can."""

    id: str
    order: Order


def read_command(payload: bytes, kind: str, now_ms: int) -> ValidCommand | InvalidCommand:
    """What a payload on the `cmd` topic of a device of this kind asks for."""
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
    try:
        return ValidCommand(command.id, _order(command, kind, now_ms))
    except ValidationError as error:
        return InvalidCommand(command_id, f"arguments: {describe_error(error)}")
    except ValueError as error:
        return InvalidCommand(command_id, f"arguments: {error}")


def _readable_id(fields: Mapping[str, Any]) -> str:
    found = fields.get("id")
    return found if isinstance(found, str) and 0 < len(found) <= 64 else ""


def _order(command: Command, kind: str, now_ms: int) -> Order:
    if command.action != "set_fault":
        order: Any = _ORDERS[command.action].model_validate(command.arguments)
        return order  # type: ignore[no-any-return]
    arguments = dict(command.arguments)
    refused = [key for key in _SCHEDULED if key in arguments]
    if refused:
        raise ValueError(f"unknown key '{refused[0]}': a fault set by command is there from now on, for `duration`")
    fault = FAULTS.get(str(arguments.get("type")))
    if fault is not None and not fault.can_be_commanded:
        raise ValueError(f"a {arguments['type']} is no fault that is set by command")
    duration = arguments.pop("duration", None)
    duration_ms = None if duration is None else _DURATION.validate_python(duration)
    # It begins when it is carried out; what is checked here is the fault itself.
    begin: Instant = _instant(now_ms)
    end = {} if duration_ms is None else {"to": _instant(now_ms + duration_ms)}
    return SetFault(_FAULT.validate_python(arguments | {"kind": kind, "from": begin} | end), duration_ms)


def _instant(moment_ms: int) -> Any:
    return iso_ms(moment_ms)


class ResponseCache:
    """The last commands and what was answered to them."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, bytes] = {}

    def known(self, command_id: str) -> bytes | None:
        """The answer to a command that was here before."""
        return self._known.get(command_id)

    def remember(self, command_id: str, answer: bytes) -> None:
        """Keep an answer; the oldest one makes room."""
        if len(self._known) >= REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[command_id] = answer
