"""A Mosquitto that is killed forgets what it had acknowledged: each message of it is named, and nothing else."""

import os
import random
import re
import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgefleet.embedded import MosquittoProcess
from tests.chaos.bridge import BridgeUnderTest
from tests.chaos.publishers import Publishers, topics
from tests.chaos.records import lines_in
from tests.chaos.unforgiving import until

pytestmark = [pytest.mark.chaos, pytest.mark.services, pytest.mark.e2e, pytest.mark.timeout(300)]


class Scene:
    """A Mosquitto, a bridge into files behind it, and publishers that go on."""

    def __init__(self, mosquitto: MosquittoProcess, folder: Path) -> None:
        self.mosquitto = mosquitto
        site = f"k{secrets.token_hex(5)}"
        self.files = folder / "files"
        settings: dict[str, Any] = {
            "broker": mosquitto.url,
            "client_id": site,
            "subscriptions": list(topics(site)),
            "mqtt": {"receive_maximum": 20},
            "spool": {"path": str(folder / "spool.db")},
            "file": {"folder": str(self.files)},
            "watch": {"grace": "3s", "broker_statistics": False},
            "routes": [{"topic": "edge/#", "file": "all.jsonl"}],
        }
        self.bridge = BridgeUnderTest(folder, settings)
        self.bridge.start()
        self.bridge.wait_ready()
        self.publishers = Publishers(mosquitto.port, site, random.Random(1), devices=8, rate=400, at_most=3000)

    def arrived(self) -> set[str]:
        return {line.id for line in lines_in(self.files)}

    def lost(self) -> set[str]:
        return set(self.publishers.published().acknowledged) - self.arrived()

    def named(self) -> set[str]:
        """Ids that the bridge has called missing."""
        found = re.findall(r'"([\w-]+) boot (\d+) seq (\d+)-(\d+)"', self.bridge.words())
        return {
            f"{device}:{boot}:{seq}" for device, boot, first, last in found for seq in range(int(first), int(last) + 1)
        }

    def close(self) -> None:
        self.publishers.close()
        self.bridge.kill_quietly()


@pytest.fixture
def scene(
    request: pytest.FixtureRequest, mosquitto_factory: Callable[..., MosquittoProcess], tmp_path: Path
) -> Iterator[Scene]:
    scene = Scene(mosquitto_factory(options=request.param), tmp_path)
    try:
        yield scene
    finally:
        scene.close()


@pytest.mark.parametrize(
    ("scene", "least"),
    [({"persistence": "false"}, 100), ({"autosave_on_changes": "true", "autosave_interval": "100"}, 0)],
    ids=["without persistence", "with persistence"],
    indirect=["scene"],
)
def test_what_a_killed_mosquitto_forgets_is_named_by_device_and_number(scene: Scene, least: int) -> None:
    publishers, mosquitto = scene.publishers, scene.mosquitto
    publishers.start()
    until(lambda: len(scene.arrived()) >= 200, scene.bridge.last_words)
    os.kill(scene.bridge.pid, signal.SIGSTOP)  # so that the broker has something to forget
    before = publishers.count
    until(lambda: publishers.count >= before + 400, lambda: publishers.count)
    mosquitto.kill()
    mosquitto.start()
    os.kill(scene.bridge.pid, signal.SIGCONT)
    publishers.finish(at_least=publishers.count + 600, timeout_s=60)
    until(lambda: scene.named() >= scene.lost(), lambda: sorted(scene.lost() - scene.named())[:5])
    lost = scene.lost()
    assert len(lost) >= least
    # One that was never acknowledged is missing as well, where its publisher was not asked again.
    assert scene.named() - lost <= set(publishers.published().payloads) - publishers.published().acknowledged
    assert scene.bridge.stop() == 0
