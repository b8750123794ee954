"""Who may publish and read what, by the formats that devices speak, and whom Mosquitto cannot know."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from devices.scenario.loading import load_scenario
from devices.scenario.scenario import Scenario
from edgefleet.cli import app
from edgefleet.provision import Account, ServiceRights, fleet_accounts, service_rights
from edgefleet.provision.mosquitto import acl_file
from edgefleet.provision.rights import TopicRights, covers
from edgewire.errors import ConfigError
from edgewire.mqtt.filters import filter_matches

OWN = {"topic": "plant/{line}/{id}/state", "payload": {"t": "temperature_c"}, "fields": {"line": "a"}}


def scenario(*groups: dict[str, Any]) -> Scenario:
    return Scenario.model_validate({"devices": [{"kind": "bme280", **group} for group in groups]})


def accounts(*groups: dict[str, Any]) -> dict[str, Account]:
    return {account.name: account for account in fleet_accounts(scenario(*groups))}


def may(account: Account, access: str, topic: str) -> bool:
    filters = account.rights.writes if access == "write" else account.rights.reads
    return any(filter_matches(one, topic) for one in filters)


@pytest.mark.parametrize(
    ("group", "name", "writes", "reads"),
    [
        ({"dialect": "tasmota", "id": "t-{n}"}, "t-1",
         ["tele/t-1/SENSOR", "tele/t-1/LWT", "tele/t-1/INFO3", "stat/t-1/RESULT", "stat/t-1/STATUS8", "cmnd/t-1/POWER"],
         ["cmnd/t-1/TelePeriod", "cmnd/tasmotas/Status"]),
        ({"dialect": "esphome", "id": "e-{n}"}, "e-1",
         ["e-1/status", "e-1/sensor/temperature/state", "homeassistant/sensor/e-1/temperature/config"], []),
        ({"dialect": "shelly", "id": "s-{n}"}, "s-1",
         ["s-1/events/rpc", "s-1/online", "s-1/status/humidity:0", "edgefleet-operator/rpc"],
         ["s-1/rpc", "s-1/command"]),
        ({"kind": "gps", "dialect": "owntracks", "id": "o-{n}"}, "o-1",
         ["owntracks/default/o-1", "owntracks/default/o-1/dump"], ["owntracks/default/o-1/cmd"]),
        ({**OWN, "ids": ["Prëss 1:x"]}, "Prëss 1:x", ["plant/a/Prëss 1:x/state"], []),
        ({"id": "n-{n}", "discovery": "homeassistant"}, "n-1",
         ["edge/default/bme280/n-1/telemetry", "homeassistant/device/n-1/config"],
         ["edge/default/bme280/n-1/cmd", "homeassistant/status"]),
        ({"count": 2, "gateway": {"count": 1}}, "gateway-0001",
         ["edge/default/gateway/gateway-0001/status", "edge/default/bme280/bme280-0002/telemetry",
          "edge/default/bme280/bme280-0001/result"], ["edge/default/bme280/bme280-0002/cmd"]),
        ({**OWN, "count": 2, "gateway": {"count": 1, "availability": {"topic": "plant/{gateway}/up"}}}, "gateway-0001",
         ["plant/gateway-0001/up", "plant/a/bme280-0002/state"], []),
        ({"dialect": "zigbee2mqtt", "count": 2}, "gateway-0001",
         ["zigbee2mqtt/bridge/state", "zigbee2mqtt/another name", "zigbee2mqtt/bme280-0001/availability"],
         ["zigbee2mqtt/bridge/request/restart", "zigbee2mqtt/bme280-0001/set"]),
        ({"dialect": "sparkplug", "id": "p-{n}"}, "p-1",
         ["spBv1.0/default/NBIRTH/p-1", "spBv1.0/default/NDATA/p-1", "spBv1.0/default/NDEATH/p-1"],
         ["spBv1.0/default/NCMD/p-1"]),
        ({"dialect": "sparkplug", "count": 2, "gateway": {"count": 1}}, "gateway-0001",
         ["spBv1.0/default/NBIRTH/gateway-0001", "spBv1.0/default/NDEATH/gateway-0001",
          "spBv1.0/default/DBIRTH/gateway-0001/bme280-0002", "spBv1.0/default/DDATA/gateway-0001/bme280-0002",
          "spBv1.0/default/DDEATH/gateway-0001/bme280-0001"],
         ["spBv1.0/default/NCMD/gateway-0001", "spBv1.0/default/DCMD/gateway-0001/bme280-0002"]),
    ],
)  # fmt: skip
def test_each_may_what_its_format_says_and_nothing_of_others(
    group: dict[str, Any], name: str, writes: list[str], reads: list[str]
) -> None:
    others = ({"count": 1, "id": "other-{n}"}, {"count": 1, "dialect": "tasmota", "id": "foreign-{n}"})
    found = accounts(group, *others)
    for access, topics in (("write", writes), ("read", reads)):
        for topic in topics:
            assert may(found[name], access, topic), topic
            assert [one.name for one in found.values() if may(one, access, topic)] == [name] or "tasmotas" in topic
    for topic in ("edge/default/bme280/other-1/telemetry", "tele/foreign-2/SENSOR", "cmnd/foreign-2/POWER"):
        assert not may(found[name], "write", topic)
    services = service_rights(scenario(group, *others))
    for topic in writes:
        assert any(filter_matches(one, topic) for one in services.reads), topic
    for topic in reads:
        told_to_all = topic == "homeassistant/status"
        assert any(filter_matches(one, topic) for one in services.commands) != told_to_all, topic


def test_what_many_may_by_their_names_is_one_line() -> None:
    found = fleet_accounts(scenario({"dialect": "tasmota", "count": 3, "id": "t-{n}"}, {**OWN, "ids": ["x", "y"]}))
    lines = acl_file(["bridge"], ["person"], found, service_rights(scenario(OWN))).splitlines()
    assert lines.count("pattern write tele/%u/SENSOR") == 1
    assert lines.count("pattern write plant/a/%u/state") == 1
    assert "topic read plant/+/+/state" in lines[lines.index("user bridge") : lines.index("user person")]
    assert "topic write tele/t-1/SENSOR" not in lines
    assert "topic read cmnd/tasmotas/#" in lines[lines.index("user t-2") :]


def test_the_bridge_may_ask_nodes_of_sparkplug_for_their_births_and_tell_its_state() -> None:
    groups = [{"dialect": {"dialect": "sparkplug", "host_id": "scada"}}, {"dialect": {"dialect": "sparkplug"}}]
    lines = acl_file(["bridge"], ["person"], [], service_rights(scenario(*groups))).splitlines()
    bridge = lines[lines.index("user bridge") : lines.index("user person")]
    written = [line for line in bridge if line.startswith("topic write")]
    assert written == [
        "topic write bridge/#", "topic write spBv1.0/+/NCMD/+", "topic write spBv1.0/STATE/scada",
    ]  # fmt: skip
    assert "topic write spBv1.0/+/NCMD/+" in lines[lines.index("user person") :]
    without = service_rights(scenario({"dialect": {"dialect": "sparkplug", "rebirth": False}}))
    assert without.requests == service_rights(scenario(OWN)).requests == ()


def test_a_name_that_is_a_level_of_others_topics_makes_no_pattern() -> None:
    rights = [TopicRights((f"{place}/{name}/{place}",)) for place, name in (("q", "a"), ("q", "b"), ("b", "q"))]
    found = [Account(name, rights=one) for name, one in zip("abq", rights, strict=True)]
    text = acl_file([], [], found, ServiceRights())
    # As a pattern `q/%u/q` would let q, and whoever is called so, write q/q/q.
    assert "pattern write q/" not in text
    assert "user a\ntopic write q/a/q\n" in text


@pytest.mark.parametrize("topic", ["a/%u/b", "a/%c"])
def test_what_mosquitto_would_fill_in_a_pattern_stands_in_a_topic(topic: str) -> None:
    found = [Account(name, rights=TopicRights((f"{topic}/{name}",))) for name in ("x", "y")]
    assert f"user x\ntopic write {topic}/x\n" in acl_file([], [], found, ServiceRights())


def test_a_topic_that_no_line_holds_is_refused() -> None:
    with pytest.raises(ConfigError, match="topic 'a/b ' begins or ends with a space"):
        acl_file([], [], [Account("x", rights=TopicRights(("a/b ",)))], ServiceRights())


@pytest.mark.parametrize(
    ("wider", "narrower", "covered"),
    [
        ("a/#", "a", True), ("a/#", "a/+/b", True), ("#", "a/#", True), ("a/+", "a/b", True), ("a/+", "a/+", True),
        ("a/+", "a/#", False), ("a/+", "a/b/c", False), ("a/b", "a/+", False), ("+/b/c", "a/b", False),
    ],
)  # fmt: skip
def test_which_filter_has_all_of_another(wider: str, narrower: str, covered: bool) -> None:
    assert covers(wider, narrower) == covered


FOREIGN = "kind: bme280, topic: 'p/{id}', payload: {t: temperature_c}"


@pytest.mark.parametrize(
    ("auth", "name", "said"),
    [
        ("password", "a:b", "a user name that has a colon, where Mosquitto's file of passwords takes a name to end"),
        ("certificate", "a:b", ""),
        ("password", "Prëss 1 %u", ""),
        ("password", "ä" * 33, ""),
        ("certificate", "ä" * 33, "a certificate has room for 64 bytes of a name, and this has 66"),
        ("password", " a", "begins or ends with a space, which Mosquitto cuts off"),
        ("password", "edgefleet-bridge", "has the name of an account with more rights"),
    ],
)
def test_an_id_that_cannot_be_a_user_name_is_one_sentence(tmp_path: Path, auth: str, name: str, said: str) -> None:
    (tmp_path / "s.yaml").write_text(f"devices: [{{{FOREIGN}, ids: ['{name}']}}]", encoding="utf-8")
    out = tmp_path / "secrets"
    done = CliRunner().invoke(app, ["provision", str(tmp_path / "s.yaml"), "--out", str(out), "--auth", auth])
    if said:
        assert isinstance(done.exception, ConfigError)
        assert str(done.exception).startswith(f"device '{name}'")
        assert said in str(done.exception)
        assert "username" in str(done.exception)
        return
    assert done.exit_code == 0, done.exception
    is_short = len(name.encode()) <= 64
    assert (out / "devices" / f"{name}.pem").exists() == is_short
    assert ("have a password and no certificate" in " ".join(done.output.split())) != is_short


def table(tmp_path: Path, *rows: str) -> str:
    (tmp_path / "fleet.csv").write_text(
        "\n".join(["id,username,password,certificate,client_id"[: None if "PLC" in rows[0] else -10], *rows]) + "\n"
    )
    return f"{{{FOREIGN}, identities: fleet.csv}}"


def provision_table(tmp_path: Path, auth: str, *rows: str, also: str = "") -> Any:
    (tmp_path / "s.yaml").write_text(f"devices: [{table(tmp_path, *rows)}{also}]")
    arguments = ["provision", str(tmp_path / "s.yaml"), "--out", str(tmp_path / "secrets"), "--auth", auth]
    return CliRunner().invoke(app, arguments)


def test_names_and_passwords_of_a_file_are_those_of_the_broker(tmp_path: Path) -> None:
    done = provision_table(tmp_path, "password", "a:1,one,secret one,", "b:2,two,,", "c,,,")
    assert done.exit_code == 0, done.exception
    users = dict(line.split(",") for line in (tmp_path / "secrets" / "credentials.csv").read_text().splitlines())
    assert users["one"] == "secret one"
    assert len(users["two"]) == len(users["c"]) == 22
    assert "secret one" not in done.output
    # A password that is another in the file is another for the broker.
    provision_table(tmp_path, "password", "a:1,one,changed,", "b:2,two,,", "c,,,")
    again = dict(line.split(",") for line in (tmp_path / "secrets" / "credentials.csv").read_text().splitlines())
    assert again == users | {"one": "changed"}


def test_the_fleet_takes_the_folder_for_what_its_file_does_not_say(tmp_path: Path) -> None:
    from devices.fleet.brokers import broker_pool_for

    provision_table(tmp_path, "password", "a:1,one,secret,,PLC 1", "b:2,two,,,PLC 2", "c,,,,PLC 3")
    loaded = load_scenario(tmp_path / "s.yaml").with_keys(broker="mqtts://h", identities=tmp_path / "secrets")
    pool = broker_pool_for(loaded, ["a:1", "b:2", "c"])
    users = dict(line.split(",") for line in (tmp_path / "secrets" / "credentials.csv").read_text().splitlines())
    (broker,) = loaded.broker_urls
    found = [pool.identities.credentials_for(client_id, broker) for client_id in ("PLC 1", "PLC 2", "PLC 3", "probe")]
    expected = {
        "one": "secret",
        "two": users["two"],
        "c": users["c"],
        "edgefleet-operator": users["edgefleet-operator"],
    }
    assert found == [(user, password.encode()) for user, password in expected.items()]


@pytest.mark.parametrize(
    ("rows", "also", "said"),
    [
        (["a,same,x,", "b,same,y,"], "", "device 'b', whose user name is 'same' has the user name of 'a' as well"),
        (["a,b-1,x,"], ", {kind: bme280, ids: [b-1]}", "may by that name speak as the device of that id"),
        (["a,u+,x,"], "", "has a + or #, and Mosquitto lets nobody of such a name do anything"),
    ],
)
def test_users_that_would_be_others_are_refused(tmp_path: Path, rows: list[str], also: str, said: str) -> None:
    done = provision_table(tmp_path, "password", *rows, also=also)
    assert isinstance(done.exception, ConfigError)
    assert said in str(done.exception)
    assert not (tmp_path / "secrets").exists()


def test_certificates_of_a_file_are_to_be_of_the_folder(tmp_path: Path) -> None:
    assert provision_table(tmp_path, "certificate", "a,,,").exit_code == 0
    own = tmp_path / "secrets" / "devices" / "a.pem"
    assert provision_table(tmp_path, "certificate", f"a,,,{own}").exit_code == 0
    done = provision_table(tmp_path, "certificate", f"a,other,,{own}")
    assert "is of 'a', and the broker would take it for that one" in str(done.exception)
    (tmp_path / "foreign.pem").write_bytes((tmp_path / "secrets" / "service-ca.crt").read_bytes())
    done = provision_table(tmp_path, "certificate", "a,,,foreign.pem")
    assert "foreign.pem is not signed by the authority of this folder" in str(done.exception)


def test_who_is_called_otherwise_gets_another_certificate(tmp_path: Path) -> None:
    from edgefleet.provision.authority import common_name

    provision_table(tmp_path, "certificate", "a,one,,")
    path = tmp_path / "secrets" / "devices" / "a.pem"
    assert common_name(path.read_bytes()) == "one"
    done = provision_table(tmp_path, "certificate", "a,two,,")
    assert "renewed  certificates of a:" in " ".join(done.output.split()).replace("renewed ", "renewed  ")
    assert common_name(path.read_bytes()) == "two"
