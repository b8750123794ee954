"""One device on a link that is only written to: what it counts, and what it still waits for."""

from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.faults.connection_faults import Corrupt
from devices.firmware.firmware import Firmware
from devices.firmware.outbox import NO_SEQ, Reading
from devices.fleet.client_state import ClientState
from devices.fleet.device_client import DeviceClient
from devices.fleet.fault_state import LinkFaultState
from devices.fleet.loss_window import LossWindow
from devices.fleet.session_factory import create_session
from devices.scenario.scenario import Scenario
from devices.timeline.native_format import NativeFormat
from devices.timeline.timeline import Timeline
from edgewire.link import BrokerUrl
from edgewire.mqtt import Acknowledged, Connected, ConnectionLost, Subscribed, Version
from edgewire.mqtt.limits import ServerLimits

CONNECTED = Connected(True, "", ServerLimits())


def device(owner: Any = None, **group: Any) -> DeviceClient:
    scenario = Scenario(devices=[{"kind": "bme280", "count": 1} | group])
    one = Timeline(scenario, 0).devices[0]
    firmware = Firmware(one.device_id, one.key, 1, 0, scenario.build(scenario.devices[0]))
    session = create_session(one, firmware, NativeFormat(), scenario, (None, None), Version.V5)
    owner = owner or Mock(
        device_time_ms=lambda: 0,
        monotonic_s=lambda: 0.0,
        token_life_s=lambda _: None,
        losses=LossWindow(1),
        broker_choices=1,
        next_broker=lambda one: one.broker,
    )
    broker = BrokerUrl.parse("mqtt://127.0.0.1:1883")
    return DeviceClient(one, firmware, session, owner, lambda: 0.5, broker, NativeFormat())


def reading(seq: int) -> Reading:
    return Reading(seq, b"t", b"{}", 1, 1)


def connect(client: DeviceClient) -> Mock:
    assert client.begin_connect()
    link = Mock(connected=True, writable=True)
    client.on_events(link, [CONNECTED])
    client.on_events(link, [Subscribed(1, (1,))])
    return link


def lose(client: DeviceClient, link: Mock) -> None:
    client.on_events(link, [ConnectionLost("")])


def test_a_damaged_reading_of_an_earlier_boot_is_dropped_and_not_acknowledged_too() -> None:
    client = device(outbox={"storage": "flash"})
    client.lose_reading(0, 0)
    client.firmware.on_reset(2, 0, "watchdog")
    client.on_events(connect(client), [Acknowledged(1, 0, (1, NO_SEQ))])
    assert client.acknowledged == 0


def test_what_has_no_number_may_be_damaged_and_counts_as_nothing() -> None:
    client = device()
    link = connect(client)
    client.link_faults = LinkFaultState()
    span = {"from": "2026-03-04T12:00:00Z", "to": "2026-03-04T12:01:00Z"}
    client.link_faults.begin_corruption(Corrupt.model_validate({"type": "corrupt", "kind": "bme280", **span}), 7)
    link.publish.reset_mock()
    for seq in (NO_SEQ, 4, NO_SEQ):
        client.handle_reading(reading(seq))
    assert all(b"\xff" in call.args[1] for call in link.publish.call_args_list)
    assert (client.firmware.counters.emitted, client.firmware.counters.first_seq) == (1, 4)
    assert client.firmware.counters.dropped_by_fault == 1
    client.link_faults = LinkFaultState()
    fault = Corrupt.model_validate({"type": "corrupt", "kind": "bme280", "chance": 0.5, **span})
    client.link_faults.begin_corruption(fault, 7)
    states = [reading(NO_SEQ)._replace(payload=b'{"Uptime":%d}' % second) for second in range(100)]
    assert 30 < sum(map(client.link_faults.corrupts, states)) < 70


def test_who_wakes_has_lost_no_connection() -> None:
    client = device(firmware={"sleep": {"awake": 0}})
    for _ in range(3):
        link = connect(client)
        client.tick()
        client.tick()
        assert client.is_asleep
        lose(client, link)
        assert client.is_resting
        client.wake()
    assert client.reconnects == 0
    # The session is still there: so is the subscription that was made at first.
    assert not link.subscribe.called


@pytest.mark.parametrize("goodnight", [False, True])
def test_a_loss_counts_also_where_it_comes_before_sleep(goodnight: bool) -> None:
    client = device(firmware={"sleep": {"awake": 0}})
    link = connect(client)
    if goodnight:
        client.tick()
    lose(client, link)
    connect(client)
    assert client.reconnects == 1


def test_a_device_that_does_not_know_the_time_is_not_held_back_by_the_broker_and_not_waited_for() -> None:
    client = device(firmware={"first_sync": "1m"})
    connect(client)
    client.handle_reading(reading(0))
    assert (client.is_idle, client.is_drained, client.is_stalled) == (False, True, False)


