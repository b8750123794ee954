"""The client side of MQTT 3.1.1 and 5 without I/O: bytes and the time go in, events and bytes come out.

Imports no asyncio, socket or time; `edgewire.link` is what drives a `Session` over a connection.
"""

from edgewire.mqtt.config import SessionConfig
from edgewire.mqtt.decode import Decoder
from edgewire.mqtt.encode import encode
from edgewire.mqtt.errors import (
    IllegalStep,
    NotConnected,
    ProtocolError,
    PublishRefused,
    SubscribeRefused,
    Unsendable,
    WindowFull,
)
from edgewire.mqtt.events import (
    Acknowledged,
    Connected,
    ConnectionLost,
    Event,
    Message,
    Refused,
    ServerDisconnected,
    Subscribed,
    Unsubscribed,
)
from edgewire.mqtt.filters import check_filter, encode_topic, filter_matches
from edgewire.mqtt.limits import ServerLimits
from edgewire.mqtt.packets import Subscription, Version, Will
from edgewire.mqtt.properties import Properties
from edgewire.mqtt.reasons import FAILURE, reason_name
from edgewire.mqtt.session import Session
from edgewire.mqtt.state import State

__all__ = [
    "FAILURE",
    "Acknowledged",
    "Connected",
    "ConnectionLost",
    "Decoder",
    "Event",
    "IllegalStep",
    "Message",
    "NotConnected",
    "Properties",
    "ProtocolError",
    "PublishRefused",
    "Refused",
    "ServerDisconnected",
    "ServerLimits",
    "Session",
    "SessionConfig",
    "State",
    "SubscribeRefused",
    "Subscribed",
    "Subscription",
    "Unsendable",
    "Unsubscribed",
    "Version",
    "Will",
    "WindowFull",
    "check_filter",
    "encode",
    "encode_topic",
    "filter_matches",
    "reason_name",
]
