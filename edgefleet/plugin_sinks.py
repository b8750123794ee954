"""The names that a sink in a package of its own is made of; they stay as they are, see docs/sinks.md."""

from bridge.message.template import Template, TemplateError
from bridge.routing.routed import RoutedEvent
from bridge.sinks.base import Failure, Failures, NotConnected, Rejected, Remark, Retry, Scope, Sink, SinkKind
from bridge.sinks.settings import SinkConfig, Target
from edgewire.clock import Clock
from edgewire.errors import ConfigError, ServiceUnavailable
from edgewire.messages.contract import KindContract, MessageType

__all__ = [
    "Clock",
    "ConfigError",
    "Failure",
    "Failures",
    "KindContract",
    "MessageType",
    "NotConnected",
    "Rejected",
    "Remark",
    "Retry",
    "RoutedEvent",
    "Scope",
    "ServiceUnavailable",
    "Sink",
    "SinkConfig",
    "SinkKind",
    "Target",
    "Template",
    "TemplateError",
]
