"""Says what a transport reaches, and what each transport has to keep to. Nothing of MQTT here."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

ProtocolFactory = Callable[[], asyncio.Protocol]
Headers = tuple[tuple[str, str], ...]
"""Names and values of HTTP."""


@dataclass(frozen=True, slots=True)
class WebHandshake:
    """Tells what goes with the handshake of a WebSocket, besides host and path."""

    headers: Headers = field(default=(), repr=False)
    subprotocol: str = "mqtt"
    """The one that is asked for; a server that does not choose it is left."""


PLAIN_HANDSHAKE = WebHandshake()
"""Asks for MQTT, and says nothing else."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Tells a connector what to reach, and from where."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    """Speak TLS by this context, and check that the certificate is for `host`; None is plain."""
    local_addr: tuple[str, int] | None = None
    """The address of this machine to connect from, with port 0 for any; None leaves it to the system."""
    path: str = field(default="", repr=False)
    """Of a WebSocket: path and query to ask for. Of a UNIX socket: its file."""
    web: WebHandshake = PLAIN_HANDSHAKE
    """Of a WebSocket."""
    alpn: tuple[str, ...] = ()
    """The protocols that `tls` offers; the server has to choose one of them. Empty: it need not."""


class HandshakeRefused(ConnectionError):
    """The peer was reached and does not carry MQTT this way; `reason` says what it did, `fix` what to do about it."""

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fix = fix


class TransportConnector(Protocol):
    """Opens a stream of bytes to an endpoint. Has no state: one serves every connection."""

    async def open_transport(self, endpoint: Endpoint, make_protocol: ProtocolFactory) -> asyncio.Transport:
        """Connect, and let the protocol that `make_protocol` gives drive the connection from then on.

        Raises `OSError` if the endpoint cannot be reached, `HandshakeRefused` among them where it does not carry MQTT
        this way, `ConfigError` if `local_addr` cannot be used. Nothing is left open when it raises or is cancelled.
        """
        ...
