"""The seam through which formats of devices come in: what the native one says, and that another needs no more."""

import orjson
import pytest

from bridge.loss_detection.sequence_gaps import GapDetector
from bridge.message.decoders import DECODERS, NATIVE, DecodedMessage, UndecodableMessage
from bridge.routing.config import RouteConfig
from bridge.routing.routed import RoutedEvent, Unroutable
from bridge.routing.table import RouteTable
from bridge.spool.message import SpooledMessage
from edgewire.messages import ContractError
from tests.bridge.fakes import payload

TOPIC = "edge/site/bme280/a/telemetry"


def test_the_native_decoder_reads_topic_and_payload() -> None:
    info, device_id = NATIVE.decode_topic(TOPIC)
    assert (info.site, info.kind, info.channel, device_id) == ("site", "bme280", "telemetry", "a")
    assert str(info.topic_of(device_id)) == TOPIC
    decoded = NATIVE.decode_message(device_id, payload("a", 7, extra=1))
    assert decoded[:3] == ("a", "a:1:7", "2026-03-01T12:00:00.000Z")
    assert decoded[3]["extra"] == 1
    assert info.decode_fields(payload("a", 7, extra=1)) == decoded[3]


def test_what_is_of_another_format_is_refused_with_the_reason() -> None:
    with pytest.raises(ContractError, match="is not of the form"):
        NATIVE.decode_topic("tele/plug/SENSOR")
    with pytest.raises(UndecodableMessage, match="payload is not JSON"):
        NATIVE.decode_message("a", b"{")


def test_the_table_of_decoders_has_each_by_its_name() -> None:
    assert all(name == decoder.name for name, decoder in DECODERS.items())


class Upside:
    """A format whose payloads are the native ones, written backwards, and whose topics begin with another word."""

    name = "upside"

    def decode_topic(self, topic: str):  # type: ignore[no-untyped-def]
        return NATIVE.decode_topic(topic.replace("other/", "edge/"))

    def decode_message(self, device_id: str, payload: bytes) -> DecodedMessage:
        return NATIVE.decode_message(device_id, payload[::-1])

    def sequence_of(self, topic: str) -> tuple[str, str]:
        return topic, topic.split("/")[3]

    def find_sequence(self, payload: bytes) -> tuple[int, int]:
        fields = orjson.loads(payload[::-1])
        return fields["boot"], fields["seq"]

    def expected(self, boot: int, seq: int) -> bytes:
        return b"\0"


def test_a_format_takes_nothing_but_a_decoder() -> None:
    table = RouteTable([RouteConfig(topic="other/#", http="/x")], Upside())
    topic = TOPIC.replace("edge/", "other/")
    found = table.resolve(SpooledMessage(1, 0, topic, payload("a", 7)[::-1], 1, False, False))
    assert isinstance(found, RoutedEvent)
    assert found.message_id == "a:1:7"
    lost = table.resolve(SpooledMessage(1, 0, topic, payload("a", 7), 1, False, False))
    assert isinstance(lost, Unroutable)
    detector = GapDetector(1.0, Upside())
    for seq in (1, 2, 5):
        detector.observe(topic, payload("a", seq)[::-1], 0.0)
    report = detector.take_report(2.0)
    assert report
    assert (report.missing, report.gaps) == (2, ["a boot 1 seq 3-4"])
