"""Reaches a broker: connect, say CONNECT, await CONNACK, and fall back to MQTT 3.1.1 where 5 is not spoken."""

import asyncio
import errno
import ssl
from collections.abc import Callable
from dataclasses import replace
from time import monotonic

from edgewire.errors import ConfigError, EdgefleetError, ServiceUnavailable
from edgewire.link.protocol import Link
from edgewire.link.transport import PLAIN_HANDSHAKE, Endpoint, HandshakeRefused, UrlForm, WebHandshake
from edgewire.link.url import BrokerUrl
from edgewire.mqtt import Connected, ConnectionLost, ConnectRefused, Event, Session, Version, encode
from edgewire.mqtt.advice import advice
from edgewire.mqtt.packets import Connect, Disconnect
from edgewire.mqtt.reasons import UNSUPPORTED_VERSION
from edgewire.tls import client_context, explain_tls

OnEvents = Callable[[Link, list[Event]], None]

SILENCE_S = 2.0
"""How long a broker may leave CONNECT unanswered before we ask whether it knows version 5."""


class NoLocalPort(ServiceUnavailable):
    """The local address has no port left for another connection: the next one needs another local address."""


NO_OPEN_FILE = "too many open files here"
"""The reason of `BrokerUnreachable` where this process may open no more files."""


class ConnectCutOff(ServiceUnavailable):
    """The broker took the connection and ended it instead of answering CONNECT, as one does that is at its limit."""


