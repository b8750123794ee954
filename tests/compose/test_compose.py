"""docker-compose.yml: builds, becomes ready, and carries every message of the fleet to both sinks."""

import json
import time
from collections.abc import Callable

import pytest

from edgefleet.embedded import answers
from edgewire.messages import CONTRACT
from tests.compose.stack import ComposeStack

pytestmark = [pytest.mark.compose, pytest.mark.timeout(600)]


def until(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def test_our_services_do_not_run_as_root(stack: ComposeStack) -> None:
    for service in ("ingest", "bridge"):
        assert stack.run("exec", "-T", service, "id", "-u").strip() == "10001"


def test_nothing_is_lost_although_the_bridge_is_killed(stack: ComposeStack) -> None:
    stack.run("up", "--detach", "devices")
    assert until(lambda: all(stack.stored().get(kind, 0) for kind in CONTRACT), 60)
    stack.run("kill", "bridge")
    assert until(lambda: not answers(f"{stack.bridge_url}/healthz"), 20)
    stack.run("start", "bridge")
    assert until(lambda: answers(f"{stack.bridge_url}/readyz"), 60)
    before = sum(stack.stored().values())
    assert until(lambda: sum(stack.stored().values()) > before + 500, 60)
    stack.run("stop", "devices")
    (record,) = stack.run("run", "--rm", "--no-deps", "-T", "--entrypoint", "ls", "devices", "runs").split()
    verify = ["verify", f"runs/{record}", "--ingest", "http://ingest:8000", "--kafka", "kafka:19092", "--json"]
    verdict = json.loads(stack.run("run", "--rm", "--no-deps", "-T", "devices", *verify))
    assert verdict["sent"] > 500
    assert verdict["http"]["lost"] == verdict["kafka"]["lost"] == 0
