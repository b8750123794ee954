"""What is read by the shape of a payload is to the byte what the decoder makes of it, whatever the numbers are."""

import re
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.message import foreign
from bridge.message.config import SubscriptionConfig
from bridge.message.decoders import UndecodableMessage
from bridge.message.foreign import ForeignDecoder
from bridge.message.payload_shapes import mark_payload
from bridge.spool.message import SpooledMessage
from edgewire.dialects.base import NumberForm, SteadyPayload
from tests.dialects.test_captures import captures, payload_of

OWN = {
    "topic": "plant/{line}/{id}/state",
    "payload": {
        "t": "temperature_c",
        "in": [{"from": "humidity", "round": 1}, {"p": "pressure_hpa"}],
        "f": {"from": "dew_point_c", "unit": "°F"},
        "ts": {"from": "timestamp", "as": "epoch_ms"},
    },
}
EXAMPLES: list[tuple[Any, str, bytes]] = [
    (OWN, "plant/a/d1/state", b'{"t": 21.5,"in":[40.2,{"p":1013}],"f":50.5,"ts":1772625600000,"fw":"1.2%d","n":3}'),
    ("owntracks", "owntracks/u/p", b'{"_type":"location","tst":1772625600,"lat":48.1,"lon":11.5,"acc":12,"vel":36}'),
    (
        "zigbee2mqtt",
        "zigbee2mqtt/hall",
        b'{"battery":91,"humidity":47.31,"pressure":1009.4,"temperature":20.1,"voltage":2995}',
    ),
    (
        "shelly",
        "s1/events/rpc",
        b'{"src":"s1","method":"NotifyStatus","params":{"ts":1772625600.5,"temperature:0":{"id":0,"tC":19.1,"tF":66.4},'
        b'"humidity:0":{"id":0,"rh":52.4}}}',
    ),
    (
        "tasmota",
        "tele/x/SENSOR",
        b'{"Time":"2026-03-04T12:00:00","BME280":{"Temperature":14.1,"Humidity":61.5,"Pressure":1002.4},'
        b'"TempUnit":"C","PressureUnit":"hPa"}',
    ),
]
NUMBERS = [
    b"0", b"-0", b"-0.0", b"0.0", b"-1", b"-1.0", b"1", b"-2.5", b"3.10", b"1e3", b"1E-7", b"0.00001", b"0.0001",
    b"12345678901", b"1234567890.1234", b"99", b"91", b"-90.5", b"181", b"179.9999", b"249.9", b"250.1", b"299.9",
    b"300", b"1999.9", b"2000", b"2995", b"1.0", b"100000000000000000000", b"null", b"true", b'"21.5"', b"[1]", b"{}",
    b"1772625600", b"1772625601.25", b"1772625600000", b"5",
]  # fmt: skip
_NUMBER = re.compile(rb"(?<=[:\[,])\s*-?\d[\d.eE+-]*(?=[,}\]])")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shape is looked for at once."""
    monkeypatch.setattr(foreign, "_LEARN_AT", frozenset({2, 4, 6, 8}))


def both(decode: Any) -> tuple[ForeignDecoder, ForeignDecoder]:
    """A decoder that learns shapes, and one that never does."""
    config = SubscriptionConfig(filter="#", decode=decode, timezone="Europe/Berlin")
    plain = config.make_decoder()
    assert plain is not None

    class Plain:
        """The same without what tells shapes."""

        filters = plain.filters
        decode = staticmethod(plain.decode)

    return ForeignDecoder(config, config.make_decoder()), ForeignDecoder(config, Plain())


def outcome(decoder: ForeignDecoder, number: int, topic: str, payload: bytes) -> Any:
    try:
        return decoder.decode_event(SpooledMessage(number, 1_772_625_700_000 + number, topic, payload, 1, False, False))
    except UndecodableMessage as error:
        return f"error: {error}"


def agree(decode: Any, topic: str, payloads: list[bytes], earlier: Sequence[tuple[str, bytes]] = ()) -> None:
    shaped, plain = both(decode)
    for number, (before, payload) in enumerate(earlier, -len(earlier)):
        assert (outcome(shaped, number, before, payload) is None) is (outcome(plain, number, before, payload) is None)
    for number, payload in enumerate(payloads, 1):
        ours, theirs = outcome(shaped, number, topic, payload), outcome(plain, number, topic, payload)
        if isinstance(theirs, tuple):
            ours, theirs = ((str(one[0].topic_of(one[1])), *one[1:]) for one in (ours, theirs))
        assert ours == theirs, payload


@pytest.mark.parametrize(("decode", "topic", "payload"), EXAMPLES, ids=lambda one: one if isinstance(one, str) else "")
@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_any_numbers_are_read_as_without_shapes(decode: Any, topic: str, payload: bytes, data: st.DataObject) -> None:
    numbers = st.one_of(
        st.sampled_from(NUMBERS),
        st.floats(-2000, 2000).map(lambda value: orjson.dumps(round(value, 2))),
        st.floats(allow_nan=False, allow_infinity=False).map(orjson.dumps),
    )
    varied = [
        _NUMBER.sub(lambda found: data.draw(numbers) if data.draw(st.booleans()) else found[0], payload)
        for _ in range(data.draw(st.integers(1, 5)))
    ]
    agree(decode, topic, [payload, payload, payload, *varied, payload])


@pytest.mark.slow
@pytest.mark.parametrize(("decode", "topic", "payload"), EXAMPLES, ids=lambda one: one if isinstance(one, str) else "")
def test_every_odd_number_in_every_place(decode: Any, topic: str, payload: bytes) -> None:
    places = [found.span() for found in _NUMBER.finditer(payload)]
    varied = [payload[:begin] + number + payload[end:] for begin, end in places for number in NUMBERS]
    for start in range(0, len(varied), 5):
        agree(decode, topic, [payload, payload, payload, *varied[start : start + 5], payload])


@pytest.mark.parametrize(("decode", "topic", "payload"), EXAMPLES, ids=lambda one: one if isinstance(one, str) else "")
def test_these_payloads_have_a_shape(decode: Any, topic: str, payload: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third of its kind is not given to the decoder any more."""
    shaped, _ = both(decode)
    for number in (1, 2):
        outcome(shaped, number, topic, payload)
    decoder = shaped.config.make_decoder()
    monkeypatch.setattr(type(decoder), "decode", lambda *_: pytest.fail("it was asked"))
    found = outcome(shaped, 3, topic, payload.replace(b"1,", b"2,", 1))
    assert isinstance(found, tuple)


