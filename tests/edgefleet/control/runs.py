"""A run that is controlled, played by a list of what was asked of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from devices.fleet.metrics import FleetSnapshot
from devices.fleet.steering import (
    ApplyScenario,
    FindDevices,
    FleetAnswer,
    FleetRequest,
    LookAtDevice,
    PassStep,
    ReachStep,
)
from devices.scenario.changes import ScenarioChange, compare_scenarios
from devices.scenario.devices import Shard, expand_devices
from devices.scenario.scenario import Scenario
from edgefleet.control.controller import RunController, RunFacts
from edgefleet.control.outage import BrokerOutages
from edgefleet.launch.worker_status import WorkerState

STARTED_MS = 1_700_000_000_000
SCENARIO = Scenario(devices=[{"kind": "bme280", "count": 4}, {"kind": "gps", "count": 3, "interval": "1s"}])


@dataclass
class ScriptedShards:
    """Answers what a fleet of these devices would, and notes what was asked."""

    scenario: Scenario
    asked: list[FleetRequest] = field(default_factory=list)
    error: Exception | None = None
    moments: list[ReachStep | PassStep] = field(default_factory=list)
    answer: FleetAnswer | None = None

    async def ask(self, request: FleetRequest) -> FleetAnswer:
        """Answer, or raise the error that was set."""
        if isinstance(request, FindDevices | LookAtDevice):
            return self._look(request)
        if isinstance(request, ReachStep | PassStep):
            self.moments.append(request)
            return FleetAnswer()
        self.asked.append(request)
        if self.error:
            raise self.error
        if self.answer is not None:
            return self.answer
        at_ms = self.moments[-1].at_ms if self.moments else STARTED_MS + 5000
        return FleetAnswer(devices=2, at_ms=at_ms)

    async def apply(self, scenario: Scenario) -> ScenarioChange:
        """Go on with another scenario."""
        change = compare_scenarios(self.scenario, scenario)
        answer = await self.ask(ApplyScenario(scenario))
        self.scenario = scenario
        return replace(change, at_ms=answer.at_ms)

    def _look(self, request: FindDevices | LookAtDevice) -> FleetAnswer:
        groups = list(self.scenario.devices)
        rows: list[dict[str, Any]] = [
            {
                "device_id": one.device_id,
                "part_of": None,
                "kind": one.kind,
                "group": groups.index(group),
                "messages": [],
                "commands": [],
            }
            for one, group in expand_devices(self.scenario)
        ]
        if isinstance(request, LookAtDevice):
            rows = [row for row in rows if row["device_id"] == request.device_id]
        elif request.selection.device_ids:
            rows = [row for row in rows if row["device_id"] in request.selection.device_ids]
        return FleetAnswer(devices=len(rows), rows=rows)


def controller_of(
    shards: ScriptedShards,
    snapshots: Callable[[], list[tuple[WorkerState, FleetSnapshot]]] | None = None,
    outages: BrokerOutages | None = None,
    bridge: str | None = None,
    *,
    steps: int = 0,
) -> RunController:
    """Return what controls a scripted run."""
    facts = RunFacts(
        run_id="r1",
        name="test",
        folder="run",
        shard=Shard(),
        workers=1,
        started_ms=lambda: STARTED_MS,
        from_ms=None,
        is_elsewhere=False,
        bridge=bridge,
    )
    found = snapshots or (lambda: [(WorkerState.RUNNING, FleetSnapshot(devices=7))])
    return RunController(facts, shards.scenario, shards, found, asyncio.Event(), asyncio.Event(), outages, steps=steps)
