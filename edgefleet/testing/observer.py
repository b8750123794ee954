"""Notes which messages leave a broker, so that one that is lost was seen last either before or behind it."""

import asyncio
import time
from contextlib import suppress
from typing import BinaryIO

import orjson

from edgewire.errors import EdgefleetError
from edgewire.link import BrokerUrl, Link, close_and_wait, connect_link
from edgewire.mqtt import ConnectionLost, Event, Message, ServerDisconnected, Session, SessionConfig, Subscription

_AGAIN_S = 0.2
_MOST = 2_000_000
"""Messages that are noted; of a longer run the first."""


class BrokerObserver:
    """Subscribes to everything at QoS 0 and writes a line `[id, time in ms]` for each message that has an id."""

    def __init__(self, url: BrokerUrl, file: BinaryIO) -> None:
        self._url, self._file = url, file
        self._count = 0
        self._lost = asyncio.Event()

    async def run(self) -> None:
        """Observe until it is cancelled; a broker that restarts is connected to again."""
        while self._count < _MOST:
            self._lost.clear()
            with suppress(EdgefleetError, OSError):
                link = await connect_link(self._url, Session(SessionConfig(client_id="edgefleet-observer")), self._hear)
                try:
                    link.subscribe([Subscription("#", qos=0)])
                    await self._lost.wait()
                finally:
                    await close_and_wait(link)
            await asyncio.sleep(_AGAIN_S)

    def _hear(self, link: Link, events: list[Event]) -> None:
        now_ms = time.time_ns() // 1_000_000
        lines = []
        for event in events:
            match event:
                case Message(payload=payload):
                    if message_id := _find_id(payload):
                        lines.append(orjson.dumps([message_id, now_ms], option=orjson.OPT_APPEND_NEWLINE))
                case ConnectionLost() | ServerDisconnected():
                    self._lost.set()
        self._count += len(lines)
        if lines:
            self._file.write(b"".join(lines))


def _find_id(payload: bytes) -> str | None:
    """Return the id of a message of the contract, or of a format of a user's own that says the same of itself."""
    try:
        fields = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(fields, dict) or "seq" not in fields or "boot" not in fields:
        return None
    return f"{fields.get('device_id')}:{fields['boot']}:{fields['seq']}"
