"""Starts an MQTT broker on loopback: Mosquitto with the repository's profile, else iotcore or amqtt out of wheels."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Self

from edgefleet.embedded.process import LOOPBACK, Server, free_port, temporary_folder
from edgewire.errors import ServiceUnavailable
from edgewire.os_support import is_root

MOSQUITTO_HINT = "install it (`apt-get install mosquitto`, `brew install mosquitto`)"
DEMO_HINT = "`pip install 'edgefleet[demo]'`"
ANY_VERSION, MQTT_311, MQTT_5 = "MQTT", "MQTT 3.1.1", "MQTT 5"
_SBIN = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")


def find_mosquitto() -> str | None:
    """Return the Mosquitto program, also where it is installed outside a user's PATH, as on Debian."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=os.pathsep.join(_SBIN))


def mosquitto_version(program: str) -> tuple[int, ...]:
    """Return the version of a Mosquitto program, such as (2, 0, 22); empty where it does not say one."""
    done = subprocess.run([program, "-h"], capture_output=True, text=True, check=False, timeout=10)
    found = re.match(r"mosquitto version (\d+(?:\.\d+)+)", done.stdout)
    return tuple(map(int, found[1].split("."))) if found else ()


class Broker(Server):
    """Runs an MQTT broker in a process of its own; `url` is where its clients connect."""

    def __init__(
        self, name: str, command: list[str | Path], *, ports: tuple[int, ...], config: Path, settings: str
    ) -> None:
        """Run `command`, which listens on `ports`; `config`, which it reads, is `settings` anew on every start."""
        super().__init__(name, command, port=ports[0], other_ports=ports[1:], folder=config.parent)
        self._config, self._settings = config, settings

    @property
    def url(self) -> str:
        """Return `mqtt://127.0.0.1:PORT`."""
        return f"mqtt://{self.host}:{self.port}"

    @property
    def urls(self) -> dict[str, str]:
        """Return the URL for each version of MQTT that has one of its own."""
        return {ANY_VERSION: self.url}

    def start(self) -> Self:
        """Write the configuration, start the broker and wait until it accepts connections."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self._config.write_text(self._settings, encoding="utf-8")
        return super().start()


class MosquittoProcess(Broker):
    """Runs Mosquitto with the development profile. Its sessions and queues survive `restart`, not `close`."""

    def __init__(
        self,
        *,
        port: int | None = None,
        options: Mapping[str, str] | None = None,
        program: str | Path | None = None,
    ) -> None:
        """Replace settings of the profile by `options`, such as `{"max_queued_messages": "100"}`, or add them.

        `program` is another Mosquitto than the one that is installed. Raises `ServiceUnavailable` where there is none.
        """
        program = program or find_mosquitto()
        if program is None:
            raise ServiceUnavailable(f"there is no mosquitto on the PATH: {MOSQUITTO_HINT}")
        port = port or free_port()
        config = temporary_folder("mosquitto") / "mosquitto.conf"
        settings = {"listener": f"{port} {LOOPBACK}", "persistence_location": f"{config.parent}/", **(options or {})}
        if is_root():
            # Otherwise Mosquitto becomes the user `mosquitto`, who may not write to our folder.
            settings["user"] = "root"
        text = substitute(profile().read_text(encoding="utf-8"), settings)
        super().__init__("mosquitto", [program, "-c", config], ports=(port,), config=config, settings=text)


class IotcoreProcess(Broker):
    """Runs iotcore, a broker in Rust (rumqttd) inside a wheel: forgets all when it stops, and has no $SYS topics.

    It speaks each version of MQTT on a port of its own: 3.1.1 on `port`, as most clients do, and 5 on `port_5`.
    """

    def __init__(self, *, port: int | None = None, port_5: int | None = None) -> None:
        """Prepare iotcore; raises `ServiceUnavailable` where it is not installed."""
        if importlib.util.find_spec("iotcore") is None:
            raise ServiceUnavailable(f"iotcore is not installed: {DEMO_HINT}")
        port = port or free_port()
        self.port_5 = port_5 or free_port()
        config = temporary_folder("iotcore") / "rumqttd.toml"
        command: list[str | Path] = [sys.executable, "-P", "-c", _IOTCORE_PROGRAM, config]
        text = _IOTCORE_CONFIG.format(address=f"{LOOPBACK}:{port}", address_5=f"{LOOPBACK}:{self.port_5}")
        super().__init__("iotcore", command, ports=(port, self.port_5), config=config, settings=text)

    @property
    def url(self) -> str:
        """Return where MQTT 5 is spoken, which our own clients prefer."""
        return self.urls[MQTT_5]

    @property
    def urls(self) -> dict[str, str]:
        """Return where each version of MQTT is spoken."""
        return {MQTT_311: f"mqtt://{self.host}:{self.port}", MQTT_5: f"mqtt://{self.host}:{self.port_5}"}


class AmqttProcess(Broker):
    """Runs amqtt, a broker in Python: speaks MQTT 3.1.1 only, far slower than Mosquitto, forgets all when it stops."""

    def __init__(self, *, port: int | None = None) -> None:
        """Prepare amqtt; raises `ServiceUnavailable` where it is not installed."""
        if importlib.util.find_spec("amqtt") is None:
            raise ServiceUnavailable(f"amqtt is not installed: {DEMO_HINT}")
        port = port or free_port()
        config = temporary_folder("amqtt") / "amqtt.yaml"
        command: list[str | Path] = [sys.executable, "-P", "-m", "amqtt.scripts.broker_script", "-c", config]
        text = _AMQTT_CONFIG.format(address=f"{LOOPBACK}:{port}")
        super().__init__("amqtt", command, ports=(port,), config=config, settings=text)


class BrokerEngine(StrEnum):
    """Names the brokers that can be started here, the one to prefer first: as measured in docs/fleet.md."""

    MOSQUITTO = "mosquitto"
    IOTCORE = "iotcore"
    AMQTT = "amqtt"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the one of this name; raises `ValueError` where there is none."""
        try:
            return cls(text)
        except ValueError:
            raise ValueError(f"'{text}' is no broker that can be started: {', '.join(cls)}") from None


