"""The ramp: who is dialled when, and never more per second than allowed."""

import asyncio
from types import SimpleNamespace
from typing import Any

from devices.fleet.dialer import Dialer
from devices.fleet.ramp import Ramp


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
    dialer.add(device("late"), 0.2)
    dialer.add(device("middle"), 0.1)
    task = asyncio.create_task(dialer.run())
    await asyncio.sleep(0.02)
    dialer.add(device("early"))
    async with asyncio.timeout(5):
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
    async with asyncio.timeout(10):
        await finished.wait()
    task.cancel()
    # Eleven dials at 50 a second span 200 ms; three may follow at once after a hiccup of the machine.
    assert times[-1] - times[0] >= 0.14
