"""CBOR and MessagePack say what JSON says, the same both ways; two other libraries judge it."""

import math
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import cbor2
import msgpack
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.dialects.base import DialectError
from edgewire.dialects.encodings import ENCODINGS, Encoding, likely_encoding

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=8,
)
JUDGES: dict[str, Any] = {"cbor": (cbor2.loads, cbor2.dumps), "msgpack": (msgpack.unpackb, msgpack.packb)}
EACH = pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=tuple(ENCODINGS))


@EACH
@given(said=JSON)
def test_what_is_sent_is_read_as_it_was_and_by_others_too(encoding: Encoding, said: Any) -> None:
    read, write = JUDGES[encoding.name]
    payload = orjson.dumps(said)
    sent = encoding.from_json(payload)
    assert encoding.to_json(sent) == payload
    assert orjson.dumps(read(sent)) == payload
    assert encoding.to_json(write(said)) == payload


@EACH
@given(payload=st.binary(max_size=60))
def test_any_bytes_are_json_or_told_in_a_sentence(encoding: Encoding, payload: bytes) -> None:
    with suppress(DialectError):
        orjson.loads(encoding.to_json(payload))


@EACH
@given(said=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), st.integers(0, 9)))
def test_an_object_shows_in_which_encoding_it_is(encoding: Encoding, said: dict[str, int]) -> None:
    assert likely_encoding(encoding.from_json(orjson.dumps(said))) == encoding
    assert likely_encoding(orjson.dumps(said)) is None
    assert likely_encoding(b"") is None


@pytest.mark.parametrize(
    ("name", "payload", "said"),
    [
        ("cbor", b'{"a": 1}', "ends in the middle"),
        ("msgpack", b'{"a": 1}', "payload of MessagePack ends after 1 bytes, and has 8"),
        ("msgpack", b"", "payload is not MessagePack"),
        ("msgpack", b"\xc1", "payload is not MessagePack"),
        ("msgpack", b"\x81\x01\x02", "not allowed for map key"),
        ("msgpack", b"\x81\xa1a\xa1\xff", "can't decode byte 0xff"),
        ("msgpack", b"\x81\xa1a\xd4\x05\x00", "has the extension 5, which JSON has no word for"),
        ("msgpack", b"\xdf\xff\xff\xff\xff", "payload is not MessagePack"),
        ("msgpack", b"\x91" * 3000 + b"\x01", "payload of MessagePack is nested too deep"),
        ("msgpack", b"\x91" * 400 + b"\x01", "says what no JSON can"),
        ("msgpack", b"\x81\xc4\x01a\x01", "Dict key must be str"),
        ("cbor", b"\xa1\x61a\x3b\xff\xff\xff\xff\xff\xff\xff\xff", "payload of CBOR says what no JSON can"),
        ("cbor", b"\x81" * 400 + b"\x01", "nested deeper than 32 levels"),
        ("cbor", b"\xa1\x01\x02", "has a int for a key"),
        ("cbor", b"\x41a" * 600_000, "payload of 1,200,000 bytes is longer than the 1,048,576 allowed"),
        ("msgpack", b"\xc0" * 1_100_000, "payload of 1,100,000 bytes is longer"),
    ],
)
def test_bad_bytes_are_told(name: str, payload: bytes, said: str) -> None:
    with pytest.raises(DialectError, match=said):
        ENCODINGS[name].to_json(payload)


def test_what_json_has_no_type_for_is_a_text() -> None:
    at = msgpack.Timestamp.from_datetime(datetime(2026, 3, 1, 12, 0, 0, 250_000, UTC))
    packed = msgpack.packb({"at": at, "raw": b"\xff\x00", "none": math.nan})
    assert orjson.loads(ENCODINGS["msgpack"].to_json(packed)) == {
        "at": "2026-03-01T12:00:00.250000+00:00",
        "raw": "_wA",
        "none": None,
    }
    late = msgpack.packb({"at": msgpack.Timestamp(1 << 60)})
    with pytest.raises(DialectError, match="says what no JSON can: Type is not JSON serializable: Timestamp"):
        ENCODINGS["msgpack"].to_json(late)