def test_a_device_that_is_down_at_the_end_is_not_waited_for() -> None:
    client = device()
    client.handle_reading(reading(0))
    assert not client.is_drained
    client.power_off()
    assert (client.is_idle, client.is_drained, client.is_resting) == (False, True, True)


def test_only_what_the_broker_holds_back_is_stalled() -> None:
    client = device()
    link = connect(client)
    client.link_faults = LinkFaultState()
    client.link_faults.delay_count = 1
    client.handle_reading(reading(0))
    assert not client.is_stalled
    client.link_faults.delay_count = 0
    link.writable = False
    assert client.is_stalled


HAS_LINK = {
    ClientState.ONLINE,
    ClientState.FALLING_ASLEEP,
    ClientState.CLOSING,
    ClientState.ASLEEP_CLOSING,
    ClientState.OFF_CLOSING,
    ClientState.LEAVING,
}
HAS_TURN = {ClientState.WAITING, ClientState.OFF_WAITING}
DIALS = {ClientState.CONNECTING, ClientState.OFF_CONNECTING}


class Surroundings:
    """A broker, a connect queue, faults and resets around one client, each of which may act at any moment."""

    def __init__(self, token_life_s: float | None) -> None:
        self._now_s = 0.0
        owner = Mock(device_time_ms=lambda: 0, monotonic_s=lambda: self._now_s, on_connect_requested=self._request)
        owner.losses = LossWindow(1)
        owner.token_life_s, owner.credentials_for = lambda _: token_life_s, lambda *_: ("user", b"token")
        owner.broker_choices, owner.next_broker = 1, lambda one: one.broker
        self.client = device(owner, firmware={"sleep": {"awake": 0}})
        self.turns, self.dials, self.boot = 1, 0, 1

    def _request(self, _client: DeviceClient, _delay_s: float) -> None:
        self.turns += 1

    def turn(self) -> None:
        if self.turns:
            self.turns -= 1
            self.dials += self.client.begin_connect()

    def accept(self) -> None:
        if self.dials:
            self.dials -= 1
            link = Mock(connected=True, writable=True)
            for name in ("close", "abort", "drop"):
                setattr(link, name, Mock(side_effect=lambda link=link: setattr(link, "connected", False)))
            self.client.on_events(link, [CONNECTED])

    def fail(self) -> None:
        if self.dials:
            self.dials -= 1
            self.client.on_connect_failed()

    def fail_after_all(self) -> None:
        """The broker accepted, and the time for it was over before the dial could say so."""
        if self.dials:
            self.accept()
            self.client.on_connect_failed()

    def lose(self) -> None:
        if self.client.link is not None:
            self.client.on_events(self.client.link, [ConnectionLost("")])

    def tick(self) -> None:
        self.client.tick()

    def age(self) -> None:
        self._now_s += 3.0

    def read(self) -> None:
        seq = self.client.firmware.emitted
        self.client.handle_reading(Reading(seq, b"t", b"{}", 0, self.client.firmware.boot))

    def block(self) -> None:
        self.client.link_faults = LinkFaultState()
        self.client.link_faults.drop_count = 1
        self.client.drop_connection()

    def unblock(self) -> None:
        self.client.link_faults = None
        self.client.request_reconnect()

    def power_off(self) -> None:
        self.client.power_off()

    def power_on(self) -> None:
        self.boot += 1
        self.client.power_on(self.boot, 0, "command")

    def check(self) -> None:
        client = self.client
        assert (client.link is not None) == (client.state in HAS_LINK)
        assert self.turns == (client.state in HAS_TURN)
        assert self.dials == (client.state in DIALS)
        assert not (client.is_asleep and client.is_off)
        if client.state is ClientState.DISCONNECTED:
            assert client.is_connect_blocked, "nobody would ever ask for its connection"


@given(st.data())
def test_whatever_happens_a_device_waits_or_dials_or_has_its_connection_once(
    data: st.DataObject,
) -> None:
    surroundings = Surroundings(data.draw(st.sampled_from([None, 10.0])))
    names = [name for name in vars(Surroundings) if not name.startswith("_") and name != "check"]
    for name in data.draw(st.lists(st.sampled_from(names), max_size=60)):
        getattr(surroundings, name)()
        surroundings.check()
    surroundings.unblock()
    surroundings.power_on()
    for _ in range(3):
        surroundings.lose()
        surroundings.turn()
        surroundings.accept()
    assert surroundings.client.is_online or surroundings.client.is_asleep
    surroundings.client.disconnect_cleanly()
    surroundings.lose()
    assert surroundings.client.state in (ClientState.GONE, ClientState.ASLEEP)
