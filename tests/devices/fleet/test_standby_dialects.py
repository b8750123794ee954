"""Emulators in standby in every format that there is: what is their own is never another's, and what is not is."""

from typing import Any, NamedTuple
from unittest.mock import Mock

import orjson
import pytest

from devices.firmware.outbox import Reading
from devices.fleet.command_handler import CommandHandler
from devices.fleet.own_publications import ECHO_S, OwnPublications
from devices.fleet.standby_client import BY_MESSAGE, BY_STATUS, QUIET_S
from edgewire.dialects.registry import DIALECTS
from edgewire.mqtt import Message, Version
from tests.devices.fleet.standby_place import POWER_ON_MS, Place


class Speaker(NamedTuple):
    """How a group speaks, and what a real sensor says there."""

    group: dict[str, Any]
    reading: bytes
    """Of a real sensor, on the topic of the emulator's last address."""
    birth: bytes = b""
    """Of a real sensor; empty where there is none."""
    will: bytes = b""
    asked: tuple[tuple[str, bytes], ...] = ()
    """Commands that are answered on topics of readings."""


_SENSOR = b'{"Time":"2026-03-04T12:00:01","BME280":{"Temperature":19.1,"Humidity":40.2,"Pressure":1001.2}}'
_SHELLY = b'{"src":"d","dst":"d/events","method":"NotifyStatus","params":{"ts":1.0,"temperature:0":{"id":0,"tC":19.5}}}'
_PHONE = b'{"_type":"location","tst":1772625601,"lat":48.1,"lon":11.5,"tid":"ab"}'
_HARDWARE = {"origin": "hardware", "boot": 7}
OWN = {"topic": "x/{id}/{kind}", "payload": {"t": "temperature_c", "n": {"b": "boot"}}}
NATIVE = Speaker(
    {},
    b'{"boot":7,"seq":1}',
    orjson.dumps({"state": "online"} | _HARDWARE),
    orjson.dumps({"state": "offline"} | _HARDWARE),
)
SPEAKERS: dict[str, Speaker] = {
    "edgefleet": NATIVE,
    "edgefleet, to Home Assistant": NATIVE._replace(group={"discovery": "homeassistant"}),
    "tasmota": Speaker(
        {"id": "d", "dialect": "tasmota"}, _SENSOR, b"Online", b"Offline",
        (("cmnd/d/TelePeriod", b""), ("cmnd/d/STATUS", b"8"), ("cmnd/d/STATE", b"")),
    ),
    "tasmota, other topics, to Home Assistant": Speaker(
        {"id": "d", "dialect": {"dialect": "tasmota", "full_topic": "%topic%/%prefix%/"}, "discovery": "homeassistant"},
        _SENSOR, b"Online", b"Offline",
        (("d/cmnd/TelePeriod", b""),),
    ),
    "esphome": Speaker({"id": "d", "dialect": "esphome"}, b"997.13", b"online", b"offline"),
    "esphome, below a prefix": Speaker(
        {"id": "d", "dialect": {"dialect": "esphome", "topic_prefix": "home/up"}}, b"997.13", b"online", b"offline"
    ),
    "shelly": Speaker(
        {"id": "d", "dialect": "shelly"}, _SHELLY, b"true", b"false",
        (("d/command", b"status_update"), ("d/rpc", b'{"id":1,"src":"d/events","method":"Shelly.GetStatus"}')),
    ),
    "shelly, in both forms": Speaker(
        {"id": "d", "dialect": {"dialect": "shelly", "status_ntf": True}}, b'{"id":0,"rh":12.5}', b"true", b"false",
        (("d/command", b"status_update"),),
    ),
    "owntracks": Speaker(
        {"id": "d", "kind": "gps", "dialect": "owntracks"}, _PHONE, b"", b'{"_type":"lwt","tst":1772625601}',
        (("owntracks/default/d/cmd", b'{"_type":"cmd","action":"reportLocation"}'),),
    ),
    "senml": Speaker({"id": "d", "dialect": "senml"}, b'[{"bn":"d/","n":"temperature","u":"Cel","v":19.5}]'),
    "influx": Speaker({"id": "d", "dialect": "influx"}, b"bme280,device_id=d temperature_c=19.5 1772625601000000000"),
    "cloudevents": Speaker(
        {"id": "d", "dialect": "cloudevents"}, b'{"specversion":"1.0","id":"1","source":"/d","type":"t","data":{"a":1}}'
    ),
    "thingsboard": Speaker(
        {"id": "d", "dialect": {"dialect": "thingsboard", "prefix": "{id}/"}}, b'{"ts":1772625601000,"values":{"a":1}}'
    ),
    "aws-iot": Speaker({"id": "d", "dialect": "aws-iot"}, b'{"temperature_c":19.5}'),
    "azure-iot": Speaker(
        {"id": "d", "dialect": {"dialect": "azure-iot", "prefix": "{id}/"}}, b'{"temperature_c":19.5}'
    ),
    "homie": Speaker({"id": "d", "dialect": "homie"}, b"997.13", b"ready", b"lost"),
    "own": Speaker(OWN, b'{"t":19.5,"n":{"b":7}}'),
    "own, bare values": Speaker({"topic": "x/{id}", "payload": {"from": "temperature_c", "round": 1}}, b"88.8"),
}  # fmt: skip
VERSIONS = [Version.V5, Version.V311]


