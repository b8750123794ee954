"""The transports that can carry MQTT, and the one table that says which scheme of a URL takes which.

A new one is a class that keeps the contract of `TransportConnector` and a line of `TRANSPORTS`. Nothing of MQTT here.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edgewire.link.local_address import connected_from

ProtocolFactory = Callable[[], asyncio.Protocol]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Tells a connector what to reach, and from where."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    """Speak TLS by this context, and check that the certificate is for `host`; None is plain."""
    local_addr: tuple[str, int] | None = None
    """The address of this machine to connect from, with port 0 for any; None leaves it to the system."""


class TransportConnector(Protocol):
    """Opens a stream of bytes to an endpoint. Has no state: one serves every connection."""

    async def open_transport(self, endpoint: Endpoint, make_protocol: ProtocolFactory) -> asyncio.Transport:
        """Connect, and let the protocol that `make_protocol` gives drive the connection from then on.

        Raises `OSError` if the endpoint cannot be reached, `ConfigError` if `local_addr` cannot be used. Nothing is
        left open when it raises or is cancelled.
        """
        ...


class TcpConnector:
    """TCP, with TLS upon it where the endpoint has a context."""

    async def open_transport(self, endpoint: Endpoint, make_protocol: ProtocolFactory) -> asyncio.Transport:
        """Connect by way of the resolver, or from the local address of the endpoint."""
        loop = asyncio.get_running_loop()
        host, port, tls = endpoint.host, endpoint.port, endpoint.tls
        if endpoint.local_addr is None:
            transport, _ = await loop.create_connection(make_protocol, host, port, ssl=tls)
            return transport
        sock = await connected_from(endpoint.local_addr, host, port)
        try:
            transport, _ = await loop.create_connection(
                make_protocol, sock=sock, ssl=tls, server_hostname=host if tls else None
            )
        except BaseException:
            sock.close()
            raise
        return transport


@dataclass(frozen=True, slots=True)
class TransportType:
    """Tells how the brokers of one URL scheme are reached."""

    connector: TransportConnector
    default_port: int
    uses_tls: bool


TRANSPORTS = {
    "mqtt": TransportType(TcpConnector(), 1883, uses_tls=False),
    "mqtts": TransportType(TcpConnector(), 8883, uses_tls=True),
}
"""By the scheme of a broker URL."""
