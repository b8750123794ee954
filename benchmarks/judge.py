"""Hears all that devices say at several brokers: a `mosquitto_sub` each, whose lines one thread of ours reads.

libmosquitto is none of our own code and takes a tenth of paho's processor time, which counts at 10,000 messages a
second on the cores that broker and fleet have too. The sessions outlive their brokers.
"""

import os
import selectors
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import orjson

from edgefleet.embedded import Broker

READY_TOPIC, READY = "judge/ready", b"ready"
START_S = 30.0
# What a message takes at most from a broker to a subscriber that keeps up; after an outage they meet again within 1 s.
SETTLE_S = 3.0
LONGEST_S = 60.0
_READ_BYTES = 1 << 18


class HeardDevice:
    """What came of one device: `count` messages, of which `repeated` had come before, and numbers that are missing."""

    __slots__ = ("_last", "_missing", "count", "gaps", "repeated")

    def __init__(self) -> None:
        self.count = self.repeated = self.gaps = 0
        self._last: int | None = None
        # A message that is sent again may come after later ones.
        self._missing: set[int] | None = None

    @property
    def distinct(self) -> int:
        """Messages, each counted once."""
        return self.count - self.repeated

    def add(self, seq: int) -> None:
        """Count a message."""
        self.count += 1
        if self._last is None or seq == self._last + 1:
            self._last = seq
        elif seq > self._last:
            self._missing = {*(self._missing or ()), *range(self._last + 1, seq)}
            self._last = seq
            self.gaps = len(self._missing)
        elif self._missing and seq in self._missing:
            self._missing.remove(seq)
            self.gaps = len(self._missing)
        else:
            self.repeated += 1


class Judge:
    """Listens for as long as the block runs; `devices` is what came, by id."""

    def __init__(self, brokers: Sequence[Broker]) -> None:
        self._brokers = brokers
        self._clients: list[subprocess.Popen[bytes]] = []
        self.devices: dict[str, HeardDevice] = {}
        self.unreadable = 0
        self._heard_s = time.monotonic()
        self._ready = 0
        self._ended = threading.Event()
        self._reader = threading.Thread(target=self._read, name="judge", daemon=True)

    def __enter__(self) -> Self:
        if shutil.which("mosquitto_sub") is None:
            raise SystemExit("there is no mosquitto_sub: apt-get install mosquitto-clients")
        for number, broker in enumerate(self._brokers):
            place = ["-h", broker.host, "-p", str(broker.port)]
            subprocess.run(["mosquitto_pub", *place, "-r", "-t", READY_TOPIC, "-m", READY], check=True, timeout=START_S)
            filters = [part for one in ("telemetry", "event") for part in ("-t", f"edge/+/+/+/{one}")]
            command = ["mosquitto_sub", *place, "-c", "-i", f"judge-{number}", "-q", "1", "-F", "%p", *filters]
            self._clients.append(subprocess.Popen([*command, "-t", READY_TOPIC], stdout=subprocess.PIPE))
        self._reader.start()
        deadline = time.monotonic() + START_S
        while self._ready < len(self._clients):
            if time.monotonic() > deadline:
                self.__exit__(None, None, None)
                raise SystemExit(f"{len(self._clients) - self._ready} of the subscribers did not subscribe")
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        for client in self._clients:
            client.kill()
        for client in self._clients:
            client.wait(10)
        if self._reader.is_alive():
            self._reader.join(10)
        for client in self._clients:
            if client.stdout is not None:
                client.stdout.close()

    def settle(self) -> None:
        """Wait until nothing comes any more."""
        deadline = time.monotonic() + LONGEST_S
        began = time.monotonic()
        while time.monotonic() - max(self._heard_s, began) < SETTLE_S and time.monotonic() < deadline:
            time.sleep(0.2)

    def _read(self) -> None:
        rests: dict[int, bytes] = {}
        with selectors.DefaultSelector() as selector:
            for client in self._clients:
                assert client.stdout is not None
                selector.register(client.stdout, selectors.EVENT_READ)
                rests[client.stdout.fileno()] = b""
            while not self._ended.is_set():
                for key, _ in selector.select(0.2):
                    data = os.read(key.fd, _READ_BYTES)
                    if not data:
                        selector.unregister(key.fileobj)
                        continue
                    *lines, rests[key.fd] = (rests[key.fd] + data).split(b"\n")
                    self._hear(lines)

    def _hear(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            if line == READY:
                self._ready += 1
                continue
            try:
                fields = orjson.loads(line)
                device_id, seq = fields["device_id"], fields["seq"]
            except (orjson.JSONDecodeError, KeyError, TypeError):
                self.unreadable += 1
                continue
            self._heard_s = time.monotonic()
            device = self.devices.get(device_id)
            if device is None:
                device = self.devices[device_id] = HeardDevice()
            device.add(seq)