def place(speaker: Speaker, version: Version = Version.V5) -> Place:
    found = Place(version, **speaker.group)
    found.client.session.version = version
    found.connect()
    return found


def readings(there: Place) -> list[Reading]:
    """The messages of some readings that the emulator takes."""
    batch = there.timeline.batch(POWER_ON_MS, POWER_ON_MS + 700_000)
    rows = zip(batch.seq, batch.address, batch.payload, strict=True)
    topics = there.client.topics
    found = [Reading(seq, topics[address], payload, 0, 5, address) for seq, address, payload in rows][:6]
    assert found
    return found


def ask(there: Place, topic: str, payload: bytes) -> None:
    """Have the device do what a command says, as its fleet would."""
    there.owner.timeline = there.timeline
    # A phone knows by then where it is.
    there.owner.device_time_ms = lambda: POWER_ON_MS + 60_000
    there.owner.pacer = Mock(computed_until_ms=POWER_ON_MS)
    message = Message(topic, payload, 1, False, False, 1, {}, 1)
    CommandHandler(there.owner).handle_command(there.client, message)


def listened_to(there: Place) -> list[tuple[str, bytes]]:
    topics = {there.client.status_topic, *there.client.reading_topics}
    return [one for one in there.said() if one[0] in topics]


def test_every_dialect_is_tried_here() -> None:
    with_own_connections = {
        one.name for one in DIALECTS.values() if one.encoder is not None and not one.has_gateways and one.allows_standby
    }
    tried = [one.group.get("dialect", "") for one in SPEAKERS.values()]
    assert with_own_connections <= {one if isinstance(one, str) else one["dialect"] for one in tried}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", SPEAKERS)
def test_what_comes_back_of_its_own_leaves_it_where_it_is(name: str, version: Version) -> None:
    speaker, there = SPEAKERS[name], place(SPEAKERS[name], version)
    for reading in readings(there):
        there.client.handle_reading(reading)
    for topic, payload in speaker.asked:
        before = len(there.said())
        ask(there, topic, payload)
        assert len(there.said()) > before
    heard = listened_to(there)
    assert heard
    will = there.client.session.will
    for topic, payload in heard:
        if topic == there.client.status_topic or version is Version.V311:
            there.hear_elsewhere(topic, payload)
    if will is not None:
        there.hear_elsewhere(will.topic, will.payload)
    assert there.why() is None
    # What was sent again after a loss may come back twice.
    if version is Version.V311:
        for topic, payload in heard:
            if topic != there.client.status_topic:
                there.hear_elsewhere(topic, payload)
    assert there.why() is None


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", [name for name, one in SPEAKERS.items() if one.birth])
def test_a_birth_of_another_lets_it_withdraw_though_it_has_the_bytes_of_its_own(name: str, version: Version) -> None:
    speaker, there = SPEAKERS[name], place(SPEAKERS[name], version)
    topic = there.client.status_topic
    for status in [payload for where, payload in there.said() if where == topic]:
        there.hear_elsewhere(topic, status)
    assert there.why() is None
    there.hear_elsewhere(topic, speaker.birth, retained="edgefleet" not in name)
    assert there.why() == (BY_STATUS if "edgefleet" in name else None), "what is retained may be its own of long ago"
    there.hear_elsewhere(topic, speaker.birth)
    assert there.why() == BY_STATUS


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", SPEAKERS)
def test_a_reading_of_another_lets_it_withdraw(name: str, version: Version) -> None:
    speaker, there = SPEAKERS[name], place(SPEAKERS[name], version)
    topic = there.client.reading_topics[-1]
    there.hear_elsewhere(topic, speaker.reading, retained=True)
    there.hear_elsewhere(topic, b"")
    assert there.why() is None, "retained of long ago, or taken out of what is retained"
    there.hear_by_any_way(topic, speaker.reading)
    assert there.why() == BY_MESSAGE
    there.lose()
    there.now_s += 20
    there.hear_elsewhere(topic, speaker.reading)
    assert there.client.absence is not None
    assert there.client.absence.heard_s == there.now_s


