"""What `verify` says of fleets whose clock is wrong, or whose broker refuses messages, on real services."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import yaml

from devices.fleet.fleet import Fleet
from devices.scenario.scenario import Scenario
from edgefleet.embedded import MosquittoProcess, edgefleet_process, free_port
from edgefleet.verify import Outcome, RunVerdict, verify_run
from edgewire.clock import SystemClock
from edgewire.errors import ServiceUnavailable
from edgewire.run_record import RunRecord
from tests.services.fixtures import unavailable

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(120)]

ACL = "topic write edge/+/bme280/#\ntopic write edge/+/gps/+/status\ntopic read #\n"
RUN_S = 2.6
"""Of a shorter run it cannot be told whether all arrived equally late."""


class WrongClock(SystemClock):
    """Tells the time of the day so many milliseconds ahead."""

    def __init__(self, ahead_ms: int) -> None:
        self._ahead_ms = ahead_ms

    def now_ms(self) -> int:
        return super().now_ms() + self._ahead_ms


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A broker that takes nothing of gps units, and an ingest that a bridge feeds from it: the URLs of both."""
    folder = tmp_path_factory.mktemp("verdict")
    acl = folder / "acl"
    acl.write_text(ACL)
    acl.chmod(0o644)
    with ExitStack() as stack:
        try:
            broker = stack.enter_context(MosquittoProcess(options={"acl_file": str(acl)}))
        except ServiceUnavailable as error:
            unavailable(str(error))
        ports = free_port(), free_port()
        ingest, admin = (f"http://127.0.0.1:{port}" for port in ports)
        store = f"sqlite:///{folder / 'ingest.db'}"
        command = ("ingest", "--port", str(ports[0]), "--store", store)
        stack.enter_context(edgefleet_process("ingest", *command, url=f"{ingest}/readyz"))
        config = folder / "bridge.yaml"
        spool, http = {"path": str(folder / "spool.db")}, {"url": ingest, "mode": "batch"}
        config.write_text(
            yaml.safe_dump({"broker": broker.url, "spool": spool, "http": http, "admin": {"port": ports[1]}})
        )
        stack.enter_context(edgefleet_process("bridge", "bridge", "run", config, url=f"{admin}/readyz"))
        yield broker.url, ingest


def group(kind: str, name: str) -> dict[str, Any]:
    return {"kind": kind, "count": 3, "interval": "100ms", "id": name + "-{n}"}


async def run(broker: str, groups: list[dict[str, Any]], ahead_ms: int = 0, from_ms: int | None = None) -> RunRecord:
    fleet = Fleet(Scenario(broker=broker, devices=groups), name="test", clock=WrongClock(ahead_ms), from_ms=from_ms)
    return await fleet.run(RUN_S, asyncio.Event())


def verdict(record: RunRecord, ingest: str, wait_s: float = 10) -> RunVerdict:
    return verify_run(record, ingest=ingest, wait_s=wait_s)


async def test_a_clock_that_is_half_a_minute_wrong_is_told_instead_of_latencies(services: tuple[str, str]) -> None:
    broker, ingest = services
    ahead, behind, again = await asyncio.gather(
        run(broker, [group("bme280", "ahead")], 30_000),
        run(broker, [group("bme280", "behind")], -30_000),
        run(broker, [group("bme280", "again")], 30_000, from_ms=1_900_000_000_000),
    )
    for record, differs_ms in ((ahead, -30_000), (behind, 30_000)):
        found = await asyncio.to_thread(verdict, record, ingest)
        assert (found.outcome, found.total_sent) == (Outcome.PASS, record.totals["emitted"]), "its ids are its own"
        sink = found.sinks["http"]
        assert sink.clocks_differ_ms == pytest.approx(differs_ms, abs=1_500)
        assert (sink.total.latency, sink.total.late) == (None, None)
    # Of a run with --from the ids come again, and whether it was this one's is known by the time alone.
    found = await asyncio.to_thread(verdict, again, ingest, 0)
    assert (found.outcome, found.failures()) == (Outcome.INCOMPLETE, [])
    assert "they are of an earlier run of the same ids, or the clocks differ" in found.untold[0].lower()


async def test_what_the_broker_refused_fails_and_is_no_loss(services: tuple[str, str]) -> None:
    broker, ingest = services
    record = await run(broker, [group("bme280", "taken"), group("gps", "refused")])
    found = await asyncio.to_thread(verdict, record, ingest)
    assert found.outcome is Outcome.FAIL
    gps, bme280 = (found.sinks["http"].per_kind[kind] for kind in ("gps", "bme280"))
    assert (gps.stored, gps.lost, bme280.refused, bme280.lost) == (0, 0, 0, 0)
    assert gps.refused == record.totals["refused"] > 0
    assert bme280.stored == record.totals["acknowledged"] > 0
    assert found.failures() == [
        f"http: the broker refused {gps.refused}: {gps.refused} not authorized (0x87)",
    ]
