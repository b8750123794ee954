"""The client side of MQTT 3.1.1 and 5 without I/O: bytes and the time go in, events and bytes come out.

`session` holds all together: `framing` and `decode` read what comes, `inbound_qos` and `outbound_qos` keep what is not
answered, `keepalive` the time, `state` what may follow what; `encode` writes. `packets`, `properties`, `codec` and
`reasons` are the standard's own. Imports no asyncio, socket or time: `edgewire.link` drives a `Session`.
"""

from edgewire.mqtt.config import SessionConfig
from edgewire.mqtt.decode import PacketDecoder
from edgewire.mqtt.encode import encode
from edgewire.mqtt.errors import (
    IllegalTransition,
    ProtocolError,
    PublishRefused,
    SessionNotConnected,
    SubscribeRefused,
    Unsendable,
    WindowFull,
)
from edgewire.mqtt.events import (
    Acknowledged,
    Connected,
    ConnectionLost,
    ConnectRefused,
    Event,
    Message,
    PeerFault,
    ServerDisconnected,
    StrayAnswer,
    Subscribed,
    Unsubscribed,
)
from edgewire.mqtt.filters import check_filter, encode_topic, filter_matches
from edgewire.mqtt.limits import ServerLimits
from edgewire.mqtt.packets import Subscription, Version, Will
from edgewire.mqtt.properties import Properties
from edgewire.mqtt.reasons import FAILURE, coded_reason, reason_name
from edgewire.mqtt.session import Session
from edgewire.mqtt.state import SessionState

__all__ = [
    "FAILURE",
    "Acknowledged",
    "ConnectRefused",
    "Connected",
    "ConnectionLost",
    "Event",
    "IllegalTransition",
    "Message",
    "PacketDecoder",
    "PeerFault",
    "Properties",
    "ProtocolError",
    "PublishRefused",
    "ServerDisconnected",
    "ServerLimits",
    "Session",
    "SessionConfig",
    "SessionNotConnected",
    "SessionState",
    "StrayAnswer",
    "SubscribeRefused",
    "Subscribed",
    "Subscription",
    "Unsendable",
    "Unsubscribed",
    "Version",
    "Will",
    "WindowFull",
    "check_filter",
    "coded_reason",
    "encode",
    "encode_topic",
    "filter_matches",
    "reason_name",
]
