"""What devices say in the formats of platforms and standards is what software that is not ours reads in it."""

import contextlib
from typing import Any

import cbor2
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from line_protocol_parser import parse_line

from bridge.message.config import SubscriptionConfig
from bridge.message.reading_splitter import make_splitter
from bridge.spool.message import SpooledMessage
from devices.sensors.registry import KINDS
from edgewire.dialects.base import Arrival, DialectError
from edgewire.dialects.cbor import read_cbor, write_cbor
from edgewire.dialects.registry import DIALECTS
from tests.dialects.speaking import NOON_MS, format_of, reading_of, said

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=10,
)  # fmt: skip


@given(JSON)
def test_cbor_is_that_of_cbor2(value: Any) -> None:
    assert cbor2.loads(write_cbor(value)) == value
    assert write_cbor(value) == cbor2.dumps(value, canonical=False) or cbor2.loads(write_cbor(value)) == value
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
