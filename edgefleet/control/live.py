"""Joins a run with whoever changes it while it goes on: its control interface, and the scenario that is read again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from devices.scenario.changes import ScenarioChange
from devices.scenario.scenario import Scenario
from edgefleet.control.address import AddressFile
from edgefleet.control.controller import RunController, RunFacts
from edgefleet.control.outage import BrokerOutages
from edgefleet.control.server import ControlConfig, controlled
from edgefleet.control.steps import StepRunner
from edgefleet.embedded import Broker
from edgefleet.launch.reload import ScenarioReloader, reloading
from edgefleet.launch.requests import Shards
from edgefleet.launch.shard import ShardJob
from edgefleet.report.live import ReadSnapshots
from edgefleet.report.series_writer import SeriesWriter, recorded_series
from edgewire.run_record import ActionRecord


@dataclass(slots=True, kw_only=True)
class LiveControl:
    """Says how a run is controlled, and holds what was done to it."""

    config: ControlConfig | None
    """None where nobody is let in, and steps of the scenario alone are done."""
    folder: Path
    workers: int
    is_elsewhere: bool
    """Whether the workers are on other machines."""
    broker: Broker | None = None
    """The one that came with the run."""
    bridge: str | None = field(default=None, repr=False)
    """URL of the admin interface of the bridge that the run's messages go through, where that is known."""
    bridge_token: str | None = field(default=None, repr=False)
    """What it asks for."""
    on_listening: Callable[[str], None] = lambda _url: None
    """Is told the URL at which the run is controlled."""
    ingest: str | None = field(default=None, repr=False)
    """URL of the HTTP ingest behind the bridge, where that is known."""
    steps: StepRunner | None = None
    """Does what the scenario says of the run."""
    actions: list[ActionRecord] = field(default_factory=list)
    scenarios: list[Scenario] = field(default_factory=list)
    """Those with which the run went on, in turn."""
    series: SeriesWriter | None = None
    """Keeps how the run is, over its time."""


@dataclass(frozen=True, slots=True)
class RunView:
    """Holds what is needed of a run, of one process or of several."""

    job: ShardJob
    shards: Shards
    snapshots: ReadSnapshots
    started_ms: Callable[[], int | None]


@asynccontextmanager
async def steered(
    view: RunView,
    control: LiveControl | None,
    reloader: ScenarioReloader | None,
    stop: asyncio.Event,
    at_once: asyncio.Event,
) -> AsyncIterator[None]:
    """Let a run be controlled, and read its scenario again, as long as the block runs."""
    if control is None:
        async with reloading(reloader, view.shards.apply):
            yield
        return
    job = view.job
    facts = RunFacts(
        run_id=job.run_id,
        name=job.name,
        folder=str(control.folder),
        shard=job.shard,
        workers=control.workers,
        started_ms=view.started_ms,
        from_ms=job.from_ms,
        is_elsewhere=control.is_elsewhere,
        bridge=control.bridge,
        ingest=control.ingest,
        bridge_token=control.bridge_token,
    )
    outages = None if control.broker is None else BrokerOutages(control.broker)
    controller = RunController(
        facts, job.scenario, view.shards, view.snapshots, stop, at_once, outages, steps=len(job.scenario.steps)
    )
    controller.actions = control.actions
    controller.scenarios = control.scenarios
    controller.series = control.series

    async def apply_again(scenario: Scenario) -> ScenarioChange:
        change = await controller.apply(scenario)
        controller.tell(f"the scenario was read again: {change.summary()}")
        return change

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(recorded_series(control.series))
        await stack.enter_async_context(reloading(reloader, apply_again))
        if control.config is not None:
            serving = controlled(control.config, controller, AddressFile(control.folder))
            control.on_listening(await stack.enter_async_context(serving))
        await stack.enter_async_context(_watching(controller))
        if control.steps is not None:
            await stack.enter_async_context(_stepping(control.steps, controller, view.shards))
        yield


@asynccontextmanager
async def _watching(controller: RunController) -> AsyncIterator[None]:
    """Tell how a run is, as long as the block runs, and at its end."""
    task = asyncio.create_task(controller.watch(), name="control watch")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await controller.close()


@asynccontextmanager
async def _stepping(steps: StepRunner, controller: RunController, shards: Shards) -> AsyncIterator[None]:
    """Do the steps of a scenario as long as the block runs."""
    task = asyncio.create_task(steps.run_steps(controller, shards), name="steps")
    try:
        yield
    finally:
        task.cancel()
        (error,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(error, Exception):
            raise error
