"""A PostgreSQL behind the ingest is killed under load: nothing is lost or there twice, and its counts are right."""

import random
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from edgefleet.embedded import MosquittoProcess, edgefleet_process, free_port
from edgewire.errors import ServiceUnavailable
from tests.chaos.bridge import BridgeUnderTest
from tests.chaos.publishers import Publishers
from tests.chaos.scenes import bridge_to_http
from tests.chaos.unforgiving import until
from tests.services.fixtures import unavailable
from tests.services.postgres import PostgresProcess

pytestmark = [pytest.mark.long, pytest.mark.services, pytest.mark.e2e, pytest.mark.timeout(600)]

KILLS = 3
_PATIENCE_S = 120.0


def stored(postgres: PostgresProcess) -> list[str]:
    """Return the ids of all rows."""
    with psycopg.connect(postgres.url) as connection:
        rows = connection.execute("SELECT device_id, boot, seq FROM ingest_messages").fetchall()
    return [f"{device}:{boot}:{seq}" for device, boot, seq in rows]


def grown(count: Callable[[], int], more: int) -> None:
    """Wait until there are so many more."""
    least = count() + more
    until(lambda: count() >= least, count, _PATIENCE_S)


def test_a_postmaster_that_is_killed_costs_nothing(
    mosquitto_factory: Callable[..., MosquittoProcess], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        try:
            # Whoever is killed leaves the kernel's cache behind; a machine that loses its power would not.
            postgres = stack.enter_context(PostgresProcess())
        except ServiceUnavailable as error:
            unavailable(str(error))
        port = free_port()
        ingest_url = f"http://127.0.0.1:{port}"
        serve = ("ingest", "--port", str(port), "--store", postgres.url)
        stack.enter_context(edgefleet_process("ingest", *serve, url=f"{ingest_url}/readyz"))
        mosquitto = mosquitto_factory()
        site = f"p{secrets.token_hex(5)}"
        retry = {"base": "50ms", "cap": "300ms", "pause": "300ms"}
        settings = bridge_to_http(mosquitto.url, site, ingest_url, tmp_path / "spool.db", retry=retry)
        bridge = BridgeUnderTest(tmp_path, settings)
        stack.callback(bridge.kill_quietly)
        bridge.start()
        bridge.wait_ready()
        publishers = Publishers(mosquitto.port, site, random.Random(1), devices=8, rate=300, at_most=6000)
        stack.callback(publishers.close)
        publishers.start()
        for _ in range(KILLS):
            grown(lambda: len(stored(postgres)), 50)
            postgres.kill_postmaster()
            grown(lambda: publishers.count, 200)
            assert (bridge.pending() or 0) > 0
            postgres.recover(_PATIENCE_S)
        publishers.finish(at_least=0, timeout_s=60)
        until(lambda: bridge.pending() == 0, bridge.last_words, _PATIENCE_S)
        assert bridge.stop() == 0

        rows = stored(postgres)
        published = publishers.published()
        assert published.acknowledged <= set(rows)
        assert len(rows) == len(set(rows))
        assert set(rows) <= set(published.payloads)
        with psycopg.connect(postgres.url) as connection:
            counted = connection.execute("SELECT sum(stored), sum(rejected) FROM ingest_counts").fetchone()
        assert counted == (len(rows), 0)
        (books,) = bridge.ledger()["sinks"]
        assert books["balanced"]
        assert (books["pending"], books["dead_lettered"]) == (0, 0)
        assert books["delivered"] >= len(rows)
