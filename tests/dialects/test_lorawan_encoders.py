"""Devices behind a LoRaWAN network server: frames as on the air, and downlinks that are carried out."""

import base64
from typing import Any

import cbor2
import orjson
import pytest

from edgewire.dialects.base import Arrival
from edgewire.dialects.registry import DIALECTS
from tests.dialects.speaking import ask, device_of, format_of, reading_of, said

CHIRPSTACK = format_of("bme280", {"dialect": "chirpstack", "dev_eui": "70b3d5000000000a", "application": "a1"})
TTS = format_of("bme280", {"dialect": "lorawan-tts", "dev_eui": "70B3D5000000000A"})
STACK = "application/a1/device/70b3d5000000000a"
THINGS = "v3/edgefleet@ttn/devices/porch-07"


@pytest.mark.parametrize(("form", "place", "counter"), [(CHIRPSTACK, (), "fCnt"), (TTS, ("uplink_message",), "f_cnt")])
def test_a_frame_has_the_values_of_the_reading_and_the_first_no_counter(
    form: Any, place: tuple[str, ...], counter: str
) -> None:
    row = reading_of("bme280")
    first, second = (orjson.loads(one.payload) for one in said("bme280", form, row, row))
    for key in place:
        first, second = first[key], second[key]
    values = first.get("object", first.get("decoded_payload"))
    frame = base64.b64decode(first.get("data", first.get("frm_payload")))
    assert cbor2.loads(frame) == list(values.values()) == [row[name] for name in values]
    assert values.keys() == {"temperature_c", "humidity", "pressure_hpa"}
    assert (counter in first, second[counter]) == (False, 1)


def test_what_has_no_value_is_neither_in_the_frame_nor_beside_it() -> None:
    row = reading_of("gps", latitude=None, longitude=None)
    form = format_of("gps", "lorawan-tts")
    uplink = orjson.loads(said("gps", form, row, row)[0].payload)["uplink_message"]
    assert "latitude" not in uplink["decoded_payload"]
    assert len(cbor2.loads(base64.b64decode(uplink["frm_payload"]))) == len(uplink["decoded_payload"])


def test_uplinks_of_one_device_have_ids_of_their_own() -> None:
    row = reading_of("bme280")
    ids = [orjson.loads(one.payload)["deduplicationId"] for one in said("bme280", CHIRPSTACK, row, row)]
    assert len(set(ids)) == 2


def test_chirpstack_tells_of_a_downlink_that_it_was_sent_and_acknowledged() -> None:
    (topic,) = CHIRPSTACK.command_topics(device_of("bme280"))
    assert topic == f"{STACK}/command/down"
    asked = b'{"devEui":"70B3D5000000000A","confirmed":true,"fPort":3,"id":"q1","object":{"interval_s":60}}'
    request, answers = ask("bme280", CHIRPSTACK, topic, asked)
    assert (request.action, request.arguments) == ("set_interval", {"interval": "60000ms"})
    decoder = DIALECTS["chirpstack"].decoder(None)
    sent, acknowledged = (decoder.decode(one.topic, one.payload, Arrival(0)) for one in answers)
    assert sent.extra["queueItemId"] == "q1"
    assert (acknowledged.values, acknowledged.extra) == ({"acknowledged": True}, {"queue_item": "q1"})
    (refused,) = ask("bme280", CHIRPSTACK, topic, asked, error="out of range")[1]
    assert refused.topic == f"{STACK}/event/log"
    assert orjson.loads(refused.payload)["description"] == "out of range"
    # Without an id it has one that the server makes; bytes are sent, and the device does not know them.
    request, answers = ask("bme280", CHIRPSTACK, topic, b'{"devEui":"70b3d5000000000a","data":"AQ=="}')
    assert request.action == ""
    assert [one.topic for one in answers] == [f"{STACK}/event/txack"]
    for none in (b"[", b"{}", b'{"devEui":"70b3d5000000000b","object":{"reboot":true}}'):
        assert ask("bme280", CHIRPSTACK, topic, none) == (None, [])


def test_the_things_stack_tells_of_each_downlink_what_becomes_of_it() -> None:
    push, replace = TTS.command_topics(device_of("bme280"))
    assert (push, replace) == (f"{THINGS}/down/push", f"{THINGS}/down/replace")
    asked = b'{"downlinks":[{"f_port":1,"frm_payload":"AQ=="},{"confirmed":true,"decoded_payload":{"reboot":true}}]}'
    request, answers = ask("bme280", TTS, push, asked)
    assert request.action == "reboot"
    assert [one.topic.removeprefix(f"{THINGS}/down/") for one in answers] == ["queued", "sent", "queued", "sent", "ack"]
    decoder = DIALECTS["lorawan-tts"].decoder(None)
    assert {decoder.decode(one.topic, one.payload, Arrival(0)).role for one in answers} == {"answer"}
    wrong = b'{"downlinks":[{"decoded_payload":{"interval_s":"soon"}}]}'
    request, (failed,) = ask("bme280", TTS, replace, wrong, error="'soon' is no duration")
    assert request.arguments == {"interval": "soon"}
    assert failed.topic == f"{THINGS}/down/failed"
    for none in (b"1", b'{"downlinks":[]}', b'{"downlinks":[1]}', b'{"downlinks":{}}'):
        assert ask("bme280", TTS, push, none) == (None, [])
