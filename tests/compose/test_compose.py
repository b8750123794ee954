"""docker-compose.yml: builds, becomes ready, and carries every message of the fleet to both sinks."""

import json

import pytest

from edgefleet.embedded import answers
from edgewire.messages import CONTRACT
from tests.compose.conftest import SETTINGS
from tests.compose.stack import ComposeStack
from tests.waiting import until

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1200)]


def test_no_service_runs_as_root(stack: ComposeStack) -> None:
    for service, user in {"ingest": "10001", "bridge": "10001", "mosquitto": "1883", "kafka": "1000"}.items():
        assert stack.run("exec", "-T", service, "id", "-u").strip() == user


def test_settings_of_the_environment_are_those_of_the_containers(stack: ComposeStack) -> None:
    name = "BRIDGE_HTTP__BATCH_MESSAGES"
    assert stack.run("exec", "-T", "bridge", "printenv", name).strip() == SETTINGS[name]
    printed = ["exec", "-T", "bridge", "printenv", "BRIDGE_HTTP__URL"]
    assert stack.run(*printed).strip() == "http://ingest:8000"


def test_the_image_has_the_scenarios_and_what_its_commands_need(stack: ComposeStack) -> None:
    edgefleet = ["exec", "-T", "bridge", "edgefleet"]
    assert len(stack.run(*edgefleet, "generate", "bme280", "--from", "2026-03-01", "--records", "3").splitlines()) == 3
    parquet = ["generate", "bme280", "--from", "2026-03-01", "--records", "9", "--out", "/tmp/found.parquet"]
    stack.run(*edgefleet, *parquet)
    assert "scenarios/mixed.yaml" in stack.run(*edgefleet, "init", "/tmp/begin", "--scenario", "mixed")
    stack.run(*edgefleet, "provision", "/tmp/begin/scenarios/mixed.yaml", "--out", "/tmp/secrets", "--host", "broker")


def test_nothing_is_lost_although_the_bridge_is_killed(stack: ComposeStack) -> None:
    stack.run("up", "--detach", "devices")
    until(lambda: all(stack.stored().get(kind, 0) for kind in CONTRACT), timeout_s=60)
    stack.run("kill", "bridge")
    until(lambda: not answers(f"{stack.bridge_url}/healthz"), timeout_s=20)
    stack.run("start", "bridge")
    until(lambda: answers(f"{stack.bridge_url}/readyz"), timeout_s=60)
    before = sum(stack.stored().values())
    until(lambda: sum(stack.stored().values()) > before + 500, timeout_s=60)
    stack.run("stop", "devices")
    (record,) = stack.run("run", "--rm", "--no-deps", "-T", "--entrypoint", "ls", "devices", "runs").split()
    verify = ["verify", f"runs/{record}", "--ingest", "http://ingest:8000", "--kafka", "kafka:19092", "--json"]
    verdict = json.loads(stack.run("run", "--rm", "--no-deps", "-T", "devices", *verify))
    assert verdict["sent"] > 500
    assert verdict["http"]["lost"] == verdict["kafka"]["lost"] == 0
