"""Takes connections of an HTTP service beside work that must not wait for them: not too many, and not too fast."""

import asyncio
import math
import socket
from collections.abc import Callable

from edgewire import logs

REST_S = 0.1

log = logs.get("listener")


class RateLimit:
    """Lets so much through a second, and as much at once after a rest; the others wait."""

    def __init__(self, per_s: float) -> None:
        self._gap_s = 1 / per_s
        self._next_s = 0.0

    async def take(self, limit_s: float = math.inf) -> bool:
        """Wait for a turn; return whether there is one within so much time."""
        now_s = asyncio.get_running_loop().time()
        due_s = max(self._next_s, now_s - 1.0)
        if due_s - now_s > limit_s:
            return False
        self._next_s = due_s + self._gap_s
        if due_s > now_s:
            await asyncio.sleep(due_s - now_s)
        return True


async def accept_connections(
    listener: socket.socket,
    protocol: Callable[[], asyncio.BaseProtocol],
    count: Callable[[], int],
    *,
    most: int,
    per_s: float,
) -> None:
    """Take connections until cancelled, at most so many a second; those are closed at once that are too many.

    `count` says how many there are.
    """
    loop, pace = asyncio.get_running_loop(), RateLimit(per_s)
    listener.setblocking(False)
    while True:
        await pace.take()
        try:
            connection, _ = await loop.sock_accept(listener)
            if count() >= most:
                connection.close()
            else:
                await loop.connect_accepted_socket(protocol, connection)
        except OSError as error:
            # It has gone again, or this process has no files left: then its own work needs them more.
            log.debug("a connection was not taken", reason=error.strerror)
            await asyncio.sleep(REST_S)


def listen_on(host: str, port: int, backlog: int, *, send_buffer: int | None = None) -> socket.socket:
    """Return a socket that listens; raises `OSError`. `send_buffer` is what the system keeps for who does not read."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # Of a name with both, such as localhost, what everybody reaches.
    family, kind, number, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    listener = socket.socket(family, kind, number)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if send_buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        listener.bind(address)
        listener.listen(backlog)
    except OSError:
        listener.close()
        raise
    return listener
