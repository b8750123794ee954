"""Apache Camel as a bridge from MQTT to Kafka: QoS 1, a persistent session, acks=all.

A message is acknowledged to the broker when Camel has been given it; `synchronous` makes that when Kafka has it.
"""

import re
from pathlib import Path

import yaml

from benchmarks.bridge_processes import AnnouncedProcess
from tests.services.kafka import cache_folder, copy_jars

_POM = Path(__file__).with_name("camel-pom.xml")
_JVM = ["-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=info"]


def camel_jars() -> Path:
    """Return the folder of its jars; Maven fills it on first use (29 MB).

    Raises `ServiceUnavailable` where it cannot.
    """
    version = re.search(r"<camel.version>([^<]+)<", _POM.read_text(encoding="utf-8"))
    assert version, f"{_POM} names no version of Camel"
    jars = cache_folder() / f"camel-{version[1]}"
    if not jars.is_dir():
        copy_jars(_POM, jars)
    return jars


class Camel(AnnouncedProcess):
    """Runs one route; ready once it has been started. `broker` is a URL, and its files are in `folder`."""

    def __init__(self, folder: Path, broker: str, bootstrap_servers: str, topic: str, *, synchronous: bool) -> None:
        """Write its configuration; nothing runs before `start`. Raises `ServiceUnavailable`, see `camel_jars`."""
        mqtt = {
            "brokerUrl": broker.replace("mqtt://", "tcp://"),
            "qos": 1,
            "clientId": f"camel-{folder.name}",
            "cleanStart": False,
            "sessionExpiryInterval": 86_400,
        }
        to_kafka = {"brokers": bootstrap_servers, "requestRequiredAcks": "all", "synchronous": synchronous}
        steps = [
            {"setHeader": {"name": "kafka.KEY", "simple": "${header.CamelMqttTopic}"}},
            {"to": {"uri": f"kafka:{topic}", "parameters": to_kafka}},
        ]
        route = {"from": {"uri": "paho-mqtt5:edge/#", "parameters": mqtt, "steps": steps}}
        (folder / "route.yaml").write_text(yaml.safe_dump([{"route": route}]))
        (folder / "application.properties").write_text(
            f"camel.main.routesIncludePattern=file:{folder / 'route.yaml'}\n"
        )
        classes = f"{folder}:{camel_jars()}/*"
        command: list[str | Path] = ["java", *_JVM, "-cp", classes, "org.apache.camel.main.Main"]
        super().__init__("camel", command, rb"Apache Camel .* started in ", start_timeout_s=120)
