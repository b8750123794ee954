"""docker-compose.yml as a user has it, brought up once by pytest-docker on free ports, with volumes of its own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_docker.plugin import Services

from edgefleet.embedded import answers, free_port
from tests.compose.stack import ComposeStack
from tests.services.fixtures import unavailable

ROOT = Path(__file__).parents[2]
DOCKER = "docker compose"
DOCKER_COMPOSE = ROOT / "docker-compose.yml"
SETTINGS = {"BRIDGE_HTTP__BATCH_MESSAGES": "250", "EDGEFLEET_SEED": "7"}
"""What a user gives to the containers by the environment."""
PORTS = ("MQTT_PORT", "MQTT_SERVICES_PORT", "KAFKA_PORT", "INGEST_PORT", "BRIDGE_PORT")


@pytest.fixture(scope="session")
def docker_compose_file() -> str:
    return str(DOCKER_COMPOSE)


@pytest.fixture(scope="session")
def docker_compose_project_name() -> str:
    return f"edgefleet-test-{os.getpid()}"


@pytest.fixture(scope="session")
def docker_compose_command() -> str:
    """Docker where its engine answers, else podman-compose."""
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True).returncode == 0:
        return DOCKER
    beside = Path(sys.executable).with_name("podman-compose")
    podman_compose = str(beside) if beside.exists() else shutil.which("podman-compose")
    if podman_compose is None or shutil.which("podman") is None:
        unavailable(
            "these tests need a running Docker, or Podman: `apt-get install podman` and `pip install podman-compose`"
        )
    return podman_compose


@pytest.fixture(scope="session")
def docker_setup(docker_compose_command: str) -> list[str]:
    """As `docker compose up`, or with Podman as `make up`, whose steps it needs.

    The fleet comes later: Podman before 4.6 starts it without waiting for the bridge to be healthy.
    """
    first = [] if docker_compose_command == DOCKER else ["run --rm -T secrets"]
    return ["build secrets", *first, "up --detach mosquitto kafka ingest bridge"]


@pytest.fixture(scope="session")
def docker_cleanup() -> list[str]:
    return ["down --volumes"]


@pytest.fixture(scope="session")
def ports() -> Iterator[dict[str, int]]:
    """Free ports, in the variables that docker-compose.yml reads."""
    chosen = {name: free_port() for name in PORTS}
    with pytest.MonkeyPatch.context() as patch:
        for name, port in chosen.items():
            patch.setenv(name, str(port))
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        yield chosen


@pytest.fixture(scope="session")
def stack(
    ports: dict[str, int],
    docker_services: Services,
    docker_compose_command: str,
    docker_compose_file: str,
    docker_compose_project_name: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> ComposeStack:
    """The stack without the fleet, its bridge subscribed."""
    compose = [*docker_compose_command.split(), "-f", docker_compose_file, "-p", docker_compose_project_name]
    running = ComposeStack(compose, ports, tmp_path_factory.mktemp("credentials"))
    docker_services.wait_until_responsive(
        check=lambda: answers(f"{running.bridge_url}/readyz") and answers(f"{running.ingest_url}/readyz"),
        timeout=120,
        pause=1,
    )
    return running
