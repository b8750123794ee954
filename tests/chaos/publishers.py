"""Devices that number what they send, on paho-mqtt: a client of others, so that ours does not judge itself."""

import random
import threading
import time
from collections.abc import Sequence
from typing import Any

import orjson
import paho.mqtt.client as mqtt

from edgewire.clock import iso_ms
from edgewire.messages.bme280 import BME280_EXAMPLES
from edgewire.messages.gps import GPS_EXAMPLES
from tests.chaos.records import Published

KINDS = ("bme280", "gps")
_EXAMPLES = {"bme280": BME280_EXAMPLES[0], "gps": GPS_EXAMPLES[0]}
_BURST_S = 0.02
_IN_FLIGHT = 50


class _Client:
    """One connection, and the messages it was given."""

    def __init__(self, port: int, name: str) -> None:
        self.sent: dict[str, tuple[bytes, int]] = {}
        self._acknowledged: set[int] = set()
        self._connected = threading.Event()
        self._steady = True
        self._mqtt = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=name, clean_session=False, protocol=mqtt.MQTTv311
        )
        self._mqtt.max_inflight_messages_set(_IN_FLIGHT)
        self._mqtt.max_queued_messages_set(0)
        self._mqtt.reconnect_delay_set(1, 1)
        self._mqtt.on_connect = lambda *_: self._connected.set()
        self._mqtt.on_disconnect = lambda *_: self._on_disconnect()
        self._mqtt.on_publish = lambda _client, _data, packet_id, *_: self._acknowledged.add(packet_id)
        self._mqtt.connect("127.0.0.1", port)
        self._mqtt.loop_start()
        if not self._connected.wait(10):
            raise RuntimeError(f"publisher {name} got no connection to Mosquitto")

    @property
    def may_publish(self) -> bool:
        """After a reconnect paho might send a new message before those it has to repeat: they are waited for."""
        if not self._steady and self._connected.is_set() and not self.open:
            self._steady = True
        return self._steady

    def publish(self, topic: str, message_id: str, payload: bytes) -> None:
        self.sent[message_id] = payload, self._mqtt.publish(topic, payload, qos=1).mid

    @property
    def open(self) -> int:
        """Messages that the broker has not acknowledged."""
        return len(self.sent) - len(self._acknowledged)

    @property
    def acknowledged(self) -> set[str]:
        packets = self._acknowledged.copy()
        return {one for one, (_, packet_id) in self.sent.items() if packet_id in packets}

    def close(self) -> None:
        self._mqtt.disconnect()
        self._mqtt.loop_stop()

    def _on_disconnect(self) -> None:
        self._connected.clear()
        self._steady = False


class Publishers:
    """Publishes from a thread, evenly, between `start` and `finish`."""

    def __init__(self, port: int, site: str, rng: random.Random, *, devices: int, rate: float, at_most: int) -> None:
        """`rate` in messages a second over all devices. The site is part of every device's name."""
        self._site = site
        self._rng = rng
        self._rate = rate
        self._at_most = at_most
        self._devices = [(f"{site}-{KINDS[number % 2]}-{number}", KINDS[number % 2]) for number in range(devices)]
        self._seqs = [0] * devices
        self._clients = [_Client(port, f"{site}-publisher-{number}") for number in range(2)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publishers")

    def start(self) -> None:
        self._thread.start()

    @property
    def count(self) -> int:
        """Messages handed to the clients so far."""
        return sum(self._seqs)

    def finish(self, at_least: int, timeout_s: float = 30) -> None:
        """Publish until there are `at_least`, then wait until the broker has acknowledged all of them."""
        deadline = time.monotonic() + timeout_s
        while self.count < at_least and self._thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        self._stop.set()
        self._thread.join()
        while any(client.open for client in self._clients) and time.monotonic() < deadline:
            time.sleep(0.02)

    def resume(self) -> None:
        """Publish again after `finish`, from the next numbers on."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="publishers")
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        for client in self._clients:
            client.close()

    def published(self) -> Published:
        """What was handed over, and what of it was acknowledged."""
        payloads = {one: payload for client in self._clients for one, (payload, _) in client.sent.items()}
        return Published(payloads, frozenset().union(*(client.acknowledged for client in self._clients)))

    def _run(self) -> None:
        started, already = time.monotonic(), self.count
        while not self._stop.wait(_BURST_S) and self.count < self._at_most:
            due = already + int((time.monotonic() - started) * self._rate)
            while self.count < min(due, self._at_most) and all(client.may_publish for client in self._clients):
                self._publish(self._rng.randrange(len(self._devices)))

    def _publish(self, number: int) -> None:
        device, kind = self._devices[number]
        seq = self._seqs[number]
        self._seqs[number] += 1
        fields: dict[str, Any] = dict(_EXAMPLES[kind])
        fields |= {"device_id": device, "boot": 1, "seq": seq, "timestamp": iso_ms(time.time_ns() // 1_000_000)}
        fields["nonce"] = f"{self._rng.getrandbits(64):016x}"
        client = self._clients[number % len(self._clients)]
        client.publish(f"edge/{self._site}/{kind}/{device}/telemetry", f"{device}:1:{seq}", orjson.dumps(fields))


def topics(site: str) -> Sequence[str]:
    """What a bridge has to subscribe to for one run."""
    return [f"edge/{site}/+/+/telemetry"]
