"""Kinds that a scenario declares are as any other kind: the same bytes in any company, faults, exports, formats."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from typer.testing import CliRunner

from devices.declared.config import KindConfig
from devices.scenario.devices import Shard
from devices.scenario.loading import load_scenario
from devices.scenario.scenario import Scenario
from devices.sensors.registry import KINDS
from devices.timeline.formats import make_wire_formats
from devices.timeline.timeline import Timeline
from edgefleet.cli import app
from edgewire.clock import parse_ms
from edgewire.messages import CONTRACT, ContractError, kind_of

ROOT = Path(__file__).parents[3]
NOON = parse_ms("2026-03-02T12:00:00Z")
MINUTE = 60_000
SITES = [
    {"name": "paris", "latitude": 48.9, "longitude": 2.4, "timezone": "Europe/Paris"},
    {"name": "lima", "latitude": -12, "longitude": -77, "timezone": "America/Lima"},
]
FIELDS: dict[str, Any] = {
    "model": {"constant": "X100"},
    "zone": {"constant": 4},
    "mode": {"choice": {"of": {"eco": 0.7, "fast": 0.3}, "every": "6m"}, "missing": 0.2},
    "gear": {"choice": {"of": [1, 2, 3]}},
    "total": {"counter": {"per_hour": 900, "profile": {"points": {"06:00": 0, "12:00": 5}}, "reset": "day"}},
    "energy": {"counter": {"per_hour": 500, "step": 0.1, "wrap": 50}, "decimals": 1},
    "tide": {"sine": {"mean": 2, "amplitude": 1.5, "period": "12h"}, "vary": 0.3},
    "light": {"profile": {"points": {"06:00": 0, "12:00": 800}, "days": {"sunday": 0.5}}, "decimals": 0},
    "hum": {"noise": {"deviation": 1, "period": "5m"}, "hidden": True},
    "hiss": {"noise": {"deviation": 1, "with": "hum", "correlation": 0.9, "period": "2m"}},
    "level": {"walk": {"min": 0, "max": 5, "step": 0.5}, "missing": {"share": 0.3, "stretch": "2m"}},
    "open": {"on_off": {"on": "5s..40s", "off": "20s..2m"}},
    "state": {"on_off": {"on": "1m", "off": "2m", "says": ["run", "idle"]}},
    "openings": {"counter": {"of": "open"}},
    "hits": {"poisson": {"per_hour": "60 * (1 + open)"}},
    "outdoor": {"world": "weather.temperature_c"},
    "inside": {"world": "people.inside@people-0001"},
    "flow": {"world": "traffic.flow@traffic-0001"},
    "warm": {"formula": "outdoor + 0.1 * inside + 2 * open + hum + k", "decimals": 2, "min": -5, "max": 60},
    "is_warm": {"formula": "warm > 12 and state == 'run'"},
    "odd": {"formula": "log(hiss)"},
}
DEVICES: list[dict[str, Any]] = [
    {"kind": "thing", "count": 6, "interval": "4s"},
    {"kind": "people", "count": 2, "interval": "20s"},
    {"kind": "traffic", "count": 2, "interval": "20s"},
]
FAULTS = [
    {"type": "spike", "kind": "thing", "field": "warm", "size": 9, "rate": "9/h", "duration": "2m..4m"},
    {"type": "stuck_at", "kind": "thing", "field": "total", "rate": "3/h", "duration": "5m..9m"},
    {"type": "dropout", "kind": "thing", "share": 0.5, "rate": "6/h", "duration": "1m"},
    {"type": "reboot", "kind": "thing", "share": 0.5, "rate": "2/h", "duration": "20s"},
]


def scenario(**keys: Any) -> Scenario:
    """Return a scenario with every generator in one kind."""
    kinds = {"thing": {"settings": {"k": 0.5}, "fields": FIELDS}}
    return Scenario.model_validate({"seed": 5, "sites": SITES, "kinds": kinds, "devices": DEVICES} | keys)


def payloads(timeline: Timeline, from_ms: int, to_ms: int) -> list[bytes]:
    """Return what is said in a window."""
    return timeline.batch(from_ms, to_ms).payload


@settings(max_examples=8)
@given(st.integers(0, 20 * MINUTE), st.integers(1, 5), st.sampled_from([[], FAULTS]))
def test_the_same_bytes_come_in_any_window_and_shard(cut_ms: int, shards: int, faults: list[dict[str, Any]]) -> None:
    one = scenario(faults=faults)
    begin, end = NOON, NOON + 20 * MINUTE
    whole = payloads(Timeline(one, begin), begin, end)
    timeline = Timeline(one, begin)
    assert payloads(timeline, begin, begin + cut_ms) + payloads(timeline, begin + cut_ms, end) == whole
    parts = [line for n in range(shards) for line in payloads(Timeline(one, begin, Shard(n, shards)), begin, end)]
    assert sorted(parts) == sorted(whole)


def test_what_it_says_keeps_the_contract_that_is_made_of_it() -> None:
    one = scenario()
    rows = [orjson.loads(line) for line in payloads(Timeline(one, NOON), NOON, NOON + 5 * MINUTE)]
    mine = [row for row in rows if row["device_id"].startswith("thing")]
    for row in mine:
        CONTRACT["thing"].check(row)
        assert kind_of(row) is CONTRACT["thing"]
    assert list(mine[0])[4:] == [name for name, field in FIELDS.items() if not field.get("hidden")]
    assert {row["is_warm"] for row in mine} == {True, False}
    assert {row["mode"] for row in mine} == {"eco", "fast", None}
    assert any(row["odd"] is None for row in mine)
    assert all(-5 <= row["warm"] <= 60 for row in mine)
    with pytest.raises(ContractError, match="warm"):
        CONTRACT["thing"].check(mine[0] | {"warm": "x"})


def test_people_and_traffic_are_those_that_the_counter_and_the_camera_see() -> None:
    counters = {"kind": "people", "count": 1, "interval": "4s", "settings": {"daily_customers": 5000, "accuracy": 0.9}}
    kinds = {"door": {"fields": {"inside": {"world": "people.inside"}, "flow": {"world": "traffic.flow"}}}}
    one = Scenario(seed=3, kinds=kinds, devices=[{"kind": "door", "count": 3, "interval": "4s"}, counters])
    timeline = Timeline(one, NOON)
    at = np.arange(NOON, NOON + 60 * MINUTE, 5 * MINUTE)
    (doors, people) = timeline._as_planned
    told = doors.sample_in_world(timeline.world, np.zeros(len(at), dtype=np.int64), at)
    counted = people.sample_in_world(timeline.world, np.full(len(at), 3), at)
    assert list(told["inside"]) == list(counted["occupancy"])
    assert max(told["inside"]) > 20
    assert len(set(np.asarray(told["flow"]).tolist())) > 1


def test_a_process_to_which_the_scenario_is_sent_knows_its_kinds() -> None:
    sent = pickle.dumps(scenario())
    KINDS.remove("thing")
    assert "thing" not in CONTRACT
    again = pickle.loads(sent)
    assert KINDS["thing"].decimals_of("warm") == 2
    assert payloads(Timeline(again, NOON), NOON, NOON + MINUTE)


def test_a_kind_of_another_scenario_is_none_of_this_one() -> None:
    scenario()
    with pytest.raises(ValueError, match="'thing' is not a kind of device; there are bme280"):
        Scenario(devices=[{"kind": "thing"}])


def test_what_is_written_of_a_kind_is_read_back() -> None:
    config = KindConfig.model_validate({"fields": FIELDS, "settings": {"k": 1}})
    assert KindConfig.model_validate(config.model_dump(mode="json", exclude_unset=True)) == config
    assert KindConfig.model_validate(config.model_dump(mode="json")) == config


def test_faults_show_in_labels_and_clean_values(tmp_path: Path) -> None:
    one = scenario(faults=FAULTS[:2])
    timeline = Timeline(one, NOON)
    labels = timeline.labels(NOON, NOON + 30 * MINUTE)
    assert {label.type for label in labels} == {"spike", "stuck_at"}
    (table, *_) = timeline.tables(NOON, NOON + 30 * MINUTE, clean=True)
    assert not isinstance(table.columns, list)
    wrong = np.array(table.columns["warm"], dtype=float) != np.array(table.columns["clean_warm"], dtype=float)
    assert wrong.sum() == sum(label.messages for label in labels if label.type == "spike")


def test_an_export_has_columns_with_types_and_is_drawn(tmp_path: Path) -> None:
    runner, path = CliRunner(), ROOT / "scenarios/fridges.yaml"
    span = ["--from", "2026-03-02T12:00", "--to", "2026-03-02T12:05"]
    folder = tmp_path / "all"
    done = runner.invoke(app, ["generate", str(path), *span, "--format", "parquet", "--out", str(folder)])
    assert done.exit_code == 0, done.output
    types = {field.name: str(field.type) for field in parquet.read_schema(folder / "fridge.parquet")}
    assert {name: types[name] for name in ("door_open", "shelf_c", "power_w", "openings", "signal_dbm")} == {
        "door_open": "bool", "shelf_c": "double", "power_w": "int64", "openings": "int64", "signal_dbm": "int64"
    }  # fmt: skip
    picture = tmp_path / "x.png"
    drawn = runner.invoke(app, ["plot", str(folder), "--kinds-of", str(path), "--out", str(picture)])
    assert drawn.exit_code == 0, drawn.output
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_formats_and_discovery_speak_its_fields() -> None:
    fields = {
        "shelf_c": {"formula": "4", "unit": "°C", "device_class": "temperature", "label": "Shelf"},
        "door": {"on_off": {"on": "5s", "off": "1m"}, "device_class": "door"},
        "count": {"counter": {"per_hour": 3}},
    }
    own = {"topic": "shop/{id}", "payload": {"f": {"from": "shelf_c", "unit": "F"}, "d": "door"}}
    groups = [
        {"kind": "shelf", "id": "esp-{n}", "dialect": "esphome", "interval": "10s"},
        {"kind": "shelf", "id": "own-{n}", "discovery": "homeassistant", **own},
        {"kind": "shelf", "id": "nat-{n}", "on": {"change": {"shelf_c": 0.5}}, "discovery": "homeassistant"},
    ]
    one = Scenario(kinds={"shelf": {"fields": fields}}, devices=groups)
    timeline = Timeline(one, NOON, in_dialects=True)
    batch = timeline.batch(NOON, NOON + 20_000)
    said = {
        timeline.wire_format(at).topics(timeline.devices[at])[address]: payload
        for at, address, payload in zip(batch.device, batch.address, batch.payload, strict=True)
    }
    assert said["esp-1/sensor/shelf/state"] == b"4.000"
    assert said["shop/own-2"].startswith(b'{"f":39.2,"d":')
    (form,) = (form for form, group in zip(make_wire_formats(one).values(), groups, strict=True) if "topic" in group)
    status = {"state": "online", "boot": 1, "firmware": "1", "timestamp": "2026-03-02T12:00:00.000Z", "uptime_s": 1.0}
    (described,) = (one for one in form.status(timeline.devices[1], status) if one.topic.endswith("/config"))
    shown = orjson.loads(described.payload)["cmps"]
    assert shown["shelf"]["dev_cla"] == "temperature"
    door = {key: shown["door"][key] for key in ("p", "dev_cla", "pl_on", "pl_off")}
    assert door == {"p": "binary_sensor", "dev_cla": "door", "pl_on": "True", "pl_off": "False"}


@pytest.mark.parametrize("dialect", ["tasmota", "shelly", "zigbee2mqtt", "owntracks"])
def test_dialects_that_cannot_say_it_refuse_it(dialect: str) -> None:
    kinds = {"shelf": {"fields": {"shelf_c": {"constant": 4.5}}}}
    with pytest.raises(ValueError, match="shelf"):
        Scenario(kinds=kinds, devices=[{"kind": "shelf", "dialect": dialect}])


def test_the_example_that_comes_with_the_package_is_read() -> None:
    one = load_scenario(ROOT / "scenarios/fridges.yaml")
    rows = [orjson.loads(line) for line in payloads(Timeline(one, NOON), NOON, NOON + 3 * MINUTE)]
    shelf = [row["shelf_c"] for row in rows if "shelf_c" in row]
    assert 2 < min(shelf) < max(shelf) < 10
