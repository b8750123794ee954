"""The parts of one device on its one connection, at a real Mosquitto: booted, told and taken out as a whole."""

from collections.abc import Callable
from typing import Any

import pytest

from devices.fleet.fault_state import LinkFaultState
from devices.fleet.fleet import Fleet
from devices.fleet.steering import CommandDevices, DeviceSelection, FindDevices, FleetSteering, PauseReadings
from devices.scenario.scenario import Scenario
from edgefleet.embedded import MosquittoProcess
from edgewire.run_record import RunRecord
from tests.devices.fleet.observer import assert_books_balance, conduct, observing
from tests.waiting import eventually

pytestmark = pytest.mark.services

BOX: dict[str, Any] = {
    "device": [{"kind": "bme280", "interval": "200ms"}, {"kind": "gps", "interval": "100ms"}],
    "name": "box",
    "count": 2,
}


def scenario(broker: MosquittoProcess, *groups: dict[str, Any]) -> Scenario:
    return Scenario.model_validate(
        {
            "broker": broker.url,
            "devices": list(groups),
            "firmware": {"boot_time": "1s"},
            "reconnect": {"base": "100ms", "cap": "200ms"},
        }
    )


def boots(record: RunRecord, device_id: str) -> list[int]:
    return sorted(one.boot for one in record.devices if one.device_id == device_id)


async def test_a_device_boots_and_obeys_as_a_whole_and_its_parts_measure_each_for_itself(
    mosquitto_factory: Callable[[], MosquittoProcess],
) -> None:
    broker = mosquitto_factory()
    loaded = scenario(broker, BOX)
    topic = "edge/default/device/box-0001/cmd"
    with observing(broker) as observer:

        async def script(fleet: Fleet) -> None:
            steering = FleetSteering(fleet, loaded.seed)
            await eventually(lambda: len(observer.of("box-0002.gps", "telemetry")) > 2, "they measure")
            assert {client.carrier.session.client_id for client in fleet.clients} == {"box-0001", "box-0002"}
            found = await steering.answer(FindDevices(selection=DeviceSelection(device_ids=("box-0001",))))
            assert [row["device_id"] for row in found.rows] == ["box-0001.bme280", "box-0001.gps"]
            observer.send_command(topic, {"id": "who", "action": "identify"})
            told = (await observer.result("box-0001", "who"))["data"]["parts"]
            assert (told["gps"]["kind"], told["gps"]["interval"]) == ("gps", "100ms")
            assert told["bme280"]["interval"] == "200ms"
            for number, (arguments, said) in enumerate(
                (
                    ({"interval": "50ms", "part": "gps"}, None),
                    ({"interval": "50ms", "part": "camera"}, "no part 'camera'; there are bme280, gps"),
                )
            ):
                observer.send_command(topic, {"id": f"i{number}", "action": "set_interval", "arguments": arguments})
                result = await observer.result("box-0001", f"i{number}")
                assert result["ok"] == (said is None)
                assert said is None or said in result["error"]
            bad = {"id": "r0", "action": "reboot", "arguments": {"part": "gps"}}
            observer.send_command(topic, bad)
            assert "reboot is of the whole device" in (await observer.result("box-0001", "r0"))["error"]
            stuck = {"type": "stuck_at", "field": "temperature_c"}
            observer.send_command(topic, {"id": "f0", "action": "set_fault", "arguments": stuck})
            assert "name one of bme280, gps" in (await observer.result("box-0001", "f0"))["error"]
            # Whoever controls the run means the device by any of its parts, and it restarts once.
            selection = DeviceSelection(device_ids=("box-0001",))
            assert (await steering.answer(CommandDevices(selection, "reboot", {}))).devices == 1
            await eventually(
                lambda: observer.states("box-0001") == ["online", "offline", "online"], "the device is back"
            )
            for part in ("bme280", "gps"):
                await eventually(
                    lambda part=part: len(observer.seqs(f"box-0001.{part}")) == 2, f"{part} measures again"
                )
            assert (await steering.answer(PauseReadings(DeviceSelection(groups=(1,))))).devices == 2

        record = await conduct(loaded, script)
        await eventually(lambda: observer.states("box-0001")[-1:] == ["offline"], "the goodbye")
        assert observer.states("box-0002") == ["online", "offline"]
        # What no part says of itself: there is one status, and it is the device's.
        assert observer.states("box-0001.gps") == []
        assert_books_balance(record, observer)
    assert boots(record, "box-0001.bme280") == boots(record, "box-0001.gps")
    assert len(boots(record, "box-0001.gps")) == 2
    assert [(one.gateway_id, one.has_parts, one.devices) for one in record.gateways] == [
        ("box-0001", True, ["box-0001.bme280", "box-0001.gps"]),
        ("box-0002", True, ["box-0002.bme280", "box-0002.gps"]),
    ]
    assert record.problems == {}


