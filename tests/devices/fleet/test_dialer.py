"""The ramp: who is dialled when, and never more per second than allowed."""

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from devices.fleet.connect_queue import CONCURRENT_DIALS, Dialer, Ramp


def device(name: str) -> Any:
    return SimpleNamespace(device=SimpleNamespace(device_id=name))


async def test_devices_are_dialled_in_the_order_of_their_due_time() -> None:
    dialled: list[str] = []
    finished = asyncio.Event()

    async def dial(connection: Any) -> None:
        dialled.append(connection.device.device_id)
        if len(dialled) == 3:
            finished.set()

    dialer = Dialer(Ramp(1000), dial)
    dialer.add(device("late"), 0.6)
    dialer.add(device("middle"), 0.5)
    task = asyncio.create_task(dialer.run())
    await asyncio.sleep(0.02)
    dialer.add(device("early"))
    async with asyncio.timeout(30):
        await finished.wait()
    task.cancel()
    assert dialled == ["early", "middle", "late"]


async def test_the_ramp_spaces_dials() -> None:
    loop = asyncio.get_running_loop()
    times: list[float] = []
    finished = asyncio.Event()

    async def dial(connection: Any) -> None:
        times.append(loop.time())
        if len(times) == 11:
            finished.set()

    dialer = Dialer(Ramp(50), dial)
    for number in range(11):
        dialer.add(device(f"d{number}"))
    task = asyncio.create_task(dialer.run())
    async with asyncio.timeout(30):
        await finished.wait()
    task.cancel()
    # Eleven dials at 50 a second span 200 ms; three may follow at once after a hiccup of the machine.
    assert times[-1] - times[0] >= 0.14


async def test_who_comes_back_waits_for_nobody() -> None:
    """Many first handshakes hang; a storm of devices that have lost their broker is a storm all the same."""
    dialled: Counter[str] = Counter()
    full, stormed, finished, hang = (asyncio.Event() for _ in range(4))

    async def dial(connection: Any) -> None:
        dialled[connection.device.device_id] += 1
        for name, number, reached in (
            ("first", CONCURRENT_DIALS, full),
            ("again", 500, stormed),
            ("first", 150, finished),
        ):
            if dialled[name] == number:
                reached.set()
        await hang.wait()

    dialer = Dialer(Ramp(1_000_000), dial)
    for _ in range(150):
        dialer.add(device("first"))
    task = asyncio.create_task(dialer.run())
    async with asyncio.timeout(30):
        await full.wait()
        for _ in range(500):
            dialer.add(device("again"), again=True)
        await stormed.wait()
        assert dialled["first"] == CONCURRENT_DIALS
        hang.set()
        await finished.wait()
    task.cancel()


@pytest.mark.parametrize("turns", range(6))
async def test_the_end_is_not_missed_however_soon_it_follows_a_change(turns: int) -> None:
    """A fleet stopped while it connects: `asyncio.wait_for` of Python 3.11 took the change and forgot the end."""

    async def dial(_: Any) -> None: ...

    dialer = Dialer(Ramp(1), dial)
    dialer.add(device("first"), 60)
    task = asyncio.create_task(dialer.run())
    await asyncio.sleep(0.01)
    dialer.add(device("second"), 60)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=20)
    assert task.cancelled()
