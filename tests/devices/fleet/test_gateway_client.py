"""Many devices on the one connection of a gateway, at a real Mosquitto."""

from collections.abc import Callable

import pytest

from devices.fleet.fleet import Fleet
from devices.scenario.scenario import Scenario
from edgefleet.embedded import MosquittoProcess
from tests.devices.fleet.observer import conduct, observing
from tests.waiting import eventually

pytestmark = pytest.mark.services

GATEWAYS = {"count": 2, "devices": 3}


async def test_a_lost_gateway_takes_its_devices_along_and_nothing_is_lost(
    mosquitto_factory: Callable[[], MosquittoProcess],
) -> None:
    broker = mosquitto_factory()
    scenario = Scenario(
        broker=broker.url,
        devices=[{"kind": "bme280", "interval": "100ms", "gateway": GATEWAYS}],
        reconnect={"base": "100ms", "cap": "200ms"},
    )
    with observing(broker) as observer:

        async def script(fleet: Fleet) -> None:
            first, second = fleet.gateways
            await eventually(lambda: fleet.snapshot().emitted > 12, "readings")
            now = fleet.snapshot()
            assert (now.devices, now.gateways, now.gateways_connected) == (6, 2, 2)
            first.drop_connection()
            assert [client.is_online for client in fleet.clients] == [False] * 3 + [True] * 3
            await eventually(lambda: first.reconnects == 1 and first.is_online, "the connection again")
            assert all(client.is_online for client in fleet.clients)
            observer.send_command("edge/default/bme280/bme280-0002/cmd", {"id": "c1", "action": "identify"})
            assert (await observer.result("bme280-0002", "c1"))["ok"]
            # A device alone may restart: its gateway stays.
            member = fleet.clients[4]
            at_ms = fleet.device_time_ms()
            member.power_off()
            await eventually(lambda: observer.states("bme280-0005")[-1] == "offline", "the gateway to say so")
            assert second.is_online
            member.power_on(member.firmware.boot + 1, at_ms, "brown_out")
            assert member.is_online
            assert (first.reconnects, second.reconnects) == (1, 0)

        record = await conduct(scenario, script)
        await eventually(lambda: len(observer.states("gateway-0001")) == 4, "the goodbye")
        # The broker says the will of the gateway; of its devices there is none.
        assert observer.states("gateway-0001") == ["online", "offline", "online", "offline"]
        assert observer.states("gateway-0002") == ["online", "offline"]
        assert observer.states("bme280-0001") == ["online", "online", "offline"]
        assert observer.states("bme280-0005") == ["online", "offline", "online", "offline"]
    totals = record.totals
    # The restart takes what was measured meanwhile out of that device's memory, and nothing else is missing.
    assert totals["acknowledged"] + totals["dropped"] == totals["emitted"] > 0
    assert {device.device_id for device in record.devices if device.dropped} <= {"bme280-0005"}
    assert [(one.gateway_id, one.reconnects, len(one.devices)) for one in record.gateways] == [
        ("gateway-0001", 1, 3), ("gateway-0002", 0, 3),
    ]  # fmt: skip
    assert {device.reconnects for device in record.devices} == {0}
    assert record.problems == {}
