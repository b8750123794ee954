"""What a device makes of a broker with other limits, and of what it has not asked for: no network, only a session."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import orjson
import pytest

from devices.firmware.firmware import COMMANDS_PER_S
from devices.fleet.command_handler import CommandHandler
from devices.fleet.device_client import DeviceClient
from devices.fleet.incidents import IncidentRecorder
from devices.fleet.loss_window import LossWindow
from devices.scenario.devices import Device
from devices.timeline.native_format import NativeFormat
from edgewire.mqtt import ConnectionLost, Message, ServerDisconnected, ServerLimits, StrayAnswer, Subscribed, Version
from edgewire.mqtt.packets import Connack, Connect, Packet, Puback, Publish, Subscribe
from edgewire.mqtt.session import Session
from tests.devices.fleet.test_device_client import device, reading
from tests.edgewire.mqtt.peer import Peer

CMD = "edge/default/bme280/bme280-0001/cmd"


class Wire:
    """A device whose link is its session and nothing else: what it says is read from there."""

    def __init__(self, **group: Any) -> None:
        self.now_s = 0.0
        self.device_ms = 0
        self.dialled: list[float] = []
        self.owner = Mock(
            device_time_ms=lambda: self.device_ms,
            monotonic_s=lambda: self.now_s,
            token_life_s=lambda _: None,
            incidents=IncidentRecorder(lambda: self.now_s),
            losses=LossWindow(10),
            broker_choices=1,
            next_broker=lambda one: one.broker,
            on_connect_requested=lambda _, delay_s: self.dialled.append(delay_s),
            timeline=Mock(devices=[]),
        )
        self.client: DeviceClient = device(self.owner, **group)
        self.peer = Peer(self.client.session.config)
        self.peer.session = self.client.session
        self.link = Mock()
        self.status_id = 0
        """The packet identifier of the status that was said last."""

    @property
    def incidents(self) -> Any:
        return self.owner.incidents.incidents

    def dial(self) -> Connect:
        """The device's turn; returns what it says first."""
        assert self.client.begin_connect()
        (connect,) = self.peer.connect()
        assert isinstance(connect, Connect)
        return connect

    def accept(self, *, session_present: bool = False, **limits: Any) -> list[Packet]:
        """CONNACK with these limits; returns what the device says to it."""
        session: Session = self.client.session
        self.link = Mock(connected=True, writable=True)
        self.link.publish = lambda topic, payload, **options: session.publish(topic, payload, now=0, **options)
        self.link.subscribe = lambda filters: session.subscribe(filters, 0)
        self.hear(Connack(session_present, 0, limits))
        said = self.peer.sent()
        self.status_id = next((one.packet_id for one in statuses(said)), 0)
        return said

    def hear(self, *packets: Packet) -> None:
        self.client.on_events(self.link, self.peer.say(*packets))

    def lose(self, lost: ConnectionLost | None = None) -> None:
        self.client.session.connection_lost()
        self.client.on_events(self.link, [lost or ConnectionLost("", is_unexplained=True)])


def statuses(packets: Sequence[Packet]) -> list[Publish]:
    return [one for one in packets if isinstance(one, Publish) and one.topic.endswith("/status")]


def test_each_connection_has_one_online_status_however_many_were_not_acknowledged() -> None:
    wire = Wire()
    for _ in range(6):
        wire.dial()
        said = wire.accept(session_present=True)
        assert len(statuses(said)) == 1, "and none of those before"
        wire.lose()
    assert wire.client.session.inflight == 1


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ({}, {1, 2}),
        ({"firmware": {"status_interval": "1m", "rssi": -70, "battery_life": "1h"}}, {9, 10}),
        ({"firmware": {"status_interval": None}}, {0}),
        ({"firmware": {"sleep": {"readings": 10}}}, {0}),
    ],
)
def test_who_stays_connected_says_its_status_again(group: dict[str, Any], expected: set[int]) -> None:
    wire = Wire(**group)
    wire.dial()
    wire.accept()
    said: list[dict[str, Any]] = []
    for minute in range(0, 600_000, 1000):
        wire.device_ms = minute
        wire.client.tick()
        again = [one for one in wire.peer.sent() if isinstance(one, Publish)]
        wire.hear(*(Puback(one.packet_id, 0) for one in again))
        said += [orjson.loads(one.payload) for one in statuses(again)]
        assert len(again) == len(statuses(again))
    assert len(said) in expected
    assert all(one["state"] == "online" for one in said)
    uptimes = [one["uptime_s"] for one in said]
    assert uptimes == sorted(set(uptimes))
    if len(said) > 2:
        assert len({one["rssi_dbm"] for one in said}) > 1
        charges = [one["battery_pct"] for one in said]
        assert charges == sorted(charges, reverse=True)
        assert charges[0] - charges[-1] > 1


