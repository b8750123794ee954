"""A fleet goes on with another scenario, on a real Mosquitto: what stays keeps its connection, and nothing is lost."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from devices.faults.labels import Label
from devices.fleet.fleet import Fleet
from devices.scenario.scenario import Scenario
from edgefleet.embedded import MosquittoProcess
from edgewire.errors import ConfigError, ServiceUnavailable
from edgewire.run_record import RunRecord
from tests.devices.fleet.observer import Observer, assert_books_balance, conduct, observing
from tests.waiting import eventually

pytestmark = [pytest.mark.services, pytest.mark.slow]

STAY = {"kind": "bme280", "count": 3, "interval": "200ms"}
PACED = {"kind": "bme280", "count": 2, "interval": "200ms", "id": "paced-{n}"}
GO = {"kind": "gps", "count": 2, "interval": "200ms"}
CHANGED = {"kind": "people", "count": 1, "interval": "300ms"}


def seqs(observer: Observer, device: str) -> dict[int, list[int]]:
    return {boot: sorted(found) for boot, found in observer.seqs(device).items()}


def devices_of(record: RunRecord, device_id: str) -> list[Any]:
    return [device for device in record.devices if device.device_id == device_id]


async def test_devices_come_go_and_change_and_the_others_stay_connected(
    mosquitto_factory: Callable[[], MosquittoProcess],
) -> None:
    broker = mosquitto_factory()
    fault = {
        "type": "bias",
        "kind": "bme280",
        "field": "temperature_c",
        "offset": 3.0,
        "from": "2026-01-01T00:00:00Z",
        "devices": ["bme280-0001"],
    }
    keys = {"broker": broker.url, "faults": [fault]}
    before = Scenario(devices=[STAY, PACED, GO, CHANGED], **keys)
    after = Scenario(
        devices=[STAY, PACED | {"interval": "100ms"}, CHANGED | {"qos": 0}, {"kind": "traffic", "interval": "300ms"}],
        **keys,
    )
    labels: list[Label] = []
    with observing(broker) as observer:

        async def script(fleet: Fleet) -> None:
            await eventually(lambda: fleet.connected_after_s is not None, "all are connected")
            await eventually(lambda: len(observer.of("gps-0001", "telemetry")) >= 3, "they measure")
            with pytest.raises(ConfigError, match="seed cannot change"):
                await fleet.apply(after.model_copy(update={"seed": 9}))
            change = await fleet.apply(after)
            assert (change.added, change.removed, change.replaced) == (
                ("traffic-0001",), ("gps-0001", "gps-0002"), ("people-0001",)
            )  # fmt: skip
            assert fleet.snapshot().devices == 10
            await eventually(lambda: len(observer.of("traffic-0001", "telemetry")) >= 3, "the new one measures")
            await eventually(
                lambda: len(seqs(observer, "people-0001")) == 2, "the one that was replaced has a new boot"
            )
            await eventually(lambda: fleet.snapshot().devices == 7, "those that go have gone")
            # It is in its place again, with a boot that is greater.
            await fleet.apply(Scenario(devices=[*after.devices, GO], **keys))
            await eventually(lambda: len(seqs(observer, "gps-0001")) == 2, "one that had gone comes back")
            labels.extend(fleet.labels())

        record = await conduct(before, script)
        await asyncio.sleep(0.2)
    assert record.problems == {}
    assert_books_balance(record, observer)
    assert {device.device_id: device.reconnects for device in record.devices if device.reconnects} == {}
    for name in ("bme280-0001", "paced-4"):
        ((_, found),) = seqs(observer, name).items()
        assert found == list(range(len(found)))
    assert observer.states("gps-0001") == ["online", "offline", "online", "offline"]
    assert observer.states("bme280-0001") == ["online", "offline"]
    assert observer.states("people-0001") == ["online", "offline", "online", "offline"]
    (first, second) = devices_of(record, "people-0001")
    assert (second.first_seq, second.boot > first.boot) == (0, True)
    assert {label.device_id for label in labels} == {"bme280-0001"}
    assert [(one.added, one.removed, one.replaced, one.intervals, one.devices) for one in record.reloads] == [
        (1, 2, 1, 2, 7), (2, 0, 0, 0, 9)
    ]  # fmt: skip


async def test_a_run_of_so_many_messages_waits_for_none_that_has_gone(
    mosquitto_factory: Callable[[], MosquittoProcess],
) -> None:
    broker = mosquitto_factory()
    slow = {"kind": "gps", "count": 1, "interval": "1h"}
    before = Scenario(broker=broker.url, devices=[STAY, slow])
    fleet = Fleet(before, name="test", messages=4)
    with pytest.raises(ServiceUnavailable, match="not under way"):
        await fleet.apply(Scenario(broker=broker.url, devices=[STAY]))
    running = asyncio.create_task(fleet.run(100, asyncio.Event()))
    await eventually(lambda: fleet.connected_after_s is not None, "all are connected")
    await fleet.apply(Scenario(broker=broker.url, devices=[STAY | {"count": 4}]))
    async with asyncio.timeout(60):
        record = await running
    assert {device.device_id: device.emitted for device in record.devices} == {
        "bme280-0001": 4, "bme280-0002": 4, "bme280-0003": 4, "bme280-0004": 4, "gps-0001": 0
    }  # fmt: skip
    assert record.problems == {}
