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
from edgewire.plugins import load_plugins


def _build_kafka_sink(config: Any, targets: Sequence[Any], name: str, clock: Clock) -> Sink:
    """Make the sink whose client not every platform has, and which takes a while to load."""
    require_kafka("the Kafka sink")
    from bridge.sinks.kafka.sink import KafkaSink

    return KafkaSink(config, targets, name, clock)


_OWN: Mapping[str, SinkKind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            SinkKind("http", HttpSinkConfig, HttpTarget, HttpSink),
            SinkKind("kafka", KafkaSinkConfig, KafkaTarget, _build_kafka_sink),
            SinkKind("file", FileSinkConfig, FileTarget, FileSink),
        )
    }
)
_TAKEN = frozenset(
    {"broker", "client_id", "subscriptions", "mqtt", "watch", "tracing", "spool", "dead_letters", "routes", "kinds"}
    | {"admin", "topic", "match", "drop", "sample", "validate", "schema", "expired"}
)
"""Keys of the configuration, and of a route, that are none of sinks."""
_ADDED = load_plugins("edgefleet.sinks", SinkKind).named(lambda kind: kind.name, _TAKEN.union(_OWN))

SINKS: Mapping[str, SinkKind] = MappingProxyType({**_OWN, **_ADDED.values})
"""Name -> sink: those of edgefleet, and those of plug-ins. The name is the key of its settings and of its target in a
route."""

SINK_FAULTS: Mapping[str, str] = MappingProxyType(_ADDED.faults)
"""Name of a plug-in -> why its sink cannot be used."""
