"""What docker-compose.yml says, read without an engine, and what its secrets are."""

import json
import re
import stat
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from bridge.config import BridgeConfig
from devices.scenario.scenario import Scenario
from edgewire.environment import OPTION_VARIABLES, variable_names

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def source_of(volume: str | dict[str, Any]) -> str:
    """What a service mounts: a named volume, or a path in this repository."""
    if isinstance(volume, dict):
        return str(volume["source"])
    return volume.split("}")[0].removeprefix("${FLEET_SCENARIO:-") if volume[0] == "$" else volume.split(":")[0]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_comes_back_from_a_pinned_image_on_loopback_alone(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == ("no" if name == "secrets" else "unless-stopped")
    assert service["image"].rsplit(":", 1)[1][0].isdigit()
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_capability_and_gets_none(name: str) -> None:
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert "cap_add" not in SERVICES[name]
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]
    assert not SERVICES[name].get("privileged")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_writes_to_its_volumes_alone(name: str) -> None:
    assert SERVICES[name]["read_only"] is True
    # A tmpfs where the image has no folder belongs to root when the container is started again, whatever its mode.
    assert SERVICES[name]["tmpfs"] == ["/tmp"]


def test_a_service_has_one_folder_of_secrets_and_cannot_write_to_it() -> None:
    """That which makes them has all, and no network. None gives a volume that is empty yet another owner."""
    of_secrets = {
        name: [volume for volume in service["volumes"] if source_of(volume).startswith("secrets-of-")]
        for name, service in SERVICES.items()
    }
    assert len(of_secrets.pop("secrets")) == 6
    assert SERVICES["secrets"]["network_mode"] == "none"
    owners = [source_of(volume) for volumes in of_secrets.values() for volume in volumes]
    assert len(owners) == len(set(owners)) == len(of_secrets)
    for volumes in of_secrets.values():
        assert all(volume["read_only"] and volume["volume"]["nocopy"] for volume in volumes)


def test_nobody_is_let_in_without_a_password() -> None:
    """What listens beyond the loopback of its container: Mosquitto by the secured profile, Kafka, and the ingest."""
    mounted = next(volume for volume in SERVICES["mosquitto"]["volumes"] if "mosquitto.conf" in volume)
    profile = (ROOT / source_of(mounted)).read_text(encoding="utf-8")
    assert profile.count("\nlistener ") == profile.count("\nallow_anonymous false\n") == 2
    kafka = environment("kafka")
    protocols = dict(pair.split(":") for pair in str(kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"]).split(","))
    for listener in str(kafka["KAFKA_LISTENERS"]).split(","):
        name, _, place = listener.partition("://")
        assert protocols[name] == ("PLAINTEXT" if place.startswith("localhost:") else "SASL_SSL")
    assert environment("ingest")["EDGEFLEET_INGEST_TOKEN_FILE"] == "${EDGEFLEET_INGEST_TOKEN_FILE-/secrets/token}"


def test_secrets_are_made_once_and_each_service_gets_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PORT", "29092")
    scenario = tmp_path / "fleet.yaml"
    scenario.write_text("devices: [{kind: bme280, count: 2}]\n")
    made = [sys.executable, str(ROOT / "docker" / "make_secrets.py"), str(scenario), str(tmp_path / "secrets")]

    def make() -> dict[str, bytes]:
        subprocess.run(made, check=True, capture_output=True, timeout=60)
        folder = tmp_path / "secrets"
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    first, second = make(), make()
    renewed = {name for name in first if first[name] != second[name]}
    # Certificates of servers, of which nobody keeps a copy, and the salt of passwords.
    assert {name.split("/")[-1] for name in renewed} == {
        *("kafka.pem", "broker.pem"),
        *("passwords", "service-passwords"),
    }
    assert first.keys() == second.keys()
    token = first["people/ingest-token"]
    assert {name for name, content in first.items() if content == token} == {
        *("people/ingest-token", "fleet/ingest-token"),
        *("bridge/ingest-token", "ingest/token"),
    }
    assert json.loads(first["people/kafka.yaml"])["bootstrap_servers"] == "127.0.0.1:29092"
    password = json.loads(first["bridge/kafka-properties"])["sasl.password"]
    assert first["kafka/clients.properties"].decode() == f"password={password}\n"
    bridge, operator = (first[f"{place}/mqtt-password"].decode().strip() for place in ("bridge", "people"))
    credentials = first["fleet/identities/credentials.csv"].decode()
    assert f"edgefleet-bridge,{bridge}\n" in credentials
    assert f"edgefleet-operator,{operator}\n" in credentials
    # Of keys that sign, the broker has none.
    assert {name for name in first if name.endswith("ca.key")} == {
        "fleet/identities/ca.key",
        "fleet/identities/service-ca.key",
    }
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "secrets" / "broker").iterdir()}
    assert modes == {0o640}


