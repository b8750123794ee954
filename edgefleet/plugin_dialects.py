"""The names that a dialect in a package of its own is made of; they stay as they are, see docs/your-own-kind.md."""

from edgewire.config import Config
from edgewire.dialects.base import (
    Arrival,
    DialectDecoder,
    DialectError,
    DialectMessage,
    MessageRole,
    TimeSource,
)
from edgewire.dialects.dialect import Dialect
from edgewire.dialects.encoder import (
    CommandOutcome,
    DeviceNames,
    DialectCommand,
    DialectEncoder,
    MessageTemplate,
    Publication,
)
from edgewire.dialects.payload_template import fill_names

__all__ = [
    "Arrival",
    "CommandOutcome",
    "Config",
    "DeviceNames",
    "Dialect",
    "DialectCommand",
    "DialectDecoder",
    "DialectEncoder",
    "DialectError",
    "DialectMessage",
    "MessageRole",
    "MessageTemplate",
    "Publication",
    "TimeSource",
    "fill_names",
]
