"""A broker of a test's own: one address for both versions, outages that end, and sessions that outlive them."""

import socket
from collections.abc import Iterator
from itertools import count

import paho.mqtt.client as mqtt
import pytest

from edgefleet.testing import LocalBroker
from edgewire.errors import ServiceUnavailable
from tests.waiting import until

ENGINES = ["mosquitto", "iotcore"]


@pytest.fixture(scope="module", params=ENGINES)
def broker(request: pytest.FixtureRequest) -> Iterator[LocalBroker]:
    with LocalBroker(request.param) as running:
        yield running


def subscriber(broker: LocalBroker, version: int, name: str, heard: list[bytes]) -> mqtt.Client:
    options = {"clean_session": False} if version == mqtt.MQTTv311 else {}
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=version, **options)
    client.on_message = lambda _client, _data, message: heard.append(message.payload)
    client.on_connect = lambda one, *_: one.subscribe("t", 1)
    client.reconnect_delay_set(1, 1)
    client.connect(broker.host, broker.port)
    client.loop_start()
    return client


@pytest.mark.services
@pytest.mark.parametrize("version", [mqtt.MQTTv311, mqtt.MQTTv5])
def test_one_address_for_both_versions_and_an_outage_for_all(broker: LocalBroker, version: int) -> None:
    heard: list[bytes] = []
    client = subscriber(broker, version, f"client-{version}", heard)
    try:
        until(lambda: client.publish("t", b"1", 1).rc == 0 and b"1" in heard)
        broker.cut_off()
        until(lambda: not client.is_connected())
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((broker.host, broker.port), timeout=1)
        broker.restore()
        until(client.is_connected)
        until(lambda: client.publish("t", b"2", 1).rc == 0 and b"2" in heard)
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.mark.services
def test_what_begins_with_no_connect_is_ended(broker: LocalBroker) -> None:
    with socket.create_connection((broker.host, broker.port), timeout=5) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        try:
            said = connection.recv(100)
        except ConnectionResetError:
            said = b""
        assert said == b""


@pytest.mark.services
def test_what_left_the_broker_is_known_by_its_id(broker: LocalBroker) -> None:
    client = subscriber(broker, mqtt.MQTTv311, "publisher", [])
    numbers = count()
    try:
        until(client.is_connected)

        def is_seen() -> bool:
            client.publish("t", f'{{"device_id": "d", "boot": 1, "seq": {next(numbers)}}}', 1)
            return any(one.startswith("d:1:") for one in broker.seen())

        until(is_seen)
    finally:
        client.disconnect()
        client.loop_stop()


def test_a_broker_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="'emqx' is no broker that can be started"):
        LocalBroker("emqx")


@pytest.mark.services
def test_a_gate_that_is_gone_is_told() -> None:
    broker = LocalBroker("iotcore").start()
    broker.close()
    assert not broker.running
    with pytest.raises(ServiceUnavailable, match="the gate of the broker does not answer"):
        broker.cut_off()
