"""Lists all sinks, in the one table of them. A new sink is a file or folder here and a row in `SINKS`."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bridge.sinks.base import Sink, SinkKind
from bridge.sinks.file.config import FileSinkConfig, FileTarget
from bridge.sinks.file.sink import FileSink
from bridge.sinks.http.config import HttpSinkConfig, HttpTarget
from bridge.sinks.http.sink import HttpSink
from bridge.sinks.kafka.config import KafkaSinkConfig, KafkaTarget
from edgewire.clock import Clock
from edgewire.extras import require_kafka


def _build_kafka_sink(config: Any, targets: Sequence[Any], name: str, clock: Clock) -> Sink:
    """Make the sink whose client not every platform has, and which takes a while to load."""
    require_kafka("the Kafka sink")
    from bridge.sinks.kafka.sink import KafkaSink

    return KafkaSink(config, targets, name, clock)


SINKS: Mapping[str, SinkKind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            SinkKind("http", HttpSinkConfig, HttpTarget, HttpSink),
            SinkKind("kafka", KafkaSinkConfig, KafkaTarget, _build_kafka_sink),
            SinkKind("file", FileSinkConfig, FileTarget, FileSink),
        )
    }
)
"""Name -> sink. The name is the key of its settings and of its target in a route."""
