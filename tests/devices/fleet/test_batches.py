"""One device whose messages say several readings, on a link that is only written to: each reading is accounted for."""

from unittest.mock import Mock

import pytest

from devices.firmware.firmware import Firmware
from devices.firmware.outbox import Reading, ReadingsToken
from devices.fleet.device_client import DeviceClient
from devices.fleet.loss_window import LossWindow
from devices.fleet.run_record import device_records
from devices.fleet.session_factory import create_session
from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgewire.link import BrokerUrl
from edgewire.mqtt import Acknowledged, Connected, ConnectionLost, Version
from edgewire.mqtt.limits import ServerLimits
from edgewire.run_record import DeviceRecord

CONNECTED = Connected(True, "", ServerLimits())
REFUSED = 0x87


def device(**group: object) -> DeviceClient:
    own = {"topic": "p/{id}", "payload": {"up": "uptime_s", "t": {"each": "temperature_c"}}, "batch": 3}
    scenario = Scenario.model_validate({"devices": [{"kind": "bme280", "count": 1} | own | group]})
    line = Timeline(scenario, 0, in_dialects=True)
    (one,), spoken = line.devices, line.wire_format(0)
    firmware = Firmware(one.device_id, one.key, 1, 0, scenario.build(scenario.devices[0]))
    config = create_session(one, firmware, spoken, scenario, (None, None), Version.V5).config
    session = Mock(config=config, limits=ServerLimits(), window_free=9, inflight=0)
    session.unacknowledged.return_value = []
    owner = Mock(
        device_time_ms=lambda: 0,
        monotonic_s=lambda: 0.0,
        token_life_s=lambda _: None,
        losses=LossWindow(1),
        broker_choices=1,
        next_broker=lambda one: one.broker,
    )
    return DeviceClient(one, firmware, session, owner, lambda: 0.5, BrokerUrl.parse("mqtt://127.0.0.1:1883"), spoken)


def connect(client: DeviceClient) -> Mock:
    client.request_connect()
    assert client.begin_connect()
    link = Mock(connected=True, writable=True)
    client.on_events(link, [CONNECTED])
    return link


def take(client: DeviceClient, *seqs: int, qos: int = 1) -> None:
    for seq in seqs:
        payload = b'{"up":%d,"t":[\x1e%d\x1e]}' % (seq, seq)
        client.handle_reading(Reading(seq, b"p", payload, qos, client.firmware.boot, 0))


def record(client: DeviceClient) -> DeviceRecord:
    (found,) = device_records(client)
    found.check()
    return found


def published(link: Mock) -> list[bytes]:
    return [call.args[1] for call in link.publish.call_args_list]


def test_a_message_leaves_with_its_last_reading_and_its_answer_is_that_of_all() -> None:
    client = device()
    link = connect(client)
    take(client, 0, 1)
    assert (published(link), record(client).unsent) == ([], [(0, 1)])
    take(client, 2, 3)
    assert published(link) == [b'{"up":2,"t":[0,1,2]}']
    token = link.publish.call_args.kwargs["token"]
    client.on_events(link, [Acknowledged(1, 0, token)])
    assert (token, client.acknowledged) == (ReadingsToken(1, (0, 1, 2)), 3)
    assert record(client).unsent == [(3, 3)]
    # At the end what is there is a shorter list.
    client.finish_readings()
    assert published(link)[1:] == [b'{"up":3,"t":[3]}']
    assert record(client).unsent == []
    take(client, 4, 5)
    client.on_events(link, [Acknowledged(2, REFUSED, link.publish.call_args.kwargs["token"])])
    assert record(client).refused_ranges == [(4, 5)]


def test_at_qos_0_each_reading_is_sent() -> None:
    client = device(qos=0)
    connect(client)
    take(client, 0, 1, 2, 3, qos=0)
    assert (record(client).sent_qos0, record(client).unsent) == (3, [(3, 3)])


@pytest.mark.parametrize(
    ("lost", "said"), [((1,), b'{"up":2,"t":[0,2]}'), ((0, 2), b'{"up":1,"t":[1]}'), ((0, 1, 2), b"")]
)
def test_what_a_fault_has_lost_is_missing_in_its_list(lost: tuple[int, ...], said: bytes) -> None:
    client = device()
    link = connect(client)
    for seq in range(3):
        if seq in lost:
            client.lose_reading(seq, 0)
        else:
            take(client, seq)
    assert published(link) == ([said] if said else [])
    assert sum(last - first + 1 for first, last in record(client).dropped) == len(lost)
    take(client, 3, 4, 5)
    assert published(link)[-1] == b'{"up":5,"t":[3,4,5]}'


def test_an_outage_costs_none_and_what_a_reset_takes_is_named() -> None:
    client = device()
    take(client, 0, 1, 2, 3)
    assert (len(client.firmware.outbox), client.firmware.outbox.readings, client.firmware.collecting) == (1, 3, 1)
    link = connect(client)
    client.flush_outbox()
    assert published(link) == [b'{"up":2,"t":[0,1,2]}']
    client.on_events(link, [Acknowledged(1, 0, link.publish.call_args.kwargs["token"]), ConnectionLost("")])
    take(client, 4, 5)
    assert record(client).unsent == [(3, 5)]
    client.firmware.on_reset(2, 0, "brown_out")
    # What was in its memory is lost with it, and named.
    assert [one.dropped for one in device_records(client)] == [[(3, 5)]]


def test_a_device_that_sleeps_wakes_for_readings_and_not_for_messages() -> None:
    client = device(firmware={"sleep": {"awake": 0, "readings": 6}})
    link = connect(client)
    client.tick()
    client.tick()
    client.on_events(link, [ConnectionLost("")])
    take(client, 0, 1, 2, 3, 4)
    assert client.is_asleep
    take(client, 5)
    assert not client.is_asleep
