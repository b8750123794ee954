"""A broker's certificate ends in a run: who is connected stays so, the next connection is refused and says why."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from devices.fleet.fleet import Fleet
from devices.scenario.scenario import Scenario
from edgefleet.embedded import MosquittoProcess, free_port
from edgefleet.provision.authority import Authority
from tests.bridge.fakes import ingest_stub
from tests.bridge.live import staged
from tests.devices.fleet.observer import conduct
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.long]

ENDED = "its certificate is not valid now (certificate has expired): renew it, or set the clock"


def make_certificate(folder: Path, end: datetime) -> None:
    made = end - timedelta(days=1)
    (folder / "broker.pem").write_bytes(Authority.open(folder, made).issue_server(["127.0.0.1"], made, 1))


async def test_nothing_is_lost_while_a_certificate_is_not_renewed(
    mosquitto_factory: Callable[..., MosquittoProcess], tmp_path: Path
) -> None:
    end = datetime.now(UTC) + timedelta(seconds=6)
    make_certificate(tmp_path, end)
    plain, secure = free_port(), free_port()
    pem = tmp_path / "broker.pem"
    options = {
        "listener": f"{plain} 127.0.0.1\nlistener {secure} 127.0.0.1\ncertfile {pem}\nkeyfile {pem}",
        # What waits for the bridge outlives a restart.
        "persistence": "true",
        "persistence_location": f"{tmp_path}/",
    }
    url, ca = f"mqtts://127.0.0.1:{secure}", str(tmp_path / "ca.crt")
    group = {"kind": "bme280", "count": 3, "interval": "100ms"}
    retry = {"reconnect": {"base": "100ms", "cap": "300ms"}}
    scenario = Scenario.model_validate({"broker": url, "ca_file": ca, "devices": [group], **retry})
    with MosquittoProcess(port=plain, options=options) as broker:
        async with ingest_stub() as ingest:

            async def script(fleet: Fleet) -> None:
                await eventually(lambda: len(set(ingest.stored)) > 10, "readings")
                await eventually(lambda: datetime.now(UTC) > end + timedelta(seconds=1), "the end of the certificate")
                at_end = len(set(ingest.stored))
                await eventually(lambda: len(set(ingest.stored)) > at_end + 10, "readings of those who are connected")
                await asyncio.to_thread(broker.restart)
                await eventually(lambda: any(ENDED in said for said in stage.bridge.readiness().reasons), ENDED)
                await eventually(lambda: fleet.snapshot().incidents.connects_failed[ENDED] > 3, "the fleet's own count")
                make_certificate(tmp_path, datetime.now(UTC) + timedelta(hours=1))
                await asyncio.to_thread(broker.restart)
                await eventually(lambda: all(one.is_online for one in fleet.clients), "the fleet")
                await stage.ready()

            edge = ["edge/+/+/+/telemetry"]
            async with staged(url, tmp_path, ingest, mqtt={"ca_file": ca}, subscriptions=edge, client_id="b") as stage:
                record = await conduct(scenario, script)
                await eventually(lambda: len(set(ingest.stored)) == record.totals["emitted"], "all readings")
    assert record.totals["acknowledged"] == record.totals["emitted"]
    assert record.problems == {}
