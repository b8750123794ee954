"""The steps of a scenario: what is done to its run as it goes on, and when. Pure."""

from collections.abc import Iterator, Sequence, Set
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_args

from pydantic import Field, create_model, model_validator

from devices.scenario.actions import (
    ACTION,
    AnyAction,
    BreakBroker,
    ChangeSetting,
    DrainBridge,
    EndFault,
    LettersAction,
    PauseBridge,
    ResumeBridge,
    ScaleGroup,
    StandBy,
    StartFault,
    StopRun,
    TakeOver,
    TargetedAction,
    read_fault,
)
from devices.scenario.group_names import find_groups, find_one_group
from edgewire.config import Config, DurationMs
from edgewire.config_errors import located_error
from edgewire.errors import ConfigError

MOST_STEPS = 1000
"""With those that are repeated: a run takes no more actions."""

NOT_OF_DEVICES = (BreakBroker, PauseBridge, ResumeBridge, DrainBridge, LettersAction, StopRun)
"""Actions that change no device: they are done when it is their time by the wall's clock."""


class Repeat(Config):
    """Says how often a step is done, and how often at the most."""

    every: Annotated[DurationMs, Field(ge=1)]
    """From one time to the next."""
    times: int | None = Field(default=None, ge=2, le=MOST_STEPS)
    """So often, the first time counted."""
    until: DurationMs | None = None
    """Instead: as long as no more time than this has passed since the run began."""

    @model_validator(mode="after")
    def _check_end(self) -> "Repeat":
        if (self.times is None) == (self.until is None):
            raise ValueError("needs an end: either times, such as 5, or until, such as 10m")
        return self


class StepTiming(Config):
    """Says when a step is done, in the devices' time. Beside it stand `action` and the keys of that; see control.md."""

    at: Annotated[DurationMs, Field(ge=0)] | None = None
    """So long after the run has begun."""
    after: Annotated[DurationMs, Field(ge=0)] | None = None
    """Instead: so long after the step before, or its last time."""
    repeat: Repeat | None = None
    """Do it again: `{every: 1m, times: 5}`, or `{every: 1m, until: 10m}`."""

    @model_validator(mode="after")
    def _check_time(self) -> "StepTiming":
        if (self.at is None) == (self.after is None):
            raise ValueError("needs a time: either at, such as 30s, or after, such as 10s")
        return self

    def to_action(self) -> Any:
        """Return what is done, as an action of the control interface."""
        keys = self.model_dump(mode="json", exclude=set(StepTiming.model_fields), exclude_unset=True)
        return ACTION.validate_python(keys)


_STEPS = [
    create_model(f"{action.__name__}Step", __base__=(StepTiming, action), __doc__=action.__doc__, __module__=__name__)
    for action in get_args(get_args(AnyAction)[0])
]
# A scenario goes to other processes, which look for its classes here.
globals().update({model.__name__: model for model in _STEPS})


if TYPE_CHECKING:
    AnyStep = StepTiming  # the models are made above, from the actions
else:
    AnyStep = Annotated[reduce(or_, _STEPS), Field(discriminator="action")]
"""An action of the control interface, with its time."""


class ScheduledStep(NamedTuple):
    """Holds one time of a step."""

    at_ms: int
    """After the run has begun, in the devices' time."""
    number: int
    """Of the step in the scenario, from 0."""
    action: Any

    @property
    def is_of_devices(self) -> bool:
        """Return whether it changes devices, so that it holds from a moment of their time on."""
        return not isinstance(self.action, NOT_OF_DEVICES)


def schedule_steps(steps: Sequence[StepTiming]) -> list[ScheduledStep]:
    """Return every time of every step, in the order in which they are done. Raises `ValueError` for too many."""
    found: list[ScheduledStep] = []
    before_ms = 0
    for number, step in enumerate(steps):
        action = step.to_action()
        first_ms = before_ms + (step.after or 0) if step.at is None else step.at
        for at_ms in _times(first_ms, step.repeat):
            if len(found) == MOST_STEPS:
                raise located_error(("steps", number), f"is one too many: {MOST_STEPS:,} may be done in a run")
            found.append(ScheduledStep(at_ms, number, action))
            before_ms = at_ms
    return sorted(found, key=lambda one: one.at_ms)


def _times(first_ms: int, repeat: Repeat | None) -> Iterator[int]:
    yield first_ms
    if repeat is None:
        return
    count, at_ms = 1, first_ms + repeat.every
    while count < (repeat.times or MOST_STEPS + 1) and (repeat.until is None or at_ms <= repeat.until):
        yield at_ms
        count, at_ms = count + 1, at_ms + repeat.every


def check_steps(steps: Sequence[StepTiming], groups: Sequence[Any], stand_by: Set[int], *, is_real_time: bool) -> None:
    """Raise `ValueError` for what cannot be done to a fleet of these groups, as far as the scenario tells.

    `stand_by` are the numbers of those that stand by for real sensors; `is_real_time` is a fleet whose time is the
    wall's.
    """
    switched_on = any(isinstance(step, ChangeSetting) and step.standby for step in steps)
    for number, step in enumerate(steps):
        if isinstance(step, ScaleGroup | ChangeSetting | TargetedAction) and step.group is not None:
            try:
                find = find_one_group if isinstance(step, ChangeSetting) else find_groups
                found = find(groups, step.group)
                chosen = groups[found if isinstance(found, int) else found[0]]
            except ValueError as error:
                raise located_error(("steps", number, "group"), str(error)) from None
            if isinstance(step, ScaleGroup) and (chosen.gateway is not None or chosen.listed_ids):
                said = "its devices are listed one by one, or behind gateways, and cannot become more or less"
                raise located_error(("steps", number, "group"), said)
            if isinstance(step, ChangeSetting) and chosen.intervals:
                raise located_error(("steps", number, "group"), "it measures at several intervals in turn")
        if isinstance(step, ChangeSetting) and step.time_scale is not None and is_real_time:
            said = "with timestamps: real the devices' time is the wall's: set the rates of groups instead"
            raise located_error(("steps", number, "time_scale"), said)
        if isinstance(step, StartFault):
            _check_fault(number, step, groups)
        if isinstance(step, StandBy) and not (switched_on or _meant(step, stand_by, groups)):
            said = "no device of them stands by: write standby: true, or switch it on by a step, set with standby: true"
            raise located_error(("steps", number, "action"), said)
        if isinstance(step, EndFault) and step.fault is not None:
            earlier = step.fault <= number and isinstance(steps[step.fault - 1], StartFault | TakeOver)
            if not earlier:
                said = f"step {step.fault} begins no fault before this one: name the number of one that does, from 1"
                raise located_error(("steps", number, "fault"), said)
    schedule_steps(steps)


def _meant(step: Any, numbers: Set[int], groups: Sequence[Any]) -> bool:
    """Return whether some of these groups are meant, or may be."""
    return bool(numbers) and (step.group is None or not numbers.isdisjoint(find_groups(groups, step.group)))


def _check_fault(number: int, step: StartFault, groups: Sequence[Any]) -> None:
    chosen = groups if step.group is None else [groups[one] for one in find_groups(groups, step.group)]
    named = dict.fromkeys(group.kind for group in chosen)
    refusals = []
    for kind in named:
        try:
            read_fault(step.fault, kind, step.duration, 0)
        except ConfigError as error:
            refusals.append(str(error).removeprefix("fault: "))
    # Devices that are named may be of any kind.
    if refusals and (not step.devices or len(refusals) == len(named)):
        raise located_error(("steps", number, "fault"), refusals[0])
