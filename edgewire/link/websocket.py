"""Carries MQTT over a WebSocket (RFC 6455, MQTT 5 section 6): the frames are wsproto's, the stream below is TCP or TLS.

MQTT is one stream of bytes in binary frames: a packet may span frames and a frame hold several. So what comes is handed
on as it comes, however long the frame is said to be, and takes no more memory than the bytes that have arrived.
"""

import asyncio
import ssl
from http import HTTPStatus
from typing import Any, cast

import wsproto
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.handshake import H11Handshake

from edgewire.link.endpoint import Endpoint, HandshakeRefused, ProtocolFactory, TransportConnector
from edgewire.redact import show_url

_HEAD_LIMIT = 64 * 1024
"""Bytes of an answer to the handshake; one that is longer without an end is not read on."""
_SHOWN = 120
"""Characters of what a server says that are shown."""

_FIXES: dict[int, str] = {
    HTTPStatus.BAD_REQUEST: "correct its path, or name the listener for WebSockets: ws:// or wss://",
    HTTPStatus.UNAUTHORIZED: "it wants to know who asks: give the header that it wants (websocket.headers)",
    HTTPStatus.FORBIDDEN: "look at what it lets in, such as addresses and origins",
    HTTPStatus.NOT_FOUND: "correct the path of the URL: many brokers have /mqtt",
    HTTPStatus.METHOD_NOT_ALLOWED: "correct the path of the URL: many brokers have /mqtt",
    HTTPStatus.UPGRADE_REQUIRED: "it speaks another version of WebSocket: name another listener",
    HTTPStatus.TOO_MANY_REQUESTS: "it is busy: try again later, or connect more slowly",
    HTTPStatus.SERVICE_UNAVAILABLE: "it is busy, or what stands before it finds no broker: try again later",
    HTTPStatus.BAD_GATEWAY: "what stands before the broker does not reach it: look there",
    HTTPStatus.GATEWAY_TIMEOUT: "what stands before the broker does not reach it: look there",
}


class WebSocketClosed(ConnectionError):
    """The server has ended the WebSocket, or broken its rules; the text says how."""


async def open_websocket(
    below: TransportConnector, endpoint: Endpoint, make_protocol: ProtocolFactory
) -> asyncio.Transport:
    """Connect by `below`, ask for a WebSocket with the subprotocol of MQTT, and hand the connection over.

    Raises `HandshakeRefused` where the server answers otherwise.
    """
    stream = _WebSocketStream(endpoint, make_protocol)
    lower = await below.open_transport(endpoint, lambda: stream)
    try:
        return await stream.opened
    except BaseException:
        lower.abort()
        raise


