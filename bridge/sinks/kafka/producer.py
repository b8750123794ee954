"""Holds the producers of the Kafka sink: a pipelined one, and a sequential one for what a broker has refused.

Of the pipelined one thousands of messages are under way. `enable.gapless.guarantee` ends it for good where one of them
is refused, so that none that follows it in its partition arrives before it. What was not delivered is then sent one by
one through the sequential one, where a refusal costs nobody else anything. Callbacks run on the event loop, from a
timer: no thread, no locks. `message.timeout.ms=0` leaves retrying to librdkafka, which keeps the order of a partition
meanwhile.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from bridge.sinks.base import NotConnected
from bridge.sinks.kafka.admin import refusal_of
from edgewire import logs
from edgewire.kafka import PARTITIONER

_POLL_BUSY_S = 0.003
POLL_IDLE_S = 0.1

log = logs.get("kafka")


class BatchReport:
    """Collects the delivery reports of one batch."""

    __slots__ = ("complete", "errors", "waiting")

    def __init__(self) -> None:
        self.waiting = 0
        self.errors: dict[int, KafkaError] = {}
        """By position, what was not delivered."""
        self.complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_delivery(self, position: int, error: KafkaError | None, _message: object) -> None:
        """Take the report of one message; called by `Producer.poll`, so on the event loop."""
        self.waiting -= 1
        if error is not None:
            self.errors[position] = error
        if not self.waiting and not self.complete.done():
            self.complete.set_result(None)


class KafkaProducers:
    """Makes producers when they are needed, and again when one is broken."""

    def __init__(self, properties: Mapping[str, Any], on_error: Callable[[KafkaError], None]) -> None:
        """Take the properties; `on_error` is told of what librdkafka goes on trying in spite of."""
        self._properties = {
            "partitioner": PARTITIONER,
            **properties,
            "enable.idempotence": True,
            "acks": "all",
            "message.timeout.ms": 0,
            "error_cb": on_error,
            "logger": _LOGGER,
        }
        self._pipelined: Producer | None = None
        self._sequential: Producer | None = None
        self._broken: list[Producer] = []  # until their last report is in
        self._reports: set[BatchReport] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._open = False
        self._failure: str | None = None

    def open(self) -> None:
        """Get ready; nothing is sent.

        Raises `ConfigError` for properties that librdkafka does not take, `ServiceUnavailable` where this machine has
        no memory or no thread for it.
        """
        self._failure = None
        self._pipelined = self._make(gapless=True)
        self._open = True
        self._poll()

    def pipelined(self) -> Producer:
        """Return the producer for whole batches. Raises `NotConnected` when they are closed."""
        self._require_open()
        self._pipelined = self._pipelined or self._make(gapless=True)
        return self._pipelined

    def sequential(self) -> Producer:
        """Return the producer for one message at a time. Raises `NotConnected` when they are closed."""
        self._require_open()
        self._sequential = self._sequential or self._make(gapless=False)
        return self._sequential

    def discard(self, producer: Producer, error: KafkaError) -> None:
        """Give up a producer that can do nothing more; what it has not delivered is reported as failed."""
        if producer is self._pipelined:
            self._pipelined = None
        elif producer is self._sequential:
            self._sequential = None
        else:
            return
        log.warning("a Kafka producer cannot go on, another one takes its place", fault=error.str())
        self._broken.append(producer)
        with suppress(KafkaException):
            producer.purge(blocking=False)

    def fail(self, reason: str) -> None:
        """Let every write, those under way too, raise `NotConnected`, until they are closed and opened again."""
        self._failure = reason
        self._end_reports(reason)

    async def wait_for(self, report: BatchReport) -> None:
        """Return when the fate of every message is known. Raises `NotConnected` when they are closed meanwhile."""
        if not report.waiting:
            return
        self._schedule(_POLL_BUSY_S)
        self._reports.add(report)
        try:
            await report.complete
        finally:
            self._reports.discard(report)

    async def close(self) -> None:
        """End all producers; what is being written counts as not delivered."""
        self._open = False
        if self._timer:
            self._timer.cancel()
        self._end_reports("the Kafka producer was closed")
        producers, self._pipelined, self._sequential, self._broken = self._all(), None, None, []
        for producer in producers:
            with suppress(KafkaException):  # a fatal error comes out of whatever is called first
                producer.purge()
                await asyncio.to_thread(producer.flush, 1.0)

    def _require_open(self) -> None:
        if not self._open:
            raise NotConnected("the Kafka producer is closed")
        if self._failure is not None:
            raise NotConnected(self._failure)

    def _end_reports(self, reason: str) -> None:
        for report in self._reports:
            if not report.complete.done():
                report.complete.set_exception(NotConnected(reason))

    def _all(self) -> list[Producer]:
        return [*(one for one in (self._pipelined, self._sequential) if one is not None), *self._broken]

    def _poll(self) -> None:
        if not self._open:
            return
        for producer in self._all():
            try:
                producer.poll(0)
            except KafkaException as error:
                # confluent-kafka raises a fatal error here rather than hand it to error_cb.
                self.discard(producer, error.args[0])
        self._broken = [producer for producer in self._broken if len(producer)]
        self._schedule(_POLL_BUSY_S if self._reports else POLL_IDLE_S)

    def _schedule(self, delay_s: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._poll)

    def _make(self, *, gapless: bool) -> Producer:
        try:
            return Producer({**self._properties, "enable.gapless.guarantee": gapless})
        except KafkaException as error:
            raise refusal_of(error.args[0]) from None


class _Forward(logging.Handler):
    """Brings librdkafka's own log lines among ours."""

    def emit(self, record: logging.LogRecord) -> None:
        log.debug("librdkafka", line=record.getMessage())


_LOGGER = logging.Logger("librdkafka")
_LOGGER.addHandler(_Forward())
