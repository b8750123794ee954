"""A real Kafka node as a process: KRaft, alone or one of several, from the jars that Maven copies to a cache folder.

`python -m tests.services.kafka` fills that folder and prints its name.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from edgefleet.embedded import Server, accepts_connections, free_port, temporary_folder
from edgefleet.provision.authority import Authority
from edgewire.errors import EdgefleetError, ServiceUnavailable

_POM = Path(__file__).with_name("pom.xml")
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_CLUSTER_ID = "5L6g3nShT-eMCtK--X86sw"
# A test broker is started often and lives for a minute: quick to start matters more than quick at its peak.
_JVM = ["-Xmx512m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
SASL_USER, SASL_PASSWORD = "bridge", "open-sesame"
_DAYS = 2

_PROPERTIES = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},SASL_PLAINTEXT://127.0.0.1:{sasl_port},SSL://127.0.0.1:{ssl_port},{controller_listener}{listener}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL_PLAINTEXT://127.0.0.1:{sasl_port},SSL://127.0.0.1:{ssl_port}{advertised}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,\
  SSL:SSL
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.crt
ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
  user_{user}="{password}";
log.dirs={folder}/logs
num.partitions=4
group.initial.rebalance.delay.ms=0
controlled.shutdown.enable=false
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
log.cleaner.dedupe.buffer.size=4194304
"""


def cache_folder() -> Path:
    """Return the folder in which jars are kept from run to run."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgefleet"


def kafka_jars() -> Path:
    """The folder of the broker's jars; Maven fills it on first use (about 45 MB).

    Raises `ServiceUnavailable` where Maven or Java is missing or Maven fails.
    """
    version = re.search(r"kafka_2\.13</artifactId>\s*<version>([^<]+)<", _POM.read_text(encoding="utf-8"))
    assert version, f"{_POM} names no version of kafka_2.13"
    jars = cache_folder() / f"kafka-{version[1]}"
    for program in ("java", *(() if jars.is_dir() else ("mvn",))):
        if shutil.which(program) is None:
            raise ServiceUnavailable(
                f"a Kafka for the tests needs `{program}`: `apt-get install openjdk-17-jre-headless maven`, "
                "or name a running Kafka in KAFKA_BOOTSTRAP_SERVERS"
            )
    if not jars.is_dir():
        copy_jars(_POM, jars)
    return jars


def copy_jars(project: Path, jars: Path) -> None:
    """Have Maven copy the jars of a project into a folder. Raises `ServiceUnavailable` where it cannot."""
    jars.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=jars.parent) as folder:
        # Maven reads a project only from where it may write beside it; the checkout stays clean.
        pom = shutil.copy(project, Path(folder) / "pom.xml")
        target = Path(folder) / "jars"
        result = subprocess.run(
            ["mvn", "-B", "-q", "-f", pom, _COPY, "-DincludeScope=runtime", f"-DoutputDirectory={target}"],
            capture_output=True,
            text=True,
            timeout=600,
        )
        if result.returncode != 0:
            raise ServiceUnavailable(
                f"Maven could not fetch the jars of {project.name}: {result.stdout.strip()[-2000:]}"
            )
        keep_in_cache(target, jars)


def keep_in_cache(made: Path, kept: Path) -> None:
    """Give a folder that is complete its name in the cache, unless another process was quicker."""
    try:
        made.rename(kept)
    except OSError:
        if not kept.is_dir():
            raise


class KafkaProcess(Server):
    """One Kafka node on loopback. Its topics survive `restart` and `kill`, not `close`."""

    def __init__(
        self, proxy_port: int | None = None, *, node: int = 1, controllers: Sequence[int] = (), more: str = ""
    ) -> None:
        """With `proxy_port` there is a second listener, `behind_proxy`: its clients are told to connect to that port.

        `node` is its number in a cluster whose nodes, from 1 on, have these ports for their controllers; `more` are
        further properties. Raises `ServiceUnavailable` where Kafka cannot be had (see `kafka_jars`).
        """
        self._java = ["java", *_JVM, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{kafka_jars()}/*"]
        folder = temporary_folder("kafka")
        self._properties = folder / "server.properties"
        command: list[str | Path] = [*self._java, "kafka.Kafka", self._properties]
        port, wait_s = free_port(), 60.0 * max(len(controllers), 1)
        super().__init__("kafka", command, port=port, ready=self._serves, folder=folder, start_timeout_s=wait_s)
        self.behind_proxy, sasl_port, ssl_port, alone = (free_port() for _ in range(4))
        controllers = controllers or [alone]
        self.node, controller = node, controllers[node - 1]
        self.sasl_servers = f"{self.host}:{sasl_port}"
        """As `bootstrap_servers`, for those who say who they are: SASL/PLAIN as `SASL_USER`."""
        self.ssl_servers = f"{self.host}:{ssl_port}"
        """As `bootstrap_servers`, for those who show a certificate of the authority in `folder`."""
        listener = f",PROXIED://127.0.0.1:{self.behind_proxy}" if proxy_port else ""
        advertised = f",PROXIED://127.0.0.1:{proxy_port}" if proxy_port else ""
        self._settings = _PROPERTIES.format(
            port=port,
            sasl_port=sasl_port,
            ssl_port=ssl_port,
            node=node,
            voters=",".join(f"{number}@127.0.0.1:{port}" for number, port in enumerate(controllers, 1)),
            controller_listener=f"CONTROLLER://127.0.0.1:{controller}",
            folder=folder,
            listener=listener,
            advertised=advertised,
            user=SASL_USER,
            password=SASL_PASSWORD,
        )
        self._settings += more

    @property
    def bootstrap_servers(self) -> str:
        """`127.0.0.1:PORT`."""
        return f"{self.host}:{self.port}"

    def start(self) -> Self:
        """As `Server.start`; formats the storage before the first one."""
        if not self._properties.exists():
            self.folder.mkdir(mode=0o700)
            self._properties.write_text(self._settings, encoding="utf-8")
            now = datetime.now(UTC)
            identity = Authority.open(self.folder, now).issue_server([self.host], now, _DAYS)
            (self.folder / "broker.pem").write_bytes(identity)
            self._format()
        return super().start()

    def _format(self) -> None:
        arguments = ["format", "-t", _CLUSTER_ID, "-c", str(self._properties)]
        result = subprocess.run(
            [*self._java, "kafka.tools.StorageTool", *arguments], capture_output=True, text=True, timeout=60
        )
        if result.returncode != 0:
            raise ServiceUnavailable(f"Kafka could not format its storage: {result.stderr.strip()[-2000:]}")

    def _serves(self) -> bool:
        if not accepts_connections(self.host, self.port):
            return False
        try:
            metadata = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0}).list_topics(timeout=2)
        except KafkaException:
            return False
        return bool(metadata.brokers)


if __name__ == "__main__":
    try:
        print(kafka_jars())
    except EdgefleetError as error:
        sys.exit(str(error))
