"""Has the steps of a scenario done at their times, by the same controller that does what is asked for from outside."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby

from devices.fleet.steering import PassStep, ReachStep
from devices.scenario.actions import EndFault
from devices.scenario.steps import ScheduledStep, StepTiming, schedule_steps
from edgefleet.control.controller import RunController
from edgefleet.launch.requests import Shards
from edgewire import logs
from edgewire.config import duration_text
from edgewire.errors import EdgefleetError, ServiceUnavailable

LEAD_S = 3.0
"""So long before its time a step is prepared: devices are computed up to two seconds ahead."""
LATE_S = 5.0
"""Longer than this after its time nobody waits for devices to be ready for it."""
LOOK_EVERY_S = 0.2
_NAMED = 5

log = logs.get("steps")


class StepRunner:
    """Does the steps of one run, in their order. What comes of each is in the account of the run."""

    def __init__(self, steps: Sequence[StepTiming]) -> None:
        self._left = schedule_steps(steps)
        self._failures: list[str] = []
        self._numbers: dict[int, int] = {}
        """Of each step, from 1, the number of its last action."""

    @property
    def barriers(self) -> tuple[int, ...]:
        """Return when devices are changed, in ms of their time after the run has begun."""
        return tuple(dict.fromkeys(step.at_ms for step in self._left if step.is_of_devices))

    def problem(self) -> str | None:
        """Return what was not done, or not as it should have been, as a sentence without its full stop."""
        found = list(self._failures)
        if self._left:
            named = ", ".join(f"{_name(step)} ({step.action.action})" for step in self._left[:_NAMED])
            more = f" and {len(self._left) - _NAMED:,} more" if len(self._left) > _NAMED else ""
            found.append(f"the run ended before {named}{more} of the scenario")
        return "; ".join(found) or None

    async def run_steps(self, controller: RunController, shards: Shards) -> None:
        """Do them all; a run that ends before is to cancel this."""
        for _, one in groupby([*self._left], key=lambda step: step.at_ms):
            together = [*one]
            changes = [step for step in together if step.is_of_devices]
            if changes:
                await self._change_devices(controller, shards, changes)
            for step in together:
                if not step.is_of_devices:
                    await controller.time.wait_for(step.at_ms, ahead_s=0.0)
                    await self._perform(controller, step)

    async def _change_devices(self, controller: RunController, shards: Shards, steps: Sequence[ScheduledStep]) -> None:
        at_ms = steps[0].at_ms
        await controller.time.wait_for(at_ms, ahead_s=LEAD_S)
        moment_ms = controller.time.begun_ms + at_ms
        while True:
            try:
                await shards.ask(ReachStep(moment_ms, LEAD_S + LATE_S))
                break
            except ServiceUnavailable:
                # Its devices are being built, or it is about to end.
                await asyncio.sleep(LOOK_EVERY_S)
        try:
            for step in steps:
                await self._perform(controller, step, moment_ms)
        finally:
            with suppress(EdgefleetError):
                await shards.ask(PassStep(moment_ms))

    async def _perform(self, controller: RunController, step: ScheduledStep, moment_ms: int | None = None) -> None:
        action = step.action
        if isinstance(action, EndFault) and action.fault is not None:
            # Of a step that is done again and again the last one is meant.
            action = action.model_copy(update={"fault": self._numbers.get(action.fault, action.fault)})
        self._left.remove(step)
        # The first time it has its own number, which chooses its devices.
        number = None if step.number + 1 in self._numbers else step.number + 1
        try:
            record = (await controller.perform(action, number, moment_ms)).record
        except EdgefleetError as error:
            log.error("a step of the scenario was not done", step=step.number + 1, reason=str(error))
            controller.tell(f"{_name(step)} of the scenario was not done: {error}")
            self._failures.append(f"{_name(step)} of the scenario ({action.action}) was not done: {error}")
        else:
            self._numbers[step.number + 1] = record.number
            if record.outcome != "done":
                self._failures.append(f"{_name(step)} of the scenario ({action.action}): {record.said}")


def _name(step: ScheduledStep) -> str:
    return f"step {step.number + 1} at {duration_text(step.at_ms)}"
