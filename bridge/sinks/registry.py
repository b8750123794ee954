"""The one table of sinks. A new sink is a file here and a line in `SINKS`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from bridge.sinks.base import Sink, SinkKind
from bridge.sinks.file import FILE
from bridge.sinks.http import HTTP
from bridge.sinks.kafka import KAFKA
from edgewire.clock import Clock, SystemClock

if TYPE_CHECKING:  # both are made from the table
    from bridge.config import BridgeConfig
    from bridge.routing.table import RouteTable


SINKS: Mapping[str, SinkKind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            HTTP,
            KAFKA,
            FILE,
        )
    }
)
"""Name -> sink. The name is the key of its settings and of its target in a route."""


def build(config: "BridgeConfig", table: "RouteTable", clock: Clock | None = None) -> list[Sink]:
    """The sinks that are configured. No I/O. Raises `ConfigError` for a target that does not fit its sink."""
    clock = clock or SystemClock()
    return [
        SINKS[name].build(settings, table.targets(name), config.client_id, clock)
        for name, settings in config.sinks.items()
    ]
