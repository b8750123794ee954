"""Payloads in CBOR and MessagePack come out of the table as those in JSON do, and bad ones as dead letters."""

from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from bridge.message.config import SubscriptionConfig
from bridge.message.reading_splitter import make_splitter
from bridge.routing.config import RouteConfig
from bridge.routing.routed import RoutedEvent, Unroutable
from bridge.routing.table import RouteTable
from bridge.spool.message import SpooledMessage
from edgewire.dialects.encodings import ENCODINGS, Encoding

EACH = pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=tuple(ENCODINGS))
NATIVE = {"filter": "edge/+/+/+/#"}
MAPPING: dict[str, Any] = {
    "topic": "plant/{id}",
    "payload": {"t": "temperature_c", "on": {"from": "relay_on"}, "b": "boot", "n": "seq"},
}
LISTS: dict[str, Any] = {
    "topic": "plant/{id}",
    "payload": {"r": {"each": {"t": "temperature_c", "n": "seq"}}, "b": "boot"},
}


class Counted:
    """Keeps the numbers of which it was told."""

    def __init__(self) -> None:
        self.numbers: list[tuple[str, int, int]] = []

    def observe_number(self, device: str, boot: int, seq: int) -> None:
        self.numbers.append((device, boot, seq))

    def observe_reading(self, device: str, at_ms: int) -> None:
        raise AssertionError(f"{device} counts, and its times are not looked at")


def table(encoding: Encoding | None, **subscription: Any) -> RouteTable:
    said = {} if encoding is None else {"encoding": encoding.name}
    route = RouteConfig(topic="#", http={}, validate="warn")  # type: ignore[call-arg, arg-type]
    found = RouteTable([route], subscriptions=[SubscriptionConfig.model_validate(subscription | said)])
    found.restore(1, {})
    return found


def message(number: int, payload: bytes, topic: str = "edge/site/bme280/a/telemetry") -> SpooledMessage:
    return SpooledMessage(number, 1_790_000_000_000, topic, payload, 1, False, False)


def reading(seq: int, **fields: Any) -> bytes:
    head = {"device_id": "a", "timestamp": "2026-03-01T12:00:00.000Z", "boot": 3, "seq": seq}
    return orjson.dumps(head | {"temperature_c": 21.25, "metadata": {"x": [1, None, "ü"]}} | fields)


@EACH
def test_a_message_of_the_contract_is_what_it_is_in_json(encoding: Encoding) -> None:
    in_json, encoded, counted = table(None, **NATIVE), table(encoding, **NATIVE), Counted()
    encoded.tell_counters(counted)
    for number in (1, 2, 4):
        plain = in_json.resolve(message(number, reading(number)))
        found = encoded.resolve(message(number, encoding.from_json(reading(number))))
        assert isinstance(plain, RoutedEvent)
        assert isinstance(found, RoutedEvent)
        assert (found.message_id, found.timestamp) == (plain.message_id, plain.timestamp)
        assert (found.body, found.fields, found.content_type) == (plain.body, plain.fields, None)
    # Each sink that is behind asks again.
    encoded.resolve(message(2, encoding.from_json(reading(2))))
    assert counted.numbers == [("a", 3, 1), ("a", 3, 2), ("a", 3, 4)]


@EACH
def test_what_is_said_beside_readings_stays_json(encoding: Encoding) -> None:
    status = message(1, reading(1, state="online"), "edge/site/bme280/a/status")
    assert isinstance(table(encoding, **NATIVE).resolve(status), RoutedEvent)


@EACH
def test_bad_bytes_are_dead_letters_with_a_sentence(encoding: Encoding) -> None:
    tried = table(encoding, **NATIVE)
    for payload, said in [
        (encoding.from_json(reading(1))[:-1], encoding.title),
        (reading(1), encoding.title),
        (encoding.from_json(b"[1]"), "payload is no JSON object: [1]"),
        (encoding.from_json(reading(1, boot="x")), 'payload has no message id: boot is "x", seq is 1'),
        (b"", ""),
    ]:
        found = tried.resolve(message(1, payload))
        assert isinstance(found, Unroutable)
        assert said in found.reason
    hinted = table(None, **NATIVE).resolve(message(1, encoding.from_json(reading(1))))
    assert isinstance(hinted, Unroutable)
    assert f"begins as {encoding.title} does: write encoding: {encoding.name} beside its filter" in hinted.reason


@EACH
def test_a_format_of_ones_own_is_read_as_in_json(encoding: Encoding) -> None:
    in_json = table(None, filter="plant/#", decode=MAPPING)
    encoded, counted = table(encoding, filter="plant/#", decode=MAPPING), Counted()
    encoded.tell_counters(counted)
    for number in range(1, 25):  # so many that a shape is learnt
        payload = orjson.dumps({"t": number + 0.5, "on": True, "b": 2, "n": number, "more": [1]})
        plain = in_json.resolve(message(number, payload, "plant/x"))
        found = encoded.resolve(message(number, encoding.from_json(payload), "plant/x"))
        assert isinstance(plain, RoutedEvent)
        assert isinstance(found, RoutedEvent)
        assert (found.message_id, found.body) == (plain.message_id, plain.body)
    assert counted.numbers == [("x", 2, number) for number in range(1, 25)]
    found = encoded.resolve(message(30, b"\xff", "plant/x"))
    assert isinstance(found, Unroutable)
    assert found.reason.startswith("own: payload")


@EACH
def test_lists_of_readings_are_taken_apart(encoding: Encoding) -> None:
    config = SubscriptionConfig(filter="plant/#", decode=LISTS, encoding=encoding.name)  # type: ignore[arg-type]
    splitter = make_splitter([config])
    assert splitter is not None
    payload = encoding.from_json(orjson.dumps({"r": [{"t": 1.5, "n": 1}, {"t": 2.5, "n": 2}], "b": 4}))
    parts = splitter.split_messages([message(1, payload, "plant/x"), message(2, b"\xff", "plant/x")])
    tried = table(encoding, filter="plant/#", decode=LISTS)
    found = [tried.resolve(one) for one in parts]
    assert [one.message_id for one in found if isinstance(one, RoutedEvent)] == ["x:4:1", "x:4:2"]
    assert isinstance(found[2], Unroutable)


@pytest.mark.parametrize(
    ("subscription", "said"),
    [
        ({"decode": "tasmota"}, "tasmota has an encoding of its own"),
        ({"decode": "none"}, "nobody looks into the bytes"),
        ({"encoding": "xml"}, "'json', 'cbor' or 'msgpack'"),
    ],
)
def test_an_encoding_that_says_nothing_is_refused(subscription: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SubscriptionConfig.model_validate({"filter": "x/#", "encoding": "cbor"} | subscription)