class _WebSocketStream(asyncio.Protocol):
    """Stands between the transport below and the protocol above."""

    def __init__(self, endpoint: Endpoint, make_protocol: ProtocolFactory) -> None:
        self.opened: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()
        self._endpoint = endpoint
        self._make_protocol = make_protocol
        self._lower: asyncio.Transport | None = None
        self._handshake: H11Handshake | None = H11Handshake(ConnectionType.CLIENT)
        self._head_bytes = 0
        self._frames: Connection | None = None
        self._upper: asyncio.Protocol | None = None
        self._end: WebSocketClosed | None = None

    # -- for the transport below

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._lower = cast("asyncio.Transport", transport)
        assert self._handshake is not None
        request = Request(
            host=_host_header(self._endpoint),
            target=self._endpoint.path or "/",
            subprotocols=[self._endpoint.web.subprotocol],
            extra_headers=[(name.encode(), value.encode()) for name, value in self._endpoint.web.headers],
        )
        self._lower.write(self._handshake.send(request))

    def data_received(self, data: bytes) -> None:
        if self._handshake is not None:
            self._receive_answer(data)
        elif self._end is None:
            assert self._frames is not None
            self._frames.receive_data(data)
            self._receive_frames()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            said = "it ended the connection instead of answering the WebSocket handshake"
            refused = HandshakeRefused(said, "is it a listener for WebSockets, and this the right port?")
            self._refuse(exc if isinstance(exc, ssl.SSLError) else refused)
        if self._upper is not None:
            self._upper.connection_lost(self._end or exc)

    def pause_writing(self) -> None:
        if self._upper is not None:
            self._upper.pause_writing()

    def resume_writing(self) -> None:
        if self._upper is not None:
            self._upper.resume_writing()

    # -- the handshake

    def _receive_answer(self, data: bytes) -> None:
        assert self._handshake is not None
        self._head_bytes += len(data)
        try:
            self._handshake.receive_data(data)
            events = list(self._handshake.events())
        except (wsproto.utilities.RemoteProtocolError, UnicodeDecodeError) as error:
            return self._refuse(_wrong_answer(str(error)))
        for event in events:
            if isinstance(event, RejectConnection):
                return self._refuse(_rejected(event, self._endpoint))
            if isinstance(event, AcceptConnection):
                return self._open(event)
        if self._head_bytes > _HEAD_LIMIT:
            self._refuse(_wrong_answer("its head has no end"))
        return None

    def _open(self, event: AcceptConnection) -> None:
        assert self._handshake is not None
        assert self._lower is not None
        if event.subprotocol != self._endpoint.web.subprotocol:
            self._refuse(
                HandshakeRefused(
                    "its WebSocket is not for MQTT: it did not choose the subprotocol"
                    f" '{self._endpoint.web.subprotocol}'",
                    "correct the path or port of the URL",
                )
            )
            return
        # What was needed for the handshake alone is let go of: some 10 KB a connection.
        self._frames, self._handshake = self._handshake.connection, None
        if self.opened.done():  # cancelled
            self._lower.abort()
            return
        self._upper = self._make_protocol()
        transport = WebSocketTransport(self, self._lower)
        self.opened.set_result(transport)
        self._upper.connection_made(transport)
        self._receive_frames()

    def _refuse(self, error: HandshakeRefused | ssl.SSLError) -> None:
        if not self.opened.done():
            self.opened.set_exception(error)
        if self._lower is not None:
            self._lower.abort()

    # -- frames

    def _receive_frames(self) -> None:
        """Take in the frames that are there, and hand what they hold up in one piece."""
        assert self._frames is not None
        parts: list[bytes] = []
        ping: Ping | None = None
        end: Event | None = None
        for event in self._frames.events():
            if isinstance(event, BytesMessage):
                parts.append(bytes(event.data))
            elif isinstance(event, Ping):
                ping = event  # of several that have come, the last one is to be answered (5.5.3)
            elif isinstance(event, CloseConnection | TextMessage):
                end = event
                break
        if parts and self._upper is not None:
            self._upper.data_received(parts[0] if len(parts) == 1 else b"".join(parts))
        if end is not None:
            self._end_by(end)
        elif ping is not None and self._frames.state is ConnectionState.OPEN:
            assert self._lower is not None
            # A server that does not read has its pings unanswered: the answers would pile up here.
            if not self._lower.get_write_buffer_size():
                self._write(self._frames.send(Pong(payload=bytes(ping.payload))))

    def _end_by(self, event: Event) -> None:
        """End the connection by what the server sent: a close frame, one that breaks the rules, or text."""
        assert self._frames is not None
        assert self._lower is not None
        if self._frames.state is ConnectionState.CLOSED:  # the answer to ours
            self._lower.close()
            return
        if isinstance(event, CloseConnection):
            code, reason = int(event.code), (event.reason or "")[:_SHOWN]
            if self._frames.state is ConnectionState.REMOTE_CLOSING:
                said = f": {reason}" if reason else ""
                self._end = WebSocketClosed(f"the server closed the WebSocket with code {code}{_name_of(code)}{said}")
                answer = event.response() if code != 1005 else CloseConnection(code=1000)
            else:
                self._end = WebSocketClosed(f"the server broke the rules of WebSocket: {reason}")
                answer = CloseConnection(code=code)
        else:
            self._end = WebSocketClosed("the server sent text over the WebSocket, and MQTT is binary")
            answer = CloseConnection(code=1003)
        if self._frames.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            self._write(self._frames.send(answer))
        self._lower.close()

    def send_bytes(self, data: bytes) -> None:
        """Send bytes of MQTT as one frame."""
        if self._frames is not None and self._frames.state is ConnectionState.OPEN:
            self._write(self._frames.send(BytesMessage(data=data)))

    def send_close(self) -> None:
        """Say that we are done; the server answers, and ends the connection."""
        if self._frames is not None and self._frames.state is ConnectionState.OPEN:
            self._write(self._frames.send(CloseConnection(code=1000)))

    def _write(self, data: bytes) -> None:
        assert self._lower is not None
        if not self._lower.is_closing():
            self._lower.write(data)

    def set_upper(self, protocol: asyncio.Protocol) -> None:
        """Let another protocol drive the connection."""
        self._upper = protocol

    @property
    def upper(self) -> asyncio.Protocol:
        """Return the protocol that drives the connection."""
        assert self._upper is not None
        return self._upper


