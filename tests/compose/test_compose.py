"""docker-compose.yml: builds, becomes ready, and carries every message of the fleet to both sinks."""

import json
import os
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from edgefleet.embedded import answers
from edgewire.messages import CONTRACT
from tests.compose.conftest import DOCKER_COMPOSE, SETTINGS
from tests.compose.stack import ComposeStack
from tests.waiting import until

COMPOSE = yaml.safe_load(DOCKER_COMPOSE.read_text(encoding="utf-8"))

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1200)]


def test_no_service_runs_as_root(stack: ComposeStack) -> None:
    for service, user in {"ingest": "10001", "bridge": "10001", "mosquitto": "1883", "kafka": "1000"}.items():
        assert stack.run("exec", "-T", service, "id", "-u").strip() == user


@pytest.mark.parametrize("service", ["ingest", "bridge", "mosquitto", "kafka"])
def test_no_service_can_write_to_its_image(stack: ComposeStack, service: str) -> None:
    said = stack.run("exec", "-T", service, "sh", "-c", "touch /etc/found 2>&1 || echo refused")
    assert "Read-only file system" in said
    assert said.endswith("refused\n")


def test_a_service_has_no_secrets_but_its_own(stack: ComposeStack) -> None:
    found = {
        "mosquitto": "ls /mosquitto/given",
        "kafka": "ls /etc/kafka/secrets",
        "ingest": "ls /secrets",
        "bridge": "ls /secrets",
    }
    own = {name: set(stack.run("exec", "-T", name, "sh", "-c", command).split()) for name, command in found.items()}
    assert own["kafka"] == {"kafka.pem", "clients.properties"}
    assert own["ingest"] == {"token"}
    assert own["bridge"] == {
        *("ca.crt", "mqtt-password", "ingest-token", "admin-token"),
        *("kafka.yaml", "kafka-properties"),
    }
    assert not own["mosquitto"] & {"ca.key", "service-ca.key", "credentials.csv"}


def test_the_broker_lets_nobody_in_without_a_password_of_his_own(stack: ComposeStack) -> None:
    device, other = (name for name in list(stack.passwords)[-2:])
    for port in ("MQTT_PORT", "MQTT_SERVICES_PORT"):
        assert stack.publish(port, None, None) == ["Not authorized"]
        assert stack.publish(port, device, "guessed") == ["Not authorized"]
        assert stack.publish(port, device, stack.passwords[other]) == ["Not authorized"]
    assert stack.publish("MQTT_SERVICES_PORT", device, stack.passwords[device]) == ["Not authorized"]


def test_a_device_publishes_under_its_own_topics_alone(stack: ComposeStack) -> None:
    device, other = (name for name in list(stack.passwords)[-2:])
    own, others = (f"edge/found/bme280/{name}/result" for name in (device, other))
    answers = stack.publish(
        "MQTT_PORT", device, stack.passwords[device], own, others, f"edge/found/bme280/{device}/cmd"
    )
    assert answers[0] == "Success"
    # To the first nobody has subscribed.
    assert answers[1] in ("Success", "No matching subscribers")
    assert answers[2:] == ["Not authorized", "Not authorized"]


def test_the_broker_is_well_when_it_refuses_who_shows_nothing(stack: ComposeStack) -> None:
    """Podman without systemd never asks by itself."""
    _, command = COMPOSE["services"]["mosquitto"]["healthcheck"]["test"]
    stack.run("exec", "-T", "mosquitto", "sh", "-c", command.replace("$$", "$"))


