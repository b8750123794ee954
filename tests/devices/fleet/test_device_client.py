"""One device on a link that is only written to: what it counts, and what it still waits for."""

from typing import Any
from unittest.mock import Mock

import pytest

from devices.firmware.firmware import Firmware
from devices.firmware.outbox import NO_SEQ, Reading
from devices.fleet.device_client import DeviceClient
from devices.fleet.fault_state import LinkFaultState
from devices.fleet.session_factory import create_session
from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgewire.link import BrokerUrl
from edgewire.mqtt import Acknowledged, Connected, ConnectionLost, Version
from edgewire.mqtt.limits import ServerLimits

CONNECTED = Connected(True, "", ServerLimits())


def device(**group: Any) -> DeviceClient:
    scenario = Scenario(devices=[{"kind": "bme280", "count": 1} | group])
    one = Timeline(scenario, 0).devices[0]
    firmware = Firmware(one.device_id, one.key, 1, 0, scenario.build(scenario.devices[0]))
    session = create_session(one, firmware, scenario, None, None, Version.V5)
    owner = Mock(device_time_ms=lambda: 0, monotonic_s=lambda: 0.0)
    return DeviceClient(one, firmware, session, owner, lambda: 0.5, BrokerUrl.parse("mqtt://127.0.0.1:1883"))


def reading(seq: int) -> Reading:
    return Reading(seq, b"t", b"{}", 1, 1)


def connect(connection: DeviceClient) -> Mock:
    link = Mock(connected=True, writable=True)
    connection.on_events(link, [CONNECTED])
    return link


def lose(connection: DeviceClient, link: Mock) -> None:
    connection.on_events(link, [ConnectionLost("")])


def test_a_damaged_reading_of_an_earlier_boot_is_dropped_and_not_acknowledged_too() -> None:
    connection = device(outbox={"storage": "flash"})
    connection.lose(0)
    connection.firmware.on_reset(2, 0, "watchdog")
    connection.on_events(connect(connection), [Acknowledged(1, 0, (1, NO_SEQ))])
    assert connection.acknowledged == 0


def test_who_wakes_has_lost_no_connection() -> None:
    connection = device(firmware={"sleep": {"awake": 0}})
    for _ in range(3):
        link = connect(connection)
        connection.tick()
        connection.tick()
        assert connection.is_asleep
        lose(connection, link)
        assert connection.is_resting
        connection.wake()
    assert connection.reconnects == 0
    # The session is still there: so is the subscription that was made at first.
    assert not link.subscribe.called


@pytest.mark.parametrize("goodnight", [False, True])
def test_a_loss_counts_also_where_it_comes_before_sleep(goodnight: bool) -> None:
    connection = device(firmware={"sleep": {"awake": 0}})
    link = connect(connection)
    if goodnight:
        connection.tick()
    lose(connection, link)
    connect(connection)
    assert connection.reconnects == 1


def test_a_device_that_does_not_know_the_time_is_not_held_back_by_the_broker_and_not_waited_for() -> None:
    connection = device(firmware={"first_sync": "1m"})
    connect(connection)
    connection.emit(reading(0))
    assert (connection.is_idle, connection.is_finished, connection.is_stalled) == (False, True, False)


def test_a_device_that_is_down_at_the_end_is_not_waited_for() -> None:
    connection = device()
    connection.emit(reading(0))
    assert not connection.is_finished
    connection.power_off()
    assert (connection.is_idle, connection.is_finished, connection.is_resting) == (False, True, True)


def test_only_what_the_broker_holds_back_is_stalled() -> None:
    connection = device()
    link = connect(connection)
    connection.link_faults = LinkFaultState()
    connection.link_faults.delay_count = 1
    connection.emit(reading(0))
    assert not connection.is_stalled
    connection.link_faults.delay_count = 0
    link.writable = False
    assert connection.is_stalled
