"""The one table of sinks. A new sink is a file here, a part of the configuration, and a line in `build`."""

from bridge.config import BridgeConfig
from bridge.routing import RouteTable
from bridge.sinks.base import Sink
from bridge.sinks.http import HttpSink
from bridge.sinks.kafka import KafkaSink


def build(config: BridgeConfig, table: RouteTable) -> list[Sink]:
    """The sinks that are configured. No I/O."""
    sinks: list[Sink] = []
    if config.http:
        sinks.append(HttpSink(config.http))
    if config.kafka:
        sinks.append(KafkaSink(config.kafka, table.kafka_topics()))
    return sinks