@pytest.mark.parametrize(("dialect", "entry"), captures())
def test_captures_are_read_alike_however_often_they_come(dialect: str, entry: dict[str, Any]) -> None:
    decode: Any = {"dialect": dialect, **entry["options"]} if entry.get("options") else dialect
    payload = payload_of(entry)
    other = _NUMBER.sub(lambda found: b"7.25" if b"." in found[0] else found[0], payload)
    earlier = [(one["topic"], payload_of(one)) for one in entry.get("before", ())]
    agree(decode, entry["topic"], [payload, payload, other, payload, other, payload], earlier)


def test_what_devices_describe_makes_an_end_of_what_was_learnt() -> None:
    payload = b'{"temperature":20.5,"humidity":40.5}'
    listed = b'[{"friendly_name":"hall","definition":{"exposes":[{"property":"temperature","unit":"\xc2\xb0F"}]}}]'
    shaped, plain = both("zigbee2mqtt")
    for decoder in (shaped, plain):
        for number in range(1, 5):
            outcome(decoder, number, "zigbee2mqtt/hall", payload)
        outcome(decoder, 5, "zigbee2mqtt/bridge/devices", listed)
    for number in range(6, 12):
        ours, theirs = (outcome(one, number, "zigbee2mqtt/hall", payload) for one in (shaped, plain))
        assert ours[4] == theirs[4]
        assert b'"temperature_c":20.5' not in ours[4]


@pytest.mark.parametrize(
    "payload", [b'{"a":1,"a":2}', b'{"b":1}', b"[1]", b'{"a":"1"}', b'{"a":1' + b" " * 1000 + b"}"]
)
def test_what_is_written_in_another_way_has_no_shape(payload: bytes) -> None:
    assert mark_payload(payload, SteadyPayload({("a",): NumberForm.ANY}, None)) is None
