"""Bodies become messages or reasons, and one bad line costs nobody else."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefleet.ingest import validation
from edgewire.messages import CONTRACT, ContractError
from edgewire.messages.bme280 import BME280_EXAMPLES

Make = Callable[..., dict[str, Any]]

GOOD = [
    orjson.dumps(message.examples[0] | {"device_id": f"d-{number}"})
    for number, message in enumerate(message for contract in CONTRACT.values() for message in contract.messages)
]


def test_the_payload_is_kept_byte_for_byte(bme280: Make) -> None:
    payload = orjson.dumps(bme280(), option=orjson.OPT_INDENT_2) + b" "
    message = validation.check_message(CONTRACT["bme280"], orjson.loads(payload), payload)
    assert message.payload.encode() == payload
    assert (message.kind, message.id) == ("bme280", "bme280_fake_001:825667200:0")


def test_a_key_that_is_the_id_is_taken_and_another_is_refused(bme280: Make) -> None:
    payload = orjson.dumps(bme280())
    message = validation.check_message(CONTRACT["bme280"], bme280(), payload, "bme280_fake_001:825667200:0")
    assert message.seq == 0
    with pytest.raises(ContractError, match="Idempotency-Key or event id is 'bme280_fake_001:825667200:1'"):
        validation.check_message(CONTRACT["bme280"], bme280(), payload, "bme280_fake_001:825667200:1")


def test_all_kinds_in_one_batch() -> None:
    batch = validation.read_batch(b"\n".join(GOOD) + b"\n")
    assert [message.device_id for message in batch.messages] == [f"d-{number}" for number in range(len(GOOD))]
    assert batch.lines == list(range(len(GOOD)))
    assert {message.kind for message in batch.messages} == set(CONTRACT)
    assert not batch.rejections


def test_a_bad_line_is_named_and_its_neighbours_are_kept(bme280: Make, gps: Make) -> None:
    lines = [
        orjson.dumps(bme280(0)),
        b"{",
        b"",
        orjson.dumps(gps(1, satellites="many")),
        b"[1]",
        b'{"device_id":"x"}',
        orjson.dumps(bme280(2)) + b"\r",
    ]
    batch = validation.read_batch(b"\n".join(lines))
    assert batch.lines == [0, 6]
    assert [rejection.line for rejection in batch.rejections] == [1, 3, 4, 5]
    assert [rejection.id for rejection in batch.rejections] == [None, "gps-0007:825667200:1", None, None]
    for rejection, reason in zip(batch.rejections, ("not JSON", "satellites", "not an object", "kind"), strict=True):
        assert reason in rejection.error
    assert batch.rejected == {"unknown": 3, "gps": 1}


def test_a_reason_is_short_however_large_the_value(bme280: Make) -> None:
    batch = validation.read_batch(orjson.dumps(bme280(device_id="/" * 100_000)))
    assert len(batch.rejections[0].error) < 400


@pytest.mark.parametrize("payload", [b"", b"nan", b'"\xff"', b"{}{}", b"[" * 5000, b"\xef\xbb\xbf{}"])
def test_what_is_not_json_is_said_to_be_not(payload: bytes) -> None:
    with pytest.raises(validation.NotJson):
        validation.decode_json(payload)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
fields = st.sampled_from(sorted({key for payload in GOOD for key in orjson.loads(payload)}))


@given(st.lists(st.sampled_from(GOOD) | st.binary(max_size=40) | json_values.map(orjson.dumps), max_size=8))
def test_any_body_is_answered_line_by_line(lines: list[bytes]) -> None:
    body = b"\n".join(lines)
    batch = validation.read_batch(body)
    answered = sorted(batch.lines + [rejection.line for rejection in batch.rejections])
    assert answered == [number for number, line in enumerate(body.split(b"\n")) if line.strip()]
    assert sum(line in GOOD for line in body.split(b"\n")) == len(batch.messages)
    assert sum(batch.rejected.values()) == len(batch.rejections)


@given(st.dictionaries(fields, json_values, min_size=1, max_size=2))
def test_any_values_in_a_message_are_taken_or_refused(changed: dict[str, Any]) -> None:
    batch = validation.read_batch(orjson.dumps(BME280_EXAMPLES[0] | changed))
    assert len(batch.messages) + len(batch.rejections) == 1
