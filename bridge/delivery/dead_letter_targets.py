"""Publishes dead letters to a Kafka topic or an MQTT topic; each says when a letter is safe there."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import orjson

from bridge.config import BridgeConfig
from bridge.sinks.kafka.config import KafkaSinkConfig
from bridge.source.sessions import dead_letters_config, dialling, tls_context
from bridge.spool.dead_letters import dead_letter_document
from bridge.spool.message import DeadLetter
from edgewire import logs
from edgewire.errors import ServiceUnavailable
from edgewire.link import Link, close_and_wait, connect_link
from edgewire.mqtt import FAILURE, Acknowledged, ConnectionLost, Event, PublishRefused, Session, reason_name

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Producer

_KAFKA_S = 30.0

_MQTT_S = 30.0

_LOOK_S = 0.5
"""How often a batch that is on its way to Kafka looks whether it is still wanted: a bridge that ends waits for it."""

log = logs.get("dead_letters")


class DeadLetterTarget(Protocol):
    """One topic to publish to."""

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        """Return when all of them are safe there. Raises `ServiceUnavailable`; some may have arrived then."""


class KafkaDeadLetterTarget:
    """Publishes the payload as it came, and what is known of the letter in headers; the key is its topic."""

    def __init__(self, config: KafkaSinkConfig, topic: str, client_id: str) -> None:
        self._config = config
        self._topic = topic
        self._client_id = f"{client_id}-dead-letters"

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        gone = threading.Event()
        try:
            await asyncio.to_thread(self._publish, letters, gone)
        finally:
            gone.set()

    def _publish(self, letters: Sequence[DeadLetter], gone: threading.Event) -> None:
        """Dead letters are few: a producer for each batch costs little and leaves nothing to look after."""
        from confluent_kafka import KafkaException, Producer

        from bridge.sinks.kafka.admin import connection_properties, create_missing_topics

        create_missing_topics(self._config, [self._topic], self._client_id)
        try:
            producer = Producer(
                {
                    **connection_properties(self._config, self._client_id),
                    "enable.idempotence": True,
                    "acks": "all",
                    "message.timeout.ms": int(_KAFKA_S * 1000),
                }
            )
            for suspect in self._produce(producer, letters, gone):
                # Where one was too large for the broker, it refused those that were in its batch too.
                if self._produce(producer, [suspect], gone):
                    self._produce(producer, [_drop_payload(suspect)], gone)
        except (KafkaException, BufferError) as error:
            raise ServiceUnavailable(f"Kafka topic '{self._topic}' takes no dead letters: {error}") from None

    def _produce(self, producer: "Producer", letters: Sequence[DeadLetter], gone: threading.Event) -> list[DeadLetter]:
        """Produce these and return those that are too large. Raises `ServiceUnavailable` where another is not taken."""
        from confluent_kafka import KafkaError, KafkaException

        large: list[DeadLetter] = []
        errors: list[KafkaError] = []

        def answered(letter: DeadLetter, error: "KafkaError | None", _message: object = None) -> None:
            if error is not None and error.code() == KafkaError.MSG_SIZE_TOO_LARGE and letter.payload:
                large.append(letter)
            elif error is not None:
                errors.append(error)

        for letter in letters:
            headers: dict[str, str | bytes | None] = {**_headers(letter)}
            try:
                producer.produce(
                    self._topic, letter.payload, letter.topic, headers=headers, on_delivery=partial(answered, letter)
                )
            except KafkaException as error:
                answered(letter, error.args[0])
        deadline = time.monotonic() + _KAFKA_S + 5
        while (left := producer.flush(_LOOK_S)) and not gone.is_set() and time.monotonic() < deadline:
            pass
        if errors or left:
            reason = errors[0].str() if errors else "no answer"
            raise ServiceUnavailable(f"Kafka topic '{self._topic}' takes no dead letters: {reason}")
        return large


class MqttDeadLetterTarget:
    """Publishes the letter as JSON, as `edgefleet bridge dead-letters show` prints it, with QoS 1."""

    def __init__(self, config: BridgeConfig, topic: str) -> None:
        self._config = config
        self._topic = topic

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        config = self._config
        moved = asyncio.Event()
        refused: list[int] = []
        lost: list[str] = []

        def on_events(_: Link, events: list[Event]) -> None:
            for event in events:
                match event:
                    case Acknowledged(reason_code=code) if code >= FAILURE:
                        refused.append(code)
                    case ConnectionLost(reason=reason):
                        lost.append(reason)
                    case _:
                        pass
            moved.set()

        session = Session(dead_letters_config(config))
        link = await connect_link(
            config.brokers[0],
            session,
            on_events,
            tls=tls_context(config),
            **dialling(config),
        )
        try:
            async with asyncio.timeout(_MQTT_S):
                for letter in letters:
                    while not session.window_free and not lost:
                        await _wait_for_next(moved)
                    if lost:
                        break
                    try:
                        link.publish(self._topic, orjson.dumps(dead_letter_document(letter)), qos=1)
                    except PublishRefused:
                        link.publish(self._topic, orjson.dumps(dead_letter_document(_drop_payload(letter))), qos=1)
                while session.inflight and not lost:
                    await _wait_for_next(moved)
        except TimeoutError:
            lost.append(f"no answer within {_MQTT_S:g} s")
        finally:
            fault = lost[:1]  # the end that follows is ours
            await close_and_wait(link)
        if refused or fault:
            reason = fault[0] if fault else reason_name(refused[0])
            raise ServiceUnavailable(f"MQTT topic '{self._topic}' takes no dead letters: {reason}")


def find_kafka_target(config: BridgeConfig) -> tuple[str, DeadLetterTarget] | None:
    """Return the Kafka topic for dead letters and what publishes to it, if one is configured."""
    topic, kafka = config.dead_letters.kafka_topic, config.sinks.get("kafka")
    if topic is None or not isinstance(kafka, KafkaSinkConfig):
        return None
    return topic, KafkaDeadLetterTarget(kafka, topic, config.client_id)


def find_mqtt_target(config: BridgeConfig) -> tuple[str, DeadLetterTarget] | None:
    """Return the MQTT topic for dead letters and what publishes to it, if one is configured."""
    topic = config.dead_letters.mqtt_topic
    return (topic, MqttDeadLetterTarget(config, topic)) if topic else None


FindTarget = Callable[[BridgeConfig], tuple[str, DeadLetterTarget] | None]

TARGETS: Mapping[str, FindTarget] = MappingProxyType({"kafka": find_kafka_target, "mqtt": find_mqtt_target})
"""Kind of target -> what finds it in a configuration."""


async def _wait_for_next(moved: asyncio.Event) -> None:
    moved.clear()
    await moved.wait()


def _drop_payload(letter: DeadLetter) -> DeadLetter:
    """Return a letter that no target takes whole without its payload: others must not wait for it."""
    size = len(letter.payload)
    log.warning("a dead letter is too large to be published: its payload is left out", number=letter.number, bytes=size)
    reason = f"{letter.reason} (the payload of {size} bytes is left out here)"
    return replace(letter, payload=b"", properties=None, reason=reason)


def _headers(letter: DeadLetter) -> dict[str, str]:
    """Return what is known of a letter besides its payload; values are text."""
    facts = dead_letter_document(letter)
    names = ("number", "sink", "message_id", "topic", "reason", "attempts", "received", "dead")
    return {f"dead_letter_{name}": str(facts[name]) for name in names}