def test_readings_that_were_not_acknowledged_are_sent_again() -> None:
    wire = Wire()
    wire.dial()
    wire.accept()
    wire.client.handle_reading(reading(0))
    wire.lose()
    wire.dial()
    again = [one for one in wire.accept(session_present=True) if isinstance(one, Publish) and one.topic == "t"]
    assert [one.dup for one in again] == [True]


@pytest.mark.parametrize(
    ("limits", "qos", "retain", "adapted"),
    [
        ({"retain_available": 0}, 1, False, {"status without retain": 1}),
        ({"maximum_qos": 0}, 0, True, {"message at a lower QoS": 1}),
        (
            {"maximum_qos": 0, "retain_available": 0},
            0,
            False,
            {"status without retain": 1, "message at a lower QoS": 1},
        ),
    ],
)
def test_what_a_broker_does_not_offer_is_left_out_and_said(
    limits: dict[str, int], qos: int, retain: bool, adapted: dict[str, int]
) -> None:
    wire = Wire()
    wire.dial()
    said = wire.accept(**limits)
    (subscribe,) = [one for one in said if isinstance(one, Subscribe)]
    assert subscribe.subscriptions[0].qos == qos
    assert [(one.qos, one.retain) for one in statuses(said)] == [(qos, retain)]
    wire.client.handle_reading(reading(0))
    assert [one.qos for one in wire.peer.sent() if isinstance(one, Publish)] == [qos]
    assert wire.incidents.adapted == adapted
    assert wire.client.firmware.counters.sent_qos0 == (not qos)
    assert not wire.incidents.refused
    # The will of the next connection, which the broker would have to refuse, is as it takes it.
    wire.lose()
    will = wire.dial().will
    assert will is not None
    assert (will.qos, will.retain) == (qos, retain)
    # A broker that offers it again has it again.
    wire.accept()
    wire.lose()
    will = wire.dial().will
    assert will is not None
    assert (will.qos, will.retain) == (1, True)


def test_what_is_larger_than_the_broker_takes_is_refused_and_counted_and_the_connection_goes_on() -> None:
    wire = Wire()
    wire.dial()
    assert statuses(wire.accept(maximum_packet_size=100)) == []
    wire.client.handle_reading(replace_payload(bytes(200)))
    wire.client.handle_reading(reading(1))
    assert [one.payload for one in wire.peer.sent() if isinstance(one, Publish)] == [b"{}"]
    assert wire.incidents.controls_refused == {"packet too large (0x95)": 1}
    assert wire.incidents.refused == {("bme280", "packet too large (0x95)"): 1}
    wire.lose()
    assert wire.dial().will is None


def replace_payload(payload: bytes) -> Any:
    return reading(0)._replace(payload=payload)


@pytest.mark.parametrize(
    ("codes", "will"),
    [
        ([0x9A], (1, False)),
        ([0x9B], (0, True)),
        ([0x9A, 0x9B], (0, False)),
        ([0x95], None),
        ([0x89], (1, True)),
    ],
)
def test_a_refusal_of_connect_for_its_will_changes_the_will(codes: list[int], will: tuple[int, bool] | None) -> None:
    wire = Wire()
    for code in codes:
        wire.dial()
        wire.peer.say(Connack(False, code))
        wire.client.session.connection_lost()
        wire.client.on_connect_failed(code)
    asked = wire.dial().will
    assert (None if asked is None else (asked.qos, asked.retain)) == will


