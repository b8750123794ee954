"""The transports that can carry MQTT, and the one table that says which scheme of a URL takes which.

A new one is a class that keeps the contract of `TransportConnector` and a line of `TRANSPORTS`. Nothing of MQTT here.
"""

import asyncio
from dataclasses import dataclass
from enum import Enum, auto

from edgewire.link.endpoint import (
    PLAIN_HANDSHAKE,
    Endpoint,
    HandshakeRefused,
    ProtocolFactory,
    TransportConnector,
    WebHandshake,
)
from edgewire.link.stream import TcpConnector, UnixConnector

__all__ = [
    "PLAIN_HANDSHAKE",
    "TRANSPORTS",
    "Endpoint",
    "HandshakeRefused",
    "ProtocolFactory",
    "TransportConnector",
    "TransportType",
    "UrlForm",
    "WebHandshake",
]


class WebSocketConnector:
    """A WebSocket over TCP or TLS; what it takes is loaded for whoever has such a broker."""

    async def open_transport(self, endpoint: Endpoint, make_protocol: ProtocolFactory) -> asyncio.Transport:
        """Connect, and say the handshake of HTTP."""
        from edgewire.link.websocket import open_websocket

        return await open_websocket(TcpConnector(), endpoint, make_protocol)


class UrlForm(Enum):
    """Names what stands behind the scheme of a URL."""

    HOST = auto()
    """A host and a port."""
    WEB = auto()
    """The same, a path and a query."""
    FILE = auto()
    """The path of a file."""


@dataclass(frozen=True, slots=True)
class TransportType:
    """Tells how the brokers of one URL scheme are reached."""

    connector: TransportConnector
    default_port: int
    uses_tls: bool
    form: UrlForm = UrlForm.HOST
    takes_alpn: bool = False
    """Whether a protocol may be asked for in the TLS handshake."""

    @property
    def takes_headers(self) -> bool:
        """Return whether its handshake is one of HTTP."""
        return self.form is UrlForm.WEB


TRANSPORTS = {
    "mqtt": TransportType(TcpConnector(), 1883, uses_tls=False),
    "mqtts": TransportType(TcpConnector(), 8883, uses_tls=True, takes_alpn=True),
    "ws": TransportType(WebSocketConnector(), 80, uses_tls=False, form=UrlForm.WEB),
    "wss": TransportType(WebSocketConnector(), 443, uses_tls=True, form=UrlForm.WEB),
    "unix": TransportType(UnixConnector(), 0, uses_tls=False, form=UrlForm.FILE),
}
"""By the scheme of a broker URL."""
