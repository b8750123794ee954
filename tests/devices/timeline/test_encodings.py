"""What devices send in CBOR and MessagePack is the JSON that they would send, with its media type in MQTT 5."""

from typing import Any

import pytest
from pydantic import ValidationError

from devices.scenario.device_group import DeviceGroup
from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from devices.timeline.wire_format import PublishOptions, WireFormat, divide_payload
from edgewire.dialects.encodings import ENCODINGS, Encoding
from edgewire.messages import Channel
from edgewire.mqtt import Version

EACH = pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=tuple(ENCODINGS))
OWN: dict[str, Any] = {"topic": "plant/{id}", "payload": {"t": "temperature_c", "b": "boot", "n": "seq"}}


def format_of(**group: Any) -> tuple[Timeline, WireFormat]:
    scenario = Scenario.model_validate({"devices": [{"kind": "bme280", "count": 1, "interval": "1s"} | group]})
    line = Timeline(scenario, 0, in_dialects=True)
    return line, line.wire_format(0)


def options_of(wire_format: WireFormat) -> PublishOptions:
    assert wire_format.options is not None
    return wire_format.options[0]


@EACH
@pytest.mark.parametrize("group", [{}, OWN])
def test_a_payload_is_encoded_as_it_leaves(encoding: Encoding, group: dict[str, Any]) -> None:
    line, spoken = format_of(encoding=encoding.name, **group)
    plain, _ = format_of(**group)
    payloads = list(line.batch(0, 3000).payload)
    assert payloads == list(plain.batch(0, 3000).payload)
    options = options_of(spoken)
    for payload in payloads:
        sent, properties = divide_payload(options, payload, None, Version.V5)
        assert encoding.to_json(sent) == payload
        assert properties == {"content_type": encoding.content_type}
        assert divide_payload(options, payload, None, Version.V311) == (sent, None)
    own = divide_payload(options, payloads[0], {"content_type": "application/mine"}, Version.V5)[1]
    assert own == {"content_type": "application/mine"}


@EACH
def test_what_a_fault_has_damaged_leaves_as_bytes_that_nobody_can_read(encoding: Encoding) -> None:
    _, spoken = format_of(encoding=encoding.name)
    damaged = b'{"device_id":\xff'
    assert divide_payload(options_of(spoken), damaged, None, Version.V311)[0] == damaged


@EACH
@pytest.mark.parametrize("group", [{}, OWN])
def test_the_boot_of_another_sender_is_heard(encoding: Encoding, group: dict[str, Any]) -> None:
    line, spoken = format_of(encoding=encoding.name, **group)
    device = line.devices[0]
    topic = spoken.topics(device)[0]
    payload = encoding.from_json(b'{"boot": 17, "b": 17}')
    assert spoken.read_heard(device, topic, payload).boot == 17
    assert spoken.read_heard(device, topic, b"\xff").boot is None
    assert spoken.parts(Channel.TELEMETRY)[0].is_numbered


def test_status_stays_json() -> None:
    line, spoken = format_of(encoding="cbor")
    [status] = spoken.status(line.devices[0], {"state": "online", "boot": 3})
    assert status.payload == b'{"state":"online","boot":3}'
    assert spoken.read_heard(line.devices[0], status.topic, status.payload).is_online


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ({"dialect": "tasmota"}, "tasmota has an encoding of its own"),
        ({"discovery": "homeassistant"}, "finds values by their place in JSON"),
        ({**OWN, "pad_to": 300}, "pad_to puts spaces behind JSON"),
        ({"topic": "t/{id}", "payload": "temperature_c"}, "a bare value is written as text"),
        ({"topic": "t/{id}", "payload": {"from": "temperature_c", "round": 1}}, "a bare value is written as text"),
    ],
)
def test_what_cannot_be_encoded_is_refused(group: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        DeviceGroup.model_validate({"kind": "bme280", "encoding": "msgpack"} | group)