def embedded_broker(
    port: int | None = None, *, port_5: int | None = None, engine: BrokerEngine | None = None
) -> Broker:
    """Return the best broker that is installed, or the one named by `engine`, not started yet; `name` says which.

    `port` is a free one unless it is given; `port_5` is for a broker that has a port of its own for MQTT 5. Raises
    `ServiceUnavailable` where there is none, or not the one named.
    """
    for candidate in BrokerEngine if engine is None else (engine,):
        try:
            match candidate:
                case BrokerEngine.MOSQUITTO:
                    return MosquittoProcess(port=port)
                case BrokerEngine.IOTCORE:
                    return IotcoreProcess(port=port, port_5=port_5)
                case BrokerEngine.AMQTT:
                    return AmqttProcess(port=port)
        except ServiceUnavailable:
            if engine is not None:
                raise
    raise ServiceUnavailable(f"there is no MQTT broker: {MOSQUITTO_HINT}, or {DEMO_HINT} for one that pip installs")


def profile(name: str = "mosquitto.conf") -> Path:
    """Return a profile of mosquitto/: beside this file in an installed package, at the top of a checkout."""
    installed = Path(__file__).with_name(name)
    return installed if installed.exists() else Path(__file__).parents[2] / "mosquitto" / name


def substitute(config: str, settings: Mapping[str, str]) -> str:
    """Return a Mosquitto configuration in which `settings` replace the lines of the same key; new keys come last."""
    kept = [line for line in config.splitlines() if line.split(" ", 1)[0] not in settings]
    return "\n".join([*kept, *(f"{key} {value}" for key, value in settings.items())]) + "\n"


# Not `python -m iotcore`, which logs each packet: rumqttd reports its spans as errors.
_IOTCORE_PROGRAM = """\
import logging, sys
from iotcore import Broker
logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
Broker(config_path=sys.argv[1]).run_forever()
"""
# A new subscription gets no more retained messages than `max_inflight_count`; 100 MiB are a segment of the log of each
# filter, and the oldest of ten is dropped with what nobody has read yet: 1 GiB, as in the profile of Mosquitto.
_IOTCORE_CONFIG = """\
id = 0
[router]
id = 0
max_connections = 100000
max_outgoing_packet_count = 1000
max_segment_size = 104857600
max_segment_count = 10
[v4.1]
name = "v4"
listen = "{address}"
next_connection_delay_ms = 0
[v4.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 10000
dynamic_filters = true
[v5.1]
name = "v5"
listen = "{address_5}"
next_connection_delay_ms = 0
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 10000
dynamic_filters = true
"""

# Everybody is let in by the base class of the authentication plugins. AnonymousAuthPlugin would do that too, but
# amqtt keeps no messages for an anonymous session that is away.
_AMQTT_CONFIG = """\
listeners:
  default: {{type: tcp, bind: "{address}"}}
plugins:
  amqtt.plugins.base.BaseAuthPlugin: {{}}
"""
