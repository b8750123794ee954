"""Keeps one sink connected, and makes whatever a write raises into an answer that costs no message."""

import asyncio
import random
from collections.abc import Sequence

from bridge import failpoints
from bridge.routing.routed import RoutedEvent
from bridge.sinks.base import Failures, NotConnected, Remark, Retry, Sink
from edgewire import logs
from edgewire.backoff import Backoff
from edgewire.errors import ServiceUnavailable


class SinkConnection:
    """Holds the sink connected as long as `run` runs. Any queue may `write_batch` at any time."""

    def __init__(self, sink: Sink, backoff: Backoff, rng: random.Random) -> None:
        self.sink = sink
        self.last_error: str | None = None
        """Why the sink cannot be connected; None when it is."""
        self._backoff = backoff
        self._rng = rng
        self._log = logs.get(f"sink.{sink.name}")
        self._connected = asyncio.Event()
        self._broken = asyncio.Event()

    async def keep_connected(self) -> None:
        """Connect, and connect again when a write finds the connection unusable. Raises `ConfigError`."""
        while True:
            await self._connect()
            self._broken.clear()
            self._connected.set()
            await self._broken.wait()
            self._connected.clear()
            await self.sink.close()

    async def write_batch(self, queue_key: str, batch: Sequence[RoutedEvent]) -> Failures:
        """Do `Sink.write` once the sink is connected."""
        await self._connected.wait()
        try:
            failures = await self.sink.write(queue_key, batch)
        except NotConnected as error:
            retry = Retry(cause="not_connected", reason=str(error))
            if self._connected.is_set():  # else `run` has closed the sink and it is this that we see
                self._broken.set()
        except MemoryError:
            # It ends the bridge, as everywhere; to tell of it here would take more.
            raise
        except Exception as error:
            # A fault of the program. The batch is not lost and the other sinks go on.
            self._log.exception("the sink failed", lane=queue_key)
            retry = Retry(cause="internal", reason=f"the sink failed: {type(error).__name__}: {error}")
        else:
            if len(failures) < len(batch) or any(isinstance(one, Remark) for one in failures.values()):
                failpoints.accepted(self.sink.name)
            return failures
        return dict.fromkeys(range(len(batch)), retry)

    async def _connect(self) -> None:
        attempt = 0
        while True:
            try:
                await self.sink.connect()
            except ServiceUnavailable as error:
                if self.last_error is None:
                    self._log.warning("the sink cannot be connected, trying again", reason=str(error))
                self.last_error = str(error)
                await asyncio.sleep(self._backoff.delay(attempt, self._rng.random()))
                attempt += 1
            else:
                self.last_error = None
                self._log.info("sink connected")
                return
