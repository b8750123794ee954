"""No message is so wrong that a decoder does anything but refuse it with a sentence."""

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.dialects.base import Arrival, DialectError, DialectMessage
from edgewire.dialects.home_assistant import HomeAssistantDecoder
from edgewire.dialects.registry import DIALECTS
from edgewire.dialects.values import read_json
from tests.dialects.test_captures import captures, payload_of

CAPTURES: dict[str, list[dict[str, Any]]] = {}
for _one in captures():
    CAPTURES.setdefault(_one.values[0], []).append(_one.values[1])
ARRIVAL = Arrival(1_790_000_000_000)
LEVELS = sorted(
    {level for parameters in captures() for level in parameters.values[1]["topic"].split("/")}
    | {"", "config", "device"}
)
KEYS = sorted(
    {
        "Time", "BME280", "Temperature", "TempUnit", "StatusSNS", "params", "method", "ts", "temperature:0", "tC",
        "_type", "lat", "tst", "state", "dev", "cmps", "stat_t", "val_tpl", "avty", "~", "friendly_name", "exposes",
        "last_seen", "battery", "voltage", "Wifi", "Info1", "events", "result", "migrate_discovery", "ids", "cns",
        "unit_of_meas", "ZbReceived", "ENERGY", "ESP32", "GPS", "Power",
    }
)  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8), st.sampled_from(
        ["location", "NotifyStatus", "nan", "2024-01-01T00:00:00", "{{ value_json.a }}", "~/x", "online", "1e400"]
    )
)  # fmt: skip
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


def decode(dialect: str, topic: str, payload: bytes, decoder: Any = None) -> DialectMessage | None:
    known = DIALECTS[dialect]
    decoder = decoder or known.decoder(known.options())
    try:
        message = decoder.decode(topic, payload, ARRIVAL)
    except DialectError as error:
        said = str(error)
        message = None
    if message is None:
        assert 0 < len(said) < 400 + len(topic)
        return None
    assert isinstance(message, DialectMessage)
    for values in (message.values, *message.parts.values()):
        for name, value in values.items():
            assert isinstance(value, bool | int | float | str)
            assert isinstance(value, str) or math.isfinite(value), name
            assert name not in PLACES or -PLACES[name] <= float(value) <= PLACES[name]
    return message


PLACES = {"latitude": 90, "longitude": 180}
HOSTILE = st.one_of(
    st.sampled_from(
        ["1e308", "-1e308", "1e400", "123456789012345678901234567890", "NaN", "-Infinity", "nan", "[]", "{}"]
    ),
    st.sampled_from(
        ['"\\ud800"', '"\\u0000"', '"-1.7e308"', '"nan"', '"' + "9" * 2000 + '"', "null", "true", "-0.0", "\\", "٣"]
    ),
    TREES.map(json.dumps),
)
"""What is put in the place of a value."""


@pytest.mark.parametrize("dialect", DIALECTS)
@given(data=st.data())
def test_a_capture_with_a_hostile_value_in_it_is_read_or_refused(dialect: str, data: st.DataObject) -> None:
    entry = data.draw(st.sampled_from(CAPTURES[dialect]))
    known = DIALECTS[dialect]
    decoder = known.decoder(known.options(**entry.get("options", {})))
    for earlier in entry.get("before", ()):
        decoder.decode(earlier["topic"], payload_of(earlier), ARRIVAL)
    payload = payload_of(entry).decode("latin-1") if "hex" in entry else entry["payload"]
    values = list(re.finditer(r'(?<=[:\[,])(?:"(?:[^"\\]|\\.)*"|[-\d.]+|true|false|null)(?=[,\]}])', payload)) or [
        re.compile(".*", re.DOTALL).match(payload)
    ]
    place, hostile = data.draw(st.sampled_from(values)), data.draw(HOSTILE)
    assert place is not None
    said = payload[: place.start()] + hostile + payload[place.end() :]
    written = said.encode("utf-8", "surrogatepass")
    decode(dialect, entry["topic"], said.encode("latin-1", "replace") if "hex" in entry else written, decoder)


