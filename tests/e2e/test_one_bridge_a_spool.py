"""A second bridge on a spool: refused while the first lives, and after it while its messages are there."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from edgefleet.embedded import MosquittoProcess
from tests.chaos.bridge import START_S, BridgeUnderTest
from tests.chaos.publishers import Publishers
from tests.chaos.scenes import bridge_to_http
from tests.chaos.unforgiving import until

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.timeout(300)]

NOBODY = "http://127.0.0.1:9"


def refusal_of(bridge: BridgeUnderTest) -> str:
    """Start it; return what it says as it ends by itself."""
    bridge.start()
    assert bridge.wait_end(START_S) in (1, 2)
    return bridge.last_words()


def test_a_second_bridge_on_a_spool_is_refused(
    mosquitto_factory: Callable[..., MosquittoProcess], tmp_path: Path
) -> None:
    mosquitto, spool = mosquitto_factory(), tmp_path / "spool.db"
    bridges = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        settings = bridge_to_http(mosquitto.url, name, NOBODY, spool)
        bridges.append(BridgeUnderTest(tmp_path / name, settings | {"subscriptions": ["edge/#"]}))
    first, second = bridges
    publishers = Publishers(mosquitto.port, "s", random.Random(1), devices=2, rate=100, at_most=50)
    try:
        first.start()
        first.wait_ready()
        assert f"{spool}: another bridge uses this spool; stop it or set another spool.path" in refusal_of(second)
        publishers.start()
        until(lambda: first.pending() == 50, first.last_words)
        first.kill()
        said = refusal_of(second)
        assert f"{spool}: is the spool of the bridge 'first', with 50 messages to deliver" in said
        # Both left it as it was.
        first.start()
        first.wait_ready()
        assert first.pending() == 50
        assert first.stop() == 0
        (books,) = first.ledger()["sinks"]
        assert (books["received"], books["pending"], books["balanced"]) == (50, 50, True)
    finally:
        publishers.close()
        for bridge in bridges:
            bridge.kill_quietly()
