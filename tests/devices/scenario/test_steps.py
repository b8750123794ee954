"""Steps are checked with the file they stand in, come at their times, and can be sent to other processes."""

import json
import pickle
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.scenario.actions import ACTION_NAMES, ScaleGroup
from devices.scenario.changes import compare_scenarios
from devices.scenario.scenario import Scenario
from devices.scenario.steps import MOST_STEPS, schedule_steps
from edgewire.config import parse_config
from edgewire.errors import ConfigError

DEVICES = "devices:\n  - {kind: bme280, count: 4}\n  - {kind: gps, ids: [a, b]}\n  - {kind: bme280, count: 2}\nsteps:\n"


def load(*steps: str) -> Scenario:
    return parse_config(DEVICES + "".join(f"  - {{{step}}}\n" for step in steps), Scenario, name="fleet.yaml")


def times(*steps: str) -> list[tuple[int, int, str]]:
    return [(one.at_ms, one.number, one.action.action) for one in schedule_steps(load(*steps).steps)]


def test_they_come_at_their_times_after_each_other_and_again() -> None:
    assert times(
        "at: 1m, action: pause",
        "after: 10s, action: resume, repeat: {every: 5s, times: 3}",
        "after: 1s, action: stop",
        "at: 2s, action: mute, group: gps, duration: 1s, repeat: {every: 4s, until: 11s}",
    ) == [
        (2_000, 3, "mute"),
        (6_000, 3, "mute"),
        (10_000, 3, "mute"),
        (60_000, 0, "pause"),
        (70_000, 1, "resume"),
        (75_000, 1, "resume"),
        (80_000, 1, "resume"),
        (81_000, 2, "stop"),
    ]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10**6), st.integers(1, 10**5), st.integers(2, 9)), max_size=9))
def test_each_is_done_so_often_as_it_says_and_none_before_its_time(wanted: list[tuple[bool, int, int, int]]) -> None:
    steps = [
        {"at" if is_at else "after": f"{ms}ms", "action": "pause", "repeat": {"every": f"{every}ms", "times": count}}
        for is_at, ms, every, count in wanted
    ]
    scheduled = schedule_steps(Scenario(devices=[{"kind": "gps"}], steps=steps).steps)
    assert all(one.at_ms <= other.at_ms for one, other in pairwise(scheduled))
    assert [sum(one.number == number for one in scheduled) for number in range(len(steps))] == [
        one[3] for one in wanted
    ]
    for number, (is_at, ms, every, count) in enumerate(wanted):
        own = [one.at_ms for one in scheduled if one.number == number]
        assert own == [own[0] + every * turn for turn in range(count)]
        before = max((one.at_ms for one in scheduled if one.number == number - 1), default=0)
        assert own[0] == (ms if is_at else before + ms)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("at: 2s, action: scal", "steps[0]: 'scal' is no action, did you mean 'scale'?"),
        ("action: pause", "steps[0]: needs a time: either at, such as 30s, or after, such as 10s"),
        ("at: 1s, after: 1s, action: pause", "steps[0]: needs a time: either at"),
        ("at: -1s, action: pause", "steps[0].at: '-1s' is no duration"),
        ("at: 1s, action: scale, group: bme280.1, cuont: 10", "unknown key 'steps[0].cuont', did you mean 'count'?"),
        ("at: 1s, action: pause, group: gpz", "steps[0].group: there is no 'gpz', did you mean 'gps'?"),
        ("at: 1s, action: pause, group: bme280", "steps[0].group: there are several of bme280: name one of bme280.1, "),
        ("at: 1s, action: scale, group: gps, count: 3", "steps[0].group: its devices are listed one by one"),
        ("at: 1s, action: fault, fault: {type: stuck}", "steps[0].fault: 'stuck' is no type of fault, did you mean"),
        ("at: 1s, action: fault, fault: {type: stuck_at, field: humidity}, group: gps", "steps[0].fault: fault at gps"),
        ("at: 1s, action: end_fault, fault: 1", "steps[0].fault: step 1 begins no fault before this one"),
        ("at: 1s, action: pause, repeat: {every: 1s}", "steps[0].repeat: needs an end: either times, such as 5, or"),
        ("at: 1s, action: pause, repeat: {every: 1ms, until: 1h}", "steps[0]: is one too many: 1,000 may be done"),
        (
            "at: 1s, action: standby, group: gps",
            "steps[0].action: no device of them stands by: write standby",
        ),
        ("at: 1s, action: set, group: gps", "steps[0]: needs interval, such as 5s, or rate, such as 100, or standby"),
        ("at: 1s, action: set, group: gps, time_scale: 2", "steps[0]: time_scale is of all groups, and stands alone"),
        ("at: 1s, action: set, interval: 5s", "steps[0]: needs group, whose interval, rate or standby it is"),
        ("at: 1s, action: set, time_scale: 0", "steps[0].time_scale"),
        ("at: 1s, action: drop_dead_letters", "steps[0]: say which dead letters"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(step: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(step)
    found = str(error.value)
    assert "fleet.yaml:6" in found
    assert said in found


def test_every_action_can_be_a_step_that_another_process_reads() -> None:
    keys: dict[str, dict[str, Any]] = {
        "scale": {"group": "bme280", "count": 2},
        "set": {"group": "bme280", "interval": "5s"},
        "fault": {"fault": {"type": "stuck_at", "field": "humidity"}},
        "command": {"command": "reboot"},
        "broker_outage": {"duration": "5s"},
        "replay_dead_letters": {"all": True},
        "drop_dead_letters": {"sink": "http", "until": "2026-03-01"},
    }
    steps = [{"at": "1s", "action": name, **keys.get(name, {})} for name in ACTION_NAMES]
    scenario = Scenario(devices=[{"kind": "bme280"}], steps=steps, standby=True)
    again: Scenario = pickle.loads(pickle.dumps(scenario))
    assert again == scenario
    assert [step.to_action().action for step in again.steps] == [*ACTION_NAMES]
    written = json.loads(scenario.model_dump_json())["steps"]
    assert Scenario(devices=[{"kind": "bme280"}], steps=written, standby=True).steps == scenario.steps
    assert scenario.steps[0].to_action() == ScaleGroup(action="scale", group="bme280", count=2)


def test_they_cannot_change_while_the_run_goes_on_and_are_so_many_at_the_most() -> None:
    one = Scenario(devices=[{"kind": "gps"}], steps=[{"at": "1s", "action": "pause"}])
    with pytest.raises(ConfigError, match="steps cannot change while the devices run"):
        compare_scenarios(one, one.model_copy(update={"steps": ()}))
    whole = [{"at": "1s", "action": "pause"}] * MOST_STEPS
    assert len(Scenario(devices=[{"kind": "gps"}], steps=whole).steps) == MOST_STEPS
