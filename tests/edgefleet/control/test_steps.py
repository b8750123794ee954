"""The steps of a scenario are done in order, by their numbers; what was not done fails the run."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from devices.fleet.run_record import written_scenario
from devices.fleet.steering import EndFaults, InjectFault, PassStep, ReachStep
from devices.scenario.actions import ACTION
from devices.scenario.scenario import Scenario
from edgefleet.control.session_scenario import RunSession
from edgefleet.control.steps import StepRunner
from edgewire.errors import ConfigError
from tests.edgefleet.control.runs import SCENARIO, STARTED_MS, ScriptedShards, controller_of
from tests.run_records import small_record

STUCK = {"type": "stuck_at", "field": "temperature_c"}


def scenario_of(*steps: dict[str, Any]) -> Scenario:
    return Scenario(devices=[group.model_dump(exclude_unset=True) for group in SCENARIO.devices], steps=steps)


# The run began years ago: all is due.
async def test_they_are_done_in_the_order_of_their_times_with_their_own_numbers() -> None:
    scenario = scenario_of(
        {"at": "9s", "action": "pause", "group": "gps"},
        {"at": "1s", "action": "fault", "fault": STUCK, "group": "bme280", "share": 0.5},
        {"at": "2s", "action": "fault", "fault": STUCK, "group": "bme280", "repeat": {"every": "1s", "times": 2}},
        {"at": "4s", "action": "end_fault", "fault": 3},
        {"at": "9s", "action": "scale", "group": "gps", "count": 5},
    )
    shards = ScriptedShards(scenario)
    controller = controller_of(shards, steps=len(scenario.steps))
    runner = StepRunner(scenario.steps)
    assert runner.barriers == (1000, 2000, 3000, 4000, 9000)
    await runner.run_steps(controller, shards)
    assert [(one.number, one.action) for one in controller.actions] == [
        (2, "fault"),
        (3, "fault"),
        (6, "fault"),
        (4, "end_fault"),
        (1, "pause"),
        (5, "scale"),
    ]
    assert [one.device_at_ms for one in controller.actions] == [STARTED_MS + s * 1000 for s in (1, 2, 3, 4, 9, 9)]
    drawn, _, again, ended, *_ = shards.asked
    assert isinstance(drawn, InjectFault)
    assert isinstance(again, InjectFault)
    assert isinstance(ended, EndFaults)
    assert (drawn.name, drawn.selection.draw) == ("control/fault-2", "control/2/share")
    # Of one that is done again the last is ended.
    assert ended.name == again.name == "control/fault-6"
    kinds = [type(one) for one in shards.moments]
    assert kinds == [ReachStep, PassStep] * 5
    assert runner.problem() is None


async def test_what_is_refused_and_what_does_not_come_any_more_is_said() -> None:
    scenario = scenario_of(
        {"at": "1s", "action": "broker_outage", "duration": "1s"},
        {"at": "2s", "action": "scale", "group": "gps", "count": 5},
        {"at": "3s", "action": "stop"},
        {"at": "4s", "action": "pause"},
    )
    shards = ScriptedShards(scenario)
    controller = controller_of(shards, steps=4)
    runner = StepRunner(scenario.steps)
    await runner.run_steps(controller, shards)
    assert [one.action for one in controller.actions] == ["scale", "stop"]
    problem = runner.problem()
    assert problem is not None
    first, second = problem.split("; ", 1)[0], problem.rsplit("; ", 1)[1]
    assert first.startswith("step 1 at 1s of the scenario (broker_outage) was not done: the broker is not this run's")
    assert second == "step 4 at 4s of the scenario (pause) was not done: the run is about to end"
    assert StepRunner(scenario.steps).problem() == (
        "the run ended before step 1 at 1s (broker_outage), step 2 at 2s (scale), step 3 at 3s (stop), step 4 at 4s "
        "(pause) of the scenario"
    )


async def test_what_was_done_is_saved_as_steps_that_do_the_same() -> None:
    shards = ScriptedShards(SCENARIO)
    controller = controller_of(shards)
    for action in (
        {"action": "fault", "fault": STUCK, "group": "bme280", "share": 0.5, "duration": "30s"},
        {"action": "set", "group": "gps", "interval": "250ms"},
        {"action": "end_fault", "fault": 1},
        {"action": "stop", "at_once": True},
    ):
        await controller.perform(ACTION.validate_python(action))
    controller.actions[-1].at_ms = STARTED_MS + 9000
    actions = [
        {"number": one.number, "at_ms": one.at_ms, "device_at_ms": one.device_at_ms, "action": one.action}
        | {"arguments": one.arguments, "outcome": one.outcome}
        for one in controller.actions
    ]
    session = RunSession.of_control("it", controller.session(), actions)
    read = yaml.safe_load(session.as_scenario())
    assert read["steps"] == [
        {"at": "5s", "action": "fault", "group": "bme280", "share": 0.5, "fault": STUCK, "duration": "30s"},
        {"at": "5s", "action": "set", "group": "gps", "interval": "250ms"},
        {"at": "5s", "action": "end_fault", "fault": 1},
        {"at": "9s", "action": "stop", "at_once": True},
    ]
    # Done again, each asks the fleet for the same as before, and is saved as the same again.
    again = Scenario(**read)
    replayed = ScriptedShards(again)
    second = controller_of(replayed, steps=4)
    runner = StepRunner(again.steps)
    await runner.run_steps(second, replayed)
    assert [one.selection for one in replayed.asked if isinstance(one, InjectFault)] == [
        one.selection for one in shards.asked if isinstance(one, InjectFault)
    ]
    assert [(one.number, one.action, one.arguments) for one in second.actions] == [
        (one.number, one.action, one.arguments) for one in controller.actions
    ]


def test_a_folder_without_a_scenario_cannot_be_saved(tmp_path: Path) -> None:
    small_record().save(tmp_path)
    with pytest.raises(ConfigError, match=r"scenario.yaml: is not there: the run is of a version that did not keep"):
        RunSession.of_folder(tmp_path)


def test_a_scenario_that_was_written_is_read_as_the_same_and_tells_nothing_of_the_host() -> None:
    scenario = Scenario(
        broker="mqtt://user:secret@127.0.0.1",
        devices=[
            {"count": 3, "id": "box-{n}", "device": [{"kind": "bme280"}, {"kind": "people"}]},
            {"kind": "bme280", "ids": ["a", "b"], "dialect": {"dialect": "tasmota"}},
        ],
        steps=[{"at": "1s", "action": "scale", "group": "box", "count": 4}],
    )
    written = written_scenario(scenario)
    assert "secret" not in str(written)
    assert Scenario(broker=scenario.broker, **written) == scenario
