"""Hands events to whoever listens, each through a queue of its own that is bounded: nobody waits for a slow reader."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import orjson

MOST_LISTENERS = 32
MOST_QUEUED = 64
"""Events that wait for one listener; it is let go when there are more."""
REMEMBERED = 100
"""Events in words that a listener is told who comes later."""


def encode_event(name: str, content: Any, number: int | None = None) -> bytes:
    """Return an event as server-sent events are written (WHATWG HTML, 9.2.5)."""
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {name}\ndata: ".encode() + orjson.dumps(content) + b"\n\n"


@dataclass(eq=False, slots=True)
class Listener:
    """Holds what one listener has not been sent yet."""

    queue: deque[bytes] = field(default_factory=deque)
    has_some: asyncio.Event = field(default_factory=asyncio.Event)
    is_dropped: bool = False
    """Whether it was let go, because it does not read."""
    is_over: bool = False
    """Whether nothing more comes."""

    def offer(self, event: bytes) -> None:
        """Have it sent, as soon as the listener reads."""
        if len(self.queue) >= MOST_QUEUED:
            self.is_dropped = True
        else:
            self.queue.append(event)
        self.has_some.set()


class EventHub:
    """Knows the listeners. Lives on the event loop of the server."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._remembered: deque[bytes] = deque(maxlen=REMEMBERED)
        self._state: bytes | None = None
        self.dropped = 0
        """Listeners that were let go because they did not read."""

    @property
    def listeners(self) -> int:
        """Return how many there are."""
        return len(self._listeners)

    def subscribe(self) -> Listener | None:
        """Return a new listener, who is told the last events first; None where there are too many."""
        if len(self._listeners) >= MOST_LISTENERS:
            return None
        listener = Listener()
        for event in [*self._remembered][-MOST_QUEUED // 2 :]:
            listener.offer(event)
        if self._state is not None:
            listener.offer(self._state)
        self._listeners.add(listener)
        return listener

    def unsubscribe(self, listener: Listener) -> None:
        """Let a listener go."""
        self._listeners.discard(listener)

    def publish(self, event: bytes, *, is_state: bool) -> None:
        """Tell everybody; of states only the newest is told who comes later."""
        if is_state:
            self._state = event
        else:
            self._remembered.append(event)
        for listener in self._listeners:
            listener.offer(event)

    def close(self) -> None:
        """Let everybody know that nothing more comes."""
        for listener in self._listeners:
            listener.is_over = True
            listener.has_some.set()
