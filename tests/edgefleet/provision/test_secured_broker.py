"""What the secured profile lets a device do, judged by an independent client: its own topics, and nothing else."""

import csv
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.reasoncodes import ReasonCode

from edgefleet.provision import BRIDGE, OPERATOR
from tests.edgefleet.provision.conftest import SecuredBroker

pytestmark = pytest.mark.services

A, B = "bme280-0001", "bme280-0002"
OWN, OTHER = f"edge/default/bme280/{A}", f"edge/default/bme280/{B}"
WAIT_S = 30


class Client:
    """A paho client that remembers what it was told."""

    def __init__(
        self, broker: SecuredBroker, user: str | None, *, port: int, client_id: str, password: str = ""
    ) -> None:
        self.mqtt = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
        self.connected: ReasonCode | None = None
        self.lost = False
        self.subscribed: list[ReasonCode] = []
        self.published: list[ReasonCode] = []
        self.messages: list[tuple[str, bytes]] = []
        self.mqtt.on_connect = self._on_connect
        self.mqtt.on_disconnect = self._on_disconnect
        self.mqtt.on_subscribe = lambda _c, _u, _m, codes, _p: self.subscribed.extend(codes)
        self.mqtt.on_publish = lambda _c, _u, _m, code, _p: self.published.append(code)
        self.mqtt.on_message = lambda _c, _u, message: self.messages.append((message.topic, message.payload))
        certificates = orjson.loads((broker.folder / "identities.json").read_bytes())["auth"] == "certificate"
        context = ssl.create_default_context(cafile=broker.folder / "ca.crt")
        if user is not None and certificates:
            place = broker.folder / "devices" if port == broker.devices else broker.folder
            context.load_cert_chain(place / f"{user}.pem")
        elif user is not None:
            self.mqtt.username_pw_set(user, password or passwords(broker.folder)[user])
        self.mqtt.tls_set_context(context)
        self.mqtt.connect("127.0.0.1", port)
        self.mqtt.loop_start()

    def _on_connect(self, _c: Any, _u: Any, _f: Any, code: ReasonCode, _p: Any) -> None:
        self.connected = code

    def _on_disconnect(self, *_: Any) -> None:
        self.lost = True

    def wait(self, what: str) -> Any:
        """Until the attribute is no longer empty."""
        deadline = time.monotonic() + WAIT_S
        while not getattr(self, what) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert getattr(self, what), f"no {what} within {WAIT_S} s"
        return getattr(self, what)

    def publish(self, topic: str) -> bool:
        """Whether the broker takes it."""
        self.published.clear()
        self.mqtt.publish(topic, b"{}", qos=1)
        return not self.wait("published")[0].is_failure

    def subscribe(self, topic: str) -> bool:
        """Whether the broker grants it."""
        self.subscribed.clear()
        self.mqtt.subscribe(topic, qos=1)
        return not self.wait("subscribed")[0].is_failure


def passwords(folder: Path) -> dict[str, str]:
    with (folder / "credentials.csv").open(newline="") as file:
        return {row["username"]: row["password"] for row in csv.DictReader(file)}


@contextmanager
def client(broker: SecuredBroker, user: str, *, client_id: str = "") -> Iterator[Client]:
    device = user not in (BRIDGE, OPERATOR)
    one = Client(broker, user, port=broker.devices if device else broker.others, client_id=client_id or user)
    try:
        assert not one.wait("connected").is_failure
        yield one
    finally:
        one.mqtt.disconnect()
        one.mqtt.loop_stop()


def test_a_device_publishes_its_own_topics_and_no_others(broker: SecuredBroker) -> None:
    with client(broker, A) as device, client(broker, BRIDGE) as bridge:
        assert bridge.subscribe("edge/#")
        refused = [f"{OTHER}/telemetry", f"{OTHER}/status", f"{OWN}/cmd", f"{OTHER}/cmd", "edge/x", "$SYS/x", "other"]
        assert [topic for topic in refused if device.publish(topic)] == []
        assert all(device.publish(f"{OWN}/{channel}") for channel in ("telemetry", "event", "status", "result"))
        bridge.wait("messages")
        assert {topic.rpartition("/")[0] for topic, _ in bridge.messages} == {OWN}


def test_a_device_reads_its_own_commands_and_no_others(broker: SecuredBroker) -> None:
    with client(broker, A) as device, client(broker, B) as other, client(broker, OPERATOR) as operator:
        # Mosquitto grants a subscription that could match something allowed, and then delivers only that.
        device.subscribe("edge/#")
        device.subscribe(f"{OTHER}/cmd")
        assert device.subscribe(f"{OWN}/cmd")
        assert other.subscribe(f"{OTHER}/cmd")
        assert operator.publish(f"{OTHER}/cmd")
        assert other.publish(f"{OTHER}/telemetry")
        assert other.wait("messages") == [(f"{OTHER}/cmd", b"{}")]
        assert operator.publish(f"{OWN}/cmd")
        assert {topic for topic, _ in device.wait("messages")} == {f"{OWN}/cmd"}


def test_a_device_cannot_take_over_another_session(broker: SecuredBroker) -> None:
    with client(broker, B) as other, client(broker, A, client_id=B) as thief:
        assert other.publish(f"{OTHER}/telemetry")
        assert not other.lost
        assert not thief.publish(f"{OTHER}/telemetry")
        assert thief.publish(f"{OWN}/telemetry")


def test_the_bridge_reads_all_and_sends_no_commands(broker: SecuredBroker) -> None:
    with client(broker, BRIDGE) as bridge, client(broker, BRIDGE, client_id=f"{BRIDGE}-check") as check:
        assert bridge.subscribe("edge/+/+/+/telemetry")
        assert not bridge.publish(f"{OWN}/cmd")
        assert not bridge.publish(f"{OWN}/telemetry")
        assert bridge.publish(f"{BRIDGE}/dead-letters")
        # Listeners of people and services leave the client id alone: a check disturbs no running bridge.
        assert check.subscribe("edge/#")
        assert not bridge.lost


def test_nobody_is_anonymous(broker: SecuredBroker) -> None:
    for port in (broker.devices, broker.others):
        nobody = None
        try:
            nobody = Client(broker, None, port=port, client_id=A)
            deadline = time.monotonic() + WAIT_S
            while nobody.connected is None and not nobody.lost and time.monotonic() < deadline:
                time.sleep(0.01)
            assert nobody.lost or (nobody.connected is not None and nobody.connected.is_failure)
        except (ssl.SSLError, OSError):
            pass  # without a certificate the handshake itself may fail
        finally:
            if nobody:
                nobody.mqtt.loop_stop()