async def test_devices_with_parts_come_go_and_change_while_others_stay(
    mosquitto_factory: Callable[[], MosquittoProcess],
) -> None:
    broker = mosquitto_factory()
    plain = {"kind": "bme280", "count": 2, "interval": "200ms", "id": "own-{n}"}
    first = scenario(broker, plain, BOX)
    with observing(broker) as observer:

        async def script(fleet: Fleet) -> None:
            await eventually(lambda: len(observer.of("box-0002.gps", "telemetry")) > 2, "they measure")
            more = scenario(broker, plain, BOX | {"count": 3})
            assert len((await fleet.apply(more)).added) == 2
            await eventually(lambda: len(observer.of("box-0003.gps", "telemetry")) > 2, "the third device measures")
            # Another part has each device come anew, under the same client id, as one that was flashed.
            parts = [*BOX["device"], {"kind": "bme280", "name": "outside", "interval": "200ms"}]
            change = await fleet.apply(scenario(broker, plain, BOX | {"device": parts, "count": 1}))
            assert (len(change.added), len(change.replaced), len(change.removed)) == (1, 2, 4)
            await eventually(lambda: len(observer.of("box-0001.outside", "telemetry")) > 2, "the new part measures")
            await eventually(lambda: observer.states("box-0003")[-1] == "offline", "the others say goodbye")
            assert fleet.snapshot().devices == 5

        record = await conduct(first, script)
        assert_books_balance(record, observer)
    assert boots(record, "box-0001.outside") == boots(record, "box-0001.gps")[1:]
    assert boots(record, "own-1") == [record.devices[0].boot]
    assert record.problems == {}


async def test_what_waits_of_parts_of_different_qos_keeps_to_the_window_of_the_broker(
    mosquitto_factory: Callable[..., MosquittoProcess],
) -> None:
    broker = mosquitto_factory(options={"max_inflight_messages": "3"})
    parts = [
        {"kind": "gps", "interval": "50ms", "qos": 0},
        {"kind": "bme280", "interval": "50ms", "qos": 1},
        {"kind": "bme280", "name": "outside", "interval": "50ms", "qos": 2},
    ]
    loaded = scenario(broker, {"device": parts, "name": "box"})
    with observing(broker) as observer:

        async def script(fleet: Fleet) -> None:
            (host,) = {client.carrier for client in fleet.clients}
            await eventually(lambda: len(observer.of("box-0001.gps", "telemetry")) > 2, "they measure")
            host.drop_connection()
            host.link_faults = LinkFaultState()
            host.link_faults.drop_count = 1
            await eventually(lambda: len(host.firmware.outbox) > 150, "much waits")
            host.link_faults = None
            host.request_reconnect()
            await eventually(lambda: not host.firmware.outbox, "it is sent")

        record = await conduct(loaded, script)
        await eventually(lambda: observer.states("box-0001")[-1:] == ["offline"], "the goodbye")
        assert_books_balance(record, observer)
    assert record.problems == {}
    assert record.totals["unsent"] == record.totals["dropped"] == 0
