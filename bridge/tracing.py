"""Makes spans of OpenTelemetry for messages whose publisher traces them: receive, spool, and one delivery a sink.

A publisher says so with the user property `traceparent` of MQTT 5 (https://www.w3.org/TR/trace-context/). It is kept in
the spool and handed on to HTTP and Kafka as it came, also where nothing is exported: a trace survives a restart.
Messages without it cost nothing.
"""

import logging
import os
from collections.abc import Sequence
from urllib.parse import unquote_plus

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from bridge.config import BridgeConfig
from bridge.message.user_properties import trace_context
from bridge.routing.routed import RoutedEvent
from bridge.spool.message import SpooledMessage
from edgewire.clock import Clock
from edgewire.redact import KnownSecrets, query_values

_REMEMBERED = 20_000
"""Messages whose delivery is made a child of their receipt; the others' is one of the publisher's span."""

_NS = 1_000_000


class _WithoutSecrets(logging.Filter):
    """Hides, in what the exporter logs, the secrets in its endpoint and in its headers, and the user of its proxy."""

    def __init__(self, secrets: Sequence[str]) -> None:
        super().__init__()
        headers = (
            value for name, value in os.environ.items() if name.startswith("OTEL_") and name.endswith("_HEADERS")
        )
        parts = (part for value in headers for pair in value.split(",") for part in (pair, pair.partition("=")[2]))
        self._secrets = KnownSecrets([*secrets, *(part.strip() for part in parts), *map(unquote_plus, secrets)])

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._secrets.hide(record.getMessage()), ()
        record.exc_info = None
        return True


def _hide_in_log(secrets: Sequence[str]) -> None:
    hide = _WithoutSecrets(secrets)
    for name in (
        "opentelemetry.exporter.otlp.proto.http.trace_exporter",
        "opentelemetry.sdk._shared_internal",
        "opentelemetry.util.re",
        "urllib3.connectionpool",
    ):
        logging.getLogger(name).addFilter(hide)


class Tracing:
    """Makes and exports spans. The exporter has a thread and a bounded queue of its own, and holds no message up."""

    def __init__(self, config: BridgeConfig, clock: Clock, processor: SpanProcessor | None = None) -> None:
        """Take the settings; a `processor` gets the spans instead of the endpoint."""
        settings = config.tracing
        name = settings.service_name if settings else "edgefleet-bridge"
        resource = Resource.create({"service.name": name, "service.instance.id": config.client_id})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        if settings:
            _hide_in_log(query_values(str(settings.endpoint)))
        if processor is None:
            processor = BatchSpanProcessor(OTLPSpanExporter(endpoint=str(settings.endpoint) if settings else None))
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("edgefleet.bridge")
        self._propagator = TraceContextTextMapPropagator()
        self._clock = clock
        self._receipts: dict[int, Context] = {}

    def trace_commit(self, messages: Sequence[SpooledMessage]) -> None:
        """Make the spans of messages that are in the spool now."""
        now_ns = self._clock.now_ms() * _NS
        for message in messages:
            parent = self._parent(message) if message.properties else None
            if parent is None:
                continue
            started_ns = message.received_ms * _NS
            attributes = {"messaging.system": "mqtt", "messaging.destination.name": message.topic}
            receive = self._tracer.start_span(
                "receive", parent, SpanKind.CONSUMER, attributes=attributes, start_time=started_ns
            )
            inside = set_span_in_context(receive)
            self._tracer.start_span("spool", inside, start_time=started_ns).end(now_ns)
            receive.end(now_ns)
            if len(self._receipts) >= _REMEMBERED:
                self._receipts.pop(next(iter(self._receipts)))
            self._receipts[message.id] = inside

    def trace_delivery(self, sink: str, events: Sequence[RoutedEvent]) -> None:
        """Make the spans of messages that a sink has taken."""
        now_ns = self._clock.now_ms() * _NS
        for event in events:
            message = event.message
            if not message.properties:
                continue
            parent = self._receipts.get(message.id) or self._parent(message)
            if parent is not None:
                attributes = {"edgefleet.sink": sink, "messaging.message.id": event.message_id}
                span = self._tracer.start_span(
                    f"deliver {sink}",
                    parent,
                    SpanKind.PRODUCER,
                    attributes=attributes,
                    start_time=message.received_ms * _NS,
                )
                span.end(now_ns)

    def close(self) -> None:
        """Export what waits. Blocks."""
        self._provider.shutdown()

    def _parent(self, message: SpooledMessage) -> Context | None:
        carrier = dict(trace_context(message.properties))
        return self._propagator.extract(carrier) if carrier else None
