"""Real Mosquitto, Kafka and PostgreSQL for the tests: what the environment names, else processes on free ports.

`MQTT_URL`, `KAFKA_BOOTSTRAP_SERVERS` and `POSTGRES_URL` name running ones. Where a service cannot be had, its tests are
skipped with a sentence that says how to get it; with EDGEFLEET_REQUIRE_SERVICES=1, as in CI, they fail.
"""

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NoReturn
from urllib.parse import urlsplit

import pytest

from edgefleet.embedded import MosquittoProcess
from edgewire.errors import ServiceUnavailable
from tests.services.kafka import KafkaProcess
from tests.services.postgres import PostgresProcess
from tests.services.spark import spark_session


def unavailable(why: str) -> NoReturn:
    """Skip the running test, saying why; fail it where services are required."""
    if os.environ.get("EDGEFLEET_REQUIRE_SERVICES") == "1":
        pytest.fail(f"EDGEFLEET_REQUIRE_SERVICES=1, but {why}", pytrace=False)
    pytest.skip(why)


def require_program(name: str, package: str) -> None:
    """Skip the running test where a program is not installed; fail it where services are required."""
    if shutil.which(name) is None:
        unavailable(f"there is no {name} on the PATH: `apt-get install {package}`")


def require_package(name: str) -> ModuleType:
    """Return a package; skip the running test where it is not installed, fail it where services are required."""
    try:
        return importlib.import_module(name)
    except ImportError:
        unavailable(f"the package {name} is not installed: `pip install {name}`")


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the session's broker listens; it is shared, so tests use client ids and topics of their own."""

    url: str
    host: str
    port: int


@pytest.fixture(scope="session")
def mosquitto() -> Iterator[BrokerAddress]:
    """One Mosquitto for the whole session: the one at MQTT_URL, else a process."""
    if url := os.environ.get("MQTT_URL"):
        parts = urlsplit(url)
        yield BrokerAddress(url, parts.hostname or "127.0.0.1", parts.port or 1883)
        return
    with _mosquitto() as broker:
        yield BrokerAddress(broker.url, broker.host, broker.port)


@pytest.fixture
def mosquitto_factory() -> Iterator[Callable[..., MosquittoProcess]]:
    """`mosquitto_factory(options={...})` starts a Mosquitto of the test's own, to be stopped, killed, restarted."""
    with ExitStack() as stack:

        def start(options: Mapping[str, str] | None = None) -> MosquittoProcess:
            return stack.enter_context(_mosquitto(options))

        yield start


@pytest.fixture(scope="session")
def kafka_process() -> Iterator[KafkaProcess]:
    """One Kafka of our own for the whole session, also where another one is named."""
    with _kafka() as process:
        yield process


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> str:
    """Bootstrap servers of one Kafka for the whole session: KAFKA_BOOTSTRAP_SERVERS, else a process."""
    servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    return servers or str(request.getfixturevalue("kafka_process").bootstrap_servers)


@pytest.fixture
def kafka_factory() -> Iterator[Callable[[], KafkaProcess]]:
    """`kafka_factory()` starts a Kafka of the test's own, to be stopped, killed, restarted; takes some seconds."""
    with ExitStack() as stack:

        def start() -> KafkaProcess:
            return stack.enter_context(_kafka())

        yield start


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of one PostgreSQL database for the whole session: POSTGRES_URL, else a process."""
    if url := os.environ.get("POSTGRES_URL"):
        yield url
        return
    try:
        process = PostgresProcess()
    except ServiceUnavailable as error:
        unavailable(str(error))
    with process:
        yield process.url


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """A Spark session, one for the whole session of tests; `make test-spark` installs PySpark."""
    if importlib.util.find_spec("pyspark") is None:
        unavailable("PySpark is not installed: `make test-spark` does it")
    try:
        with spark_session() as session:
            yield session
    except ServiceUnavailable as error:
        unavailable(str(error))


def _mosquitto(options: Mapping[str, str] | None = None) -> MosquittoProcess:
    try:
        return MosquittoProcess(options=options)
    except ServiceUnavailable as error:
        unavailable(str(error))


def _kafka() -> KafkaProcess:
    try:
        return KafkaProcess()
    except ServiceUnavailable as error:
        unavailable(str(error))
