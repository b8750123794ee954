"""Giving a message up: the only way, besides delivery and a rule, that one leaves the books of a sink.

Publishes dead letters, besides keeping them: each once to each place, in order, and again after a doubt.

How far it has come is noted in the spool after a place has confirmed, so a crash costs a repetition and never a letter.
A letter that was dropped by an operator, or replayed and delivered, before its turn came is not published."""

import asyncio
import random
from collections.abc import Callable

from bridge.config import BridgeConfig
from bridge.delivery.dead_letter_targets import DeadLetterTarget, KafkaDeadLetterTarget, MqttDeadLetterTarget
from bridge.metrics import Metrics
from bridge.routing.routed import Unroutable
from bridge.sinks.base import Rejected
from bridge.sinks.kafka.config import KafkaSinkConfig
from bridge.spool.dead_letters import read_dead_letters_after
from bridge.spool.message import DeadLetter, SpooledMessage
from bridge.spool.spool import Spool
from edgewire import logs
from edgewire.backoff import Backoff
from edgewire.errors import EdgefleetError


def unroutable(sink: str, message: Unroutable, now_ms: int) -> DeadLetter:
    """A message that the bridge itself could not route, so no sink was asked."""
    return _dead(sink, message.message, message.reason, 0, now_ms)


def rejected(sink: str, message: SpooledMessage, verdict: Rejected, attempts: int, now_ms: int) -> DeadLetter:
    """A message that the sink will never take; `attempts` includes the one that said so."""
    return _dead(sink, message, verdict.reason, attempts, now_ms)


def _dead(sink: str, message: SpooledMessage, reason: str, attempts: int, now_ms: int) -> DeadLetter:
    return DeadLetter(
        sink=sink,
        message_id=message.id,
        received_ms=message.received_ms,
        topic=message.topic,
        payload=message.payload,
        qos=message.qos,
        retain=message.retain,
        reason=reason,
        attempts=attempts,
        dead_ms=now_ms,
        properties=message.properties,
    )


_LOOK_EVERY_S = 1.0


_AT_ONCE = 200


log = logs.get("dead_letters")


class DeadLetterPublisher:
    """`run` for ever; a place that cannot be reached is tried again."""

    def __init__(self, config: Callable[[], BridgeConfig], spool: Spool, metrics: Metrics, rng: random.Random) -> None:
        """`config` is asked before every look."""
        self._config = config
        self._spool = spool
        self._metrics = metrics
        self._rng = rng
        self._backoff = Backoff(base_s=1, cap_s=60)
        self._troubles: dict[str, str] = {}

    @property
    def troubles(self) -> list[str]:
        """Why letters cannot be published, one sentence a place."""
        return list(self._troubles.values())

    async def run(self) -> None:
        """Publish to every place. Raises `SpoolError`."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._serve("kafka", self._kafka), name="dead letters to Kafka")
                group.create_task(self._serve("mqtt", self._mqtt), name="dead letters to MQTT")
        except ExceptionGroup as group_error:
            raise group_error.exceptions[0] from None

    async def _serve(self, kind: str, find: Callable[[], tuple[str, DeadLetterTarget] | None]) -> None:
        attempt = 0
        while True:
            found = find()
            wait_s = _LOOK_EVERY_S
            if found is None:
                self._troubles.pop(kind, None)
            else:
                try:
                    busy = await self._publish(kind, *found)
                except EdgefleetError as error:
                    if self._spool.failure.done():
                        raise
                    if kind not in self._troubles:
                        log.warning("dead letters cannot be published, trying again", reason=str(error))
                    self._troubles[kind] = str(error)
                    wait_s = self._backoff.delay(attempt, self._rng.random())
                    attempt += 1
                else:
                    attempt = 0
                    self._troubles.pop(kind, None)
                    wait_s = 0 if busy else _LOOK_EVERY_S
            await asyncio.sleep(wait_s)

    async def _publish(self, kind: str, topic: str, outlet: DeadLetterTarget) -> bool:
        """Publish the next letters; returns whether there may be more."""
        note = f"dead letters published to {kind} {topic}"
        done = int(await self._spool.run_on_writer(lambda store: store.get_metadata(note)) or 0)
        letters = read_dead_letters_after(self._spool.path, done, _AT_ONCE)
        if not letters:
            return False
        await outlet.publish(letters)
        await self._spool.run_on_writer(lambda store: store.set_metadata(note, str(letters[-1].number)))
        self._metrics.letters_published.labels(kind).inc(len(letters))
        return len(letters) == _AT_ONCE

    def _kafka(self) -> tuple[str, DeadLetterTarget] | None:
        config = self._config()
        topic, kafka = config.dead_letters.kafka_topic, config.sinks.get("kafka")
        if topic is None or not isinstance(kafka, KafkaSinkConfig):
            return None
        return topic, KafkaDeadLetterTarget(kafka, topic, config.client_id)

    def _mqtt(self) -> tuple[str, DeadLetterTarget] | None:
        config = self._config()
        topic = config.dead_letters.mqtt_topic
        return (topic, MqttDeadLetterTarget(config, topic)) if topic else None