@pytest.mark.parametrize("dialect", DIALECTS)
@given(
    topic=st.lists(st.sampled_from(LEVELS), min_size=1, max_size=5).map("/".join),
    payload=st.binary(max_size=40) | TREES.map(lambda tree: json.dumps(tree).encode()),
)
def test_whatever_comes_is_read_or_refused(dialect: str, topic: str, payload: bytes) -> None:
    decode(dialect, topic, payload)


@pytest.mark.parametrize(("dialect", "entry"), captures())
def test_a_capture_that_is_cut_or_has_other_values_is_read_or_refused(dialect: str, entry: dict[str, Any]) -> None:
    known = DIALECTS[dialect]
    decoder = known.decoder(known.options(**entry.get("options", {})))
    for earlier in entry.get("before", ()):
        decoder.decode(earlier["topic"], payload_of(earlier), ARRIVAL)
    payload = payload_of(entry)
    for end in range(0, len(payload), max(1, len(payload) // 40)):
        decode(dialect, entry["topic"], payload[:end], decoder)
    for old in (b'"', b"1", b"2", b"{", b"}", b":"):
        for new in (b"", b"null", b"[", b"\x00", b"\xff", b"1e999"):
            decode(dialect, entry["topic"], payload.replace(old, new, 1), decoder)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "payload",
    [
        b'"' + b'\\"' * 500_000,
        b'{"a":"' + b'\\"' * 500_000 + b"\\\n",
        b'{"a":nan,"b":"' + b"\\" * 1_000_001,
        b'{"BME280":{"Temperature":"' + b"0" * 1_000_000 + b'_0"},"temperature":"' + b"0" * 1_000 + b'_0"}',
        b"0" * 1_000 + b"_0",
        b"nan" * 300_000,
    ],
)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_is_long_is_read_in_one_pass(dialect: str, payload: bytes) -> None:
    """What is tried again from each of a million places takes hours, in which nothing else is read."""
    for topic in ("tele/x/SENSOR", "zigbee2mqtt/x", "zigbee2mqtt/x/temperature", "x/events/rpc", "x/sensor/y/state"):
        decode(dialect, topic, payload)


def test_a_string_without_an_end_hides_nothing_that_is_missing() -> None:
    assert read_json(b'{"a":nan,"b":"nan"}', lenient=True) == {"a": None, "b": "nan"}
    assert read_json(b'{"a":"x\\"nan","b":-inf}', lenient=True) == {"a": 'x"nan', "b": None}
    for payload in (b'{"a":nan,"b":"nan}', b'{"a":nan,"b":"\\'):
        with pytest.raises(DialectError, match="is not JSON"):
            read_json(payload, lenient=True)


def test_entities_are_bounded_however_few_configurations_they_come_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgewire.dialects.entity_registry.MAX_ENTITIES", 5)
    decoder = HomeAssistantDecoder()
    parts = {f"p{number}": {"p": "sensor", "stat_t": f"s/{number}"} for number in range(4)}
    config = json.dumps({"dev": {"ids": "x"}, "cmps": parts}).encode()
    for _ in range(3):
        decoder.decode("homeassistant/device/one/config", config, ARRIVAL)
    with pytest.raises(DialectError, match="more than 5 entities: those of 'homeassistant/device/two/config'"):
        decoder.decode("homeassistant/device/two/config", config, ARRIVAL)
    decoder.decode("homeassistant/device/one/config", b"", ARRIVAL)
    decoder.decode("homeassistant/device/two/config", config, ARRIVAL)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_is_nested_or_long_without_end_is_refused(dialect: str) -> None:
    topics = ["tele/x/SENSOR", "zigbee2mqtt/x", "x/events/rpc", "owntracks/a/b", "homeassistant/sensor/x/config"]
    for payload in (b"[" * 5000, b'{"a":' * 900 + b"1" + b"}" * 900, b'{"a":"' + b"x" * (2 << 20) + b'"}'):
        for topic in topics:
            assert decode(dialect, topic, payload) is None


def test_an_object_within_one_of_its_name_is_another() -> None:
    """What a bridge of Zigbee heard is named by that object alone; in another of its name nothing is known by it."""
    payload = b'{"ZbReceived":{"ZbReceived":{"0x1234":{"Temperature":21.5}},"0x5678":{"Temperature":22.5}}}'
    message = decode("tasmota", "tele/zb/SENSOR", payload)
    assert message is not None
    assert 22.5 in {value for values in (message.values, *message.parts.values()) for value in values.values()}
