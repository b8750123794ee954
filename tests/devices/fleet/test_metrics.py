"""The round visits every device once a period, and counts them."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from devices.firmware.firmware import BootCounters
from devices.fleet.metrics import LOOK_SHARE, FleetSnapshot, PeriodicTick
from tests.waiting import eventually


class Client:
    needs_care = False

    def __init__(self, *, online: bool, kind: str = "gps") -> None:
        self.device = SimpleNamespace(kind=kind)
        self.ticks = 0
        self.is_online = self.is_stalled = online
        self.is_resting, self.is_withdrawn, self.is_retired = True, False, False
        self.reconnects = 1
        self.inflight = 2
        counters = BootCounters(1)
        counters.acknowledged = 2
        for seq in (0, 2, 3, 5):
            counters.add_dropped(seq, by_fault=seq == 3)
        for seq in range(4):
            counters.count_reading(seq)
        boots = [counters]
        self.firmware = SimpleNamespace(
            outbox=SimpleNamespace(readings=3), collecting=0, boots=boots, all_counters=lambda: iter(boots)
        )

    def tick(self) -> None:
        self.ticks += 1


@pytest.mark.parametrize("size", [1, 199, 200, 5003])
async def test_every_device_is_visited_once_a_round(size: int) -> None:
    fleet: list[Any] = [Client(online=number % 2 == 0) for number in range(size)]
    tick = PeriodicTick(fleet, 0.02)
    task = asyncio.create_task(tick.run_ticks())
    for _ in range(10_000):
        if tick.kinds.total().reconnects:
            break
        await asyncio.sleep(0.001)
    task.cancel()
    assert {client.ticks for client in fleet} <= {1, 2}
    online, gauges = (size + 1) // 2, tick.kinds.total()
    assert (gauges.connected, gauges.stalled) == (online, 3 * online)
    assert gauges.resting == size - online
    assert (gauges.inflight, gauges.buffered, gauges.dropped) == (2 * size, 3 * size, 4 * size)
    assert tick.count_clients() == tick.kinds


@pytest.mark.parametrize("needs_care", [False, True])
async def test_rounds_over_many_devices_take_longer_unless_one_needs_care(
    needs_care: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.fleet.metrics.LOOK_S", 10.0)
    fleet: list[Any] = [Client(online=True) for _ in range(300)]
    fleet[-1].needs_care = needs_care
    task = asyncio.create_task(PeriodicTick(fleet, 0.01, longest_s=600.0).run_ticks())
    if needs_care:
        await eventually(lambda: fleet[0].ticks > 1)
    else:
        # Not even the first of them is due before its share of ten minutes.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(task), 0.2)
        assert fleet[0].ticks == 0
    task.cancel()


@pytest.mark.parametrize(("core_share", "round_s"), [(1.0, 2.0), (0.5, 4.0), (0.1, 5.0)])
async def test_rounds_take_longer_where_processes_share_a_core(
    core_share: float, round_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.fleet.metrics.LOOK_S", 2.0 * LOOK_SHARE / 10)
    fleet: list[Any] = [Client(online=True) for _ in range(10)]
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        raise asyncio.CancelledError

    monkeypatch.setattr("asyncio.sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await PeriodicTick(fleet, 1.0, longest_s=5.0, core_share=core_share).run_ticks()
    assert slept == pytest.approx([round_s])


def test_devices_are_counted_by_kind_over_all_their_boots_and_workers() -> None:
    clients: list[Any] = [Client(online=True, kind=kind) for kind in ("gps", "people", "gps")]
    clients[0].firmware.boots.append(BootCounters(2))
    clients[0].firmware.boots[-1].count_reading(0)
    tick = PeriodicTick(clients, 1.0)
    assert {kind: gauges.devices for kind, gauges in tick.kinds.items()} == {"gps": 2, "people": 1}
    assert tick.kinds.total().emitted == 0
    kinds = tick.count_clients()
    assert (kinds["gps"].emitted, kinds["gps"].acknowledged, kinds["people"].emitted) == (9, 4, 4)
    both = FleetSnapshot.total([FleetSnapshot(kinds=kinds), FleetSnapshot(kinds=kinds)])
    assert (both.kinds["gps"].emitted, both.kinds["gps"].devices) == (18, 4)
    assert kinds["gps"].emitted == 9


async def test_a_fleet_of_none_does_not_spin() -> None:
    task = asyncio.create_task(PeriodicTick([], 0.01).run_ticks())
    await asyncio.sleep(0.03)
    task.cancel()
