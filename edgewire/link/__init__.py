"""MQTT over asyncio: `connect_link` reaches a broker and gives a `Link`.

In the order of a connection: `url` says where, `transport` how, `connect` says CONNECT and finds the version,
`protocol` is the `Link` that drives the session, `closing` awaits its end.
"""

from edgewire.link.closing import close_and_wait
from edgewire.link.connect import (
    NO_OPEN_FILE,
    BrokerRefused,
    BrokerUnreachable,
    ConnectCutOff,
    NoLocalPort,
    connect_link,
    probe_version,
)
from edgewire.link.protocol import Link
from edgewire.link.transport import PLAIN_HANDSHAKE, WebHandshake
from edgewire.link.url import BrokerUrl

__all__ = [
    "NO_OPEN_FILE",
    "PLAIN_HANDSHAKE",
    "BrokerRefused",
    "BrokerUnreachable",
    "BrokerUrl",
    "ConnectCutOff",
    "Link",
    "NoLocalPort",
    "WebHandshake",
    "close_and_wait",
    "connect_link",
    "probe_version",
]
