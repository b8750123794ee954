"""Ends connections that never finish the head of a request, which uvicorn would keep for ever."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0
"""From the first byte of a head, or from the connection, to its end; twice that at most, see `_look`."""


class WatchedProtocol(H11Protocol):
    """Closes a connection on which a head has been awaited for too long. Idle ones are uvicorn's keep-alive's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._awaited_before = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        """Close where a head is awaited at two looks in a row; that is cheaper than a timer a request."""
        between = self.cycle is None or self.cycle.response_complete
        awaited = between and self.timeout_keep_alive_task is None
        if awaited and (self._awaited_before or self.cycle is None):
            self.transport.close()
        else:
            self._awaited_before = awaited
            self._timer = self.loop.call_later(HEAD_S, self._look)
