"""Releases the timeline's messages when they are due.

Readings are a pure function of time, so they are computed a little ahead, in batches, while there is time to spare;
what is left to do at the due moment is to hand bytes to a connection.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import islice

from devices.fleet.lag import LagHistogram
from devices.timeline import Batch, Timeline
from edgewire.messages import Channel

# One batch takes a few milliseconds to compute: the event loop serves no connection meanwhile.
BATCH_ROWS = 512
# Below this there is no sense in waking up: the event loop's own timer is no finer.
TICK_S = 0.002
FOREVER_S = 10**9

Emit = Callable[[int, int, Channel, bytes], None]
"""Device position, seq, channel, payload; the payload is empty where a fault keeps the message from being sent."""


class Pacer:
    """Maps the devices' time onto the wall's and emits each message at its moment."""

    def __init__(self, timeline: Timeline, sim_started_ms: int, time_scale: float, emit: Emit) -> None:
        self._timeline = timeline
        self._sim_started_ms = sim_started_ms
        self._scale = time_scale
        self._emit = emit
        self._started = 0.0
        self.lag = LagHistogram()
        self.reached_ms = sim_started_ms
        """All messages due before this device time are emitted, and no others."""

    async def run(self, started: float, duration_s: float, stop: asyncio.Event) -> None:
        """Emit from the event loop's time `started`, for `duration_s` seconds or until `stop` is set."""
        self._started = started
        end_ms = self._sim_started_ms + round(min(duration_s, FOREVER_S) * 1000 * self._scale)
        windows = self._windows(end_ms)
        window = next(windows, None)
        while window and not stop.is_set():
            window = await self._release(*window, windows, stop)

    def _windows(self, end_ms: int) -> Iterator[tuple[int, Batch]]:
        """Each window's end, and what is due in it; computed only when asked for."""
        # At most half a second of wall time ahead, so that a stop or a change never waits long.
        longest = max(1, round(500 * self._scale))
        step = max(1, min(longest, round(BATCH_ROWS / self._timeline.rate_per_s * 1000)))
        begin = self._sim_started_ms
        while begin < end_ms:
            window_end = min(begin + step, end_ms)
            yield window_end, self._timeline.batch(begin, window_end, lost=True)
            begin = window_end

    async def _release(
        self, window_end_ms: int, batch: Batch, windows: Iterator[tuple[int, Batch]], stop: asyncio.Event
    ) -> tuple[int, Batch] | None:
        """Emit one window and wait for its end; the next one is computed in the first pause, and returned."""
        loop = asyncio.get_running_loop()
        rows = zip(batch.device, batch.seq, batch.channel, batch.payload, strict=True)
        # The end of the window is one more moment to wait for, though nothing is due then.
        due_wall = [self._wall(due) for due in [*batch.due_ms, window_end_ms]]
        following: tuple[int, Batch] | None = None
        computed = False
        done = 0
        while done < len(due_wall) and not stop.is_set():
            now = loop.time()
            ready = bisect_right(due_wall, now, lo=done)
            for device, seq, channel, payload in islice(rows, ready - done):
                self._emit(device, seq, channel, payload)
            if done < len(batch):
                self.lag.add([1000 * (now - due) for due in due_wall[done : min(ready, len(batch))]])
            if done < ready:
                self.reached_ms = batch.due_ms[ready - 1] + 1 if ready <= len(batch) else window_end_ms
            done = ready
            if not computed:
                following, computed = next(windows, None), True
            elif done < len(due_wall):
                await _sleep(max(TICK_S, due_wall[done] - loop.time()), stop)
        return following

    def _wall(self, device_time_ms: int) -> float:
        return self._started + (device_time_ms - self._sim_started_ms) / 1000 / self._scale


async def _sleep(seconds: float, stop: asyncio.Event) -> None:
    """Sleep, but not past a stop."""
    if seconds <= 0.01:
        await asyncio.sleep(max(seconds, 0))
        return
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass
