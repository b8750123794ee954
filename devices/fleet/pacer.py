"""Releases the timeline's messages when they are due.

Readings are a pure function of time, so they are computed ahead, in batches, on a thread of their own: what is left to
do at the due moment is to hand bytes to a connection, and no connection waits for a world to be computed.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

from devices.fleet.histogram import Histogram
from devices.timeline import Batch, Timeline
from edgewire.messages import Channel

# Large batches are cheap for each message: much of the cost of a batch is the same for one row and for a thousand.
BATCH_ROWS = 2048
# No batch is longer (s of wall time), so that a stop or a change never waits long.
LONGEST_S = 1.0
# Below this there is no sense in waking up: the event loop's own timer is no finer.
TICK_S = 0.002
FOREVER_S = 10**9

Emit = Callable[[int, int, Channel, bytes], None]
"""Device position, seq, channel, payload; the payload is empty where a fault keeps the message from being sent."""


class Pacer:
    """Maps the devices' time onto the wall's and emits each message at its moment.

    With `messages`, each device emits so many and no more, and the run ends when all have.
    """

    def __init__(
        self,
        timeline: Timeline,
        sim_started_ms: int,
        time_scale: float,
        emit: Emit,
        *,
        messages: int | None = None,
    ) -> None:
        self._timeline = timeline
        self._sim_started_ms = sim_started_ms
        self._scale = time_scale
        self._emit = emit
        self._quota = None if messages is None else Quota(messages, len(timeline.devices))
        self._started = 0.0
        self.lag = Histogram()
        self.reached_ms = sim_started_ms
        """All messages due before this device time are emitted, and no others."""

    async def run(self, started: float, duration_s: float, stop: asyncio.Event) -> None:
        """Emit from the event loop's time `started`, for `duration_s` seconds or until `stop` is set."""
        self._started = started
        end_ms = self._sim_started_ms + round(min(duration_s, FOREVER_S) * 1000 * self._scale)
        windows = self._windows(end_ms)
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "timeline") as ahead:
            following = loop.run_in_executor(ahead, next, windows, None)
            while window := await following:
                following = loop.run_in_executor(ahead, next, windows, None)
                await self._release(*window, stop)
                if stop.is_set():
                    await following
                    return

    def _windows(self, end_ms: int) -> Iterator[tuple[int, Batch]]:
        """Each window's end, and what is due in it; computed only when asked for."""
        longest = max(1, round(LONGEST_S * 1000 * self._scale))
        step = max(1, min(longest, round(BATCH_ROWS / self._timeline.rate_per_s * 1000)))
        begin = self._sim_started_ms
        while begin < end_ms and not (self._quota and self._quota.is_used_up):
            window_end = min(begin + step, end_ms)
            batch = self._timeline.batch(begin, window_end, lost=True)
            yield window_end, self._quota.cut(batch) if self._quota else batch
            begin = window_end

    async def _release(self, window_end_ms: int, batch: Batch, stop: asyncio.Event) -> None:
        """Emit one window, and wait for its end."""
        loop = asyncio.get_running_loop()
        rows = zip(batch.device, batch.seq, batch.channel, batch.payload, strict=True)
        # The end of the window is one more moment to wait for, though nothing is due then.
        due_wall = [self._wall(due) for due in [*batch.due_ms, window_end_ms]]
        done = 0
        while done < len(due_wall) and not stop.is_set():
            now = loop.time()
            ready = bisect_right(due_wall, now, lo=done)
            for device, seq, channel, payload in islice(rows, ready - done):
                self._emit(device, seq, channel, payload)
            if done < min(ready, len(batch)):
                self.lag.add([1000 * (now - due) for due in due_wall[done : min(ready, len(batch))]])
            if done < ready:
                self.reached_ms = batch.due_ms[ready - 1] + 1 if ready <= len(batch) else window_end_ms
            done = ready
            if done < len(due_wall):
                await _sleep(max(TICK_S, due_wall[done] - loop.time()), stop)

    def _wall(self, device_time_ms: int) -> float:
        return self._started + (device_time_ms - self._sim_started_ms) / 1000 / self._scale


class Quota:
    """So many messages a device: the first ones of the run, whatever the fleet is split into."""

    def __init__(self, messages: int, devices: int) -> None:
        self._left = [messages] * devices
        self._unfinished = devices

    @property
    def is_used_up(self) -> bool:
        """Whether every device has had its messages."""
        return not self._unfinished

    def cut(self, batch: Batch) -> Batch:
        """The batch without what exceeds the quota."""
        left = self._left
        kept = []
        for row, device in enumerate(batch.device):
            if left[device]:
                left[device] -= 1
                self._unfinished -= not left[device]
                kept.append(row)
        if len(kept) == len(batch):
            return batch
        return replace(
            batch,
            due_ms=[batch.due_ms[row] for row in kept],
            device=[batch.device[row] for row in kept],
            seq=[batch.seq[row] for row in kept],
            channel=[batch.channel[row] for row in kept],
            payload=[batch.payload[row] for row in kept],
        )


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
