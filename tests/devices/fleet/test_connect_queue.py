"""Who is connected when, never more a second than the ramp allows, and how the ramp answers a slow broker."""

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.fleet.connect_queue import (
    CONCURRENT_CONNECTS,
    LEAST_PER_S,
    SLOW_S,
    STEP_S,
    ConnectQueue,
    Ramp,
    WaitingTime,
)


def device(name: str) -> Any:
    return SimpleNamespace(device=SimpleNamespace(device_id=name))


@pytest.mark.slow
async def test_devices_connect_in_the_order_of_their_due_time() -> None:
    connected: list[str] = []
    finished = asyncio.Event()

    async def connect(connection: Any) -> None:
        connected.append(connection.device.device_id)
        if len(connected) == 3:
            finished.set()

    queue = ConnectQueue(Ramp(1000), connect)
    queue.enqueue_connect(device("late"), 0.6)
    queue.enqueue_connect(device("middle"), 0.5)
    task = asyncio.create_task(queue.run_queue())
    await asyncio.sleep(0.02)
    queue.enqueue_connect(device("early"))
    async with asyncio.timeout(30):
        await finished.wait()
    task.cancel()
    assert connected == ["early", "middle", "late"]


@pytest.mark.slow
async def test_the_ramp_spaces_handshakes() -> None:
    loop = asyncio.get_running_loop()
    times: list[float] = []
    finished = asyncio.Event()

    async def connect(connection: Any) -> None:
        times.append(loop.time())
        if len(times) == 41:
            finished.set()

    queue = ConnectQueue(Ramp(50), connect)
    for number in range(41):
        queue.enqueue_connect(device(f"d{number}"))
    task = asyncio.create_task(queue.run_queue())
    async with asyncio.timeout(30):
        await finished.wait()
    task.cancel()
    # Forty after the first at 50 a second span 800 ms; what a hiccup of the machine delays may follow at once.
    assert times[-1] - times[0] >= 0.8 - STEP_S


async def test_after_a_stop_of_the_fleet_those_who_come_back_do_not_come_at_once() -> None:
    """A clock that jumps ahead is what a loop sees that had no processor meanwhile."""
    loop = asyncio.get_running_loop()
    real, jump = loop.time, 0.0
    loop.time = lambda: real() + jump  # type: ignore[method-assign]
    connected = 0
    some = asyncio.Event()

    async def connect(connection: Any) -> None:
        nonlocal connected
        connected += 1
        some.set()

    queue = ConnectQueue(Ramp(1000), connect)
    for number in range(1000):
        queue.enqueue_connect(device("back"), number / 100, again=True)
    task = asyncio.create_task(queue.run_queue())
    async with asyncio.timeout(30):
        await some.wait()
        before, jump = connected, 20.0
        some.clear()
        await some.wait()
    # 100 a second, also where this machine itself stops twice meanwhile; all that were due would be 1,000.
    assert 0 < connected - before <= 100 * 3 * STEP_S + 1
    task.cancel()


@given(st.lists(st.floats(0, 100), max_size=30))
def test_waiting_time_passes_as_it_does_for_others_but_in_no_longer_steps(waits_s: list[float]) -> None:
    now = before = 50.0
    time = WaitingTime(now)
    for wait_s in waits_s:
        now += wait_s
        found = time.read(now)
        assert found - before == pytest.approx(min(wait_s, STEP_S), abs=1e-6)
        before = found


async def test_who_comes_back_waits_for_nobody() -> None:
    """Many first handshakes hang; a storm of devices that have lost their broker is a storm all the same."""
    connected: Counter[str] = Counter()
    full, stormed, finished, hang = (asyncio.Event() for _ in range(4))

    async def connect(connection: Any) -> None:
        connected[connection.device.device_id] += 1
        for name, number, reached in (
            ("first", CONCURRENT_CONNECTS, full),
            ("again", 500, stormed),
            ("first", 150, finished),
        ):
            if connected[name] == number:
                reached.set()
        await hang.wait()

    queue = ConnectQueue(Ramp(1_000_000), connect)
    for _ in range(150):
        queue.enqueue_connect(device("first"))
    task = asyncio.create_task(queue.run_queue())
    async with asyncio.timeout(30):
        await full.wait()
        for _ in range(500):
            queue.enqueue_connect(device("again"), again=True)
        await stormed.wait()
        assert connected["first"] == CONCURRENT_CONNECTS
        hang.set()
        await finished.wait()
    task.cancel()


@pytest.mark.parametrize("turns", range(6))
async def test_the_end_is_not_missed_however_soon_it_follows_a_change(turns: int) -> None:
    """A fleet stopped while it connects: `asyncio.wait_for` of Python 3.11 took the change and forgot the end."""

    async def connect(_: Any) -> None: ...

    queue = ConnectQueue(Ramp(1), connect)
    queue.enqueue_connect(device("first"), 60)
    task = asyncio.create_task(queue.run_queue())
    await asyncio.sleep(0.01)
    queue.enqueue_connect(device("second"), 60)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=20)
    assert task.cancelled()


def test_slow_answers_halve_the_rate_and_quick_ones_bring_it_back() -> None:
    ramp = Ramp(400)
    ramp.record_accepted(SLOW_S * 2, 10)
    assert ramp.per_second == 200
    ramp.record_accepted(SLOW_S * 2, 10.5)
    assert ramp.per_second == 200, "what was connected before the change says nothing about it"
    ramp.record_overload(11)
    assert ramp.per_second == 100
    for second in range(12, 30):
        ramp.record_accepted(0.01, second)
    assert ramp.per_second == 400
    assert ramp.slowed_s(100) == ramp.slowed_s(30) > 0


@given(
    limit=st.floats(0.1, 10_000),
    steps=st.lists(st.tuples(st.floats(0, 5), st.one_of(st.none(), st.floats(0, 5))), max_size=50),
)
def test_the_rate_stays_between_its_bounds(limit: float, steps: list[tuple[float, float | None]]) -> None:
    ramp, now = Ramp(limit), 100.0
    for wait_s, latency_s in steps:
        now += wait_s
        if latency_s is None:
            ramp.record_overload(now)
        else:
            ramp.record_accepted(latency_s, now)
        assert min(LEAST_PER_S, limit) <= ramp.per_second <= limit
        assert 0 <= ramp.slowed_s(now) <= now - 100
