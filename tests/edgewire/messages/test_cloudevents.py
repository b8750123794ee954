"""The attributes of events, which the bridge and the exports give alike."""

from edgewire.messages import Channel, Topic
from edgewire.messages.cloudevents import event_source, event_type, topic_attributes, topic_headers

TOPIC = Topic("hq", "gps", "g-1", Channel.TELEMETRY)


def test_source_is_the_device_and_type_its_kind_and_channel() -> None:
    assert (event_source(TOPIC), event_type(TOPIC)) == ("/edge/hq/gps/g-1", "edge.gps.telemetry")


def test_the_headers_of_a_topic_are_its_attributes_in_kafkas_binary_form() -> None:
    source, type_ = event_source(TOPIC), event_type(TOPIC)
    assert topic_attributes(source, type_) == {"specversion": "1.0", "type": type_, "source": source}
    assert topic_headers(source, type_) == [
        ("content-type", b"application/json"),
        ("ce_specversion", b"1.0"),
        ("ce_type", b"edge.gps.telemetry"),
        ("ce_source", b"/edge/hq/gps/g-1"),
    ]
