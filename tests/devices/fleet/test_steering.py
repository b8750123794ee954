"""Whoever controls a run pauses, disturbs and looks at its devices, on a real Mosquitto; nothing is lost for it."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest

from devices.faults.labels import Label
from devices.faults.registry import FAULTS
from devices.fleet.device_map import NOWHERE, STATES, UNIT_M
from devices.fleet.fleet import Fleet
from devices.fleet.steering import (
    ApplyScenario,
    CommandDevices,
    DeviceSelection,
    EndFaults,
    FindDevices,
    FleetAnswer,
    FleetSteering,
    InjectFault,
    LocateDevices,
    LookAtDevice,
    PauseReadings,
    ResumeReadings,
)
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from edgefleet.embedded import MosquittoProcess
from edgewire.errors import ConfigError, ServiceUnavailable
from tests.devices.fleet.observer import assert_books_balance, conduct, observing
from tests.waiting import eventually

pytestmark = [pytest.mark.services, pytest.mark.slow]

GROUPS = [
    {"kind": "bme280", "count": 4, "interval": "100ms"},
    {"kind": "gps", "count": 2, "interval": "100ms"},
]
EVERYONE = DeviceSelection()


def fault(kind: str, **keys: Any) -> Any:
    return FAULTS[keys["type"]].model_validate({"kind": kind, "from": "2026-01-01", "to": "2027-01-01"} | keys)


def assert_located(row: dict[str, Any]) -> None:
    """Vehicles are somewhere on the roads of their town, what has no place of its own is nowhere."""
    east, north = (np.frombuffer(row[name], dtype="<i2") for name in ("east", "north"))
    states = dict(zip(row["ids"], row["states"], strict=True))
    assert (states["bme280-0001"], states["gps-0001"]) == (STATES.index("connected"), STATES.index("paused"))
    places = dict(zip(row["ids"], zip(east.tolist(), north.tolist(), strict=True), strict=True))
    assert places["bme280-0001"] == (NOWHERE, NOWHERE)
    assert 0 < max(map(abs, places["gps-0001"])) * UNIT_M < 12_000


def row_of(answer: FleetAnswer) -> dict[str, Any]:
    return answer.rows[0]


async def test_devices_are_paused_muted_disturbed_and_looked_at(
    mosquitto_factory: Callable[[], MosquittoProcess],
) -> None:
    broker = mosquitto_factory()
    scenario = Scenario(broker=broker.url, devices=GROUPS)
    labels: list[Label] = []
    with observing(broker) as observer:

        async def script(fleet: Fleet) -> None:
            steering = FleetSteering(fleet, scenario.seed)
            await eventually(lambda: fleet.connected_after_s is not None, "all are connected")
            await eventually(lambda: len(observer.of("gps-0001", "telemetry")) > 1, "they measure")
            gps = DeviceSelection(groups=(1,))
            assert (await steering.answer(PauseReadings(gps))).devices == 2
            assert (await steering.answer(PauseReadings(gps))).devices == 0
            # Who comes to a paused group is paused, too.
            more = scenario.with_group(1, count=3)
            answer = await steering.answer(ApplyScenario(more))
            assert answer.change is not None
            assert answer.change.added == ("gps-0003",)
            found = await steering.answer(FindDevices(state="paused", limit=2))
            assert (found.devices, [row["device_id"] for row in found.rows]) == (3, ["gps-0001", "gps-0002"])
            rest = await steering.answer(FindDevices(state="paused", after="gps-0002"))
            assert [(row["device_id"], row["group"]) for row in rest.rows] == [("gps-0003", 1)]
            assert_located(row_of(await steering.answer(LocateDevices(with_ids=True))))
            assert row_of(await steering.answer(LocateDevices(every=7)))["states"] == b"\0"
            stuck = {"bme280": fault("bme280", type="stuck_at", field="temperature_c")}
            half = DeviceSelection(groups=(0,), share=0.5, draw="a draw")
            begun = await steering.answer(InjectFault(half, stuck, None, "control/fault-1"))
            assert 0 < begun.devices < 4
            mute = {"bme280": fault("bme280", type="delay")}
            one = DeviceSelection(device_ids=("bme280-0001", "bme280-9999"))
            assert (await steering.answer(InjectFault(one, mute, None, "control/mute"))).devices == 1
            assert row_of(await steering.answer(LookAtDevice("bme280-0001")))["messages"] == []

            muted = next(client for client in fleet.clients if client.device.device_id == "bme280-0001")
            await eventually(lambda: len(muted.firmware.outbox) > 2, "it keeps what it measures")
            look = row_of(await steering.answer(LookAtDevice("bme280-0001")))
            assert ("delay", True, "control/mute", None) in [
                (one["type"], one["is_now"], one["by"], one["to_ms"]) for one in look["faults"]
            ]
            seqs = [message["seq"] for message in look["messages"]]
            assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
            assert b'"bme280-0001"' in look["messages"][-1]["payload"]
            # Nothing makes its readings wrong, so they are those of the world.
            said = [orjson.loads(one["payload"]) for one in look["messages"]]
            assert [one["clean"]["temperature_c"] for one in look["messages"]] == [one["temperature_c"] for one in said]
            assert look["vitals"]["uptime_s"] > 0
            by_name = DeviceSelection(device_ids=("bme280-0001",))
            await steering.answer(CommandDevices(by_name, "set_interval", {"interval": "200ms"}))
            command = row_of(await steering.answer(LookAtDevice("bme280-0001")))["commands"][-1]
            assert (command["by"], b'"200ms"' in command["asked"], b'"ok":true' in command["answered"]) == (
                "control",
                True,
                True,
            )
            # A command that clears the faults of one device leaves the others theirs.
            cleared = CommandDevices(DeviceSelection(device_ids=("bme280-0002",)), "clear_faults", {})
            assert (await steering.answer(cleared)).devices == 1
            assert (await steering.answer(EndFaults(EVERYONE, "control/mute"))).devices == 1
            left = await steering.answer(EndFaults(EVERYONE, "control/fault-1"))
            assert begun.devices - 1 <= left.devices <= begun.devices
            assert (await steering.answer(EndFaults(EVERYONE))).devices == 0
            refused = await steering.answer(CommandDevices(gps, "set_interval", {"interval": "1s"}))
            assert (refused.devices, dict(refused.refused)) == (0, {"the device is stopped: send start first": 3})
            assert (await steering.answer(ResumeReadings(EVERYONE))).devices == 3
            await eventually(lambda: len(observer.of("gps-0003", "telemetry")) > 1, "the one that came measures")
            labels.extend(fleet.labels())

            async def flood() -> None:
                for number in range(501):
                    await steering.answer(InjectFault(one, mute, 1, f"control/fault-{number}"))

            with pytest.raises(ConfigError, match="500 faults were set in this run already"):
                await flood()

        record = await conduct(scenario, script)
        await asyncio.sleep(0.05)
    assert record.problems == {}
    assert_books_balance(record, observer)
    for device in record.devices:
        # No gap in what was taken, and no second boot.
        assert sorted(observer.seqs(device.device_id)[device.boot]) == list(range(device.emitted))
    assert {label.type for label in labels} == {"stuck_at", "delay"}
    assert {label.device_id for label in labels if label.type == "delay"} == {"bme280-0001"}
    assert all(label.end_ms is not None for label in labels)
    assert {device.device_id for device in record.devices if device.changed_ms} >= {"gps-0001", "bme280-0001"}


async def test_a_fleet_that_does_not_run_is_not_changed() -> None:
    fleet = Fleet(Scenario(devices=GROUPS), name="test")
    with pytest.raises(ServiceUnavailable, match="the run is not under way"):
        await FleetSteering(fleet, 0).answer(PauseReadings(EVERYONE))


async def test_a_share_is_of_the_same_devices_in_one_process_and_in_several() -> None:
    """Law 1: what is drawn hangs on the ids, and not on who has them."""
    scenario = Scenario(seed=9, devices=[{"kind": "bme280", "count": 60}])
    selection = DeviceSelection(share=0.3, draw="control/7/share")

    async def chosen(shard: Shard) -> set[str]:
        fleet = Fleet(scenario, name="test", shard=shard)
        clients = await FleetSteering(fleet, scenario.seed).select(selection)
        return {client.device.device_id for client in clients}

    alone = await chosen(Shard())
    parts = [await chosen(Shard(index, 3)) for index in range(3)]
    assert 5 < len(alone) < 35
    assert alone == set().union(*parts)
    assert sum(map(len, parts)) == len(alone)
