"""The parts that a configuration asks for, made without any I/O."""

from typing import TYPE_CHECKING

from bridge.config import BridgeConfig
from bridge.routing import RouteTable
from bridge.sinks import build
from bridge.sinks.base import Sink
from edgewire.clock import Clock
from edgewire.errors import ConfigError

if TYPE_CHECKING:
    from bridge.tracing import Tracing


def assemble(config: BridgeConfig, clock: Clock | None = None) -> tuple[RouteTable, list[Sink]]:
    """The routes and sinks of a configuration. No I/O; raises `ConfigError` where they contradict each other."""
    table = RouteTable(config.routes)
    table.require(config.sinks)
    return table, build(config, table, clock)


def make_tracing(config: BridgeConfig, clock: Clock) -> "Tracing | None":
    """What exports spans, where the configuration asks for it."""
    if config.tracing is None:
        return None
    try:
        from bridge.tracing import Tracing
    except ImportError as error:
        raise ConfigError(f"tracing needs OpenTelemetry ({error}): pip install 'edgefleet[otel]'") from None
    return Tracing(config, clock)
