"""What was done is in the account of the run, what was refused is not, and what failed half-way says so."""

from collections import Counter
from typing import Any

import pytest
from pydantic import ValidationError

from devices.faults.connection_faults import Takeover
from devices.faults.sensor_faults import StuckAt
from devices.fleet.metrics import FleetSnapshot
from devices.fleet.steering import (
    NO_STANDBY,
    ApplyScenario,
    ChangeTimeScale,
    CommandDevices,
    DeviceSelection,
    EndFaults,
    FleetAnswer,
    InjectFault,
    PauseReadings,
    RecallDevices,
    ResumeReadings,
    WithdrawDevices,
)
from devices.scenario.actions import ACTION
from edgefleet.control.controller import MOST_ACTIONS, ActionRefused
from edgefleet.control.status import FleetMoment
from edgefleet.launch.worker_status import WorkerState
from edgewire.errors import ConfigError, ServiceUnavailable
from edgewire.run_record import ActionRecord, describe_actions
from tests.edgefleet.control.runs import SCENARIO, ScriptedShards, controller_of


def action(name: str, **keys: Any) -> Any:
    return ACTION.validate_python({"action": name, **keys})


STUCK = {"type": "stuck_at", "field": "temperature_c"}


async def test_each_action_is_asked_of_the_fleet_and_is_in_the_account() -> None:
    shards = ScriptedShards(SCENARIO)
    controller = controller_of(shards)
    for one in (
        action("scale", group="gps", count=5),
        action("set", group="gps", rate=10),
        action("fault", fault=STUCK, group="bme280", share=0.5, duration="30s"),
        action("end_fault", fault=3),
        action("command", command="reboot", devices=["gps-0001"]),
        action("pause", group="gps"),
        action("resume"),
        action("mute"),
        action("unmute"),
    ):
        await controller.perform(one)
    assert [(one.number, one.action, one.outcome) for one in controller.actions] == [
        (number, name, "done")
        for number, name in enumerate(
            ["scale", "set", "fault", "end_fault", "command", "pause", "resume", "mute", "unmute"], 1
        )
    ]
    scale, interval, fault, end, command, pause, resume, mute, unmute = shards.asked
    assert isinstance(scale, ApplyScenario)
    assert isinstance(interval, ApplyScenario)
    assert (scale.scenario.devices[1].size, interval.scenario.devices[1].interval) == (5, 500)
    assert isinstance(fault, InjectFault)
    assert isinstance(fault.faults["bme280"], StuckAt)
    assert (fault.duration_ms, fault.name, fault.selection.groups, fault.selection.share) == (
        30_000, "control/fault-3", (0,), 0.5
    )  # fmt: skip
    assert end == EndFaults(DeviceSelection(draw="control/4/share"), "control/fault-3")
    assert isinstance(command, CommandDevices)
    assert command.selection.device_ids == ("gps-0001",)
    assert isinstance(pause, PauseReadings)
    assert isinstance(resume, ResumeReadings)
    assert isinstance(mute, InjectFault)
    assert isinstance(unmute, EndFaults)
    assert (set(mute.faults), mute.duration_ms, mute.name, unmute.name) == (
        {"bme280", "gps"}, None, "control/mute", "control/mute"
    )  # fmt: skip
    # What stands there can be asked for again.
    again = controller.actions[2]
    assert action(again.action, **again.arguments) == action(
        "fault", fault=STUCK, group="bme280", share=0.5, duration="30s"
    )
    assert (controller.status["faults"], controller.status["paused"], controller.status["muted"]) == ([], [], [])


