"""CPU of one QoS 1 exchange in the client, without a network: ours beside paho-mqtt, fed the same bytes."""

import socket
import time
from collections.abc import Callable

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edgewire.mqtt import Session, SessionConfig, Version, encode
from edgewire.mqtt.packets import Connack, Puback, Publish

TOPIC, PAYLOAD = "edge/riverside/bme280/bme280-0001/telemetry", b"x" * 125
COUNT = 50_000
CHUNK = 32


def run() -> list[str]:
    """Publishing: PUBLISH out, PUBACK in. Subscribing: PUBLISH in, PUBACK out, 32 packets a read."""
    rows = [("publish", _ours_publish(), _paho_publish()), ("receive", _ours_receive(), _paho_receive())]
    table = [f"| {name} | {ours:.1f} µs | {paho:.1f} µs | {paho / ours:.1f} × |" for name, ours, paho in rows]
    return [
        "## Client: CPU of a QoS 1 message of 125 bytes",
        "",
        "| | edgewire | paho-mqtt | ratio |",
        "|---|---|---|---|",
        *table,
    ]


def _microseconds(work: Callable[[], None]) -> float:
    started = time.process_time()
    work()
    return (time.process_time() - started) / COUNT * 1e6


def _publishes() -> list[bytes]:
    ids = [1 + number % 60_000 for number in range(COUNT)]
    frames = [encode(Publish(topic=TOPIC, payload=PAYLOAD, qos=1, packet_id=number), Version.V311) for number in ids]
    return [b"".join(frames[start : start + CHUNK]) for start in range(0, COUNT, CHUNK)]


def _session() -> Session:
    session = Session(SessionConfig(client_id="bench", keep_alive_s=0), Version.V311)
    session.connect(0)
    session.receive(encode(Connack(), Version.V311), 0)
    session.data_to_send()
    return session


def _ours_publish() -> float:
    session = _session()

    def work() -> None:
        for _ in range(COUNT):
            packet_id = session.publish(TOPIC, PAYLOAD, qos=1, now=0)
            session.data_to_send()
            session.receive(b"\x40\x02" + packet_id.to_bytes(2), 0)

    return _microseconds(work)


def _ours_receive() -> float:
    session, chunks = _session(), _publishes()

    def work() -> None:
        for chunk in chunks:
            session.receive(chunk, 0)
            session.data_to_send()

    return _microseconds(work)


def _paho() -> tuple[paho.Client, socket.socket]:
    """A paho client on one end of a socket pair, connected."""
    ours, theirs = socket.socketpair()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="bench", protocol=paho.MQTTv311)
    setattr(client, "_create_socket", lambda: ours)  # noqa: B010  # paho opens none of ours
    client.connect("localhost", keepalive=60)
    theirs.recv(1 << 16)
    theirs.sendall(encode(Connack(), Version.V311))
    client.loop_read()
    return client, theirs


def _paho_publish() -> float:
    client, broker = _paho()
    broker.setblocking(False)

    def work() -> None:
        for _ in range(COUNT):
            info = client.publish(TOPIC, PAYLOAD, qos=1)
            client.loop_write()
            broker.recv(1 << 16)
            broker.sendall(encode(Puback(info.mid), Version.V311))
            client.loop_read()

    return _microseconds(work)


def _paho_receive() -> float:
    client, broker = _paho()
    chunks = _publishes()

    def work() -> None:
        for chunk in chunks:
            broker.sendall(chunk)
            for _ in range(CHUNK):
                client.loop_read()
            client.loop_write()
            broker.recv(1 << 16)

    return _microseconds(work)
