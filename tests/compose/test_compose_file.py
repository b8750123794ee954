"""What docker-compose.yml says, read without an engine."""

import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

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
