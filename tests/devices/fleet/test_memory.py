"""What a connected device holds of its own: tens of thousands of them have it at the same time."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.memory import OwnObjects, objects_of, own_objects
from devices.fleet.fleet import Fleet
from devices.scenario.scenario import Scenario
from edgefleet.embedded import MosquittoProcess
from tests.waiting import eventually

DEVICES = 20


async def held(url: str, until: Callable[[Fleet], bool], **group: Any) -> OwnObjects:
    """Run a fleet until something is so, and return what its devices hold then."""
    group = {"kind": "bme280", "count": DEVICES, "interval": "100ms", **group}
    fleet = Fleet(Scenario(broker=url, devices=[group], connects_per_second=1000), name="test")
    stop = asyncio.Event()
    running = asyncio.create_task(fleet.run(float("inf"), stop))
    try:
        await eventually(lambda: until(fleet))
        # That of asyncio is larger than uvloop's, with which a fleet runs.
        return objects_of(fleet.clients, fleet, without=(asyncio.Transport,))
    finally:
        stop.set()
        await running


def is_quiet(fleet: Fleet) -> bool:
    """All have sent, and nothing is under way."""
    return all(client.is_idle and client.is_online and client.acknowledged for client in fleet.clients)


@pytest.mark.services
async def test_a_device_that_has_nothing_under_way_holds_no_containers(mosquitto: MosquittoProcess) -> None:
    own = await held(mosquitto.url, is_quiet, id="memory-{n}", interval="1s")
    counts = {name: own.counts[name] / own.owners for name in ("dict", "set", "collections.deque")}
    assert counts == dict.fromkeys(counts, 0), "an empty table takes as much as the rest of the session"
    # 3,100 when wills, limits, settings, topics and tables of what is under way or dropped were there all the time.
    assert own.bytes_each < 2000, own.sizes.most_common(12)


@pytest.mark.services
async def test_what_waits_in_an_outbox_is_found_too(mosquitto_factory: Callable[[], MosquittoProcess]) -> None:
    broker = mosquitto_factory()

    def is_waiting(fleet: Fleet) -> bool:
        if all(client.acknowledged for client in fleet.clients):
            broker.kill()
        return all(len(client.firmware.outbox) > 3 for client in fleet.clients)

    own = await held(broker.url, is_waiting)
    assert own.counts["collections.deque"] == DEVICES
    assert own.counts["devices.firmware.outbox.Reading"] > 3 * DEVICES


def test_what_two_have_in_common_is_of_neither() -> None:
    shared, ignored = [1000], [2000]
    first, second = {"own": [3000], "shared": shared, "ignored": ignored}, {"shared": shared, "ignored": ignored}
    own = own_objects([first, second], [ignored])
    assert own.counts == {"dict": 2, "list": 1, "int": 1}
