"""Lists all sinks, in the one table of them. A new sink is a file or folder here and a row in `SINKS`."""

from collections.abc import Mapping
from types import MappingProxyType

from bridge.sinks.base import SinkKind
from bridge.sinks.file.config import FileSinkConfig, FileTarget
from bridge.sinks.file.sink import FileSink
from bridge.sinks.http.config import HttpSinkConfig, HttpTarget
from bridge.sinks.http.sink import HttpSink
from bridge.sinks.kafka.config import KafkaSinkConfig, KafkaTarget
from bridge.sinks.kafka.sink import KafkaSink

SINKS: Mapping[str, SinkKind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            SinkKind("http", HttpSinkConfig, HttpTarget, HttpSink),
            SinkKind("kafka", KafkaSinkConfig, KafkaTarget, KafkaSink),
            SinkKind("file", FileSinkConfig, FileTarget, FileSink),
        )
    }
)
"""Name -> sink. The name is the key of its settings and of its target in a route."""
