"""While a sink is away the backlog is on disk: the bridge's memory hardly grows, however much waits."""

import random
import secrets
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from edgefleet.embedded import MosquittoProcess
from tests.chaos.bridge import BridgeUnderTest
from tests.chaos.publishers import Publishers
from tests.chaos.scenes import bridge_to_http
from tests.chaos.unforgiving import until

pytestmark = [pytest.mark.long, pytest.mark.services, pytest.mark.e2e, pytest.mark.timeout(600)]

EARLY, LATE = 15_000, 60_000
MOST_BYTES_A_MESSAGE = 200
"""Of further memory: some 6 were measured. Its payload alone has about 200."""


def test_what_waits_is_on_disk_and_not_in_memory(
    mosquitto_factory: Callable[..., MosquittoProcess], tmp_path: Path
) -> None:
    mosquitto = mosquitto_factory()
    site = f"m{secrets.token_hex(5)}"
    nobody = "http://127.0.0.1:9"
    bridge = BridgeUnderTest(tmp_path, bridge_to_http(mosquitto.url, site, nobody, tmp_path / "spool.db"))
    publishers = Publishers(mosquitto.port, site, random.Random(1), devices=8, rate=3000, at_most=LATE)
    try:
        bridge.start()
        bridge.wait_ready()
        process = psutil.Process(bridge.pid)
        publishers.start()
        taken = []
        for pending in (EARLY, LATE):
            until(lambda pending=pending: (bridge.pending() or 0) >= pending, bridge.last_words, 250)  # type: ignore[misc]
            taken.append(process.memory_info().rss)
        assert taken[1] - taken[0] < MOST_BYTES_A_MESSAGE * (LATE - EARLY)
        assert bridge.stop() == 0
        (books,) = bridge.ledger()["sinks"]
        assert books["balanced"]
        assert books["pending"] >= LATE
    finally:
        publishers.close()
        bridge.kill_quietly()