@pytest.mark.parametrize("name", [name for name, one in SPEAKERS.items() if one.will])
def test_a_will_that_comes_late_lets_nobody_withdraw_and_does_not_stand(name: str) -> None:
    speaker, there = SPEAKERS[name], place(SPEAKERS[name])
    topic = there.client.status_topic or there.client.reading_topics[0]
    before = len(there.said())
    there.hear_by_any_way(topic, speaker.will)
    there.client.tick()
    there.client.tick()
    assert there.why() is None
    said = there.said()[before:]
    # A phone says nothing of being there; a device of Homie is there in two steps.
    assert [where for where, _ in said] == [topic] * {"owntracks": 0, "homie": 2}.get(name, 1)
    assert all(payload != speaker.will and b'"offline"' not in payload for _, payload in said)
    for where, payload in said:
        there.hear_elsewhere(where, payload)
    assert there.why() is None


@pytest.mark.parametrize("name", [name for name, one in SPEAKERS.items() if one.will])
def test_a_will_of_the_sensor_is_no_sign_of_its_life(name: str) -> None:
    speaker, there = SPEAKERS[name], place(SPEAKERS[name])
    there.hear_by_any_way(there.client.reading_topics[-1], speaker.reading)
    there.lose()
    assert there.client.absence is not None
    heard_s, there.now_s = there.client.absence.heard_s, there.now_s + 20
    there.hear_elsewhere(there.client.status_topic or there.client.reading_topics[0], speaker.will)
    assert there.client.absence.heard_s == heard_s
    if speaker.birth:
        there.hear_elsewhere(there.client.status_topic, speaker.birth)
        assert there.client.absence.heard_s == there.now_s


def test_a_sensor_that_says_what_the_emulator_said_last_is_heard() -> None:
    there = place(SPEAKERS["own, bare values"], Version.V311)
    (reading, *_) = readings(there)
    topic = there.client.reading_topics[0]
    there.client.handle_reading(reading)
    there.hear_elsewhere(topic, reading.payload)
    assert there.why() is None
    there.hear_elsewhere(topic, b"88.8")
    assert there.client.absence is not None
    there.lose()
    there.now_s += QUIET_S + 1
    there.hear_elsewhere(topic, reading.payload)
    assert there.client.absence.heard_s == there.now_s


@pytest.mark.parametrize(
    ("payload", "least"),
    [(b'{"n":{"b":41}}', 42), (b'{"n":{"b":"41"}}', 6), (b'{"n":41}', 6), (b"[1]", 6), (b"\xff", 6), (b"{nan", 6)],
)
def test_the_boot_of_a_sensor_is_read_where_the_users_own_format_has_it(payload: bytes, least: int) -> None:
    there = place(SPEAKERS["own"])
    there.hear_by_any_way(there.client.reading_topics[0], payload)
    assert there.why() == BY_MESSAGE
    assert there.client.least_boot == least


def test_of_what_it_has_published_it_knows_the_last_minute() -> None:
    own = OwnPublications()
    own.remember_reading(b"a", 1000.0)
    own.remember_reading(b"b", 1000.0 + ECHO_S + 1)
    assert own.is_own_reading(b"a")
    own.remember_reading(b"c", 1000.0 + 2 * ECHO_S + 2)
    assert [own.is_own_reading(one) for one in (b"a", b"b", b"c")] == [False, True, True]
    own.remember_status(b"Online", 1000.0)
    assert own.take_status(b"Online", 1001.0)
    assert not own.take_status(b"Online", 1001.0)
    own.remember_status(b"Online", 1000.0)
    assert not own.take_status(b"Online", 1001.0 + ECHO_S)