def test_a_folder_that_cannot_be_written_to_is_told_without_a_traceback(tmp_path: Path) -> None:
    scenario, taken = tmp_path / "fleet.yaml", tmp_path / "secrets"
    scenario.write_text("devices: [{kind: bme280, count: 2}]\n")
    taken.touch()
    made = [sys.executable, str(ROOT / "docker" / "make_secrets.py"), str(scenario), str(taken)]
    done = subprocess.run(made, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.strip().startswith("edgefleet: --out")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_keeps_is_in_a_named_volume_or_in_this_repository(name: str) -> None:
    for volume in SERVICES[name]["volumes"]:
        source = source_of(volume)
        assert (ROOT / source).is_file() if source.startswith("./") else source in COMPOSE["volumes"]


def test_who_depends_on_a_service_waits_until_it_is_healthy() -> None:
    for service in SERVICES.values():
        for name, needs in service.get("depends_on", {}).items():
            once = name == "secrets"
            assert needs == {"condition": "service_completed_successfully" if once else "service_healthy"}
            assert once or "healthcheck" in SERVICES[name]


def test_the_image_is_built_from_every_file_that_the_package_includes() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for path in [*wheel["packages"], *wheel["force-include"], "hatch_build.py"]:
        assert any(fnmatch(path, pattern) for pattern in kept), f"{path} does not reach the build of the image"


def environment(service: str) -> dict[str, str | None]:
    """What a service is given where nobody says anything else: of two lines with one name, the later one."""
    found: dict[str, str | None] | list[str] = SERVICES[service]["environment"]
    if isinstance(found, dict):
        return found
    parted = [re.sub(r"^\${\w+:\+NOT_}", "", line).partition("=") for line in found]
    return {name.upper(): value if given else None for name, given, value in parted}


OF_THE_CONTAINER = {
    "BRIDGE_ADMIN": "its host, its port and its healthcheck belong together",
    "BRIDGE_ADMIN__HOST": "the same",
    "BRIDGE_ADMIN__PORT": "the same; BRIDGE_PORT is the port on this machine",
    "BRIDGE_SPOOL__PATH": "it is in the volume",
    "EDGEFLEET_INGEST_HOST": "its healthcheck asks there",
    "EDGEFLEET_INGEST_PORT": "the same; INGEST_PORT is the port on this machine",
}
"""Settings that are fixed in a container, and why."""

OF_DEVICES = {"EDGEFLEET_IDENTITIES", "EDGEFLEET_BROKER"}
"""What says how a fleet logs in, not who there is."""


@pytest.mark.parametrize(
    ("service", "names"),
    [
        ("bridge", variable_names(BridgeConfig, "BRIDGE_")),
        ("devices", variable_names(Scenario, "EDGEFLEET_")),
        ("secrets", [name for name in variable_names(Scenario, "EDGEFLEET_") if name not in OF_DEVICES]),
        ("devices", ["EDGEFLEET_FAIL_IF", "EDGEFLEET_WAIT", "EDGEFLEET_LOG_LEVEL", "FLEET_SHARD", "FLEET_RUN_ID"]),
        ("ingest", [name for name in OPTION_VARIABLES if name.startswith("EDGEFLEET_INGEST_")]),
    ],
)
def test_every_setting_of_the_environment_reaches_its_service(service: str, names: list[str]) -> None:
    # Lists and what is in them are one JSON document here.
    wanted = {name for name in names if "__0" not in name}
    assert wanted - environment(service).keys() - OF_THE_CONTAINER.keys() == set()


OF_COMPOSE = {"FLEET_SHARD", "FLEET_RUN_ID", "KAFKA_PORT"}
"""What docker-compose.yml and the command line read, and no configuration."""

PLACES = {
    "BRIDGE_BROKER": {"BRIDGE_MQTT__CA_FILE", "BRIDGE_MQTT__PASSWORD_FILE"},
    "BRIDGE_HTTP__URL": {"BRIDGE_HTTP__TOKEN_FILE"},
    "BRIDGE_KAFKA__BOOTSTRAP_SERVERS": {"BRIDGE_KAFKA__PROPERTIES_FILE"},
}
"""Where the bridge goes, and what of ours it shows there unless the user says another place."""


@pytest.mark.parametrize("place", PLACES)
def test_what_is_for_our_own_services_depends_on_the_place(place: str) -> None:
    """How an engine reads it is told in test_rendering.py."""
    lines = SERVICES["bridge"]["environment"]
    ours = {line.split("}")[1].split("=")[0] for line in lines if line.startswith(f"${{{place}:+NOT_}}")}
    assert ours == {place.lower(), *PLACES[place]}
    # Of a place of the user's own they are still his to give.
    assert {place, *PLACES[place]} <= set(lines)


@pytest.mark.parametrize("service", ["secrets", "ingest", "bridge", "devices"])
def test_a_setting_is_the_users_before_it_is_ours(service: str) -> None:
    known = {*OPTION_VARIABLES, *variable_names(BridgeConfig, "BRIDGE_"), *variable_names(Scenario, "EDGEFLEET_")}
    for name, value in environment(service).items():
        assert known & {name, name.removesuffix("_FILE")} or name in OF_COMPOSE
        # What ours asks for and another one's does not can be taken away: `NAME=`.
        assert value is None or re.match(rf"\${{{name}:?-", value) or name in OF_THE_CONTAINER or name in PLACES


def test_the_image_has_what_its_commands_need() -> None:
    """Parquet, PostgreSQL and plots, passwords and certificates, spans: what documents show of an installed program."""
    text = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    found = re.search(r"^ARG EXTRAS=([\w,]+)$", text, re.MULTILINE)
    assert found
    assert set(found[1].split(",")) == {"export", "kafka", "otel", "provision"} <= extras.keys()
    assert "edgefleet[postgres]" in extras["export"]


def test_a_change_of_the_source_installs_no_package_again() -> None:
    """What pip installs of others is before the source in the Dockerfile, and made of files that no source is in."""
    stages = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8").split("\nFROM ")
    packages, build, image = stages[1:]
    copied = {file for line in re.findall(r"^COPY (.+) \S+$", packages, re.MULTILINE) for file in line.split()}
    assert copied == {"pyproject.toml", "constraints.txt", "docker/requirements.py"}
    assert "--constraint constraints.txt --requirement requirements.txt" in packages
    assert "\nCOPY . .\n" in build
    assert re.findall(r"^COPY (.+)$", image, re.MULTILINE) == ["--from=packages /opt/edgefleet /opt/edgefleet"]
    assert all("--no-deps" in line for line in re.findall(r"pip (?:install|wheel) .*", build + image))


@pytest.mark.parametrize("extras", [["export", "kafka", "otel", "provision"], ["demo"], ["delta", "schemas"]])
def test_the_requirements_are_those_of_the_package(extras: list[str]) -> None:
    """As its metadata says, which the build backend writes."""
    script = [sys.executable, str(ROOT / "docker" / "requirements.py"), ",".join(extras)]
    printed = subprocess.run(script, check=True, capture_output=True, text=True, timeout=60).stdout
    assert {one for line in printed.splitlines() if (one := wanted(line))} == {
        one for line in distribution("edgefleet").requires or () if (one := wanted(line, *extras))
    }


def wanted(line: str, *extras: str) -> str | None:
    """Return a requirement without its condition, None where it does not hold on this system."""
    found = Requirement(line)
    held = found.marker is None or any(found.marker.evaluate({"extra": extra}) for extra in ("", *extras))
    return f"{found.name}{sorted(found.extras)}{found.specifier}" if held else None
