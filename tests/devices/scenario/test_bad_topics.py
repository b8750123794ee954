"""What no device can say, or two would say on one topic, is one sentence with file and line when a scenario is read."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from devices.scenario import identity_table
from devices.scenario.loading import load_scenario
from devices.scenario.scenario import Scenario
from devices.scenario.topic_conflicts import check_topics
from edgewire.dialects.topic_check import level_fault, topic_fault
from edgewire.errors import ConfigError

VALUE = {"t": "temperature_c"}
OWN = {"topic": "p/{id}", "payload": VALUE}


def refused(tmp_path: Path, *groups: dict[str, Any], **files: str) -> str:
    """Return what is said of a scenario, whose groups are a line each."""
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text)
    lines = [
        f"  - {yaml.safe_dump({'kind': 'bme280', **group}, default_flow_style=True, width=10**9)}" for group in groups
    ]
    path = tmp_path / "s.yaml"
    path.write_text("devices:\n" + "".join(lines))
    with pytest.raises(ConfigError) as caught:
        load_scenario(path)
    return str(caught.value).replace(f"{tmp_path}/", "")


@pytest.mark.parametrize(
    ("topic", "said"),
    [
        ("$SYS/{id}", "begins with $"),
        ("$share/g/{id}", "begins with $"),
        ("p/\0/{id}", "has the character U+0000"),
        ("p/\n/{id}", "U+000A"),
        ("p/\x85/{id}", "U+0085"),
        ("p/\uffff/{id}", "U+FFFF"),
        ("p/\U0001fffe/{id}", "U+1FFFE"),
        ("p/+/{id}", "has a wildcard"),
        ("p/{id}/#", "has a wildcard"),
        ("p/{id", "has a brace that is not around a name"),
        ("p/{}/{id}", "has a brace"),
        ("p/{ID}/{id}", "has a brace"),
        ("", "is empty"),
        ("x" * 65_533 + "/{id}", None),
        ("x" * 65_535 + "/{id}", "is longer than the 65,535 bytes"),
        ("/p//{id}/", None),
        ("p/ /{id}", None),
        ("plänt/{id}", None),
        ("p/$x/{id}", None),
    ],
)
def test_topics_on_which_nobody_can_publish(topic: str, said: str | None) -> None:
    fault = topic_fault(topic)
    assert (fault is None) if said is None else (fault is not None and said in fault), fault
    if said is not None and len(topic) < 100:
        with pytest.raises(ValueError, match=r"topic '"):
            Scenario.model_validate({"devices": [{"kind": "bme280", "topic": topic, "payload": VALUE}]})


@pytest.mark.parametrize(
    ("value", "is_first", "said"),
    [
        ("a/#", False, "wildcard"),
        ("$x", True, "begins with $"),
        ("$x", False, None),
        ("a\x07", False, "U+0007"),
        ("", True, None),
    ],
)
def test_what_may_stand_for_a_name(value: str, is_first: bool, said: str | None) -> None:
    fault = level_fault(value, is_first=is_first)
    assert (fault is None) if said is None else (fault is not None and said in fault)


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ({**OWN, "ids": ["$SYS"], "topic": "{id}/x"}, "s.yaml:2: devices[0].ids: '$SYS' of id begins with $"),
        ({**OWN, "fields": {"a": "y/#"}, "topic": "p/{a}/{id}"}, "devices[0].fields: 'y/#' of a has a wildcard"),
        ({**OWN, "ids": ["x"], "fields": {"a": [""]}, "topic": "{a}"}, "'' of a is the whole topic, and empty"),
        ({**OWN, "fields": {"a": "y" * 40_000}, "topic": "{a}/{a}/{id}"}, "would be longer than 65,535 bytes"),
        ({**OWN, "ids": ["x"], "client_ids": ["a\x01"]}, r"client id 'a\u0001' has the character U+0001"),
        (
            {**OWN, "properties": {"content_type": "a\0"}},
            r"properties.content_type: 'a\u0000' has the character U+0000",
        ),
        ({**OWN, "properties": {"user": {"a": "x" * 70_000}}}, "properties.user.a: 'xxxx"),
        ({**OWN, "properties": {"user": {"a": "{b}"}}, "fields": {"b": "x\0"}}, "of b has the character U+0000"),
        (
            {"dialect": {"dialect": "shelly", "topic_prefix": "$SYS/{id}"}},
            "devices[0].dialect: topic '$SYS/{id}/events/rpc' begins",
        ),
        ({"dialect": {"dialect": "zigbee2mqtt", "base_topic": "$z"}}, "begins with $"),
        (
            {**OWN, "payload": {"t": {"from": "temperature_c", "units": "K"}}},
            "a field has no 'units', did you mean 'unit'?",
        ),
        ({**OWN, "payload": {**VALUE, "a": float("nan")}}, "payload.a: nan is no number of JSON"),
        ({**OWN, "payload": {**VALUE, "a": {"const": [2**70]}}}, "has more than 64 bits"),
        ({**OWN, "payload": {**VALUE, "a": b"x"}}, "payload.a: a bytes is neither a field nor a constant"),
        ({**OWN, "payload": {**VALUE, 1: "humidity", "1": 2}}, "has the key '1' twice"),
        ({**OWN, "topic": "p/{id}/{nope}"}, "devices[0].topic: nothing is called {nope}"),
        ({**OWN, "properties": {"user": {"a": "{nope}"}}}, "devices[0].properties: nothing is called {nope}"),
        ({**OWN, "payload": {**VALUE, "a": {"const": "x", "round": 1}}}, "payload.a: const stands alone"),
        ({**OWN, "payload": [{"from": "temperature_c", "optional": True}]}, "payload.0: optional leaves a key"),
        ({**OWN, "events": [{"topic": "e/{id}", "payload": {"w": "seq"}}]}, "events: bme280 has no events beside"),
        ({"messages": []}, "devices[0].messages: is empty: write at least one"),
        ({"intervals": []}, "devices[0].intervals: is empty: write at least one"),
        ({"standby_after": "60s"}, "devices[0].standby_after: nobody stands by in this group"),
        ({"discovery": {"form": "dual"}}, "devices[0].discovery.form: 'dual' is none of 'device' or 'single'"),
        ({"on": {"change": {"humidity": -1}}}, "devices[0].on.change.humidity: Input should be greater than"),
        (
            {**OWN, "gateway": {"count": 1, "availability": {"topic": "p/\x07"}}},
            r"topic 'p/\u0007' has the character U+0007",
        ),
    ],
)
def test_what_devices_cannot_say(tmp_path: Path, group: dict[str, Any], said: str) -> None:
    found = refused(tmp_path, group)
    assert found.startswith("s.yaml:2: devices[0].")
    assert said in found


@pytest.mark.parametrize(
    ("depth", "said"), [(60, "more than 50 objects or lists"), (120, "s.yaml:2: is nested more than 100")]
)
@pytest.mark.parametrize("as_list", [True, False])
def test_a_payload_is_not_endless(tmp_path: Path, depth: int, said: str, as_list: bool) -> None:
    payload: Any = "temperature_c"
    for _ in range(depth):
        payload = [payload] if as_list else {"a": payload}
    assert said in refused(tmp_path, {**OWN, "payload": payload})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,line\nb,ok\na,x/#\n", "f.csv:3: 'x/#' of line has a wildcard"),
        ("id,line\nb,ok\n\na/b,x\n", "f.csv:4: 'a/b' has a character that no level"),
        ("id,line,site\nb,ok,default\na,x,nowhere\n", "f.csv:3: 'nowhere' of column site is not one of default"),
        ("id,client_id,line\na,x\x01y,1\n", r"f.csv:2: client id 'x\u0001y' has the character U+0001"),
        ("id,line,kind\na,1,gps\n", "f.csv:1: column 'kind' is what every device has: give it another name"),
        ("ID,line\na,1\n", "f.csv:1: has no column 'id'; it has ID, line: write 'ID' in small letters"),
        ("id|line\na|1\n", "columns are parted by commas, semicolons or tabs"),
    ],
)
def test_a_row_of_a_file_is_named_by_its_line(tmp_path: Path, text: str, said: str) -> None:
    found = refused(tmp_path, {"identities": "f.csv", "topic": "p/{line}/{id}", "payload": VALUE}, f=text)
    assert said in found
    assert found.startswith("s.yaml:2: devices[0].identities: ")


@pytest.mark.parametrize(
    "place", [{"topic": "p/{line}/{id}", "payload": VALUE}, {"topic": "p/{id}", "payload": {**VALUE, "l": "line"}}]
)
def test_a_column_that_is_not_there_is_told_with_those_that_are(tmp_path: Path, place: dict[str, Any]) -> None:
    found = refused(tmp_path, {"identities": "f.csv", **place}, f="id,lane\na,1\n")
    assert "line" in found
    assert found.endswith("; f.csv has columns lane beside id")


def test_logins_that_no_gateway_uses_are_told(tmp_path: Path) -> None:
    group = {**OWN, "identities": "f.csv", "gateway": {"count": 1}}
    said = "f.csv:1: nobody would log in by its username, password: a gateway connects for its devices"
    assert said in refused(tmp_path, group, f="id,username,password,key\na,u,p,\nb,v,q,\n")


def test_a_file_is_not_read_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity_table, "_LONGEST_LINE", 4100)
    monkeypatch.setattr(identity_table, "_MOST_CHARACTERS", 10_000)
    group = {**OWN, "identities": "f.csv"}
    assert "f.csv:2: is longer than 4,100 characters" in refused(tmp_path, group, f="id\n" + "x" * 5000)
    assert "f.csv:1251: is larger than 0 MiB" in refused(
        tmp_path, group, f="id\n" + "".join(f"{n:07}\n" for n in range(2000))
    )


TASMOTA = {"ids": ["t1"], "dialect": "tasmota"}


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        (
            {"ids": ["a"], "topic": "p/x", "payload": VALUE},
            {"ids": ["b"], "topic": "p/x", "payload": VALUE},
            "devices[1].topic: 'b' would speak on 'p/x', where 'a' of devices[0] speaks too",
        ),
        (
            {**OWN, "ids": ["a"], "topic": "p/{id}/s"},
            {**OWN, "ids": ["p"], "topic": "{id}/a/s"},
            "'p' would speak on 'p/a/s'",
        ),
        (
            {"count": 2},
            {**OWN, "topic": "edge/default/bme280/bme280-0002/status"},
            "where 'bme280-0002' of devices[0] speaks",
        ),
        (
            {**OWN, "topic": "edge/default/bme280/bme280-0001/status", "ids": ["x"]},
            {"ids": ["bme280-0001"]},
            "devices[0].topic: 'x' would speak on",
        ),
        (
            {"count": 2},
            {**OWN, "topic": "edge/default/bme280/bme280-0002/cmd"},
            "'bme280-0002' of devices[0] hears its commands",
        ),
        (TASMOTA, {**OWN, "ids": ["x"], "topic": "tele/t1/SENSOR"}, "where 't1' of devices[0] speaks too"),
        (TASMOTA, {**OWN, "ids": ["x"], "topic": "tele/t1/LWT"}, "where 't1' of devices[0] speaks too"),
        (TASMOTA, {**OWN, "ids": ["x"], "topic": "cmnd/t1/POWER"}, "where 't1' of devices[0] hears its commands"),
        (TASMOTA, {**OWN, "ids": ["x"], "topic": "cmnd/tasmotas/Status"}, "hears its commands"),
        (
            {"dialect": "zigbee2mqtt"},
            {"dialect": "zigbee2mqtt"},
            "'gateway-0002' would speak on 'zigbee2mqtt/bridge/state'",
        ),
        (
            {"ids": ["e"], "dialect": "esphome"},
            {**OWN, "ids": ["x"], "topic": "e/sensor/temperature/state"},
            "where 'e' of",
        ),
        (
            {**OWN, "topic": "p/{line}", "ids": ["a"], "fields": {"line": ["x"]}},
            {**OWN, "ids": ["x"]},
            "'x' would speak on 'p/x'",
        ),
    ],
)
def test_two_groups_on_one_topic(tmp_path: Path, one: dict[str, Any], other: dict[str, Any], said: str) -> None:
    found = refused(tmp_path, one, other)
    assert found.startswith(f"s.yaml:{2 if 'devices[0].topic' in found else 3}: devices[")
    assert said in found


@pytest.mark.parametrize(
    "groups",
    [
        [
            {"topic": "p", "payload": {**VALUE, "id": "id"}, "ids": ["a"]},
            {"topic": "p", "payload": {"i": "id"}, "ids": ["b"]},
        ],
        [{**OWN, "ids": ["a"]}, {**OWN, "ids": ["b"]}],
        [
            TASMOTA,
            {**TASMOTA, "ids": ["t2"]},
            {"count": 3},
            {"ids": ["s"], "dialect": "shelly"},
            {"ids": ["e"], "dialect": "esphome"},
        ],
        [{"count": 2, "gateway": {"count": 1}}, {"count": 2, "gateway": {"count": 1}, **OWN}],
        [{"ids": ["a", "b"], "fields": {"serial": ["1", "2"]}, "topic": "p/{serial}", "payload": VALUE}],
        [{"dialect": {"dialect": "zigbee2mqtt", "base_topic": "z/{gateway}"}}] * 2,
    ],
)
def test_groups_that_are_apart(groups: list[dict[str, Any]]) -> None:
    scenario = Scenario.model_validate({"devices": [{"kind": "bme280", **group} for group in groups]})
    check_topics(scenario)
