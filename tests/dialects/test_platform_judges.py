"""What devices say in the formats of platforms and standards is what software that is not ours reads in it."""

import contextlib
from datetime import UTC, datetime
from typing import Any

import cbor2
import orjson
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_binary_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import example, given
from hypothesis import strategies as st
from line_protocol_parser import parse_line

from bridge.message.config import SubscriptionConfig
from bridge.message.reading_splitter import make_splitter
from bridge.spool.message import SpooledMessage
from devices.sensors.registry import KINDS
from devices.timeline.wire_format import divide_payload
from edgewire.dialects.base import Arrival, DialectError
from edgewire.dialects.cbor import read_cbor, write_cbor
from edgewire.dialects.registry import DIALECTS
from edgewire.mqtt import Version
from tests.dialects.speaking import NOON_MS, format_of, reading_of, said

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=10,
)  # fmt: skip


@given(JSON)
@example([1.5, 100000.0, 1.1, -0.0, 6e-8, 255, 256, -257])
def test_cbor_is_that_of_cbor2(value: Any) -> None:
    assert cbor2.loads(write_cbor(value)) == value
    shortest = cbor2.dumps(value, canonical=True)
    assert write_cbor(cbor2.loads(shortest)) == shortest  # whose keys are in their order
    assert read_cbor(cbor2.dumps(value)) == value


@given(st.binary(max_size=60))
def test_any_bytes_are_cbor_or_refused(data: bytes) -> None:
    with contextlib.suppress(DialectError):  # nothing else is raised
        cbor2.dumps(read_cbor(data, whole_keys=True))


@pytest.mark.parametrize(
    ("hexadecimal", "value"),
    [
        ("c48221196ab3", 273.15), ("c5822003", 1.5), ("5f42010243030405ff", "AQIDBAU"), ("7f657374726561646d696e67ff",
        "streaming"), ("9f018202039f0405ffff", [1, [2, 3], [4, 5]]), ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}),
        ("f97e00", None), ("f7", None), ("d9d9f701", 1), ("f93e00", 1.5), ("1bffffffffffffffff", 2**64 - 1),
    ],
)  # fmt: skip
def test_the_examples_of_rfc_8949_are_read(hexadecimal: str, value: Any) -> None:
    assert read_cbor(bytes.fromhex(hexadecimal)) == value


@pytest.mark.parametrize(
    "hexadecimal",
    [
        "", "ff", "18", "61", "62ff", "1f", "a1", "a101", "a10102", "9f", "5f00ff", "f8", "f0", "c4", "0101", "c6ff",
        "81" * 40 + "00", "c482190fff01", "9bffffffffffffffff", "bf01ff",
    ],
)  # fmt: skip
def test_what_is_no_cbor_is_refused(hexadecimal: str) -> None:
    with pytest.raises(DialectError, match="CBOR"):
        read_cbor(bytes.fromhex(hexadecimal))


