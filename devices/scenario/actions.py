"""What can be done to a run that goes on: over its control interface, or by the steps of its scenario.

Each action is one class; what it is called is in its key `action`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from devices.faults.base import Fault
from devices.faults.registry import FAULTS
from devices.firmware.commands import SetFault
from edgewire.config import Config, DurationMs, describe_error
from edgewire.config_errors import closest
from edgewire.errors import ConfigError
from edgewire.messages.control import CommandAction

MOST_NAMED = 1000
MOST_DEVICES = 1_000_000
LONGEST_MS = 7 * 86_400_000
UNTIL_ENDED = "1d"
"""A fault of a connection has to have an end where it is checked; how long it really stays is told beside it."""

DeviceName = Annotated[str, Field(min_length=1, max_length=1000)]
SinkName = Annotated[str, Field(min_length=1, max_length=100, examples=["http"])]
"""A sink of the bridge."""
GroupName = Annotated[str, Field(min_length=1, max_length=100, examples=["gps"])]


class TargetedAction(Config):
    """Has what says which devices are meant; without any of it, all."""

    group: GroupName | None = None
    """Name of a group, as GET /v1/groups tells it: its kind, or `gps.2` for the second of a kind; of devices with parts
    `box.people`, or `box` for all parts."""
    devices: tuple[DeviceName, ...] = Field(default=(), max_length=MOST_NAMED)
    """Ids of devices, instead of a group."""
    share: float | None = Field(default=None, gt=0, le=1)
    """Part of them, drawn by their ids: 0.25 is a quarter."""

    @model_validator(mode="after")
    def _check_target(self) -> "TargetedAction":
        if self.group is not None and self.devices:
            raise ValueError("names a group and devices: leave one of the two out")
        return self

    @property
    def target_text(self) -> str:
        """Return in words who is meant."""
        named = f"{len(self.devices):,} devices" if len(self.devices) > 1 else "".join(self.devices)
        whole = named or self.group or "all devices"
        return f"{self.share:.0%} of {whole}" if self.share is not None else whole


class ScaleGroup(Config):
    """Give a group another number of devices: the first ones stay, others come at the end or leave there."""

    action: Literal["scale"]
    group: GroupName
    count: int = Field(ge=1, le=MOST_DEVICES)


class ChangeSetting(Config):
    """Let a group measure at another interval or rate, or stand by for real sensors; or let all time pass faster."""

    action: Literal["set"]
    group: GroupName | None = None
    interval: Annotated[DurationMs, Field(ge=10, le=LONGEST_MS)] | None = None
    """Between two readings of one device."""
    rate: float | None = Field(default=None, gt=0, le=1e7, allow_inf_nan=False)
    """Readings of the whole group a second of wall time, instead of an interval."""
    standby: bool | None = None
    """Whether its emulators leave their places while real sensors speak in them, see real-sensor.md. They come anew
    where that changes."""

    time_scale: float | None = Field(default=None, ge=0.001, le=100_000)
    """How fast the devices' time passes from now on, of all groups."""

    @model_validator(mode="after")
    def _check_one(self) -> "ChangeSetting":
        of_group = (self.interval, self.rate, self.standby)
        if self.time_scale is not None:
            if self.group is not None or of_group != (None, None, None):
                raise ValueError("time_scale is of all groups, and stands alone: leave group and the others out")
            return self
        if self.interval is not None and self.rate is not None:
            raise ValueError("takes either interval or rate: leave one of the two out")
        if of_group == (None, None, None):
            raise ValueError(
                "needs interval, such as 5s, or rate, such as 100, or standby, or time_scale without group"
            )
        if self.group is None:
            raise ValueError("needs group, whose interval, rate or standby it is")
        return self


class StartFault(TargetedAction):
    """Have devices affected by a fault, from now on, for `duration` or until it is ended."""

    action: Literal["fault"]
    fault: dict[str, Any] = Field(examples=[{"type": "stuck_at", "field": "temperature_c"}])
    """An entry of the fault calendar, without whom it affects and when: `{type: stuck_at, field: temperature_c}`."""
    duration: Annotated[DurationMs, Field(ge=1, le=LONGEST_MS)] | None = None
    """How long it stays, in the devices' time."""


class EndFault(TargetedAction):
    """End a fault that was begun here: that of one action, or all of them, those set by commands as well."""

    action: Literal["end_fault"]
    fault: int | None = Field(default=None, ge=1)
    """Number of the action that began it."""


class SendCommand(TargetedAction):
    """Let devices carry out a command, as at their own console: no broker is needed for it."""

    action: Literal["command"]
    command: CommandAction
    arguments: dict[str, Any] = {}
    """Those of the command, as on the topic `cmd`."""


class PauseDevices(TargetedAction):
    """Let devices take no readings until they are resumed. They stay connected; their seqs go on afterwards."""

    action: Literal["pause"]


class ResumeDevices(TargetedAction):
    """Let devices that were paused take readings again."""

    action: Literal["resume"]


class MuteDevices(TargetedAction):
    """Let devices keep what they measure to themselves until they are unmuted, or for `duration`; then it is sent."""

    action: Literal["mute"]
    duration: Annotated[DurationMs, Field(ge=1, le=LONGEST_MS)] | None = None
    """In the devices' time."""