class BrokerUnreachable(ServiceUnavailable):
    """The broker was not reached; `reason` is what the system says about it."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class BrokerRefused(EdgefleetError):
    """The broker answered CONNECT with a refusal; names the broker, the client and the reason."""

    def __init__(self, message: str, code: int, text: str, server_reference: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.text = text
        self.server_reference = server_reference


async def connect_link(
    broker: BrokerUrl,
    session: Session,
    on_events: OnEvents,
    *,
    tls: ssl.SSLContext | None = None,
    timeout_s: float = 10,
    local_addr: tuple[str, int] | None = None,
    own_timer: bool = True,
    web: WebHandshake = PLAIN_HANDSHAKE,
    alpn: tuple[str, ...] = (),
    on_open: Callable[[], None] | None = None,
) -> Link:
    """Connect `session` to `broker`; `on_events` gets `Connected` before this returns, and all that follows.

    A broker that does not speak version 5 is connected to again with 3.1.1, and the session keeps to that; `timeout_s`
    is for each of the two. Only a session that no server has accepted yet wonders so about a broker that says nothing.
    `tls` replaces the default context of a URL with TLS; of the protocols of `alpn`, which it offers, the broker has to
    choose one. `web` is of the handshake of a WebSocket. `on_open` is told that a connection is open, before CONNACK or
    soon after.

    Raises `ServiceUnavailable` if the broker cannot be reached or does not answer (`NoLocalPort` if it was not even
    asked), `BrokerRefused` if it says no, `ConfigError` for `tls` with a URL without TLS and for a `local_addr` that
    cannot be used. Then `on_events` is not called, unless a time-out or a cancellation came together with CONNACK: it
    gets `Connected`, and soon after `ConnectionLost`.
    """
    endpoint = _endpoint(broker, tls, local_addr, web=web, alpn=alpn)
    attempt = _Attempt(broker, endpoint, session, on_events, own_timer, on_open)
    try:
        return await attempt.run(timeout_s)
    except _Version5Refused:
        session.set_version(Version.V311)
        try:
            return await attempt.run(timeout_s)
        except ServiceUnavailable:
            # It is not the version then: the next attempt begins with 5 again.
            session.set_version(Version.V5)
            raise


async def probe_version(
    broker: BrokerUrl,
    *,
    tls: ssl.SSLContext | None = None,
    timeout_s: float = 10,
    web: WebHandshake = PLAIN_HANDSHAKE,
    alpn: tuple[str, ...] = (),
) -> Version:
    """Return the version to speak with this broker: 3.1.1 only if it refuses a plain CONNECT of version 5.

    Ask once before connecting a whole fleet. Raises `ServiceUnavailable` if the broker cannot be reached or is silent.
    """
    return await _probe(broker, _endpoint(broker, tls, web=web, alpn=alpn), timeout_s)


async def _probe(broker: BrokerUrl, endpoint: Endpoint, timeout_s: float) -> Version:
    # Without properties and will: an amqtt 0.12 reads their lengths as those of texts and waits for ever.
    question = encode(Connect(client_id=""), Version.V5)
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    try:
        async with asyncio.timeout(timeout_s):
            transport = await broker.kind.connector.open_transport(endpoint, lambda: protocol)
            try:
                transport.write(question)
                answer = await reader.readexactly(4)
                transport.write(encode(Disconnect(), Version.V5))
            finally:
                transport.abort()
    except (ConnectionResetError, asyncio.IncompleteReadError):
        return Version.V311
    except TimeoutError:
        raise ServiceUnavailable(
            f"broker {broker} did not answer within {timeout_s:g} s: is it an MQTT broker?"
        ) from None
    except OSError as error:
        raise _unreachable(broker, error) from None
    return Version.V311 if answer[0] == 0x20 and answer[3] in UNSUPPORTED_VERSION else Version.V5


class _Version5Refused(Exception):
    """Asks for another attempt with 3.1.1."""


class _Attempt:
    """Tries what one `connect_link` asks for, once or twice."""

    def __init__(
        self,
        broker: BrokerUrl,
        endpoint: Endpoint,
        session: Session,
        on_events: OnEvents,
        own_timer: bool,
        on_open: Callable[[], None] | None,
    ) -> None:
        self._on_open = on_open
        self._broker = broker
        self._endpoint = endpoint
        self._session = session
        self._on_events = on_events
        self._own_timer = own_timer

    async def run(self, timeout_s: float) -> Link:
        """Make one connection and await its CONNACK."""
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Event] = loop.create_future()
        handler = self._handshake_handler(outcome)
        is_open = False
        link = Link(self._session, handler, monotonic, own_timer=self._own_timer)
        try:
            async with asyncio.timeout(timeout_s):
                await self._broker.kind.connector.open_transport(self._endpoint, lambda: link)
                is_open = True
                if self._on_open is not None:
                    self._on_open()
                if self._session.version is Version.V5 and not self._session.accepted:
                    await self._check_version(outcome, timeout_s)
                self._raise_for_refusal(await outcome)
                return link
        except BaseException as error:
            outcome.cancel()
            link.abort()
            # uvloop may have closed the transport, without a word: we can be cancelled after CONNACK has arrived.
            loop.call_soon(link.connection_lost, None)
            handshake = None if is_open else _handshake_of(self._broker)
            if isinstance(error, TimeoutError) and handshake:
                raise ServiceUnavailable(
                    f"broker {self._broker} did not complete {handshake} within {timeout_s:g} s: is its port one for"
                    f" {self._broker.scheme}://, and is it not overloaded?"
                ) from None
            if isinstance(error, TimeoutError):
                raise ServiceUnavailable(
                    f"broker {self._broker} did not answer client '{self._session.client_id}' within "
                    f"{timeout_s:g} s: is it an MQTT broker, and not overloaded?"
                ) from None
            if isinstance(error, OSError):
                raise _unreachable(self._broker, error) from None
            raise

    def _handshake_handler(self, outcome: asyncio.Future[Event]) -> OnEvents:
        """Return what hears the events until CONNACK: it keeps a failed attempt from the owner."""

        def on_first_events(link: Link, events: list[Event]) -> None:
            if outcome.done() or not events:
                return
            outcome.set_result(events[0])
            if isinstance(events[0], Connected):
                link.on_events = self._on_events
                self._on_events(link, events)

        return on_first_events

    async def _check_version(self, outcome: asyncio.Future[Event], timeout_s: float) -> None:
        """Raise `_Version5Refused` if CONNECT was answered with silence or hanging up, and a probe says why."""
        await asyncio.wait({outcome}, timeout=min(SILENCE_S, timeout_s / 3))
        if outcome.done():
            event = outcome.result()
            if not isinstance(event, ConnectionLost) or isinstance(event.error, ssl.SSLError):
                return
        try:
            version = await _probe(self._broker, replace(self._endpoint, local_addr=None), timeout_s)
        except ServiceUnavailable:
            return
        answered = outcome.done() and not isinstance(outcome.result(), ConnectionLost)
        if version is Version.V311 and not answered:
            raise _Version5Refused

    def _raise_for_refusal(self, event: Event) -> None:
        if isinstance(event, ConnectRefused):
            if event.code in UNSUPPORTED_VERSION and self._session.version is Version.V5:
                raise _Version5Refused
            raise BrokerRefused(
                f"broker {self._broker} refused client '{self._session.client_id}': {event.reason}; "
                f"{advice('CONNACK', event.code)}",
                event.code,
                event.reason,
                event.server_reference,
            )
        if isinstance(event, ConnectionLost):
            # With TLS 1.3 a broker tells what it thinks of our certificate once the handshake is done for us.
            if isinstance(event.error, ssl.SSLError):
                raise _unreachable(self._broker, event.error)
            sentence = f"broker {self._broker} did not accept CONNECT: {event.reason}"
            if event.is_unexplained:
                tls = "; if the port is for TLS, write mqtts://" if self._broker.scheme == "mqtt" else ""
                raise ConnectCutOff(f"{sentence}; is it at its limit of connections, or no MQTT broker?{tls}")
            raise ServiceUnavailable(sentence)


def _endpoint(
    broker: BrokerUrl,
    tls: ssl.SSLContext | None,
    local_addr: tuple[str, int] | None = None,
    *,
    web: WebHandshake = PLAIN_HANDSHAKE,
    alpn: tuple[str, ...] = (),
) -> Endpoint:
    if tls and not broker.uses_tls:
        raise ConfigError(f"broker {broker} is not dialled with TLS: write mqtts:// or leave the certificates out")
    if broker.uses_tls:
        tls = tls or client_context()
    kind = broker.kind
    return Endpoint(
        broker.host,
        broker.port,
        tls,
        local_addr,
        broker.path,
        web,
        alpn if kind.takes_alpn else (),
    )


def _handshake_of(broker: BrokerUrl) -> str | None:
    """Return what comes between the connection and MQTT."""
    names = [*(["TLS"] if broker.uses_tls else []), *(["WebSocket"] if broker.kind.takes_headers else [])]
    return f"the {' and '.join(names)} handshake" if names else None


def _plain(broker: BrokerUrl) -> str:
    return "ws://" if broker.kind.takes_headers else "mqtt://"


def _handshake_fault(broker: BrokerUrl, error: OSError) -> str | None:
    if isinstance(error, ConnectionResetError | ConnectionAbortedError | BrokenPipeError):
        return f"it ended the TLS handshake: if the port is not for TLS, write {_plain(broker)}"
    return explain_tls(error, "ca_file", _plain(broker))


def _unreachable(broker: BrokerUrl, error: OSError) -> ServiceUnavailable:
    # `connect` finds no free port, or, on systems where it is for `bind` to find one, that does not.
    if error.errno in (errno.EADDRNOTAVAIL, errno.EADDRINUSE):
        return NoLocalPort(
            f"broker {broker} cannot be dialled, as no local port is free: give more source addresses, or widen "
            f"net.ipv4.ip_local_port_range"
        )
    if isinstance(error, HandshakeRefused):
        return BrokerUnreachable(f"broker {broker} cannot be reached: {error.reason}: {error.fix}", error.reason)
    if broker.uses_tls and (tls := _handshake_fault(broker, error)):
        return BrokerUnreachable(f"broker {broker} cannot be reached: {tls}", tls)
    reason = error.strerror or str(error)
    fix = "start it or correct the URL"
    if broker.kind.form is UrlForm.FILE and error.errno == errno.EACCES:
        fix = "let this user read and write the file of its socket"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        reason, fix = NO_OPEN_FILE, "raise the limit of open files (ulimit -n), or use more workers"
    return BrokerUnreachable(f"broker {broker} cannot be reached: {reason}: {fix}", reason)
