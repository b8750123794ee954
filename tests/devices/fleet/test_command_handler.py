"""Commands on a real Mosquitto: a device does what it is told, once, and answers; the books balance all the same."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from devices.faults.labels import Label
from devices.fleet.fleet import Fleet
from devices.scenario.scenario import Scenario
from edgefleet.embedded import MosquittoProcess
from edgewire.messages import Status
from tests.devices.fleet.observer import Observer, assert_books_balance, conduct, observing
from tests.waiting import eventually

pytestmark = pytest.mark.services


# Readings are computed up to two windows of a second ahead; changes begin behind them. In readings, every half-second.
TAKES_EFFECT = 5


def topic(device: str) -> str:
    return f"edge/default/{device.split('-')[0]}/{device}/cmd"


async def test_a_fleet_that_is_told_what_to_do(mosquitto_factory: Callable[[], MosquittoProcess]) -> None:
    broker = mosquitto_factory()
    scenario = Scenario(
        broker=broker.url,
        devices=[{"kind": "bme280", "count": 7, "interval": "500ms"}, {"kind": "people", "count": 1, "interval": "1s"}],
        firmware={"boot_time": "1s", "rssi": -67, "battery_life": "30d", "update": {"download": "500ms"}},
    )
    with observing(broker) as observer:
        labels: list[Label] = []

        async def script(fleet: Fleet) -> None:
            names = [device.device_id for device in fleet.timeline.devices]
            await eventually(lambda: all(observer.states(name) == ["online"] for name in names), "all are online")
            await asyncio.gather(
                an_interval_changes(observer, "bme280-0001"),
                wrong_commands_change_nothing(observer, "bme280-0002"),
                a_reboot_is_done_once(observer, "bme280-0003"),
                a_device_stops_and_starts(observer, "bme280-0004"),
                a_fault_is_set_and_cleared(observer, "bme280-0005"),
                an_update_reports_its_version(observer, "bme280-0006"),
                a_failed_update_rolls_back(observer, "bme280-0007"),
                a_reboot_is_done_once(observer, "people-0001"),
            )
            labels.extend(fleet.labels())

        record = await conduct(scenario, script)
        await eventually(lambda: len(observer.of("bme280-0002", "status")) >= 2, "goodbye")
    assert_books_balance(record, observer)
    assert [(label.device_id, label.type) for label in labels] == [("bme280-0005", "clip")]
    for name in ("bme280-0001", "bme280-0002", "bme280-0004", "bme280-0005"):
        (seqs,) = observer.seqs(name).values()
        assert seqs == list(range(len(seqs)))


async def an_interval_changes(observer: Observer, name: str) -> None:
    observer.send_command(topic(name), {"id": "faster", "action": "set_interval", "arguments": {"interval": "100ms"}})
    answer = await observer.result(name, "faster")
    assert (answer["ok"], answer["error"], answer["data"]) == (
        True,
        None,
        {"interval": "100ms"},
    )

    def gaps() -> set[int]:
        times = [one.fields["timestamp"] for one in observer.of(name, "telemetry")[-10:]]
        return {int(after[-4:-1]) - int(earlier[-4:-1]) for earlier, after in pairwise(times)}

    await eventually(lambda: gaps() == {100, -900}, "a reading every 100 ms")


async def wrong_commands_change_nothing(observer: Observer, name: str) -> None:
    wrong: dict[str, tuple[bytes | dict[str, Any], str]] = {
        "": (b"{not json", "not JSON"),
        "w1": ({"id": "w1", "action": "explode"}, "action"),
        "w2": ({"id": "w2", "action": "set_interval", "arguments": {"interval": "soon"}}, "interval"),
        "w3": ({"id": "w3", "action": "set_interval", "arguments": {"interval": "0s"}}, "interval"),
        "w4": ({"id": "w4", "action": "set_interval"}, "interval"),
        "w5": ({"id": "w5", "action": "reboot", "arguments": {"now": True}}, "now"),
        "w6": ({"id": "w6", "action": "set_fault", "arguments": {"type": "gps_loss"}}, "kind"),
        "w7": ({"id": "w7", "action": "set_fault", "arguments": {"type": "bias", "field": "x", "offset": 1}}, "field"),
        "w8": ({"id": "w8", "action": "reboot", "expires": "2026-01-01T00:00:00Z"}, "expired"),
        "w9": ({"id": "w9", "action": "set_fault", "arguments": {"type": "half_open"}}, "end"),
    }
    for command_id, (payload, reason) in wrong.items():
        observer.send_command(topic(name), payload)
        answer = await observer.result(name, command_id)
        assert not answer["ok"]
        assert reason in answer["error"], answer
    observer.send_command(topic(name), {"id": "who", "action": "identify"})
    assert (await observer.result(name, "who"))["data"] == {
        "kind": "bme280", "site": "default", "firmware": "1.0.0", "origin": "emulated", "interval": "500ms",
        "stopped": False, "qos": 1, "reset_reason": "power_on",
    }  # fmt: skip
    status = Status.model_validate_json(observer.of(name, "status")[0].payload)
    assert status.rssi_dbm is not None
    assert -90 < status.rssi_dbm < -45
    assert status.battery_pct is not None
    assert status.battery_v is not None
    assert 3 <= status.battery_v <= 4.2


async def a_reboot_is_done_once(observer: Observer, name: str) -> None:
    for _ in range(2):
        observer.send_command(topic(name), {"id": "again", "action": "reboot"})
    first = await observer.result(name, "again")
    # It is about to go down, and the next boot is as good as begun.
    for action, arguments in (("reboot", {}), ("stop", {}), ("set_interval", {"interval": "100ms"})):
        observer.send_command(topic(name), {"id": action, "action": action, "arguments": arguments})
        assert "about to restart" in (await observer.result(name, action))["error"]
    await eventually(lambda: observer.states(name) == ["online", "offline", "online"], "the will, and back")
    # Late: after the reboot, which must not be done again.
    observer.send_command(topic(name), {"id": "again", "action": "reboot"})
    assert await observer.result(name, "again", count=3) == first
    offline, online = (Status.model_validate_json(one.payload) for one in observer.of(name, "status")[1:])
    assert (offline.timestamp, offline.boot) == (None, first["boot"])
    assert (online.reset_reason, online.boot > offline.boot) == ("command", True)
    assert online.uptime_s is not None
    await eventually(lambda: len(observer.seqs(name).get(online.boot, [])) >= 3, "readings of the new boot")
    assert observer.seqs(name)[online.boot][:3] == [0, 1, 2]
    assert observer.states(name) == ["online", "offline", "online"]


async def readings_of_another(observer: Observer, count: int) -> None:
    """Wait for as long as a device that nobody told anything takes so many readings."""
    name = "bme280-0002"
    before = len(observer.of(name, "telemetry"))
    await eventually(lambda: len(observer.of(name, "telemetry")) >= before + count, f"readings of {name}")


async def a_device_stops_and_starts(observer: Observer, name: str) -> None:
    observer.send_command(topic(name), {"id": "halt", "action": "stop"})
    assert (await observer.result(name, "halt"))["ok"]
    await readings_of_another(observer, TAKES_EFFECT)
    silent = len(observer.of(name, "telemetry"))
    await readings_of_another(observer, 3)  # in which there would be two
    assert len(observer.of(name, "telemetry")) == silent
    observer.send_command(topic(name), {"id": "faster", "action": "set_interval", "arguments": {"interval": "1s"}})
    assert "stopped" in (await observer.result(name, "faster"))["error"]
    observer.send_command(topic(name), {"id": "go", "action": "start"})
    assert (await observer.result(name, "go"))["ok"]
    await eventually(lambda: len(observer.of(name, "telemetry")) >= silent + 3, "readings again")


async def a_fault_is_set_and_cleared(observer: Observer, name: str) -> None:
    def humid() -> list[float]:
        return [one.fields["humidity"] for one in observer.of(name, "telemetry")]

    arguments = {"type": "clip", "field": "humidity", "high": 1.0}
    observer.send_command(topic(name), {"id": "break", "action": "set_fault", "arguments": arguments})
    assert (await observer.result(name, "break"))["ok"]
    await eventually(lambda: humid()[-1:] == [1.0], "the fault shows")
    observer.send_command(topic(name), {"id": "mend", "action": "clear_faults"})
    assert (await observer.result(name, "mend"))["data"] == {"cleared": 1}
    await eventually(lambda: humid()[-1] > 1.0, "the fault is gone")


async def an_update_reports_its_version(observer: Observer, name: str) -> None:
    observer.send_command(topic(name), {"id": "new", "action": "update_firmware", "arguments": {"version": "1.1.0"}})
    assert (await observer.result(name, "new"))["data"] == {
        "from": "1.0.0",
        "to": "1.1.0",
        "download": "500ms",
    }
    observer.send_command(topic(name), {"id": "newer", "action": "update_firmware", "arguments": {"version": "1.2.0"}})
    assert "under way" in (await observer.result(name, "newer"))["error"]
    await eventually(lambda: observer.states(name) == ["online", "offline", "online"], "restarted")
    status = Status.model_validate_json(observer.of(name, "status")[-1].payload)
    assert (status.firmware, status.reset_reason) == ("1.1.0", "update")


async def a_failed_update_rolls_back(observer: Observer, name: str) -> None:
    arguments = {"version": "1.1.0", "fails": True}
    observer.send_command(topic(name), {"id": "bad", "action": "update_firmware", "arguments": arguments})
    await eventually(lambda: observer.states(name) == ["online", "offline", "online"], "restarted")
    status = Status.model_validate_json(observer.of(name, "status")[-1].payload)
    assert (status.firmware, status.reset_reason) == ("1.0.0", "rollback")
