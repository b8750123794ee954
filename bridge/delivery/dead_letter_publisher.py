"""Publishes dead letters, besides keeping them: each once to each target, in order, and again after a doubt.

How far it has come is noted in the spool after a target has confirmed, so a crash costs a repetition and never a
letter. One that was discarded by an operator, or replayed and delivered, before its turn came is not published.

A message is given up here too: the only way, besides delivery and a rule, that one leaves the books of a sink.
"""

import asyncio
import random
from collections.abc import Callable, Mapping

from bridge.config import BridgeConfig
from bridge.delivery.dead_letter_targets import TARGETS, DeadLetterTarget, FindTarget
from bridge.metrics import BridgeMetrics
from bridge.routing.routed import Unroutable
from bridge.sinks.base import Rejected
from bridge.spool.dead_letters import read_dead_letters_after
from bridge.spool.message import DeadLetter, SpooledMessage
from bridge.spool.spool import Spool
from edgewire import logs
from edgewire.backoff import Backoff
from edgewire.errors import EdgefleetError

LOOK_EVERY_S = 1.0

LETTERS_AT_ONCE = 200

log = logs.get("dead_letters")


class DeadLetterPublisher:
    """Publishes for ever (`run`); a target that cannot be reached is tried again."""

    def __init__(
        self,
        config: Callable[[], BridgeConfig],
        spool: Spool,
        metrics: BridgeMetrics,
        rng: random.Random,
        *,
        targets: Mapping[str, FindTarget] = TARGETS,
        backoff: Backoff | None = None,
    ) -> None:
        """Ask `config` before every look; `backoff` is between attempts."""
        self._config = config
        self._spool = spool
        self._metrics = metrics
        self._rng = rng
        self._targets = targets
        self._backoff = backoff or Backoff(base_s=1, cap_s=60)
        self._problems: dict[str, str] = {}
        for kind in targets:
            metrics.letters_published.labels(kind)

    @property
    def problems(self) -> list[str]:
        """Say why letters cannot be published, one sentence a target."""
        return list(self._problems.values())

    async def run_publisher(self) -> None:
        """Publish to every target. Raises `SpoolError`."""
        try:
            async with asyncio.TaskGroup() as group:
                for kind, find in self._targets.items():
                    group.create_task(self._publish_to(kind, find), name=f"dead letters to {kind}")
        except ExceptionGroup as group_error:
            raise group_error.exceptions[0] from None

    async def _publish_to(self, kind: str, find: FindTarget) -> None:
        attempt = 0
        while True:
            found = find(self._config())
            wait_s = LOOK_EVERY_S
            if found is None:
                self._problems.pop(kind, None)
            else:
                try:
                    busy = await self._publish_next(kind, *found)
                except EdgefleetError as error:
                    if self._spool.failure.done():
                        raise
                    if kind not in self._problems:
                        log.warning("dead letters cannot be published, trying again", reason=str(error))
                    self._problems[kind] = str(error)
                    wait_s = self._backoff.delay(attempt, self._rng.random())
                    attempt += 1
                else:
                    attempt = 0
                    self._problems.pop(kind, None)
                    wait_s = 0 if busy else LOOK_EVERY_S
            await asyncio.sleep(wait_s)

    async def _publish_next(self, kind: str, topic: str, target: DeadLetterTarget) -> bool:
        """Publish the next letters; return whether there may be more."""
        key = f"dead letters published to {kind} {topic}"
        done = int(await self._spool.run_on_writer(lambda store: store.get_metadata(key)) or 0)
        letters = read_dead_letters_after(self._spool.path, done, LETTERS_AT_ONCE)
        if not letters:
            return False
        await target.publish(letters)
        await self._spool.run_on_writer(lambda store: store.set_metadata(key, str(letters[-1].number)))
        self._metrics.letters_published.labels(kind).inc(len(letters))
        return len(letters) == LETTERS_AT_ONCE


def dead_letter_for_unroutable(sink: str, message: Unroutable, now_ms: int) -> DeadLetter:
    """Give up a message that the bridge itself could not route, so no sink was asked."""
    return _dead_letter(sink, message.message, message.reason, 0, now_ms)


def dead_letter_for_rejection(
    sink: str, message: SpooledMessage, verdict: Rejected, attempts: int, now_ms: int
) -> DeadLetter:
    """Give up a message that the sink will never take; `attempts` includes the one that said so."""
    return _dead_letter(sink, message, verdict.reason, attempts, now_ms)


def _dead_letter(sink: str, message: SpooledMessage, reason: str, attempts: int, now_ms: int) -> DeadLetter:
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
