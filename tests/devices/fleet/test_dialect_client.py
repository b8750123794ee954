"""One device that speaks a dialect, on a link that is only written to: its birth, its will, and what it says of it."""

from typing import Any
from unittest.mock import Mock, call

import pytest

from devices.firmware.firmware import Firmware
from devices.firmware.outbox import Reading
from devices.fleet.device_client import DeviceClient
from devices.fleet.loss_window import LossWindow
from devices.fleet.session_factory import create_session
from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgewire.dialects.sparkplug_payload import SparkplugType, read_payload, write_metric, write_payload
from edgewire.link import BrokerUrl
from edgewire.mqtt import Connected, ConnectionLost, Message, Properties, Subscribed, Subscription, Version
from edgewire.mqtt.limits import ServerLimits

CONNECTED = Connected(True, "", ServerLimits())


def device(owner: Mock | None = None, **group: Any) -> DeviceClient:
    scenario = Scenario.model_validate({"devices": [{"kind": "bme280", "count": 1} | group]})
    line = Timeline(scenario, 0, in_dialects=True)
    (one,), spoken = line.devices, line.wire_format(0)
    firmware = Firmware(one.device_id, one.key, 1, 0, scenario.build(scenario.devices[0]))
    session = create_session(one, firmware, spoken, scenario, (None, None), Version.V5)
    owner = owner or Mock()
    owner.configure_mock(
        device_time_ms=lambda: 0,
        monotonic_s=lambda: 0.0,
        token_life_s=lambda _: None,
        losses=LossWindow(1),
        broker_choices=1,
        next_broker=lambda one: one.broker,
    )
    return DeviceClient(one, firmware, session, owner, lambda: 0.5, BrokerUrl.parse("mqtt://127.0.0.1:1883"), spoken)


def born(client: DeviceClient) -> list[tuple[str, bool]]:
    """Connect, and return topic and retain of what is published then."""
    assert client.begin_connect()
    link = Mock(connected=True, writable=True)
    client.on_events(link, [CONNECTED])
    client.on_events(link, [Subscribed(1, (1,))])
    published = [(call.args[0], call.kwargs["retain"]) for call in link.publish.mock_calls]
    client.on_events(link, [ConnectionLost("")])
    return published


@pytest.mark.parametrize(
    ("group", "expected", "will"),
    [
        (
            {"dialect": {"dialect": "tasmota", "discovery": False}},
            [("tele/d/LWT", True), ("cmnd/d/POWER", False), *((f"tele/d/INFO{n}", False) for n in (1, 2, 3))],
            ("tele/d/LWT", b"Offline", 1, True),
        ),
        ({"dialect": "shelly"}, [("d/online", True), ("d/events/rpc", False)], ("d/online", b"false", 1, True)),
        (
            {"dialect": {"dialect": "esphome", "discovery": False}},
            [("d/status", True)],
            ("d/status", b"offline", 0, True),
        ),
        (
            {"kind": "gps", "dialect": "owntracks"},
            [],
            ("owntracks/default/d", b'{"_type":"lwt"}', 0, False),
        ),
        (
            {"topic": "x/{id}", "payload": {"t": "temperature_c"}, "discovery": "homeassistant"},
            [("homeassistant/device/d/config", True)],
            None,
        ),
    ],
)
def test_birth_and_will_go_out_as_the_dialect_has_them(group: dict[str, Any], expected: Any, will: Any) -> None:
    client = device(id="d", **group)
    assert born(client) == expected
    asked = client.session.will
    assert (None if asked is None else (asked.topic, asked.payload, asked.qos, asked.retain)) == will
    again = [one for one in expected if "INFO" not in one[0]]
    assert born(client) == again, "what is said once a boot is not said at every connection"
    client.power_off()
    client.power_on(2, 0, "watchdog")
    assert born(client) == expected


@pytest.mark.parametrize("version", [Version.V5, Version.V311])
def test_a_node_of_sparkplug_hears_commands_before_it_is_born(version: Version) -> None:
    client = device(id="d", dialect="sparkplug")
    client.session.version = version
    assert client.begin_connect()
    link = Mock(connected=True, writable=True)
    client.on_events(link, [CONNECTED])
    subscribed, published = link.method_calls
    assert subscribed == call.subscribe([Subscription("spBv1.0/default/NCMD/d", 1)])
    assert published.args[0] == "spBv1.0/default/NBIRTH/d"
    assert (published.kwargs["qos"], published.kwargs["retain"]) == (0, False)
    client.disconnect_cleanly()
    assert link.method_calls[-1] == call.close(4 if version is Version.V5 else 0)
    assert link.method_calls[-2].args[0] == "spBv1.0/default/NDEATH/d"


def test_a_node_of_sparkplug_that_falls_asleep_says_its_death_and_forwards_as_it_wakes() -> None:
    owner = Mock()
    client = device(owner, id="d", dialect="sparkplug", firmware={"sleep": {"readings": 3, "awake": "1s"}})
    assert client.begin_connect()
    link = Mock(connected=True, writable=True)
    client.on_events(link, [CONNECTED])
    owner.monotonic_s = lambda: 2.0
    client.tick()
    client.tick()
    said, closed = link.method_calls[-2:]
    assert (said.args[0], closed) == ("spBv1.0/default/NDEATH/d", call.close(4))
    client.on_events(link, [ConnectionLost("")])
    assert client.is_asleep
    metric = write_metric("humidity", SparkplugType.DOUBLE, 1.0, timestamp=1)
    for seq in range(3):
        client.handle_reading(Reading(seq, client.topics[0], write_payload(1, None, [metric]), 0, 1, 0))
    assert client.begin_connect()
    again = Mock(connected=True, writable=True)
    client.on_events(again, [CONNECTED])
    birth, *data = [one.args for one in again.publish.mock_calls]
    assert birth[0] == "spBv1.0/default/NBIRTH/d"
    read = [read_payload(payload) for _, payload in data]
    assert [(one.seq, one.metrics[0].is_historical) for one in read] == [(1, True), (2, True), (3, False)]


@pytest.mark.parametrize(("topic", "ignored"), [("homeassistant/status", 0), ("cmnd/d/State", 1)])
def test_a_retained_status_of_home_assistant_is_no_command_that_was_missed(topic: str, ignored: int) -> None:
    owner = Mock()
    client = device(owner, id="d", dialect="tasmota", discovery="homeassistant")
    assert client.begin_connect()
    link = Mock(connected=True, writable=True)
    client.on_events(link, [CONNECTED, Message(topic, b"online", 1, True, False, 1, Properties(), 0)])
    assert owner.incidents.record_ignored.call_count == ignored
    assert not owner.on_command.called
    client.on_events(link, [Message("homeassistant/status", b"online", 1, False, False, 2, Properties(), 0)])
    assert owner.on_command.called
