"""Devices with parts in a scenario: who they are, what they say, which shard has them, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from devices.fleet.run_record import scenario_digest, spoken_scenario
from devices.scenario.changes import DeviceShares, compare_scenarios
from devices.scenario.devices import Shard, all_devices, devices_of_shard, login_names
from devices.scenario.loading import load_scenario
from devices.scenario.scenario import Scenario
from devices.scenario.topic_conflicts import check_topics
from devices.sensors.base import EPOCH_MS
from devices.timeline.host_format import joined
from devices.timeline.timeline import Timeline
from edgefleet.control.changes import at_interval, group_names, group_number, group_numbers, scaled
from edgefleet.doctor.needs import Needs
from edgefleet.provision.rights import contract_ids, fleet_accounts
from edgewire.clock import parse_ms
from edgewire.dialects.encoder import Publication
from edgewire.errors import ConfigError

NOON_MS = parse_ms("2026-03-04T12:00:00Z")
BOX: dict[str, Any] = {
    "device": [{"kind": "bme280", "interval": "10s"}, {"kind": "people", "interval": "1m"}],
    "name": "box",
    "count": 3,
}
VEHICLE: dict[str, Any] = {
    "device": [{"kind": "gps", "interval": "1s"}, {"kind": "telematics"}],
    "name": "van",
    "count": 2,
}
OWN = {"topic": "plant/{site}/{id}/{part}", "payload": {"t": "temperature_c", "who": "id"}}


def scenario(*groups: dict[str, Any], **more: Any) -> Scenario:
    return Scenario.model_validate({"devices": list(groups)} | more)


def lines(loaded: Scenario, from_ms: int, to_ms: int, shard: Shard | None = None, step_ms: int = 10**9) -> list[bytes]:
    timeline = Timeline(loaded, EPOCH_MS, shard, in_dialects=True)
    begins = range(from_ms, to_ms, step_ms)
    return [one for begin in begins for one in timeline.batch(begin, min(begin + step_ms, to_ms)).payload]


def test_parts_have_ids_of_their_own_and_the_connection_of_their_device() -> None:
    devices = [device for device, _ in all_devices(scenario(BOX))]
    assert [device.device_id for device in devices] == [
        f"box-000{n}.{part}" for n in (1, 2, 3) for part in ("bme280", "people")
    ]
    assert [device.client_id for device in devices] == ["box-0001", "box-0001", "box-0002", "box-0002"] + [
        "box-0003"
    ] * 2
    assert login_names(all_devices(scenario(BOX))) == ["box-0001", "box-0002", "box-0003"]
    assert len({device.site for device in devices[:2]}) == 1
    assert Needs.of(scenario(BOX, {"kind": "gps", "count": 4})).connections == 7


def test_a_part_reads_what_a_plain_device_of_its_id_reads() -> None:
    plain = scenario(
        {"kind": "bme280", "interval": "10s", "ids": ["box-0001.bme280", "box-0002.bme280", "box-0003.bme280"]},
        {"kind": "people", "interval": "1m", "ids": ["box-0001.people", "box-0002.people", "box-0003.people"]},
    )
    assert lines(scenario(BOX), NOON_MS, NOON_MS + 600_000) == lines(plain, NOON_MS, NOON_MS + 600_000)


def test_parts_of_a_vehicle_ride_in_the_same_one() -> None:
    loaded = scenario({"kind": "gps", "count": 4}, VEHICLE)
    devices = {device.device_id: device for device, _ in all_devices(loaded)}
    assert [name for name in devices if name.startswith("van")] == [
        "van-0001.gps", "van-0001.telematics", "van-0002.gps", "van-0002.telematics",
    ]  # fmt: skip
    vans = [devices[f"van-000{n}.{kind}"].ordinal for n in (1, 2) for kind in ("gps", "telematics")]
    assert vans[0] == vans[1] == vans[2] - 1 == vans[3] - 1
    # No other unit rides there, whatever stands before it in the file.
    assert vans[0] not in {device.ordinal for name, device in devices.items() if not name.startswith("van")}
    assert [device.ordinal for device, _ in all_devices(scenario(BOX, VEHICLE))][-4:] == vans
    timeline = Timeline(scenario(VEHICLE), EPOCH_MS)
    spoken = [orjson.loads(one) for one in timeline.batch(NOON_MS, NOON_MS + 3_600_000).payload]
    fixes = {one["timestamp"]: one for one in spoken if one["device_id"] == "van-0001.gps"}
    events = [one for one in spoken if one["device_id"] == "van-0001.telematics"]
    fraction = next(iter(fixes))[-4:]
    near = [(one, fixes.get(one["timestamp"][:-4] + fraction)) for one in events]
    found = [(one, fix) for one, fix in near if fix is not None]
    assert found
    for one, fix in found:
        # At 130 km/h it is 36 m on within a second, which are 0.0005 degrees of longitude here.
        assert abs(one["latitude"] - fix["latitude"]) < 0.001
        assert abs(one["longitude"] - fix["longitude"]) < 0.001
    listed = scenario({"device": VEHICLE["device"], "ids": ["van-7", "telematics-x"]})
    ordinals = [device.ordinal for device, _ in all_devices(listed)]
    assert ordinals[0] == ordinals[1] == 6
    assert ordinals[2] == ordinals[3]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_shards_keep_devices_whole_and_say_the_same(count: int) -> None:
    loaded = scenario(
        {"kind": "bme280", "count": 4}, BOX, VEHICLE, {"kind": "gps", "count": 3, "gateway": {"devices": 2}}
    )
    everyone = all_devices(loaded)
    found: list[bytes] = []
    seen: list[str] = []
    for index in range(count):
        shard = Shard(index, count)
        mine, numbers = devices_of_shard(everyone, shard)
        carriers = {device.carrier_id for device, _ in mine}
        assert all(
            device.device_id in {one.device_id for one, _ in mine}
            for device, _ in everyone
            if device.carrier_id in carriers
        )
        assert len(set(numbers)) == len(carriers)
        needs = Needs.of(loaded, shard=shard)
        assert (needs.devices, needs.connections) == (len(mine), len(carriers))
        seen += [device.device_id for device, _ in mine]
        found += lines(loaded, NOON_MS, NOON_MS + 60_000, shard, 7_000)
    assert sorted(seen) == sorted(device.device_id for device, _ in everyone)
    assert sorted(found) == sorted(lines(loaded, NOON_MS, NOON_MS + 60_000))


def test_formats_of_ones_own_have_the_id_of_the_device_and_the_name_of_the_part() -> None:
    parts = [{"kind": "bme280", **OWN}, {"kind": "bme280", "name": "outside", **OWN}]
    timeline = Timeline(scenario({"device": parts, "name": "box"}), EPOCH_MS, in_dialects=True)
    topics = [timeline.wire_format(at).topics(device) for at, device in enumerate(timeline.devices)]
    assert topics == [("plant/default/box-0001/bme280",), ("plant/default/box-0001/outside",)]
    said = [orjson.loads(one) for one in timeline.batch(NOON_MS, NOON_MS + 60_000).payload]
    assert {one["who"] for one in said} == {"box-0001"}
    assert len({one["t"] for one in said}) > 1


def test_an_esphome_node_has_all_sensors_and_one_signal() -> None:
    dialect = {"dialect": "esphome", "wifi_signal": True}
    loaded = scenario({"device": [{"kind": "bme280"}, {"kind": "gps"}], "name": "node", "dialect": dialect})
    check_topics(loaded)
    timeline = Timeline(loaded, EPOCH_MS, in_dialects=True)
    topics = [topic for at, one in enumerate(timeline.devices) for topic in timeline.wire_format(at).topics(one)]
    assert len(topics) == len(set(topics))
    assert {"node-0001/sensor/temperature/state", "node-0001/sensor/latitude/state"} < set(topics)
    assert topics.count("node-0001/sensor/wifi_signal/state") == 1


def test_a_reboot_is_of_all_parts_and_a_fault_of_a_sensor_of_one() -> None:
    times = {"from": "2026-03-04T12:00:05Z", "to": "2026-03-04T12:00:20Z"}
    faults = [
        {"type": "reboot", "kind": "people", "devices": ["box-0002"], **times},
        {"type": "silent_death", "kind": "bme280", "devices": ["box-0001.bme280"], **times},
        {"type": "delay", "kind": "people", "rate": "60/h", "duration": "1m", "share": 0.5},
        {"type": "bias", "kind": "bme280", "field": "temperature_c", "offset": 20.0, "devices": ["box-0003"], **times},
    ]
    line = Timeline(scenario(BOX, faults=faults), NOON_MS)
    struck: dict[str, dict[int, set[int]]] = {}
    for one in line.fault_transitions(NOON_MS, NOON_MS + 3_600_000, first=True):
        struck.setdefault(one.fault.type_name, {}).setdefault(one.at_ms, set()).add(one.position)
    assert set(map(frozenset, struck["reboot"].values())) == {frozenset({2, 3})}
    assert set(map(frozenset, struck["silent_death"].values())) == {frozenset({0, 1})}
    pairs = ({0, 1}, {2, 3}, {4, 5})
    assert struck["delay"]
    assert all(all(pair <= at or not pair & at for pair in pairs) for at in struck["delay"].values())
    spoken = [orjson.loads(one) for one in line.batch(NOON_MS, NOON_MS + 180_000).payload]
    boots = {one["device_id"]: set() for one in spoken}
    for one in spoken:
        boots[one["device_id"]].add(one["boot"])
    assert boots["box-0002.bme280"] == boots["box-0002.people"]
    assert len(boots["box-0002.people"]) == 2
    assert len(boots["box-0001.people"]) == 1
    labels = line.labels(NOON_MS, NOON_MS + 180_000)
    assert {(one.device_id, one.kind) for one in labels if one.type == "reboot"} == {
        ("box-0002.bme280", "bme280"), ("box-0002.people", "people"),
    }  # fmt: skip
    assert {one.device_id for one in labels if one.type == "bias"} == {"box-0003.bme280"}


def test_a_command_sets_a_fault_of_the_connection_at_all_parts() -> None:
    line = Timeline(scenario(BOX), NOON_MS)
    fault = scenario(BOX, faults=[{"type": "delay", "kind": "people", "rate": "1/h", "duration": "1m"}]).faults[0]
    line.faults.set_fault(fault, [1], NOON_MS + 1000, NOON_MS + 9000)
    begun = [one.position for one in line.fault_transitions(NOON_MS, NOON_MS + 60_000, first=True) if one.begins]
    assert begun == [0, 1]
    assert line.faults.clear_faults([0], NOON_MS + 2000) == 2


def test_the_scenario_in_a_record_is_read_again_as_it_was() -> None:
    own = {"device": [{"kind": "bme280", **OWN}, {"kind": "gps"}], "count": 2}
    loaded = scenario(BOX, own)
    again = Scenario.model_validate(spoken_scenario(loaded))
    assert scenario_digest(again) == scenario_digest(loaded)
    assert [device for device, _ in all_devices(again)] == [device for device, _ in all_devices(loaded)]


def test_a_change_of_one_part_has_the_whole_device_come_anew() -> None:
    before = scenario(BOX)
    faster = [BOX["device"][0] | {"interval": "5s"}, BOX["device"][1]]
    told = compare_scenarios(before, scenario(BOX | {"device": faster}))
    assert told.intervals == {f"box-000{n}.bme280": 5000 for n in (1, 2, 3)}
    assert (told.replaced, told.kept) == ((), 3)
    quiet = [BOX["device"][0] | {"qos": 0}, BOX["device"][1]]
    assert len(compare_scenarios(before, scenario(BOX | {"device": quiet})).replaced) == 6
    more = [*BOX["device"], {"kind": "gps"}]
    grown = compare_scenarios(before, scenario(BOX | {"device": more}))
    assert (len(grown.added), len(grown.replaced), grown.removed) == (3, 6, ())
    larger = compare_scenarios(before, scenario(BOX | {"count": 4}))
    assert larger.added == ("box-0004.bme280", "box-0004.people")
    shares = DeviceShares(before, 2).dealt(larger)
    assert shares.owner("box-0004.bme280") == shares.owner("box-0004.people")
    shares = DeviceShares(before, 2).dealt(grown)
    assert shares.owner("box-0002.gps") == shares.owner("box-0002.bme280") == 1


def test_control_names_devices_and_their_parts() -> None:
    loaded = scenario(
        {"kind": "gps"},
        BOX,
        {"device": [{"kind": "gps"}], "id": "gps-box-{n}"},
        {"device": [{"kind": "gps"}], "ids": ["x"]},
    )
    assert group_names(loaded) == ["gps", "box.bme280", "box.people", "gps-box.gps", "device.gps"]
    assert group_numbers(loaded, "box") == (1, 2)
    with pytest.raises(ConfigError, match=r"box has several parts: name one of box\.bme280, box\.people"):
        group_number(loaded, "box")
    with pytest.raises(ConfigError, match="did you mean 'box'"):
        group_numbers(loaded, "bax")
    more = scaled(loaded, 2, 7)
    assert [group.size for group in more.devices] == [1, 7, 7, 1, 1]
    faster = at_interval(loaded, 2, 500, None, 1)
    assert [group.interval for group in faster.devices[1:3]] == [10_000, 500]


def test_one_account_has_the_rights_of_all_parts() -> None:
    (account, *_) = fleet_accounts(scenario(BOX))
    assert account.name == "box-0001"
    assert "edge/default/people/box-0001.people/event" in account.rights.writes
    assert "edge/default/device/box-0001/status" in account.rights.writes
    assert account.rights.reads == ("edge/default/device/box-0001/cmd",)
    assert contract_ids([account]) == dict.fromkeys(("box-0001", "box-0001.bme280", "box-0001.people"), "box-0001")


def test_identities_are_those_of_devices(tmp_path: Path) -> None:
    table = tmp_path / "boxes.csv"
    table.write_text("id,client_id,line,username,password\nb1,c1,north,u1,p1\nb2,c2,south,u2,p2\n")
    part = {"kind": "bme280", "topic": "plant/{line}/{id}/air", "payload": {"t": "temperature_c"}}
    loaded = scenario({"device": [part, {"kind": "gps"}], "identities": str(table), "hardware": ["b2"]})
    devices = [device for device, _ in all_devices(loaded)]
    assert [(device.device_id, device.client_id) for device in devices[:2]] == [("b1.bme280", "c1"), ("b1.gps", "c1")]
    assert [device.device_id for device in Timeline(loaded, 0).devices] == ["b1.bme280", "b1.gps"]
    assert [(one.name, one.username) for one in fleet_accounts(loaded)] == [("b1", "u1"), ("b2", "u2")]


AIR = {"kind": "bme280", "topic": "x/{id}", "payload": {"t": "temperature_c"}}


@pytest.mark.parametrize(
    ("group", "at", "said"),
    [
        ({"device": []}, ("device",), "and there is none"),
        ({"device": "bme280"}, ("device",), "lists the parts of a device"),
        ({"device": {"kind": "bme280"}}, ("device",), "lists the parts of a device"),
        ({"device": [AIR | {"topic": "x/{gateway}"}]}, ("device", 0, "topic"), "nothing is called {gateway}"),
        ({"device": [3]}, ("device", 0), "should be a mapping"),
        ({"device": [{"kind": "bme280"}] * 21}, ("device",), "20 are the most"),
        ({"device": [{"interval": "1s"}]}, ("device", 0), "key 'kind' is missing"),
        ({"device": [{"kind": "bme280"}, {"kind": "pepole"}]}, ("device", 1, "kind"), "did you mean 'people'"),
        ({"device": [{"kind": "bme280"}] * 2}, ("device", 1, "kind"), "such as name: bme280-2"),
        ({"device": [{"kind": "gps", "name": "a b"}]}, ("device", 0, "name"), "should be letters"),
        ({"device": [{"kind": "bme280", "intervl": "1s"}]}, ("device", 0, "intervl"), "did you mean 'interval'"),
        ({"device": [{"kind": "bme280", "count": 2}]}, ("device", 0, "count"), "write it beside device"),
        ({"device": [{"kind": "bme280", "device": []}]}, ("device", 0, "device"), "has no parts"),
        ({"device": [{"kind": "bme280", "gateway": {}}]}, ("device", 0, "gateway"), "leave this out"),
        ({"device": [{"kind": "people", "jitter": "1s"}]}, ("device", 0, "jitter"), "leave it out"),
        ({"device": [{"kind": "bme280"}], "kind": "bme280"}, ("kind",), "is of each part"),
        ({"device": [{"kind": "bme280"}], "interval": "1s"}, ("interval",), "is of each part"),
        ({"device": [{"kind": "bme280"}], "conut": 2}, ("conut",), "did you mean 'count'"),
        ({"device": [{"kind": "bme280"}], "gateway": {"count": 1}}, ("gateway",), "is behind no gateway"),
        ({"device": [{"kind": "bme280"}], "standby": True}, ("standby",), "write standby: false"),
        ({"device": [{"kind": "bme280"}], "site": "x"}, ("site",), "is not one of default"),
        ({"device": [{"kind": "bme280"}], "vehicles": [1]}, ("vehicles",), "no part of the device rides"),
        ({"device": [{"kind": "bme280"}], "name": "box", "ids": ["a"]}, ("name",), "leave it out, or ids"),
        ({"device": [{"kind": "bme280"}], "ids": ["a" * 60]}, ("ids",), "would have more than 64 letters"),
        ({"device": [{"kind": "bme280"}], "fields": {"part": "x"}}, ("fields", "part"), "is what every device has"),
        ({"device": [{"kind": "bme280"}, {"kind": "gps"}], "dialect": "tasmota"}, ("dialect",), "in one message"),
        ({"device": [{"kind": "bme280"}], "dialect": "zigbee2mqtt"}, ("dialect",), "in one message"),
        (
            {"device": [AIR | {"payload": {"t": "temperature_c", "b": "boot", "s": "seq"}}]},
            ("device", 0, "payload"),
            "leave boot or seq out",
        ),
        ({"device": [AIR | {"batch": 2}]}, ("device", 0, "batch"), "say each reading by itself"),
        ({"device": [AIR | {"payload": {"t": "temprature_c"}}]}, ("device", 0, "payload"), "'temperature_c'"),
        ({"device": {"part": "gps", "parts": ["gps", "people"]}, "kind": "gps"}, ("device",), "lists the parts"),
        ({"kind": "bme280", "name": "box"}, ("name",), "is of a device with parts"),
        ({"kind": "bme280", "topic": "x/{id}/{part}", "payload": {"t": "temperature_c"}}, ("topic",), "{part}"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_where_it_stands(group: dict[str, Any], at: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ValidationError) as raised:
        scenario({"kind": "gps"}, BOX, group)
    (fault,) = raised.value.errors()
    assert fault["loc"] == ("devices", 2, *at)
    assert said in fault["msg"]


def test_two_parts_on_one_topic_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(
        "devices:\n  - kind: gps\n  - count: 2\n    device:\n"
        "      - {kind: bme280, topic: 'x/{id}', payload: {t: temperature_c}}\n"
        "      - {kind: gps, topic: 'x/{id}', payload: {v: speed_kmh}}\n"
    )
    with pytest.raises(ConfigError, match=r"s.yaml:6: devices\[1\].device\[1\].topic: .*of devices\[1\].device\[0\]"):
        load_scenario(file)


def test_a_fault_that_names_a_device_without_such_a_part_is_refused() -> None:
    entry = {"type": "dropout", "kind": "gps", "devices": ["box-0001"], "rate": "1/h", "duration": "1m"}
    with pytest.raises(ConfigError, match="'box-0001' has no part that is a gps: it has bme280, people"):
        Timeline(scenario(BOX, {"kind": "gps"}, faults=[entry]), 0)


def test_two_devices_of_one_id_are_refused() -> None:
    with pytest.raises(ConfigError, match="two devices are called 'box-0001'"):
        all_devices(scenario(BOX, {"kind": "gps", "ids": ["box-0001"]}))


def test_what_parts_say_on_one_topic_is_put_together() -> None:
    said = [
        Publication("a", b'{"x":{"p":1},"n":1}', retain=True),
        Publication("a", b'{"x":{"q":2},"n":2}', retain=True),
        Publication("b", b"online", retain=True),
        Publication("b", b"online", retain=True),
        Publication("b", b"other", retain=True),
    ]
    assert [(one.topic, one.payload) for one in joined(said)] == [
        ("a", b'{"x":{"p":1,"q":2},"n":1}'), ("b", b"online"), ("b", b"other"),
    ]  # fmt: skip


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 3), min_size=1), min_size=1, max_size=4))
def test_objects_put_together_have_the_keys_of_all(bodies: list[dict[str, int]]) -> None:
    (one,) = joined(Publication("t", orjson.dumps(body), retain=False) for body in bodies)
    whole = orjson.loads(one.payload)
    assert whole.keys() == set().union(*bodies)
    assert all(whole[key] == next(body[key] for body in bodies if key in body) for key in whole)


def test_keys_of_parts_are_not_drawn_together() -> None:
    devices = [device for device, _ in all_devices(scenario(BOX))]
    assert np.unique([device.key for device in devices]).size == len(devices)