def test_what_answers_nothing_is_counted_and_changes_nothing() -> None:
    wire = Wire()
    wire.client.on_events(wire.link, [StrayAnswer("PUBACK", 7), StrayAnswer("SUBACK", 7)])
    assert wire.incidents.ignored == {
        "PUBACK for nothing that is under way": 1,
        "SUBACK for nothing that is under way": 1,
    }


def message(topic: str = CMD, *, retain: bool = False, payload: bytes = b"{}", **properties: Any) -> Message:
    return Message(topic, payload, 1, retain, False, 1, properties, 1)


@pytest.mark.parametrize(
    ("one", "ignored"),
    [
        (message("edge/default/bme280/bme280-0002/cmd"), "message on a topic that the device has not asked for"),
        (message("edge/default/bme280/bme280-0001/status"), "message on a topic that the device has not asked for"),
        (message(retain=True), "retained command"),
    ],
)
def test_what_is_no_command_for_the_device_is_ignored_and_counted(one: Message, ignored: str) -> None:
    wire = Wire()
    wire.client.on_events(wire.link, [one] * 3)
    assert not wire.owner.on_command.called
    assert wire.incidents.ignored == {ignored: 3}


def test_a_flood_of_commands_is_heeded_at_a_limited_rate_and_the_rest_counted() -> None:
    wire = Wire()
    wire.client.on_events(wire.link, [message()] * 1000)
    assert wire.owner.on_command.call_count == COMMANDS_PER_S
    assert wire.incidents.ignored == {"command in a flood of them": 1000 - COMMANDS_PER_S}


@pytest.mark.parametrize(
    ("properties", "topic", "answered"),
    [
        ({}, "edge/default/bme280/bme280-0001/result", {}),
        ({"correlation_data": b"7"}, "edge/default/bme280/bme280-0001/result", {"correlation_data": b"7"}),
        ({"response_topic": "my/answers", "correlation_data": b"7"}, "my/answers", {"correlation_data": b"7"}),
        ({"response_topic": "my/answers"}, "my/answers", {}),
        ({"response_topic": "my/#"}, "edge/default/bme280/bme280-0001/result", {}),
    ],
)
def test_the_answer_to_a_command_goes_where_its_sender_wants_it(
    properties: dict[str, Any], topic: str, answered: dict[str, Any]
) -> None:
    wire = Wire()
    wire.dial()
    wire.accept()
    CommandHandler(wire.owner).handle_command(wire.client, message(payload=b"no JSON", **properties))
    (answer,) = wire.peer.sent()
    assert isinstance(answer, Publish)
    assert (answer.topic, dict(answer.properties)) == (topic, answered)
    assert orjson.loads(answer.payload)["ok"] is False


@pytest.mark.parametrize(("code", "reason"), [(0x87, "not authorized (0x87)"), (0x80, "unspecified error (0x80)")])
def test_a_device_whose_subscription_is_refused_is_named_as_deaf_and_asks_again(code: int, reason: str) -> None:
    wire = Wire()
    wire.dial()
    wire.accept()
    wire.client.on_events(wire.link, [Subscribed(1, (code,))])
    assert wire.incidents.subscribes_refused == {reason: 1}
    assert wire.incidents.deaf.examples == ["bme280-0001"]
    wire.lose()
    wire.dial()
    assert any(isinstance(one, Subscribe) for one in wire.accept(session_present=True))


def test_a_broker_that_does_not_answer_the_subscription_leaves_the_device_deaf() -> None:
    wire = Wire()
    wire.dial()
    wire.accept()
    for wire.now_s in (5.0, 10.5, 11.0):
        wire.client.tick()
    assert wire.incidents.subscribes_refused == {"no SUBACK within 10 s": 1}


def test_a_broker_that_acknowledges_nothing_is_named_while_the_run_goes_on() -> None:
    wire = Wire()
    for acknowledged in (False, True):
        wire.dial()
        wire.accept()
        if acknowledged:
            wire.hear(Puback(wire.status_id))
        for _ in range(30):
            wire.now_s += 1
            wire.client.tick()
        assert (wire.incidents.unanswered.events, wire.incidents.unanswered.devices) == (1, 1)
        wire.lose()