@pytest.mark.parametrize("token", [None, "guessed"])
@pytest.mark.parametrize("path", ["/stats", "/ingest/batch"])
def test_the_ingest_answers_nobody_without_its_token(stack: ComposeStack, path: str, token: str | None) -> None:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(
        f"{stack.ingest_url}{path}", headers=headers, data=None if path == "/stats" else b"{}"
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    refused.value.close()
    assert refused.value.code == 401


def test_kafka_lets_nobody_in_without_its_password(stack: ComposeStack) -> None:
    properties = yaml.safe_load(stack.secret("people/kafka.yaml"))["properties"] | {
        "ssl.ca.location": str(stack.ca_file)
    }

    def topics(**changed: Any) -> set[str]:
        given: dict[str, Any] = {"bootstrap.servers": f"127.0.0.1:{stack.ports['KAFKA_PORT']}", "log_level": 0}
        return set(AdminClient(given | changed).list_topics(timeout=10).topics)

    assert isinstance(topics(**properties), set)
    nothing: dict[str, str] = {}
    for refused in (
        nothing,
        properties | {"sasl.password": "guessed"},
        properties | {"security.protocol": "SASL_PLAINTEXT"},
    ):
        with pytest.raises(KafkaException):
            topics(**refused)


def test_credentials_are_for_the_eyes_of_who_asked_and_open_the_doors(
    stack: ComposeStack, docker_compose_project_name: str, tmp_path: Path
) -> None:
    given = tmp_path / "credentials"
    variables = os.environ | {"COMPOSE_PROJECT_NAME": docker_compose_project_name}
    command = ["make", "--silent", "credentials", f"CREDENTIALS={given}"]
    done = subprocess.run(
        command, cwd=DOCKER_COMPOSE.parent, env=variables, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.stat().st_mode & 0o77 for path in (given, *given.iterdir())} == {0}
    assert (given / "ingest-token").read_text().strip() == stack.ingest_token
    cluster = yaml.safe_load((given / "kafka.yaml").read_text())
    properties = cluster["properties"] | {"ssl.ca.location": str(given / "ca.crt"), "log_level": 0}
    assert (
        AdminClient({"bootstrap.servers": cluster["bootstrap_servers"], **properties}).list_topics(timeout=10).brokers
    )


def test_secrets_are_made_once(stack: ComposeStack) -> None:
    before = stack.secret("people/kafka.yaml"), stack.secret("fleet/identities/ca.crt")
    stack.run("run", "--rm", "-T", "secrets")
    assert (stack.secret("people/kafka.yaml"), stack.secret("fleet/identities/ca.crt")) == before


def test_settings_of_the_environment_are_those_of_the_containers(stack: ComposeStack) -> None:
    name = "BRIDGE_HTTP__BATCH_MESSAGES"
    assert stack.run("exec", "-T", "bridge", "printenv", name).strip() == SETTINGS[name]
    printed = ["exec", "-T", "bridge", "printenv", "bridge_http__url"]
    assert stack.run(*printed).strip() == "http://ingest:8000"


def test_the_image_has_the_scenarios_and_what_its_commands_need(stack: ComposeStack) -> None:
    edgefleet = ["exec", "-T", "bridge", "edgefleet"]
    assert len(stack.run(*edgefleet, "generate", "bme280", "--from", "2026-03-01", "--records", "3").splitlines()) == 3
    parquet = ["generate", "bme280", "--from", "2026-03-01", "--records", "9", "--out", "/tmp/found.parquet"]
    stack.run(*edgefleet, *parquet)
    assert "scenarios/mixed.yaml" in stack.run(*edgefleet, "init", "/tmp/begin", "--scenario", "mixed")
    stack.run(*edgefleet, "provision", "/tmp/begin/scenarios/mixed.yaml", "--out", "/tmp/secrets", "--host", "broker")


def test_nothing_is_lost_although_the_bridge_is_killed_and_all_others_restarted(stack: ComposeStack) -> None:
    stack.run("up", "--detach", "devices")
    until(lambda: all(stack.stored().get(kind, 0) for kind in CONTRACT), timeout_s=60)
    stack.run("kill", "bridge")
    until(lambda: not answers(f"{stack.bridge_url}/healthz"), timeout_s=20)
    stack.run("start", "bridge")
    until(lambda: answers(f"{stack.bridge_url}/readyz"), timeout_s=60)
    stack.run("restart", "mosquitto", "kafka", "ingest")
    until(lambda: answers(f"{stack.bridge_url}/readyz") and answers(f"{stack.ingest_url}/readyz"), timeout_s=90)
    before = sum(stack.stored().values())
    until(lambda: sum(stack.stored().values()) > before + 500, timeout_s=90)
    stack.run("stop", "devices")
    (record,) = stack.run("run", "--rm", "--no-deps", "-T", "--entrypoint", "ls", "devices", "runs").split()
    verify = ["verify", f"runs/{record}", "--ingest", "http://ingest:8000", "--json"]
    verdict = json.loads(stack.run("run", "--rm", "--no-deps", "-T", "devices", *verify))
    assert verdict["sent"] > 500
    assert verdict["http"]["lost"] == verdict["kafka"]["lost"] == 0
