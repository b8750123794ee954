"""A fleet that is late sends what a connection has to say in one write; one that is on time holds back nothing."""

import asyncio
from types import SimpleNamespace
from typing import Any

from devices.fleet.pacer import MOST_AT_ONCE
from devices.fleet.part import MOST_OF_EACH, FleetPart
from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgewire.clock import parse_ms
from edgewire.device_time import DeviceTime

NOON_MS = parse_ms("2026-03-04T12:00:00Z")


class CountingLink:
    """Counts how often something leaves, as `Link` would let it."""

    def __init__(self) -> None:
        self.is_corked = False
        self.published = self.writes = 0

    def cork(self) -> bool:
        was_corked, self.is_corked = self.is_corked, True
        return not was_corked

    def uncork(self) -> None:
        assert self.is_corked
        self.is_corked = False
        self.writes += 1

    def publish(self) -> None:
        self.published += 1
        self.writes += not self.is_corked


def _part(count: int, interval: str) -> tuple[FleetPart, list[CountingLink]]:
    group = {"kind": "bme280", "count": count, "interval": interval}
    line = Timeline(Scenario(seed=1, devices=[group]), NOON_MS)
    owner: Any = SimpleNamespace(acks=SimpleNamespace(is_due=lambda: False))
    part = FleetPart(owner, line, NOON_MS, DeviceTime(NOON_MS, 1.0), None)
    links = [CountingLink() for _ in range(count)]
    for link, device in zip(links, line.devices, strict=True):
        client: Any = SimpleNamespace(
            device=device,
            topic=lambda _: b"t",
            firmware=SimpleNamespace(boot=1),
            handle_reading=lambda _, link=link: link.publish(),
        )
        client.carrier = _Carrier(link)
        part.clients.append(client)
    return part, links


class _Carrier:
    def __init__(self, link: CountingLink) -> None:
        self.link = link


async def test_what_is_late_leaves_in_few_writes() -> None:
    part, links = _part(20, "100ms")
    await part.run_part(asyncio.get_running_loop().time() - 2.0, 2.0, asyncio.Event())
    assert {link.published for link in links} == {20}
    assert max(link.writes for link in links) <= 4
    assert not any(link.is_corked for link in links)


async def test_what_is_on_time_is_not_held_back() -> None:
    part, links = _part(20, "100ms")
    await part.run_part(asyncio.get_running_loop().time(), 0.5, asyncio.Event())
    assert {link.published for link in links} == {5}
    # A loop that comes round late bunches a few.
    assert sum(link.writes for link in links) > 50


async def test_portions_grow_with_few_connections_alone() -> None:
    stopped = asyncio.Event()
    stopped.set()
    for count, portion in ((20, MOST_AT_ONCE), (300, 300 * MOST_OF_EACH), (1100, MOST_AT_ONCE)):
        part, _ = _part(count, "10s")
        await part.run_part(asyncio.get_running_loop().time(), 1.0, stopped)
        assert part.pacer.most_at_once == portion
