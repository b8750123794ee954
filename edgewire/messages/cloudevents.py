"""Names the attributes of CloudEvents 1.0 (https://github.com/cloudevents/spec) that a message has, whoever sends it.

The id is the id of the message, the same through every retry and restart; with the source it is unique.
"""

from edgewire.messages.topics import ROOT, Topic

CONTENT_TYPE = "application/cloudevents+json"
BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"
DATA_CONTENT_TYPE = "application/json"

KafkaHeaders = list[tuple[str, str | bytes | None]]


def event_source(topic: Topic) -> str:
    """Return the source of the events on a topic: the device."""
    return f"/{ROOT}/{topic.site}/{topic.kind}/{topic.device_id}"


def event_type(topic: Topic) -> str:
    """Return the type of the events on a topic: kind and channel."""
    return f"{ROOT}.{topic.kind}.{topic.channel.value}"


def topic_attributes(source: str, type_: str) -> dict[str, str]:
    """Return the attributes that are the same for every message of a topic; `id` and `time` are the message's own."""
    return {"specversion": "1.0", "type": type_, "source": source}


def topic_headers(source: str, type_: str) -> KafkaHeaders:
    """Return the `topic_attributes` in Kafka's binary form: the headers that all records of a topic begin with."""
    attributes = topic_attributes(source, type_)
    return [
        ("content-type", DATA_CONTENT_TYPE.encode()),
        *((f"ce_{name}", value.encode()) for name, value in attributes.items()),
    ]
