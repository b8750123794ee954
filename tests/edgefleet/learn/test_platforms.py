"""Devices that speak to platforms are recognised, and emulated ones speak so again."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from devices.scenario.loading import load_scenario
from devices.timeline.timeline import Timeline
from edgewire.dialects.sparkplug_payload import SparkplugType, write_metric, write_payload
from tests.dialects.edge_node import NOW_MS, Node, born
from tests.edgefleet.learn.installation import BEGIN_MS, Row, learned

READINGS = 20


def node_rows(node: Node) -> Iterator[Row]:
    """Yield what a node has said, a message a second."""
    for number, (topic, payload) in enumerate(node.said):
        yield NOW_MS + number * 1000, topic, payload


def telling(*devices: str, **options: Any) -> Node:
    node = born(*devices, **options)
    rng = random.Random(3)
    for number in range(READINGS * max(1, len(devices))):
        device = devices[number % len(devices)] if devices else ""
        node.tell(device, temperature_c=round(20 + rng.gauss(0, 0.5), 2))
    return node


def regular(count: int, topic: str, body: Any) -> Iterator[Row]:
    """Yield readings of devices every 10 s; `{n}` is the device, and `body` makes its payload."""
    rng = random.Random(4)
    for number in range(count):
        for reading in range(READINGS):
            at_ms = BEGIN_MS + reading * 10_000 + number * 50
            values = {"bar": round(2 + number + rng.gauss(0, 0.1), 2), "rpm": 1400 + reading % 7}
            yield at_ms, topic.replace("{n}", str(number)), orjson.dumps(body(at_ms, values))


def test_nodes_of_sparkplug_are_learned_by_their_births(tmp_path: Path) -> None:
    node = telling()
    report, scenario = learned(tmp_path, node_rows(node))
    (group,) = scenario["devices"]
    assert (group["dialect"], group["interval"], group["count"]) == ("sparkplug", "1s", 1)
    assert set(scenario["kinds"][group["kind"]]["fields"]) >= {"temperature_c", "humidity", "pressure_hpa"}
    assert report["used"] == READINGS
    assert report["unused"] == {"sparkplug: says no value that is new": 1}


def test_devices_behind_a_node_are_behind_a_gateway_again(tmp_path: Path) -> None:
    report, scenario = learned(tmp_path, node_rows(telling("d1", "d2", aliases=False)))
    (group,) = scenario["devices"]
    assert group["dialect"] == {"dialect": "sparkplug", "aliases": False}
    assert (group["gateway"], group["count"], group["interval"]) == ({"devices": 2}, 2, "2s")
    assert report["used"] + sum(report["unused"].values()) == report["messages"]


def test_numbers_without_a_birth_are_named_as_such(tmp_path: Path) -> None:
    rows = [*node_rows(telling())][1:]
    report, _ = learned(tmp_path, rows, regular(2, "plant/p{n}7/state", lambda _, values: values))
    assert report["unused"] == {"sparkplug: no birth was heard": READINGS}


def test_names_of_metrics_become_fields_and_nobodys_name_does(tmp_path: Path) -> None:
    names = {"Motor/Speed rpm": "motor_speed_rpm", "Harriet/level": None, "bar": "bar", "owner phone": None}
    rows = [
        (BEGIN_MS + at * 1000, f"spBv1.0/plant/NDATA/n{node}", write_payload(
            BEGIN_MS + at * 1000, at % 256,
            [write_metric(name, SparkplugType.DOUBLE, at + 0.5, timestamp=BEGIN_MS + at * 1000) for name in names],
        ))
        for node in range(2) for at in range(READINGS)
    ]  # fmt: skip
    _, scenario = learned(tmp_path, rows)
    (group,) = scenario["devices"]
    fields = set(scenario["kinds"][group["kind"]]["fields"])
    assert fields >= {"motor_speed_rpm", "bar", "metric_1"}
    text = (tmp_path / "fleet.yaml").read_text().lower()
    assert "harriet" not in text
    assert "owner" not in text


def test_a_gateway_of_thingsboard_tells_of_several_devices_at_once(tmp_path: Path) -> None:
    def body(at_ms: int, values: dict[str, Any]) -> Any:
        return {name: [{"ts": at_ms, "values": values | {"bar": values["bar"] + more}}]
                for more, name in enumerate(("press-1", "press-2"))}  # fmt: skip

    report, scenario = learned(tmp_path, regular(1, "v1/gateway/telemetry", body))
    (group,) = scenario["devices"]
    assert (group["dialect"], group["gateway"], group["count"]) == ("thingsboard", {"devices": 2}, 2)
    assert (group["interval"], report["used"], report["messages"]) == ("10s", 2 * READINGS, 2 * READINGS)


def test_devices_of_thingsboard_behind_a_mount_point(tmp_path: Path) -> None:
    def body(at_ms: int, values: dict[str, Any]) -> Any:
        return {"ts": at_ms, "values": values}

    _, scenario = learned(tmp_path, regular(3, "press-{n}/v1/devices/me/telemetry", body))
    (group,) = scenario["devices"]
    assert group["dialect"] == {"dialect": "thingsboard", "prefix": "{id}/"}
    timeline = Timeline(load_scenario(tmp_path / "fleet.yaml"), BEGIN_MS, in_dialects=True)
    for payload in timeline.batch(BEGIN_MS, BEGIN_MS + 20_000).payload:
        assert set(orjson.loads(payload)["values"]) == {"bar", "rpm"}


def test_shadows_of_aws_iot_are_reported_again(tmp_path: Path) -> None:
    topic = "$aws/things/press-{n}/shadow/update"
    _, scenario = learned(tmp_path, regular(3, topic, lambda _, values: {"state": {"reported": values}}))
    (group,) = scenario["devices"]
    assert group["dialect"] == {"dialect": "aws-iot", "readings": "shadow"}


@pytest.mark.parametrize(("bag", "is_dialect"), [("%24.ct=application%2Fjson&%24.ce=utf-8", True), ("line=7", False)])
def test_devices_of_azure_iot_with_the_bag_that_all_have(tmp_path: Path, bag: str, is_dialect: bool) -> None:
    topic = f"devices/press-{{n}}/messages/events/{bag}"
    _, scenario = learned(tmp_path, regular(3, topic, lambda _, values: values))
    (group,) = scenario["devices"]
    assert group.get("dialect") == ("azure-iot" if is_dialect else None)


def test_a_node_whose_only_number_is_of_a_person_is_not_learned_of(tmp_path: Path) -> None:
    rows = [
        (BEGIN_MS + at * 1000, "spBv1.0/plant/NDATA/n1", write_payload(
            BEGIN_MS + at * 1000, at % 256,
            [write_metric("owner phone", SparkplugType.DOUBLE, at + 0.5, timestamp=BEGIN_MS + at * 1000)],
        ))
        for at in range(READINGS)
    ]  # fmt: skip
    report, scenario = learned(tmp_path, rows, regular(2, "plant/p{n}7/state", lambda _, values: values))
    assert [group.get("dialect") for group in scenario["devices"]] == [None]
    assert report["used"] + sum(report["unused"].values()) == report["messages"] == 3 * READINGS