@pytest.mark.parametrize(
    ("name", "keys", "said"),
    [
        ("scale", {"group": "gpz", "count": 1}, "there is no 'gpz', did you mean 'gps'"),
        ("fault", {"fault": {"type": "stuck"}}, "'stuck' is no type of fault, did you mean 'stuck_at'"),
        ("fault", {"fault": {}}, "'None' is no type of fault"),
        ("fault", {"fault": {"type": "reboot"}, "group": "gps"}, "cannot be begun while the run goes on; send the com"),
        ("fault", {"fault": STUCK}, "fault at gps: "),
        ("fault", {"fault": STUCK | {"devices": ["x"]}, "group": "bme280"}, "unknown key 'devices'"),
        ("fault", {"fault": STUCK | {"duration": "5s"}, "group": "bme280"}, "duration stands beside the fault"),
        ("fault", {"fault": STUCK, "devices": ["gps-0009", "bme280-0001"]}, "devices: there is no 'gps-0009'"),
        ("command", {"command": "set_interval", "arguments": {"interval": "5x"}}, "'5x' is no duration"),
        ("end_fault", {"fault": 1}, "no action 1 has begun one; there are none"),
        ("broker_outage", {"duration": "1s"}, "the broker is not this run's own"),
        ("bridge_drain", {}, "the run knows of no bridge: begin it with --bridge"),
        ("drop_dead_letters", {"all": True}, "the run knows of no bridge"),
    ],
)
async def test_what_is_refused_is_not_done_and_not_in_the_account(name: str, keys: dict[str, Any], said: str) -> None:
    shards = ScriptedShards(SCENARIO)
    controller = controller_of(shards)
    with pytest.raises((ConfigError, ActionRefused), match=said):
        await controller.perform(action(name, **keys))
    assert (controller.actions, shards.asked) == ([], [])
    await controller.perform(action("pause"))
    assert [one.number for one in controller.actions] == [1]


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("pause", {"group": "gps", "devices": ["gps-0001"]}),
        ("pause", {"share": 0}),
        ("pause", {"share": float("nan")}),
        ("pause", {"devices": ["x"] * 1001}),
        ("scale", {"group": "gps", "count": 0}),
        ("scale", {"group": "gps", "count": 10**9}),
        ("set", {"group": "gps"}),
        ("set", {"group": "gps", "interval": "1s", "rate": 5}),
        ("set", {"group": "gps", "rate": float("inf")}),
        ("set", {"group": "gps", "interval": "1ms"}),
        ("broker_outage", {"duration": "2h"}),
        ("mute", {"duration": "30d"}),
        ("stop", {"now": True}),
        ("replay_dead_letters", {}),
        ("drop_dead_letters", {"all": True, "sink": "http"}),
        ("explode", {}),
    ],
)
def test_values_out_of_bounds_are_no_actions(name: str, keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        action(name, **keys)


async def test_what_failed_half_way_is_in_the_account_as_failed() -> None:
    shards = ScriptedShards(SCENARIO)
    controller = controller_of(shards)
    shards.error = ServiceUnavailable("worker 1 has ended; the other 1 processes have done it")
    with pytest.raises(ServiceUnavailable):
        await controller.perform(action("pause", group="gps"))
    assert [(one.outcome, one.said) for one in controller.actions] == [("failed", str(shards.error))]
    assert describe_actions(controller.actions).endswith("have done it (failed)")


async def test_a_run_that_ends_takes_no_more_actions_and_there_are_only_so_many() -> None:
    controller = controller_of(ScriptedShards(SCENARIO))
    controller.actions = [ActionRecord(number=1, at_ms=0, action="pause")] * MOST_ACTIONS
    with pytest.raises(ActionRefused, match="1,000 actions were carried out"):
        await controller.perform(action("pause"))
    controller.actions = []
    await controller.perform(action("stop"))
    with pytest.raises(ActionRefused, match="about to end"):
        await controller.perform(action("pause"))
    await controller.perform(action("stop", at_once=True))
    assert [one.said for one in controller.actions] == ["the run ends in order", "the run ends at once"]


def test_what_happens_is_told_in_words() -> None:
    def moment(state: WorkerState, **counts: int) -> FleetMoment:
        return FleetMoment.of(0.0, [(WorkerState.RUNNING, FleetSnapshot()), (state, FleetSnapshot(**counts))])

    begin = moment(WorkerState.STARTING, devices=9, unconnected=9)
    there = moment(WorkerState.RUNNING, devices=9, connected=9)
    away = moment(WorkerState.RUNNING, devices=9, connected=2)
    silent = moment(WorkerState.SILENT, devices=9)
    assert [*there.news(begin)] == ["all 9 devices are connected"]
    assert [*away.news(there)] == ["7 of 9 devices have no connection"]
    assert [*there.news(away)] == ["all 9 devices are connected"]
    assert "worker 1 is silent, with 9 devices" in silent.news(there)
    assert [*there.news(there)] == []
    numbers = there.numbers(begin)
    assert (numbers["devices"], [one["state"] for one in numbers["processes"]]) == (9, ["running", "running"])


async def test_emulators_leave_their_places_return_and_are_taken_over() -> None:
    shards = ScriptedShards(SCENARIO)
    controller = controller_of(shards)
    for one in (
        action("set", group="gps", standby=True, interval="2s"),
        action("standby", group="gps"),
        action("return"),
        action("takeover", devices=["gps-0001"], duration="3s"),
        action("end_fault", fault=4),
    ):
        await controller.perform(one)
    assert [one.said for one in controller.actions] == [
        "gps measures every 2s and stands by for real sensors",
        "2 devices left to real sensors: gps",
        "2 devices returned: all devices",
        "takeover at 2 devices, for 3s: fault 4",
        "fault 4 ended at 2 devices: all devices",
    ]
    changed, withdrawn, recalled, taken, _ = shards.asked
    assert isinstance(changed, ApplyScenario)
    assert changed.scenario.standby_after_ms(changed.scenario.devices[1]) is not None
    assert withdrawn == WithdrawDevices(DeviceSelection(groups=(1,), draw="control/2/share"))
    assert recalled == RecallDevices(DeviceSelection(draw="control/3/share"))
    assert isinstance(taken, InjectFault)
    assert {type(fault) for fault in taken.faults.values()} == {Takeover}


async def test_where_nobody_stands_by_that_is_refused() -> None:
    shards = ScriptedShards(SCENARIO, answer=FleetAnswer(refused=Counter({NO_STANDBY: 5})))
    controller = controller_of(shards)
    with pytest.raises(ActionRefused, match="standby: all devices: no emulator in standby: write standby: true"):
        await controller.perform(action("standby"))
    assert controller.actions == []


async def test_time_passes_at_another_scale_from_a_moment_ahead_that_all_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edgefleet.control.run_time.LEAD_S", 0.0)
    shards = ScriptedShards(SCENARIO)
    controller = controller_of(shards)
    await controller.perform(action("set", time_scale=60))
    await controller.perform(action("set", group="gps", rate=10))
    await controller.perform(action("set", time_scale=2))
    first, paced, second = shards.asked
    assert isinstance(first, ChangeTimeScale)
    assert isinstance(second, ChangeTimeScale)
    assert (first.scale, second.scale, second.at_ms >= first.at_ms) == (60, 2, True)
    assert isinstance(paced, ApplyScenario)
    gps = paced.scenario.devices[1]
    assert gps.interval == 1000 * gps.size * 60 // 10
    assert paced.scenario.time_scale == 1, "that of the start, by which the fleet knows its scenario again"
    assert controller.session()["time_changes"] == [(first.at_ms, 60), (second.at_ms, 2)]
    with pytest.raises(ActionRefused, match=r"the time scale changes at .* already"):
        await controller.perform(action("set", time_scale=3), moment_ms=second.at_ms - 1)


async def test_the_walls_time_has_no_scale() -> None:
    controller = controller_of(ScriptedShards(SCENARIO.model_copy(update={"timestamps": "real"})))
    with pytest.raises(ActionRefused, match="timestamps: real: the devices' time is the wall's"):
        await controller.perform(action("set", time_scale=60))
