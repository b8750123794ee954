"""Releases the timeline's messages when they are due.

Readings are a pure function of time, so they are computed ahead, in batches, on a thread of their own: what is left to
do at the due moment is to hand bytes to a connection, and no connection waits for a world to be computed.
"""

import asyncio
import heapq
import itertools
import math
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np

from devices.firmware.outbox import NO_SEQ
from devices.fleet.latency import Histogram
from devices.scenario.scenario import Scenario
from devices.timeline.table import Batch
from devices.timeline.timeline import Timeline
from edgewire import logs
from edgewire.device_time import DeviceTime

# How long before its first message a run is prepared, as a whole and for each device of the fleet and of the process.
STARTUP_MS = 300
STARTUP_PER_DEVICE_MS = 0.02
STARTUP_PER_OWN_DEVICE_MS = 0.2

# Large batches are cheap for each message: much of the cost of a batch is the same for one row and for a thousand.
BATCH_ROWS = 2048
# No batch is longer (s of wall time), so that a stop or a change never waits long.
LONGEST_S = 1.0
# Messages that are due within so much time leave together, each up to so late: half of it cost 8 to 10 µs of CPU a
# message more at 3,000 a second.
TICK_S = 0.004
MOST_AT_ONCE = 512
"""What is overdue leaves in portions of so many, some 15 ms each: all at once, it would let connections wait, which is
what it may be late for, and acknowledgements."""
FOREVER_S = 10**9
BARRIER_S = 10.0
"""So long messages are held up by a step that does not come."""

Emit = Callable[[int, int, int, bytes], None]
"""Device position, seq, address, payload; the payload is empty where a fault keeps the message from being sent."""

ScheduledAction = tuple[int, Callable[[], None]]
"""Something to be done at a device time."""

log = logs.get("pacer")

_Window = tuple[Batch, Sequence[ScheduledAction]]


def startup_delay_ms(scenario: Scenario, shards: int = 1, workers_per_core: float = 1.0) -> int:
    """Return how far ahead of now a run begins: as long as building its devices may take, so that nothing is late.

    `workers_per_core` is how many processes of such a shard share a core.
    """
    size = sum(group.size for group in scenario.devices)
    return round(
        (STARTUP_MS + size * STARTUP_PER_DEVICE_MS + size / shards * STARTUP_PER_OWN_DEVICE_MS)
        * max(1.0, workers_per_core)
    )


