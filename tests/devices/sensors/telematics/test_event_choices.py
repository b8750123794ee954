"""What an operator may choose of driving events: how likely they are, and types of his own."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from devices.export.columns import table_schemas
from devices.scenario.loading import load_scenario
from devices.scenario.scenario import Scenario
from devices.sensors.base import Population
from devices.sensors.gps.sensor import GpsSensor, GpsSettings
from devices.sensors.telematics.events import EVENT_TYPES
from devices.sensors.telematics.sensor import TelematicsSensor, TelematicsSettings
from devices.timeline.timeline import Timeline
from devices.world.world import Site, World
from edgewire.clock import parse_ms
from edgewire.errors import ConfigError
from edgewire.messages import contract_of

NOON_MS = parse_ms("2026-03-04T12:00:00Z")
HARSH = """
import numpy as np
from devices.sensors.telematics.events import G_MS2, EventType, random_event


def jerk(state):
    forward = np.round(np.abs(state.moving.acceleration_ms2) / G_MS2, 2)
    return forward >= 0.1, {"jerk_g": forward}


EVENT_TYPES = [
    random_event("harsh_accel", weight=2.5, chance=0.05, accel_g=(0.3, 1.0)),
    EventType("jerk", 0.5, jerk),
]
"""


def rows_of(scenario: Scenario, minutes: int = 60) -> list[dict[str, Any]]:
    batch = Timeline(scenario, NOON_MS).batch(NOON_MS, NOON_MS + minutes * 60_000)
    return [orjson.loads(payload) for payload in batch.payload]


def fleet(count: int = 60, kind: str = "telematics", **settings: Any) -> Scenario:
    # Most vehicles of the first world are driven at noon.
    return Scenario.model_validate(
        {"world": 1, "devices": [{"kind": kind, "count": count, "interval": "30s", "settings": settings}]}
    )


def test_a_type_of_event_is_as_likely_as_is_said_while_the_vehicle_drives() -> None:
    chances = {
        "hard_braking": 0.2,
        "aggressive_turn": 0.1,
        "tailgating": 0.15,
        "speeding": 0.3,
        "late_night_driving": 0.0,
    }
    rows = rows_of(fleet(event_chances=chances))
    driving = [row for row in rows if row["battery_v"] > 13]
    found = Counter(name for row in rows for name in row["events"])
    assert len(driving) > 2000
    for name, chance in chances.items():
        # 2,300 reports: three deviations of a chance of 0.2 are 0.025.
        assert found[name] / len(driving) == pytest.approx(chance, abs=0.025), name
    for row in rows:
        contract_of("telematics").check(row)
        assert ("hard_braking" in row["events"]) == (row["braking_g"] is not None)
        assert (row["braking_g"] or 1) >= 0.28
        assert (row["lateral_g"] or 1) >= 0.35
        assert (row["over_speed_mph"] or 9) >= 5
        assert (row["risk_label"] == "risky") >= ("hard_braking" in row["events"])


def test_a_chance_of_no_type_is_refused() -> None:
    with pytest.raises(ConfigError, match="event_chances: 'braking' is not one of hard_braking, aggressive_turn"):
        Timeline(fleet(event_chances={"braking": 0.1}), NOON_MS)


@pytest.mark.slow
def test_a_module_beside_the_scenario_brings_types_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "my_events.py").write_text(HARSH)
    (tmp_path / "fleet.yaml").write_text(
        "devices:\n- {kind: telematics, count: 60, interval: 30s, settings: {event_module: my_events.py}}\n"
    )
    scenario = load_scenario(tmp_path / "fleet.yaml")
    rows = rows_of(scenario)
    harsh = [row for row in rows if "harsh_accel" in row["events"]]
    driving = [row for row in rows if row["battery_v"] > 13]
    assert len(harsh) / len(driving) == pytest.approx(0.05, abs=0.015)
    assert all(0.3 <= row["accel_g"] <= 1.0 for row in harsh)
    assert {"jerk", "hard_braking"} <= {name for row in rows for name in row["events"]}
    assert all((row["accel_g"] is None) == ("harsh_accel" not in row["events"]) for row in rows)
    for row in rows[:200]:
        contract_of("telematics").check(row)
    # Tables get a column for each of its attributes, and a worker that is given the scenario as JSON finds it.
    timeline = Timeline(scenario, NOON_MS)
    (schema,) = table_schemas(timeline)
    widened = schema.widened(timeline.tables(NOON_MS, NOON_MS + 60_000)[0])
    assert {"accel_g", "jerk_g"} <= {column.name for column in widened.columns}
    assert rows_of(Scenario.model_validate_json(scenario.model_dump_json(exclude_defaults=True)), 2) == rows_of(
        scenario, 2
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("EVENT_TYPES = 3", "EVENT_TYPES needs to be a list of EventType"),
        ("import nothing_of_the_kind", "cannot be loaded: ModuleNotFoundError"),
        ("x = 1", "has no EVENT_TYPES"),
        (HARSH.replace('"jerk"', '"Jerk!"'), "'Jerk!' is no name of an event type"),
        (None, "there is no such Python file"),
    ],
)
def test_a_module_that_is_wrong_is_named(text: str | None, said: str, tmp_path: Path) -> None:
    module = tmp_path / "my_events.py"
    if text is not None:
        module.write_text(text)
    with pytest.raises(ConfigError, match=r"my_events\.py: .*" + said):
        Timeline(fleet(event_module=str(module)), NOON_MS)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("1 / 0", "'own' fails: ZeroDivisionError"),
        ("None", "'own' fails: TypeError"),
        ("(True, {'speed_mph': 1})", "'own' gives 'speed_mph', a field that the message has of its own"),
        ("(True, {'Own G': 1})", "'own' gives 'Own G', which is no name of a field"),
    ],
)
def test_a_type_that_fails_is_named(answer: str, said: str, tmp_path: Path) -> None:
    module = tmp_path / "my_events.py"
    module.write_text(
        "from devices.sensors.telematics.events import EventType\n"
        f"EVENT_TYPES = [EventType('own', 1, lambda state: {answer})]\n"
    )
    with pytest.raises(ConfigError, match=r"my_events\.py: .*" + said):
        rows_of(fleet(1, event_module=str(module)), 1)


def test_an_attribute_of_two_types_is_that_of_the_gravest_that_holds(tmp_path: Path) -> None:
    module = tmp_path / "my_events.py"
    module.write_text(
        "from devices.sensors.telematics.events import EventType\n"
        "EVENT_TYPES = [EventType('own', 0.1, lambda state: (False, {'braking_g': 9}))]\n"
    )
    found = rows_of(fleet(5, event_module=str(module), event_chances={"hard_braking": 1}), 10)
    assert any("hard_braking" in row["events"] for row in found)
    assert all((row["braking_g"] is not None) == ("hard_braking" in row["events"]) for row in found)
    assert all(row["braking_g"] != 9 for row in found)


def test_the_vehicle_of_a_unit_with_an_id_of_its_own_hangs_on_that_id() -> None:
    groups = [{"kind": "telematics", "id": name, "interval": "1m"} for name in ("alpha", "beta", "t7")]

    def drivers(chosen: list[dict[str, str]]) -> dict[str, str]:
        return {row["device_id"]: row["driver_id"] for row in rows_of(Scenario.model_validate({"devices": chosen}), 3)}

    every = drivers(groups)
    assert every["t7"] == "D0006"
    assert drivers(groups[1:]) == {name: every[name] for name in ("beta", "t7")}


def test_identifiers_can_be_kept_apart_from_those_of_production() -> None:
    rows = rows_of(fleet(3, identifier_prefix="SYN-"), 1)
    assert {row["driver_id"] for row in rows} == {"SYN-D0000", "SYN-D0001", "SYN-D0002"}
    assert all(row["trip_id"].startswith(row["driver_id"] + "-") for row in rows)
    assert rows_of(fleet(1, "gps", identifier_prefix="SYN-"), 1)[0]["vehicle_id"] == "SYN-V0000"


@pytest.mark.slow
def test_a_gps_unit_with_context_says_what_the_telematics_unit_of_its_vehicle_says(
    population: Callable[..., Population],
) -> None:
    ids = np.arange(400) % 40
    times = NOON_MS + np.arange(400) * 67_000
    world = World.build(5, [Site(name="a", latitude=48.9, longitude=2.4)])
    gps = GpsSensor(GpsSettings(context=True), population(40))
    said = gps.sample(world, ids, times)
    unit = TelematicsSensor(TelematicsSettings(), population(40)).sample(world, ids, times)
    for name in ("weather", "road_type", "time_of_day", "risk_label"):
        assert list(said[name]) == list(unit[name])
    assert gps.lookback_ms == 10_000
    assert "risk_label" not in rows_of(fleet(1, "gps"), 1)[0]
    labels = Counter(row["risk_label"] for row in rows_of(fleet(40, "gps", context=True), 120))
    assert 0 < labels["risky"] < labels["safe"]
    assert {kind.name for kind in EVENT_TYPES} >= {"hard_braking"}