class UnmuteDevices(TargetedAction):
    """Let devices that were muted send what they have kept."""

    action: Literal["unmute"]


class StandBy(TargetedAction):
    """Let emulators in standby leave their places, as for a real sensor, until they are told to return."""

    action: Literal["standby"]


class ReturnDevices(TargetedAction):
    """Let emulators that have left their places return at once, however they came to leave."""

    action: Literal["return"]


class TakeOver(TargetedAction):
    """Let another client take the client ids of devices: the broker ends their connections. The fault `takeover`."""

    action: Literal["takeover"]
    duration: Annotated[DurationMs, Field(ge=1, le=LONGEST_MS)] | None = None
    """How long it fights for them, in the devices' time; without it until the fault is ended."""


class BreakBroker(Config):
    """Stop the embedded broker for a while."""

    action: Literal["broker_outage"]
    duration: DurationMs = Field(ge=100, le=3_600_000)
    """In wall time. Then it is started again with what it keeps: Mosquitto its sessions, the other brokers nothing."""


class PauseBridge(Config):
    """Let the bridge behind the run deliver nothing to a sink, or to any: messages wait in its spool."""

    action: Literal["bridge_pause"]
    sink: SinkName | None = None


class ResumeBridge(Config):
    """Let the bridge deliver again."""

    action: Literal["bridge_resume"]
    sink: SinkName | None = None


class DrainBridge(Config):
    """Let the bridge take no new messages, deliver what it has, and end: what is sent later nobody receives."""

    action: Literal["bridge_drain"]


class LettersAction(Config):
    """Has what says which dead letters of the bridge are meant; without any of it, none."""

    numbers: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(), max_length=MOST_NAMED)
    """As GET /v1/dead-letters tells them."""
    sink: SinkName | None = None
    topic: Annotated[str, Field(max_length=1000)] | None = None
    """Topic filter with the wildcards of MQTT."""
    reason: Annotated[str, Field(max_length=1000)] | None = None
    """A part of the reason; case does not matter."""
    since: Annotated[str, Field(max_length=100)] | None = None
    """Given up at this time (ISO 8601) or later."""
    until: Annotated[str, Field(max_length=100)] | None = None
    """Given up before this time."""
    all: bool = False

    @model_validator(mode="after")
    def _check_choice(self) -> "LettersAction":
        named = (self.numbers, self.sink, self.topic, self.reason, self.since, self.until)
        if self.all == any(named):
            raise ValueError("say which dead letters: numbers, sink, topic, reason, since, until, or all")
        return self


class ReplayLetters(LettersAction):
    """Have the bridge try dead letters again."""

    action: Literal["replay_dead_letters"]


class DropLetters(LettersAction):
    """Have the bridge delete dead letters for good: they are lost, and named in the record."""

    action: Literal["drop_dead_letters"]


class StopRun(Config):
    """End the run: devices send what they have and say goodbye, unless it is to be at once."""

    action: Literal["stop"]
    at_once: bool = False
    """Whether nothing is waited for: what is not acknowledged yet counts as unsent."""


AnyAction = Annotated[
    ScaleGroup
    | ChangeSetting
    | StartFault
    | EndFault
    | SendCommand
    | PauseDevices
    | ResumeDevices
    | MuteDevices
    | UnmuteDevices
    | StandBy
    | ReturnDevices
    | TakeOver
    | BreakBroker
    | PauseBridge
    | ResumeBridge
    | DrainBridge
    | ReplayLetters
    | DropLetters
    | StopRun,
    Field(discriminator="action"),
]
"""What can be asked for; `action` tells which."""

ACTION: TypeAdapter[Any] = TypeAdapter(AnyAction)


ACTION_NAMES: tuple[str, ...] = tuple(
    name for one in get_args(get_args(AnyAction)[0]) for name in get_args(one.model_fields["action"].annotation)
)


def action_arguments(action: Config) -> dict[str, Any]:
    """Return an action as it was written, without its name: with that it can be asked for again."""
    return action.model_dump(mode="json", exclude_unset=True, exclude={"action"})


def read_fault(fault: Mapping[str, Any], kind: str, duration_ms: int | None, now_ms: int) -> Fault:
    """Return a fault at devices of a kind, checked. Raises `ConfigError`."""
    if "duration" in fault:
        raise ConfigError("fault: duration stands beside the fault, not in it")
    found = FAULTS.get(str(fault.get("type")))
    if found is None:
        name = str(fault.get("type"))[:100]
        raise ConfigError(f"fault: '{name}' is no type of fault{closest(name, FAULTS)}; there are {', '.join(FAULTS)}")
    if not found.can_be_commanded:
        instead = "; send the command reboot" if fault["type"] == "reboot" else ""
        raise ConfigError(f"fault: a {fault['type']} cannot be begun while the run goes on{instead}")
    whole = dict(fault)
    if duration_ms is not None:
        whole["duration"] = f"{duration_ms}ms"
    elif found.is_executed_live:
        whole["duration"] = UNTIL_ENDED
    try:
        return SetFault.parse(whole, kind, now_ms).fault
    except ValidationError as error:
        raise ConfigError(f"fault at {kind}: {describe_error(error)}") from None
    except ValueError as error:
        raise ConfigError(f"fault at {kind}: {error}") from None
