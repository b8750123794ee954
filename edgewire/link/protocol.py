"""The one `asyncio.Protocol` that drives a `Session`, over whatever transport.

Holds no MQTT rules: those are the session's. Flow control goes both ways: `writable` tells a publisher when to stop, a
call of `on_events` without events when to go on, `pause_reading` lets a subscriber stop the server.
"""

import asyncio
from collections.abc import Callable, Sequence
from math import inf
from time import monotonic
from typing import cast

from edgewire.errors import EdgefleetError
from edgewire.mqtt import (
    Connected,
    ConnectionLost,
    ConnectRefused,
    Event,
    Message,
    PeerFault,
    Properties,
    ServerDisconnected,
    Session,
    SessionNotConnected,
    SessionState,
    Subscription,
)

LINGER_S = 2.0
"""How long what is queued may take to leave before a closing connection is cut."""
CORKED_PACKETS = 64
"""So many packets are held back at the most: then they leave, and `writable` says whether more may come."""


class Link(asyncio.Protocol):
    """Drives one connection of a session, from CONNECT to its end.

    `on_events` gets all that happens, last a `ConnectionLost`: exactly one for every connection, whoever ended it; an
    empty list says that the transport takes more again. From `close` or `abort` on the link has let go of its session,
    which may be connected again at once.
    """

    __slots__ = (
        "_clock",
        "_corked",
        "_drop_incoming",
        "_drop_outgoing",
        "_own_timer",
        "_reason",
        "_timer",
        "_transport",
        "connected",
        "on_events",
        "session",
        "writable",
    )

    def __init__(
        self,
        session: Session,
        on_events: Callable[["Link", list[Event]], None],
        clock: Callable[[], float] = monotonic,
        *,
        own_timer: bool = False,
    ) -> None:
        """Begin unconnected. `clock` gives seconds; with `own_timer` the link ticks itself, else its owner does."""
        self.session = session
        self.connected = False
        self.writable = True
        self.on_events = on_events
        self._clock = clock
        self._own_timer = own_timer
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._corked = False
        self._drop_incoming = self._drop_outgoing = False
        # Why the connection ends, once the link has let go of its session.
        self._reason: str | None = None

    @property
    def is_gone(self) -> bool:
        """Tell whether it has no connection any more, or none yet."""
        return self._transport is None

    # -- for the owner

    def publish(
        self,
        topic: str | bytes,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
        token: object = None,
    ) -> int:
        """Publish as `Session.publish`, sent at once."""
        session = self._require_session()
        packet_id = session.publish(
            topic, payload, qos=qos, retain=retain, now=self._clock(), properties=properties, token=token
        )
        if not self._corked or session.queued >= CORKED_PACKETS:
            self._write()
        return packet_id

    def ack(self, message: Message) -> bool:
        """Answer a message as `Session.ack`, sent at once; False for a message of an earlier connection."""
        if self._reason is not None or not self.session.ack(message):
            return False
        self.flush()
        return True

    def subscribe(self, filters: Sequence[Subscription]) -> int:
        """Subscribe as `Session.subscribe`, sent at once."""
        packet_id = self._require_session().subscribe(filters, self._clock())
        self.flush()
        return packet_id

    def unsubscribe(self, filters: Sequence[str]) -> int:
        """Unsubscribe as `Session.unsubscribe`, sent at once."""
        packet_id = self._require_session().unsubscribe(filters, self._clock())
        self.flush()
        return packet_id

    def flush(self) -> None:
        """Hand what the session has queued to the transport, unless it is held back."""
        if not self._corked:
            self._write()

    def cork(self) -> bool:
        """Hold back what is published until `uncork`, so that it leaves in one write; return whether it was not so far.

        To be undone before the event loop goes on.
        """
        if self._corked:
            return False
        self._corked = True
        return True

    def uncork(self) -> None:
        """Let go what was held back."""
        self._corked = False
        self._write()

    def _write(self) -> None:
        if self._reason is not None or self._transport is None:
            return
        data = self.session.data_to_send()
        if data and not self._drop_outgoing:
            self._transport.write(data)

    def pause_reading(self) -> None:
        """Take nothing in until `resume_reading`; the server's own limits then hold it back. Pings go on."""
        if self._reason is None and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
            self.session.pause_reading()

    def resume_reading(self) -> None:
        """Take in again what comes."""
        if self._reason is None and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
            self.session.resume_reading(self._clock())
            self._arm()

    def tick(self) -> None:
        """Ping if one is due, give up a silent server; to be called when `session.next_deadline()` is reached."""
        if self._reason is not None or self._drop_incoming:
            return
        lost = self.session.tick(self._clock())
        if lost:
            self._detach(cast("ConnectionLost", lost[0]).reason, cut=True)
            return
        if self.session.queued:
            self.flush()
        if self._own_timer:
            self._arm()

    def close(self, reason: int = 0) -> None:
        """Say DISCONNECT, then close: the server forgets the will, unless `reason` is not 0.

        The server ends the connection then (3.14.4), and what it still sends is taken in until it has: a socket that is
        closed before answers with a reset, which may reach the server before it has read our last words.
        """
        if self._reason is None and self._transport is not None:
            self.session.disconnect(reason)
        self._detach("closed by us", half=True)

    def abort(self) -> None:
        """Cut the connection without DISCONNECT: the will fires."""
        self._detach("aborted by us", cut=True)

    def drop(self) -> None:
        """Close the connection without DISCONNECT, as an operating system does for a program that ended."""
        self._detach("dropped by us")

    def stall(self, *, drop_outgoing: bool) -> None:
        """Take nothing in from now on, with `drop_outgoing` let nothing out: the connection stands and is of no use.

        Neither side is told, and pings end; `abort` is the only way on.
        """
        self.pause_reading()
        self._drop_incoming = True
        self._drop_outgoing = self._drop_outgoing or drop_outgoing

    # -- for the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say CONNECT."""
        self._transport = cast("asyncio.Transport", transport)
        if self._reason is not None:
            self._transport.abort()
            return
        try:
            self.session.connect(self._clock())
        except EdgefleetError as error:
            self._reason = str(error)
            self._transport.abort()
            return
        self.flush()
        self._arm()

    def data_received(self, data: bytes) -> None:
        """Let the session take `data`, tell the owner, and send what follows."""
        if self._reason is not None:
            return
        if not self.connected:
            self._take(data)
            # What came with CONNACK is taken once the owner has been told of the connection, and has answered.
            if not self.connected:
                return
            data = b""
        self._take(data)

    def _take(self, data: bytes) -> None:
        fault: str | None = None
        try:
            events = self.session.receive(data, self._clock())
        except PeerFault as error:
            events, fault = error.events, f"the server broke the protocol: {error}"
        if not self.connected and events and isinstance(events[0], Connected):
            self.connected = True
            self._arm()
        if self.session.state is SessionState.CLOSED:
            # The owner hears what came before the end, and must not try to answer it.
            self.connected = self.writable = False
        # What the owner says in answer leaves in one write with the acknowledgements.
        self._corked = True
        try:
            if events:
                self.on_events(self, events)
        finally:
            self._corked = False
        if fault or self.session.state is SessionState.CLOSED:
            self._detach(fault or f"the server ended the connection: {_stated_reason(events)}")
        else:
            self.flush()

    def pause_writing(self) -> None:
        """Ask the owner, by `writable`, to send no more."""
        self.writable = False

    def resume_writing(self) -> None:
        """Tell the owner that it may send again."""
        if self._reason is not None:
            return
        self.writable = True
        self.on_events(self, [])

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the owner `ConnectionLost`, once."""
        if self._transport is None:
            return
        is_unexplained = self._reason is None
        self._detach(f"the connection broke: {exc}" if exc else "the server closed the connection")
        self._cancel_timer()
        self._transport = None
        self.on_events(self, [ConnectionLost(self._reason or "", is_unexplained, exc)])

    # -- inside

    def _require_session(self) -> Session:
        if self._reason is not None:
            raise SessionNotConnected(f"nothing can be sent on a link that has ended: {self._reason}")
        return self.session

    def _detach(self, reason: str, *, cut: bool = False, half: bool = False) -> None:
        """Send what may still leave, detach from the session, end the transport; where `half`, our side of it. Once."""
        if self._reason is not None:
            return
        if not cut:
            self._corked = False
            self.flush()
        self._reason = reason
        self.connected = self.writable = False
        self._cancel_timer()
        transport = self._transport
        if transport is None:
            return
        self.session.connection_lost()
        if cut:
            transport.abort()
            return
        if half and transport.can_write_eof() and not transport.is_closing():
            if not self._drop_incoming:
                transport.resume_reading()
            try:
                transport.write_eof()
            except OSError:  # the peer has reset it, and asyncio has not told us yet
                transport.abort()
                return
        else:
            transport.close()
        # A peer that no longer reads, or does not end TLS, would keep the connection and us for ever.
        self._timer = asyncio.get_running_loop().call_later(LINGER_S, transport.abort)

    def _arm(self) -> None:
        if not self._own_timer:
            return
        self._cancel_timer()
        deadline = self.session.next_deadline()
        if deadline < inf:
            delay = max(0.0, deadline - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay, self.tick)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _stated_reason(events: list[Event]) -> str:
    last = events[-1] if events else None
    return last.reason if isinstance(last, ConnectRefused | ServerDisconnected) else "without a reason"