@pytest.mark.parametrize("kind", KINDS)
def test_packs_of_cbor_say_what_those_of_json_say(kind: str) -> None:
    row = reading_of(kind)
    (plain,), (packed,) = (said(kind, format_of(kind, {"dialect": "senml", "encoding": one}), row) for one in
                           ("json", "cbor"))  # fmt: skip
    labels = {-2: "bn", -3: "bt", 0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb"}
    theirs = [{labels[key]: value for key, value in record.items()} for record in cbor2.loads(packed.payload)]
    assert theirs == orjson.loads(plain.payload)
    decoder = DIALECTS["senml"].decoder(None)
    assert decoder.decode("x", packed.payload, Arrival(0)) == decoder.decode("x", plain.payload, Arrival(0))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", ["ns", "s"])
def test_a_parser_of_lines_reads_what_a_device_says(kind: str, precision: str) -> None:
    row = reading_of(kind)
    (message,) = said(kind, format_of(kind, {"dialect": "influx", "precision": precision}), row)
    found = parse_line(message.payload.decode())
    assert found["measurement"] == kind
    assert found["tags"] == {"device_id": "porch-07", "site": "home"}
    assert found["time"] == (NOON_MS * 1_000_000 if precision == "ns" else NOON_MS // 1000)
    assert found["fields"].items() <= row.items()
    assert all(isinstance(found["fields"][name], type(value)) for name, value in row.items() if name in found["fields"])


@pytest.mark.parametrize("kind", KINDS)
def test_the_sdk_of_cloudevents_reads_what_a_device_says(kind: str) -> None:
    row = reading_of(kind)
    form = format_of(kind, {"dialect": "cloudevents", "mode": "binary", "source": "/{site}/{id}"})
    (message,) = said(kind, form, row)
    event = JSONFormat().read(CloudEvent, message.payload)
    assert (event.get_id(), event.get_source()) == ("826000000-0", "/home/porch-07")
    assert event.get_time() == datetime.fromtimestamp(NOON_MS / 1000, UTC)
    data = event.get_data()
    assert isinstance(data, dict)
    assert data
    assert {name: row.get(name) for name in data} == data
    # The same in binary mode, which is that of HTTP with other names for the headers.
    assert form.options is not None
    payload, properties = divide_payload(form.options[0], message.payload, None, Version.V5)
    assert properties is not None
    headers = {f"ce-{name}": value for name, value in properties["user_property"]}
    headers["content-type"] = properties["content_type"]
    binary = from_binary_event(HTTPMessage(headers, payload))
    assert binary.get_data() == data
    assert (binary.get_id(), binary.get_type(), binary.get_time()) == (
        event.get_id(),
        event.get_type(),
        event.get_time(),
    )
    decoder = DIALECTS["cloudevents"].decoder(None)
    read = decoder.decode(
        "x", payload, Arrival(0, False, None, properties["content_type"], properties["user_property"])
    )
    assert read == decoder.decode("x", message.payload, Arrival(0))
    assert divide_payload(form.options[0], message.payload, None, Version.V311) == (message.payload, None)
    assert divide_payload(form.options[0], b"\x00{", None, Version.V5) == (b"\x00{", None)


def test_lists_of_events_are_taken_apart() -> None:
    one = '{"specversion":"1.0","id":"1","source":"s","type":"t"}'
    assert split("cloudevents", f"[{one}, {one}]") == [one.encode()] * 2
    assert split("cloudevents", "[1]") == [b"[1]"]
    assert split("cloudevents", "[") == [b"["]


def split(dialect: str, payload: str) -> list[bytes]:
    splitter = make_splitter([SubscriptionConfig(filter="#", decode=dialect)])
    assert splitter is not None
    return [
        one.payload for one in splitter.split_messages([SpooledMessage(1, 0, "t", payload.encode(), 1, False, False)])
    ]


def test_packs_of_several_devices_and_times_are_taken_apart() -> None:
    parts = split(
        "senml", '[{"bn":"x7/","bt":1767225600,"bu":"Cel","n":"t","v":3},{"n":"h","u":"%RH","v":40},'
        '{"n":"t","t":5,"v":4},{"bn":"x8/","n":"t","v":5},{"n":"raw","vd":"aGkgCg"}]'
    )  # fmt: skip
    decoder = DIALECTS["senml"].decoder(None)
    read = [decoder.decode("t", one, Arrival(0)) for one in parts]
    assert [(one.device_id, one.time_ms % 100_000, dict(one.values), dict(one.extra)) for one in read] == [
        ("x7", 0, {"temperature_c": 3, "humidity": 40}, {}),
        ("x7", 5_000, {"temperature_c": 4}, {}),
        ("x8", 0, {"temperature_c": 5}, {"raw": "aGkgCg"}),
    ]
    assert split("senml", '[{"n":"x"}, 3]') == [b'[{"n":"x"}, 3]']


def test_lines_are_taken_apart_and_breaks_in_texts_are_not() -> None:
    lines = split("influx", '# first\nm,host=a f="one\ntwo",g=1 1\n\nm,host=b f="x\\"" 2\r\nm f=3 3')
    assert lines == [b'm,host=a f="one\ntwo",g=1 1', b'm,host=b f="x\\"" 2', b"m f=3 3"]
    assert split("influx", "m f=1\n" * 1001) == [b"m f=1\n" * 1001]
