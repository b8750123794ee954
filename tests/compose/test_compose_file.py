"""What docker-compose.yml says, read without an engine."""

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.config import BridgeConfig
from devices.scenario.scenario import Scenario
from edgewire.environment import OPTION_VARIABLES, variable_names

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_comes_back_from_a_pinned_image_on_loopback_alone(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["image"].rsplit(":", 1)[1][0].isdigit()
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_capability_and_gets_none(name: str) -> None:
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert "cap_add" not in SERVICES[name]
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]
    assert not SERVICES[name].get("privileged")


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"kafka"}))
def test_a_service_writes_to_its_volumes_alone(name: str) -> None:
    """Kafka's image writes its configuration into itself when it starts."""
    assert SERVICES[name]["read_only"] is True
    assert SERVICES[name]["tmpfs"] == ["/tmp"]


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_keeps_is_in_a_named_volume_or_in_this_repository(name: str) -> None:
    for volume in SERVICES[name]["volumes"]:
        source = volume.split("}")[0].removeprefix("${FLEET_SCENARIO:-") if volume[0] == "$" else volume.split(":")[0]
        assert (ROOT / source).is_file() if source.startswith("./") else source in COMPOSE["volumes"]


def test_who_depends_on_a_service_waits_until_it_is_healthy() -> None:
    for service in SERVICES.values():
        for name, needs in service.get("depends_on", {}).items():
            assert needs == {"condition": "service_healthy"}
            assert "healthcheck" in SERVICES[name]


def test_the_image_is_built_from_every_file_that_the_package_includes() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for path in [*wheel["packages"], *wheel["force-include"]]:
        assert any(fnmatch(path, pattern) for pattern in kept), f"{path} does not reach the build of the image"


def environment(service: str) -> dict[str, str | None]:
    found: dict[str, str | None] = SERVICES[service]["environment"]
    return found


OF_THE_CONTAINER = {
    "BRIDGE_ADMIN": "its host, its port and its healthcheck belong together",
    "BRIDGE_ADMIN__HOST": "the same",
    "BRIDGE_ADMIN__PORT": "the same; BRIDGE_PORT is the port on this machine",
    "BRIDGE_SPOOL__PATH": "it is in the volume",
    "EDGEFLEET_INGEST_HOST": "its healthcheck asks there",
    "EDGEFLEET_INGEST_PORT": "the same; INGEST_PORT is the port on this machine",
}
"""Settings that are fixed in a container, and why."""


@pytest.mark.parametrize(
    ("service", "names"),
    [
        ("bridge", variable_names(BridgeConfig, "BRIDGE_")),
        ("devices", variable_names(Scenario, "EDGEFLEET_")),
        ("devices", ["EDGEFLEET_FAIL_IF", "EDGEFLEET_WAIT", "EDGEFLEET_LOG_LEVEL", "FLEET_SHARD", "FLEET_RUN_ID"]),
        ("ingest", [name for name in OPTION_VARIABLES if name.startswith("EDGEFLEET_INGEST_")]),
    ],
)
def test_every_setting_of_the_environment_reaches_its_service(service: str, names: list[str]) -> None:
    # Lists and what is in them are one JSON document here.
    wanted = {name for name in names if "__0" not in name}
    assert wanted - environment(service).keys() - OF_THE_CONTAINER.keys() == set()


@pytest.mark.parametrize("service", ["ingest", "bridge", "devices"])
def test_a_setting_is_the_users_before_it_is_ours(service: str) -> None:
    known = {*OPTION_VARIABLES, *variable_names(BridgeConfig, "BRIDGE_"), *variable_names(Scenario, "EDGEFLEET_")}
    for name, value in environment(service).items():
        assert name in known | {"FLEET_SHARD", "FLEET_RUN_ID"}
        assert value is None or value.startswith(f"${{{name}:-") or name in OF_THE_CONTAINER
    assert SERVICES["bridge"]["environment"]["BRIDGE_HTTP__URL"] == "${BRIDGE_HTTP__URL:-http://ingest:8000}"


def test_the_image_has_what_its_commands_need() -> None:
    """Parquet, PostgreSQL and plots, passwords and certificates, spans: what documents show of an installed program."""
    text = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    found = re.search(r'pip install .*?"?\.\[([\w,]+)\]"?$', text.replace("\\\n", " "), re.MULTILINE)
    assert found
    assert set(found[1].split(",")) == {"export", "kafka", "otel", "provision"} <= extras.keys()
    assert "edgefleet[postgres]" in extras["export"]