class WebSocketTransport(asyncio.Transport):
    """Is the transport that the protocol above has: what it writes leaves in binary frames.

    `write_eof` is the close frame of WebSocket, by which our side says that it sends no more; `close` without it ends
    the connection as an operating system does for a program that has ended.
    """

    def __init__(self, stream: _WebSocketStream, lower: asyncio.Transport) -> None:
        super().__init__()
        self._stream = stream
        self._lower = lower

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._stream.send_bytes(bytes(data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._stream.send_close()

    def close(self) -> None:
        self._lower.close()

    def abort(self) -> None:
        self._lower.abort()

    def is_closing(self) -> bool:
        return self._lower.is_closing()

    def pause_reading(self) -> None:
        self._lower.pause_reading()

    def resume_reading(self) -> None:
        self._lower.resume_reading()

    def is_reading(self) -> bool:
        return self._lower.is_reading()

    def get_write_buffer_size(self) -> int:
        return self._lower.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._lower.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._lower.set_write_buffer_limits(high, low)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._lower.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._stream.set_upper(cast("asyncio.Protocol", protocol))

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._stream.upper


def _host_header(endpoint: Endpoint) -> str:
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return host if endpoint.port == (443 if endpoint.tls else 80) else f"{host}:{endpoint.port}"


def _rejected(event: RejectConnection, endpoint: Endpoint) -> HandshakeRefused:
    code = event.status_code
    name = next((f" {status.phrase}" for status in HTTPStatus if status == code), "")
    said = f"it answered the WebSocket handshake with {code}{name}"
    if 300 <= code < 400:
        headers = {key.lower(): value for key, value in event.headers}
        place = headers.get(b"location", b"").decode("latin-1")
        return HandshakeRefused(
            f"{said}{f', which points to {show_url(place)[:_SHOWN]}' if place.isprintable() and place else ''}",
            "redirections are not followed: name the place itself",
        )
    if code == HTTPStatus.BAD_REQUEST and endpoint.tls is None:
        return HandshakeRefused(said, "correct its path; if the port is for TLS, write wss://")
    if 200 <= code < 300:
        return HandshakeRefused(said, "that is a page of a web server: correct the path of the URL, or its port")
    return HandshakeRefused(said, _FIXES.get(code, "look into its log"))


def _wrong_answer(said: str) -> HandshakeRefused:
    if said.startswith("unrecognized subprotocol"):
        other = said.removeprefix("unrecognized subprotocol").strip()[:_SHOWN]
        return HandshakeRefused(
            f"its WebSocket is not for MQTT: it chose the subprotocol '{other}'", "correct the path or port of the URL"
        )
    return HandshakeRefused(
        f"its answer to the WebSocket handshake is none ({said[:_SHOWN]})",
        "is it a listener for WebSockets, and does nothing on the way change what it says?",
    )


_NAMES = {
    1000: "normal closure",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    1005: "no code",
    1007: "invalid data",
    1008: "policy violation",
    1009: "message too big",
    1011: "internal error",
    1012: "service restart",
    1013: "try again later",
}


def _name_of(code: int) -> str:
    return f" ({_NAMES[code]})" if code in _NAMES else ""
