"""The round visits every device once a period, and counts them."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from devices.fleet.metrics import PeriodicTick


class Client:
    def __init__(self, *, online: bool) -> None:
        self.ticks = 0
        self.is_online = self.is_stalled = online
        self.is_resting = True
        self.reconnects = 1
        self.session = SimpleNamespace(inflight=2)
        self.firmware = SimpleNamespace(outbox=[1, 2, 3], dropped=4, dropped_by_fault=1)

    def tick(self) -> None:
        self.ticks += 1


@pytest.mark.parametrize("size", [1, 199, 200, 5003])
async def test_every_device_is_visited_once_a_round(size: int) -> None:
    fleet: list[Any] = [Client(online=number % 2 == 0) for number in range(size)]
    tick = PeriodicTick(fleet, 0.02)
    task = asyncio.create_task(tick.run_ticks())
    for _ in range(10_000):
        if tick.gauges.reconnects:
            break
        await asyncio.sleep(0.001)
    task.cancel()
    assert {client.ticks for client in fleet} <= {1, 2}
    online = (size + 1) // 2
    assert (tick.gauges.connected, tick.gauges.stalled) == (online, 3 * online)
    assert tick.gauges.resting == size - online
    assert (tick.gauges.inflight, tick.gauges.buffered, tick.gauges.dropped) == (2 * size, 3 * size, 4 * size)
    assert tick.count_clients() == tick.gauges


async def test_a_fleet_of_none_does_not_spin() -> None:
    task = asyncio.create_task(PeriodicTick([], 0.01).run_ticks())
    await asyncio.sleep(0.03)
    task.cancel()
