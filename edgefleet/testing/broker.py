"""Runs a broker of a test's own, whose outages the test decides on."""

import socket
import time
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import orjson

from edgefleet.embedded import BrokerEngine, Server, embedded_broker, free_port
from edgefleet.embedded.brokers import MQTT_5, MQTT_311
from edgefleet.testing.process import isolated_command
from edgewire.errors import ServiceUnavailable

_OBEY_S = 10


class LocalBroker:
    """Runs an MQTT broker on loopback, on a port of its own: Mosquitto where there is one, else one out of a wheel.

    Clients of MQTT 3.1.1 and 5 connect to the same `url`. It ends with the process that started it at the latest.
    """

    def __init__(self, engine: str | None = None) -> None:
        """Prepare the best broker that is installed, or the one named: mosquitto, iotcore or amqtt.

        Raises `ServiceUnavailable`, which says what to install, where there is none; `ValueError` for another name.
        """
        self._broker = embedded_broker(engine=None if engine is None else BrokerEngine.parse(engine))
        self._port, self._control = free_port(), free_port()
        urls = self._broker.urls
        ports = [str(urlsplit(urls.get(version, self._broker.url)).port) for version in (MQTT_311, MQTT_5)]
        self._seen_path = self._broker.folder / "seen.jsonl"
        numbers = [str(self._control), str(self._port), *ports]
        command = isolated_command("edgefleet.testing.gate", *numbers, self._broker.url, self._seen_path)
        self._gate = Server("the gate of the broker", command, port=self._port, other_ports=(self._control,))

    @property
    def url(self) -> str:
        """Return `mqtt://127.0.0.1:PORT`, where the clients connect."""
        return f"mqtt://{self.host}:{self.port}"

    @property
    def host(self) -> str:
        """Return the address, for clients that take no URL."""
        return self._gate.host

    @property
    def port(self) -> int:
        """Return the port, for clients that take no URL."""
        return self._port

    @property
    def name(self) -> str:
        """Return which broker it is: mosquitto, iotcore or amqtt."""
        return self._broker.name

    @property
    def running(self) -> bool:
        """Return whether it has been started and has not ended."""
        return self._broker.running and self._gate.running

    def log_tail(self) -> str:
        """Return the last lines that the broker printed."""
        return self._broker.log_tail()

    def seen(self) -> dict[str, int]:
        """Return which messages of edgefleet's devices have left the broker to a subscriber of our own, and when.

        By their ids, `device_id:boot:seq`; times in milliseconds since 1970 UTC.
        """
        if not self._seen_path.exists():
            return {}
        lines = self._seen_path.read_bytes().splitlines()
        return dict(orjson.loads(line) for line in lines if line.endswith(b"]"))

    def start(self) -> Self:
        """Start it and wait until it accepts connections; raises `ServiceUnavailable` where it does not."""
        self._broker.start()
        self._gate.start()
        return self

    def cut_off(self) -> None:
        """Reset all connections and refuse new ones until `restore`; the broker itself runs on."""
        self._tell("shut")

    def restore(self) -> None:
        """Accept connections again."""
        self._tell("open")

    def outage(self, seconds: float) -> None:
        """Cut everybody off for so long: devices, and the pipeline that is tested. The broker keeps its sessions."""
        self.cut_off()
        try:
            time.sleep(seconds)
        finally:
            self.restore()

    def restart(self) -> None:
        """End the broker and start it again with what it keeps: Mosquitto its sessions, the others nothing."""
        self._broker.restart()

    def kill(self) -> None:
        """End the broker without a warning, as a crash would; `start` starts it again."""
        self._broker.kill()

    def close(self) -> None:
        """End it and delete what it has stored."""
        self._gate.close()
        self._broker.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _tell(self, action: str) -> None:
        try:
            with socket.create_connection((self.host, self._control), timeout=_OBEY_S) as connection:
                connection.sendall(f"{action}\n".encode())
                if connection.recv(16) == b"done\n":
                    return
        except OSError:
            pass
        raise ServiceUnavailable(f"the gate of the broker does not answer; it printed:\n{self._gate.log_tail()}")
