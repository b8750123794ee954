"""Faults of devices and links on a real Mosquitto: what the broker and a subscriber see of each, and the labels."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from devices.faults.labels import Label
from devices.fleet.fleet import Fleet
from devices.scenario.scenario import Scenario
from devices.sensors.base import boot_number
from devices.timeline.timeline import Timeline
from edgefleet.embedded import MosquittoProcess
from edgewire.clock import parse_ms
from edgewire.messages import Status
from tests.devices.fleet.observer import Observer, assert_books_balance, conduct, observing
from tests.waiting import eventually

pytestmark = pytest.mark.services

NOON_MS = parse_ms("2026-03-04T12:00:00Z")
FAULTS: dict[str, dict[str, Any]] = {
    "bme280-0001": {"type": "reboot", "reason": "watchdog", "to": 3},
    "bme280-0002": {"type": "silent_death", "how": "fin", "to": 4},
    "bme280-0003": {"type": "half_open", "to": 6},
    "bme280-0004": {"type": "takeover", "to": 3},
    "bme280-0005": {"type": "duplicate", "to": 3},
    "bme280-0006": {"type": "delay", "to": 4},
    "bme280-0007": {"type": "reorder", "to": 4},
    "bme280-0008": {"type": "corrupt", "chance": 0.5, "to": 6},
}


def at(second: int) -> str:
    return f"2026-03-04T12:00:{second:02d}Z"


async def test_every_fault_of_a_link(mosquitto_factory: Callable[[], MosquittoProcess]) -> None:
    broker = mosquitto_factory()
    scenario = Scenario(
        broker=broker.url,
        keep_alive="1s",
        reconnect={"base": "100ms", "cap": "300ms"},
        devices=[{"kind": "bme280", "count": 9, "interval": "250ms"}],
        faults=[
            fault | {"kind": "bme280", "devices": [name], "from": at(2), "to": at(fault["to"])}
            for name, fault in FAULTS.items()
        ],
    )
    found: list[Label] = []
    with observing(broker) as observer:

        async def script(fleet: Fleet) -> None:
            boot = boot_number(NOON_MS)
            dead = ("bme280-0002", "bme280-0003")
            await eventually(
                lambda: all(len(set(observer.seqs(name).get(boot, []))) >= 28 for name in dead), "seven seconds"
            )
            await eventually(lambda: all(observer.states(name)[-1] == "online" for name in FAULTS), "everybody is back")
            found.extend(fleet.labels())

        record = await conduct(scenario, script, from_ms=NOON_MS, power_on_ms=NOON_MS)
        await eventually(lambda: observer.states("bme280-0009") == ["online", "offline"], "goodbye")
    assert_books_balance(record, observer)
    # Everybody is back at the end, and says goodbye once.
    for name in FAULTS:
        assert observer.states(name)[-2:] == ["online", "offline"], name
    a_reset_begins_a_new_boot(observer)
    the_will_is_published(observer)
    a_device_that_was_taken_over_comes_back(observer)
    messages_come_twice_late_or_backwards(observer)
    labels = {label.device_id: label for label in found}
    assert set(labels) == set(FAULTS)
    damaged(observer, labels["bme280-0008"])
    for name, fault in FAULTS.items():
        label = labels[name]
        assert (label.type, label.end_ms) == (fault["type"], NOON_MS + 1000 * fault["to"])
        assert label.layer == ("firmware" if fault["type"] == "reboot" else "transport")
    assert (labels["bme280-0006"].messages, labels["bme280-0001"].messages) == (8, 0)


def a_reset_begins_a_new_boot(observer: Observer) -> None:
    name, first, second = "bme280-0001", boot_number(NOON_MS), boot_number(NOON_MS + 3000)
    seqs = observer.seqs(name)
    assert list(seqs) == [first, second]
    assert seqs[first] == list(range(8))
    assert seqs[second] == list(range(len(seqs[second])))
    said = [Status.model_validate_json(one.payload) for one in observer.of(name, "status")]
    assert [(one.state, one.boot, one.reset_reason) for one in said] == [
        ("online", first, "power_on"),
        ("offline", first, "power_on"),
        ("online", second, "watchdog"),
        ("offline", second, "watchdog"),
    ]


def the_will_is_published(observer: Observer) -> None:
    for name in ("bme280-0002", "bme280-0003"):
        assert observer.states(name) == ["online", "offline", "online", "offline"], name
        will = observer.of(name, "status")[1]
        assert will.fields["timestamp"] is None
        assert sorted(set(observer.seqs(name)[boot_number(NOON_MS)]))[:28] == list(range(28))
    # Of a connection that only seems to stand, one and a half times the keep-alive later.
    dead, half_open = (observer.of(name, "status")[1].at_s for name in ("bme280-0002", "bme280-0003"))
    assert half_open - dead > 0.9


def a_device_that_was_taken_over_comes_back(observer: Observer) -> None:
    states = observer.states("bme280-0004")
    assert states.count("online") >= 2
    (seqs,) = observer.seqs("bme280-0004").values()
    assert sorted(set(seqs)) == list(range(max(seqs) + 1))


def messages_come_twice_late_or_backwards(observer: Observer) -> None:
    (twice,), (late,), (backwards,) = (observer.seqs(f"bme280-000{number}").values() for number in (5, 6, 7))
    again = [seq for seq in set(twice) if twice.count(seq) == 2]
    # Those of a second in which no acknowledgement came.
    assert sorted(again) == [8, 9, 10, 11]
    assert late == sorted(late)
    arrived = [one.at_s for one in observer.of("bme280-0006", "telemetry")]
    assert arrived[8] - arrived[7] > 1.5
    assert arrived[15] - arrived[8] < 0.5
    assert backwards[8:16] == [15, 14, 13, 12, 11, 10, 9, 8]


def damaged(observer: Observer, label: Label) -> None:
    (seqs,) = observer.seqs("bme280-0008").values()
    missing = sorted(set(range(max(seqs))) - set(seqs))
    assert (label.first_seq, label.last_seq, label.messages) == (missing[0], missing[-1], len(missing))
    broken = [one.payload for one in observer.of("bme280-0008", "telemetry") if b"\xff" in one.payload]
    assert len(broken) == len(missing)
    for payload in broken:
        with pytest.raises(UnicodeDecodeError):
            payload.decode()


async def test_a_device_that_sleeps(mosquitto_factory: Callable[[], MosquittoProcess]) -> None:
    broker = mosquitto_factory()
    scenario = Scenario(
        broker=broker.url,
        keep_alive="10s",  # a fiftieth of it is how often is looked who may sleep
        devices=[
            {"kind": "bme280", "count": 2, "interval": "400ms", "firmware": {"sleep": {"readings": 4, "awake": "0s"}}},
            {"kind": "bme280", "count": 1, "interval": "500ms", "outbox": {"flush_per_second": 3}},
            {"kind": "bme280", "count": 1, "interval": "500ms", "firmware": {"first_sync": "2s"}},
        ],
        faults=[
            {"type": "silent_death", "kind": "bme280", "devices": ["bme280-0003"], "from": at(1), "to": at(4)},
        ],
    )
    name = "bme280-0001"
    with observing(broker) as observer:

        async def script(fleet: Fleet) -> None:
            await eventually(lambda: observer.states(name)[:2] == ["online", "sleeping"], "it falls asleep")
            # The broker keeps a command for it until it wakes.
            observer.send_command(f"edge/default/bme280/{name}/cmd", {"id": "who", "action": "identify"})
            assert (await observer.result(name, "who"))["ok"]
            await eventually(lambda: observer.states(name).count("sleeping") >= 4, "asleep again and again")

        record = await conduct(scenario, script, from_ms=NOON_MS, power_on_ms=NOON_MS)
        await eventually(lambda: observer.states("bme280-0003")[-1] == "offline", "goodbye")
    assert_books_balance(record, observer)
    assert record.totals["unsent"] == record.totals["dropped"] == 0
    states = observer.states(name)
    assert states[:6] == ["online", "sleeping"] * 3
    readings = observer.of(name, "telemetry")
    # Together, not one by one.
    waits = [after.at_s - before.at_s for before, after in pairwise(readings)]
    assert sum(wait > 1 for wait in waits) >= 2
    assert sum(wait < 0.2 for wait in waits) >= 6
    (seqs,) = observer.seqs(name).values()
    assert seqs == list(range(len(seqs)))
    a_clock_that_is_set_later(observer, "bme280-0004")


def a_clock_that_is_set_later(observer: Observer, name: str) -> None:
    said = [one.fields for one in observer.of(name, "status")]
    assert (said[0]["timestamp"], said[-1]["timestamp"] is None) == (None, False)
    readings = observer.of(name, "telemetry")
    # Held until the time was known, and stamped with when they were taken.
    assert readings[3].at_s - readings[0].at_s < 0.5
    stamps = [parse_ms(one.fields["timestamp"]) - NOON_MS for one in readings[:4]]
    assert stamps[0] < 500
    assert [after - before for before, after in pairwise(stamps)] == [500, 500, 500]


def test_a_run_that_begins_later_knows_the_boots_before_it() -> None:
    fault = {"type": "reboot", "kind": "bme280", "devices": ["bme280-0001"], "from": at(2), "to": at(3)}
    timeline = Timeline(Scenario(devices=[{"kind": "bme280", "count": 2}], faults=[fault]), NOON_MS)
    assert timeline.boots_at(NOON_MS + 2500) == [(timeline.boot, NOON_MS, "power_on")] * 2
    assert timeline.boots_at(NOON_MS + 3000)[0] == (boot_number(NOON_MS + 3000), NOON_MS + 3000, "brown_out")
