"""Hears what passes through a broker, message by message, as one more client of it."""

import asyncio
import ssl
import uuid
from collections.abc import AsyncGenerator, Awaitable, Sequence
from typing import NamedTuple

from edgewire.errors import ServiceUnavailable
from edgewire.link import PLAIN_HANDSHAKE, BrokerUrl, Link, WebHandshake, close_and_wait, connect_link
from edgewire.mqtt import (
    FAILURE,
    ConnectionLost,
    Event,
    Message,
    ServerDisconnected,
    Session,
    SessionConfig,
    Subscribed,
    Subscription,
    reason_name,
)

LARGEST_PACKET = 16 << 20
AHEAD = 1000
"""Messages that wait to be taken before no more are read."""


class BrokerAccess(NamedTuple):
    """Says how to reach a broker."""

    url: BrokerUrl
    tls: ssl.SSLContext | None = None
    alpn: tuple[str, ...] = ()
    web: WebHandshake = PLAIN_HANDSHAKE


async def broker_messages(
    access: BrokerAccess, filters: Sequence[str], name: str, qos: int = 0
) -> AsyncGenerator[Message, None]:
    """Yield what passes; the client id begins with `edgefleet-` and a name. Raises `ServiceUnavailable`."""
    url = access.url
    heard: asyncio.Queue[Event] = asyncio.Queue()
    session = Session(
        SessionConfig(
            client_id=f"edgefleet-{name}-{uuid.uuid4().hex[:8]}",
            username=url.username,
            password=None if url.password is None else url.password.encode(),
            maximum_packet_size=LARGEST_PACKET,
        )
    )
    link = await connect_link(
        url,
        session,
        lambda one, events: _queue(heard, one, events),
        tls=access.tls,
        alpn=access.alpn,
        web=access.web,
    )
    try:
        link.subscribe([Subscription(one, qos=qos) for one in filters])
        while True:
            event = await heard.get()
            if heard.empty():
                link.resume_reading()
            match event:
                case Message():
                    yield event
                case Subscribed(codes=codes):
                    for topic_filter, code in zip(filters, codes, strict=False):
                        if code >= FAILURE:
                            raise ServiceUnavailable(f"{url}: the broker refuses '{topic_filter}': {reason_name(code)}")
                case ServerDisconnected(reason=reason) | ConnectionLost(reason=reason):
                    raise ServiceUnavailable(f"{url}: the connection to the broker is lost: {reason}")
    finally:
        await close_and_wait(link)


def _queue(heard: asyncio.Queue[Event], link: Link, events: list[Event]) -> None:
    for event in events:
        heard.put_nowait(event)
    if heard.qsize() > AHEAD:
        link.pause_reading()


async def until_stopped(work: Awaitable[None], stop: asyncio.Event) -> None:
    """Let work go on until it has ended, or is stopped; raises what it raises."""
    task = asyncio.ensure_future(work)
    stopped = asyncio.create_task(stop.wait(), name="stop")
    done, pending = await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
    for one in pending:
        one.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    if task in done:
        task.result()