class QuietFormat(NativeFormat):
    """Says nothing of the device's state, as formats of the user's own."""

    def status(self, device: Device, status: Mapping[str, Any], *, is_first: bool = True) -> Any:
        return ()


def test_a_device_that_was_quiet_for_long_gives_the_broker_time_for_its_first_message() -> None:
    wire = Wire()
    wire.client.wire_format = QuietFormat()
    wire.dial()
    assert statuses(wire.accept()) == []
    for wire.now_s in (30.0, 30.25, 39.9):
        if wire.now_s == 30.0:
            wire.client.handle_reading(reading(0))
        wire.client.tick()
    assert wire.incidents.unanswered.events == 0
    wire.now_s = 40.1
    wire.client.tick()
    assert wire.incidents.unanswered.events == 1


def test_a_subscription_that_was_lost_with_its_connection_is_made_again() -> None:
    """The session that the broker made for it is there the next time, and has no subscription."""
    wire = Wire()
    wire.dial()
    wire.accept(session_present=False)
    wire.lose()
    wire.dial()
    assert any(isinstance(one, Subscribe) for one in wire.accept(session_present=True))


def test_another_client_with_the_id_is_named_where_the_broker_says_so() -> None:
    wire = Wire()
    wire.dial()
    wire.accept()
    wire.client.on_events(wire.link, [ServerDisconnected(0x8E, "session taken over")])
    wire.lose(ConnectionLost("the server ended the connection"))
    assert (wire.incidents.takeovers.events, wire.incidents.takeovers.examples) == (1, ["bme280-0001"])
    assert wire.dialled[-1] > 4
    assert not wire.incidents.server_disconnects


def test_another_client_with_the_id_is_named_where_the_broker_only_closes_used_connections() -> None:
    wire = Wire()
    for _ in range(3):
        wire.dial()
        wire.accept(session_present=True)
        wire.hear(Puback(wire.status_id))
        wire.now_s += 1
        wire.lose()
        wire.now_s += 1
    assert wire.incidents.takeovers.events == 3


def test_what_the_broker_says_as_it_ends_a_connection_is_counted() -> None:
    wire = Wire()
    wire.dial()
    wire.accept()
    wire.client.on_events(wire.link, [ServerDisconnected(0x97, "quota exceeded: 5 a day")])
    wire.lose(ConnectionLost("the server ended the connection"))
    assert wire.incidents.server_disconnects == {"quota exceeded (0x97)": 1}


def test_a_device_goes_where_it_is_sent_if_it_may_and_comes_home_if_it_is_not_wanted_there() -> None:
    wire = Wire(reconnect={"follow_server_reference": True})
    home = wire.client.broker
    wire.dial()
    wire.client.on_connect_failed(0x9C, "other:1999 third:1")
    assert (wire.client.broker.host, wire.client.broker.port) == ("other", 1999)
    wire.client.begin_connect()
    wire.client.on_connect_failed()
    assert wire.client.broker == home
    wire.client.begin_connect()
    wire.client.on_connect_failed(0x9D, "new")
    wire.client.begin_connect()
    wire.client.on_connect_failed()
    assert (wire.client.broker.host, wire.client.broker.port) == ("new", 1883)


@pytest.mark.parametrize(
    "reference", ["", "user:word@other", "http://other", "127.0.0.1:1883", "[::1", "a/b", "h:99999"]
)
def test_a_reference_that_names_no_other_server_is_not_followed(reference: str) -> None:
    wire = Wire(reconnect={"follow_server_reference": True})
    home = wire.client.broker
    wire.dial()
    wire.client.on_connect_failed(0x9D, reference)
    assert wire.client.broker == home


def test_a_reference_is_not_followed_unless_the_scenario_allows_it() -> None:
    wire = Wire()
    home = wire.client.broker
    wire.dial()
    wire.client.on_connect_failed(0x9D, "other:1999")
    assert wire.client.broker == home


def test_known_limits_are_obeyed_by_the_first_connect() -> None:
    wire = Wire()
    wire.client.session.assume_limits(replace(ServerLimits(), maximum_qos=0, retain_available=False))
    will = wire.dial().will
    assert will is not None
    assert (will.qos, will.retain) == (0, False)
    assert wire.client.session.version is Version.V5
