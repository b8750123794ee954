"""Connects over TCP, with TLS upon it, and over UNIX sockets."""

import asyncio
import socket
import ssl
from typing import cast

from edgewire.errors import ConfigError
from edgewire.link.endpoint import Endpoint, HandshakeRefused, ProtocolFactory
from edgewire.link.local_address import connected_from

_ALPN_FIX = "name the one that it knows, or leave alpn out"


class TcpConnector:
    """TCP, with TLS upon it where the endpoint has a context."""

    async def open_transport(self, endpoint: Endpoint, make_protocol: ProtocolFactory) -> asyncio.Transport:
        """Connect by way of the resolver, or from the local address of the endpoint."""
        if endpoint.alpn:
            return await _with_alpn(endpoint, make_protocol)
        return await _connect(endpoint, make_protocol)


class UnixConnector:
    """A UNIX socket of this machine."""

    async def open_transport(self, endpoint: Endpoint, make_protocol: ProtocolFactory) -> asyncio.Transport:
        """Connect to the socket file at the path of the endpoint."""
        if not hasattr(socket, "AF_UNIX"):
            raise ConfigError("this system has no UNIX sockets: write mqtt://HOST:PORT")
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_unix_connection(make_protocol, endpoint.path)
        return transport


async def _connect(endpoint: Endpoint, make_protocol: ProtocolFactory) -> asyncio.Transport:
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


async def _with_alpn(endpoint: Endpoint, make_protocol: ProtocolFactory) -> asyncio.Transport:
    gate, offered = _AlpnGate(make_protocol, endpoint.alpn), ", ".join(endpoint.alpn)
    try:
        transport = await _connect(endpoint, lambda: gate)
    except ssl.SSLError as error:
        # RFC 7301, 3.2: the alert of a server that knows none of them. OpenSSL itself ends what was not offered.
        if "no application protocol" in (error.reason or str(error)).replace("_", " ").lower():
            raise HandshakeRefused(f"it knows none of the protocols of alpn ({offered})", _ALPN_FIX) from None
        raise
    if not gate.is_open:
        transport.abort()
        chose = f"'{gate.chosen}', which is" if gate.chosen else ""
        raise HandshakeRefused(
            f"it chose {chose} none of the protocols of alpn ({offered}) in the TLS handshake".replace("  ", " "),
            _ALPN_FIX,
        )
    return transport


class _AlpnGate(asyncio.Protocol):
    """Hands the connection over once the server has chosen a protocol; what has not, gets not a byte of MQTT."""

    def __init__(self, make_protocol: ProtocolFactory, offered: tuple[str, ...]) -> None:
        self._make_protocol = make_protocol
        self._offered = offered
        self.chosen: str | None = None
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        found = cast("ssl.SSLObject | None", transport.get_extra_info("ssl_object"))
        self.chosen = found.selected_alpn_protocol() if found is not None else None
        self.is_open = self.chosen in self._offered
        if self.is_open:
            protocol = self._make_protocol()
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
