"""Where dead letters can be published: a Kafka topic, an MQTT topic. Each says when a letter is safe there."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import orjson
from confluent_kafka import KafkaError, KafkaException, Producer

from bridge.config import BridgeConfig
from bridge.session import dead_letters_config, tls_context
from bridge.sinks.kafka.cluster import connection_properties, create_topics
from bridge.sinks.kafka.config import KafkaConfig
from bridge.spool import DeadLetter
from bridge.spool.letters import document
from edgewire.errors import ServiceUnavailable
from edgewire.link import BrokerUrl, Link, dial
from edgewire.mqtt import FAILURE, Acknowledged, ConnectionLost, Event, Session, reason_name

_KAFKA_S = 30.0
_MQTT_S = 30.0


class Outlet(Protocol):
    """One place."""

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        """Return when all of them are safe there. Raises `ServiceUnavailable`; some may have arrived then."""


class KafkaOutlet:
    """The payload as it came, with what is known of the letter in headers; the key is the topic it came from."""

    def __init__(self, config: KafkaConfig, topic: str, client_id: str) -> None:
        self._config = config
        self._topic = topic
        self._client_id = f"{client_id}-dead-letters"

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        await asyncio.to_thread(self._publish, letters)

    def _publish(self, letters: Sequence[DeadLetter]) -> None:
        """Dead letters are few: a producer for each lot costs little and leaves nothing to look after."""
        create_topics(self._config, [self._topic], self._client_id)
        errors: list[KafkaError] = []
        try:
            producer = Producer(
                {
                    **connection_properties(self._config, self._client_id),
                    "enable.idempotence": True,
                    "acks": "all",
                    "message.timeout.ms": int(_KAFKA_S * 1000),
                }
            )
            for letter in letters:
                headers: dict[str, str | bytes | None] = {**_facts(letter)}
                producer.produce(
                    self._topic,
                    letter.payload,
                    letter.topic,
                    headers=headers,
                    on_delivery=lambda error, _: errors.append(error) if error else None,
                )
            left = producer.flush(_KAFKA_S + 5)
        except (KafkaException, BufferError) as error:
            raise ServiceUnavailable(f"Kafka topic '{self._topic}' takes no dead letters: {error}") from None
        if errors or left:
            reason = errors[0].str() if errors else "no answer"
            raise ServiceUnavailable(f"Kafka topic '{self._topic}' takes no dead letters: {reason}")


class MqttOutlet:
    """The letter as JSON, as `edgefleet bridge dead-letters show` prints it, with QoS 1."""

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
        timeout_s = config.mqtt.connect_timeout / 1000
        link = await dial(
            BrokerUrl.parse(config.broker), session, on_events, tls=tls_context(config), timeout_s=timeout_s
        )
        try:
            async with asyncio.timeout(_MQTT_S):
                for letter in letters:
                    while not session.window_free and not lost:
                        await _next(moved)
                    if lost:
                        break
                    link.publish(self._topic, orjson.dumps(document(letter)), qos=1)
                while session.inflight and not lost:
                    await _next(moved)
        except TimeoutError:
            lost.append(f"no answer within {_MQTT_S:g} s")
        finally:
            link.close()
        if refused or lost:
            reason = lost[0] if lost else reason_name(refused[0])
            raise ServiceUnavailable(f"MQTT topic '{self._topic}' takes no dead letters: {reason}")


async def _next(moved: asyncio.Event) -> None:
    moved.clear()
    await moved.wait()


def _facts(letter: DeadLetter) -> dict[str, str]:
    """What is known of a letter besides its payload; values are text."""
    facts = document(letter)
    names = ("number", "sink", "message_id", "topic", "reason", "attempts", "received", "dead")
    return {f"dead_letter_{name}": str(facts[name]) for name in names}
