"""What the secured profile lets a device do, judged by an independent client: its own topics, and nothing else."""

import csv
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edgefleet.provision import BRIDGE, OPERATOR
from tests.edgefleet.provision.conftest import SecuredBroker, provisioned, secured
from tests.tls_server import only_old

pytestmark = pytest.mark.services

A, B = "bme280-0001", "bme280-0002"
OWN, OTHER = f"edge/default/bme280/{A}", f"edge/default/bme280/{B}"
WAIT_S = 30


class Client:
    """A paho client that remembers what it was told."""

    def __init__(
        self,
        broker: SecuredBroker,
        *,
        port: int,
        client_id: str,
        account: tuple[str, str] | None = None,
        pem: Path | None = None,
        will: str = "",
        session_s: int = 0,
    ) -> None:
        """Connect with what is given: user and password, a certificate, a topic of a will, a session that stays."""
        self.mqtt = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5, reconnect_on_failure=False
        )
        self.connected: ReasonCode | None = None
        self.lost = self.session_present = False
        self.subscribed: list[ReasonCode] = []
        self.published: list[ReasonCode] = []
        self.messages: list[tuple[str, bytes]] = []
        self.mqtt.on_connect = self._on_connect
        self.mqtt.on_disconnect = self._on_disconnect
        self.mqtt.on_subscribe = lambda _c, _u, _m, codes, _p: self.subscribed.extend(codes)
        self.mqtt.on_publish = lambda _c, _u, _m, code, _p: self.published.append(code)
        self.mqtt.on_message = lambda _c, _u, message: self.messages.append((message.topic, message.payload))
        context = ssl.create_default_context(cafile=broker.folder / "ca.crt")
        if pem:
            context.load_cert_chain(pem)
        if account:
            self.mqtt.username_pw_set(*account)
        if will:
            self.mqtt.will_set(will, b"last words", qos=1, retain=True)
        self.mqtt.tls_set_context(context)
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = session_s
        self.mqtt.connect("127.0.0.1", port, clean_start=not session_s, properties=properties)
        self.mqtt.loop_start()

    def _on_connect(self, _c: Any, _u: Any, flags: Any, code: ReasonCode, _p: Any) -> None:
        self.connected, self.session_present = code, flags.session_present

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


def pem_of(folder: Path, user: str) -> Path:
    return (folder if user in (BRIDGE, OPERATOR) else folder / "devices") / f"{user}.pem"


@contextmanager
def client(broker: SecuredBroker, user: str, *, client_id: str = "", **more: Any) -> Iterator[Client]:
    """Somebody with the identity that the folder has for him, on the listener that is his."""
    port = broker.others if user in (BRIDGE, OPERATOR) else broker.devices
    if broker.by_certificate:
        more["pem"] = pem_of(broker.folder, user)
    else:
        more["account"] = user, passwords(broker.folder)[user]
    one = Client(broker, port=port, client_id=client_id or user, **more)
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


def test_nobody_speaks_tls_before_1_2(broker: SecuredBroker) -> None:
    def version(context: ssl.SSLContext, port: int) -> str | None:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as connection,
            context.wrap_socket(connection, server_hostname="127.0.0.1") as tls,
        ):
            return tls.version()

    ca = broker.folder / "ca.crt"
    for port in (broker.devices, broker.others):
        assert version(ssl.create_default_context(cafile=ca), port) in ("TLSv1.2", "TLSv1.3")
        with pytest.raises(ssl.SSLError, match="protocol version"):
            version(only_old(ssl.create_default_context(cafile=ca)), port)


def test_a_renewed_certificate_of_the_broker_ends_no_session(tmp_path: Path) -> None:
    folder = provisioned(tmp_path / "fleet")

    def certificate(port: int) -> bytes | None:
        context = ssl.create_default_context(cafile=folder / "ca.crt")
        with (
            socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as connection,
            context.wrap_socket(connection, server_hostname="127.0.0.1") as tls,
        ):
            return tls.getpeercert(binary_form=True)

    with secured(folder) as broker, client(broker, A) as device:
        first = certificate(broker.devices)
        assert first == certificate(broker.devices)
        provisioned(folder)
        broker.reload()
        deadline = time.monotonic() + WAIT_S
        while certificate(broker.devices) == first and time.monotonic() < deadline:
            time.sleep(0.05)
        assert certificate(broker.devices) != first
        assert certificate(broker.others) == certificate(broker.devices)
        assert device.publish(f"{OWN}/telemetry")
        assert not device.lost
    # What watches over it has borne the signal as well, and ended it.
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", broker.devices), timeout=WAIT_S)
