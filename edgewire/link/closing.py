"""Ends a connection for somebody who waits until it is gone."""

import asyncio

from edgewire.link.protocol import Link
from edgewire.mqtt import ConnectionLost, Event


async def close_and_wait(link: Link) -> None:
    """Close in order, and wait until the connection is gone.

    Over TLS it takes the server's answer, 2 s at the most; who ends the event loop before leaves a socket open.
    """
    if link.is_gone:
        return
    gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    owner = link.on_events

    def on_events(one: Link, events: list[Event]) -> None:
        try:
            owner(one, events)
        finally:
            if not gone.done() and any(isinstance(event, ConnectionLost) for event in events):
                gone.set_result(None)

    link.on_events = on_events
    link.close()
    await gone