class Pacer:
    """Maps the devices' time onto the wall's and emits each message at its moment.

    With `messages`, each device emits so many and no more, and the run ends when all have.
    """

    def __init__(
        self,
        timeline: Timeline,
        begin_ms: int,
        time: DeviceTime,
        emit: Emit,
        scheduled_actions: Callable[[int, int], Sequence[ScheduledAction]] | None = None,
        *,
        messages: int | None = None,
        barriers: Sequence[int] = (),
        on_burst: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Emit what is due as of the device time `begin_ms`, in the run whose `time` this is.

        `on_burst` is told how many messages follow at once, and with 0 that all those are emitted which are to leave
        before something else is done.

        `scheduled_actions` is asked ahead, in another thread, for what is to be done in a window of device time.

        Nothing that is due at one of the `barriers`, device times in order, or later is computed before `pass_barrier`:
        what is changed until then holds from exactly that moment.
        """
        self._timeline = timeline
        self._time = time
        self._emit = emit
        self._on_burst = on_burst
        self.most_at_once = MOST_AT_ONCE
        """Messages of a portion of what is overdue."""
        self._quota = None if messages is None else Quota(messages, len(timeline.devices))
        self._began = 0.0
        self._duration_ms = math.inf
        self._action_queue: list[tuple[int, int, Callable[[], None]]] = []
        self._tie = itertools.count()
        self._scheduled_actions = scheduled_actions
        self._barriers = deque(barriers)
        self._following: asyncio.Future[_Window] | None = None
        self._begin_next: Callable[[], asyncio.Future[_Window] | None] = lambda: None
        self.computed_until_ms = begin_ms
        """What is due before this device time is computed, or being computed: changes begin here."""
        self.lag = Histogram()
        self.reached_ms = begin_ms
        """All messages due before this device time are emitted, and no others."""

    def schedule_action(self, due_ms: int, act: Callable[[], None]) -> None:
        """Do something at a device time, after all messages due before it and before those due then or later.

        What is due before `computed_until_ms` is done as soon as possible.
        """
        heapq.heappush(self._action_queue, (due_ms, next(self._tie), act))

    def release(self, position: int) -> None:
        """Wait for no more messages of a device, where each was to emit a number of them."""
        if self._quota is not None:
            self._quota.release(position)

    async def run_pacer(self, began: float, duration_s: float, stop: asyncio.Event) -> None:
        """Emit until `stop` is set, or a run of `duration_s` is over that began at the event loop's time `began`."""
        self._began, self._duration_ms = began, min(duration_s, FOREVER_S) * 1000
        most_ms = round(BATCH_ROWS / self._timeline.rate_per_s * 1000)
        with ThreadPoolExecutor(1, "timeline") as ahead:
            self._begin_next = partial(self._begin, ahead, most_ms)
            try:
                await self._run_windows(stop)
            finally:
                self._begin_next = lambda: None

    async def _run_windows(self, stop: asyncio.Event) -> None:
        self._following = self._begin_next()
        while True:
            if self._following is None:
                if not await self._wait_at_barrier(stop):
                    return
                continue
            window_end_ms, (batch, scheduled) = self.computed_until_ms, await self._following
            self._following = self._begin_next()
            for due_ms, act in scheduled:
                self.schedule_action(due_ms, act)
            await self._release(window_end_ms, batch, stop)
            if stop.is_set():
                if self._following is not None:
                    await self._following
                return

    def pass_barrier(self, at_ms: int) -> None:
        """Let what is due at this barrier, or since, be computed."""
        while self._barriers and self._barriers[0] <= at_ms:
            self._barriers.popleft()
        if self._following is None:
            self._following = self._begin_next()

    async def _wait_at_barrier(self, stop: asyncio.Event) -> bool:
        """Wait until there is more to do, but not for long after its time; return whether there is."""
        if not self._barriers or (self._quota and self._quota.is_used_up):
            return False
        loop, barrier_ms = asyncio.get_running_loop(), self._barriers[0]
        began = loop.time()
        while self._following is None and not stop.is_set():
            # The end may come nearer or go farther away meanwhile.
            if barrier_ms >= self._end_ms:
                return False
            if loop.time() > max(began, self._wall(barrier_ms)) + BARRIER_S:
                log.warning("a step of the scenario has not come in time, and devices go on without it")
                self.pass_barrier(barrier_ms)
                break
            await _sleep(TICK_S, stop)
        return self._following is not None and not stop.is_set()

    @property
    def _end_ms(self) -> int:
        return self._time.device_ms(self._duration_ms)

    def _begin(self, ahead: ThreadPoolExecutor, most_ms: int) -> asyncio.Future[_Window] | None:
        """Have the next window computed, of `most_ms` at the most; None where the last one was."""
        begin, end_ms = self.computed_until_ms, self._end_ms
        if begin >= end_ms or (self._quota and self._quota.is_used_up):
            return None
        if self._barriers:
            if self._barriers[0] <= begin:
                return None
            end_ms = min(end_ms, self._barriers[0])
        # What is computed ahead is never more than takes a second, at whatever scale.
        if (change_ms := self._time.next_change_ms(begin)) is not None:
            end_ms = min(end_ms, change_ms)
        step_ms = max(1, min(round(LONGEST_S * 1000 * self._time.scale_at(begin)), most_ms))
        # Here and not in the other thread: whoever asks must be told of what is being computed, too.
        self.computed_until_ms = min(begin + step_ms, end_ms)
        return asyncio.get_running_loop().run_in_executor(ahead, self._window, begin, self.computed_until_ms)

    def _window(self, begin_ms: int, end_ms: int) -> _Window:
        batch = self._timeline.batch(begin_ms, end_ms, lost=True)
        scheduled = self._scheduled_actions(begin_ms, end_ms) if self._scheduled_actions else ()
        return self._quota.cut(batch) if self._quota else batch, scheduled

    async def _release(self, window_end_ms: int, batch: Batch, stop: asyncio.Event) -> None:
        """Emit one window, and wait for its end."""
        loop = asyncio.get_running_loop()
        rows = zip(batch.due_ms, batch.device, batch.seq, batch.address, batch.payload, strict=True)
        # The end of the window is one more moment to wait for, though nothing is due then.
        due_wall = self._walls([*batch.due_ms, window_end_ms])
        actions = self._action_queue
        done, changes = 0, self._time.count
        while done < len(due_wall) and not stop.is_set():
            if changes != self._time.count:
                changes = self._time.count
                due_wall = self._walls([*batch.due_ms, window_end_ms])
            now = loop.time()
            due = bisect_right(due_wall, now, lo=done)
            ready = due
            if due - done > self.most_at_once:
                # Those of one moment stay together: it is reached, or it is not.
                ready = min(due, bisect_right(batch.due_ms, batch.due_ms[done + self.most_at_once - 1]))
            self._on_burst(ready - done)
            for due_ms, device, seq, address, payload in islice(rows, ready - done):
                while actions and actions[0][0] <= due_ms:
                    self._on_burst(0)
                    heapq.heappop(actions)[2]()
                    self._on_burst(ready - done)
                self._emit(device, seq, address, payload)
            self._on_burst(0)
            # What comes later waits for the messages of the next window, or portion.
            while ready == due and actions and actions[0][0] <= window_end_ms and self._wall(actions[0][0]) <= now:
                heapq.heappop(actions)[2]()
            if done < min(ready, len(batch)):
                self.lag.add([1000 * (now - due) for due in due_wall[done : min(ready, len(batch))]])
            if done < ready:
                self.reached_ms = batch.due_ms[ready - 1] + 1 if ready <= len(batch) else window_end_ms
            done = ready
            if done < due:
                await asyncio.sleep(0)
            elif done < len(due_wall):
                next_s = min(due_wall[done], self._wall(actions[0][0])) if actions else due_wall[done]
                await _sleep(min(max(TICK_S, next_s - loop.time()), LONGEST_S), stop)

    def _walls(self, device_times_ms: list[int]) -> list[float]:
        elapsed_ms = self._time.all_elapsed_ms(np.array(device_times_ms, np.int64))
        walls: list[float] = (self._began + elapsed_ms / 1000).tolist()
        return walls

    def _wall(self, device_time_ms: int) -> float:
        return self._began + self._time.elapsed_ms(device_time_ms) / 1000


class Quota:
    """Lets through so many messages of each device: the first ones of the run, whatever the fleet is split into."""

    def __init__(self, messages: int, devices: int) -> None:
        self._left = [messages] * devices
        self._unfinished = devices
        # Devices that leave; those of them that are entered, as batches are cut in another thread.
        self._leaving: deque[int] = deque()
        self._released: set[int] = set()

    @property
    def is_used_up(self) -> bool:
        """Return whether every device has had its messages."""
        return not self._unfinished

    def release(self, device: int) -> None:
        """Wait no longer for the messages of a device."""
        self._leaving.append(device)

    def cut(self, batch: Batch) -> Batch:
        """Return the batch without what exceeds the quota."""
        left = self._left
        while self._leaving:
            device = self._leaving.popleft()
            self._unfinished -= left[device] > 0 and device not in self._released
            self._released.add(device)
        kept = []
        for row, (device, seq) in enumerate(zip(batch.device, batch.seq, strict=True)):
            if not left[device]:
                continue
            if seq != NO_SEQ:
                left[device] -= 1
                self._unfinished -= not left[device] and device not in self._released
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
            boot=[batch.boot[row] for row in kept],
            address=[batch.address[row] for row in kept],
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
