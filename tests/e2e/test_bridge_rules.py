"""`verify --bridge`: what a bridge leaves out on purpose, or reads in its own way, is told apart from what is lost."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from devices.fleet.fleet import Fleet
from devices.scenario.scenario import Scenario
from edgefleet.verify import Outcome, RunVerdict, verify_run
from edgewire.config import load_config
from tests.e2e.chain import Chain, running_chain
from tests.e2e.test_dialect_verdict import Services, change

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(120)]

STATE = {"t": "temperature_c", "rh": "humidity", "ts": {"from": "timestamp", "as": "epoch_ms"}}
NUMBERED = {"topic": "own/{id}", "payload": {"t": "temperature_c", "b": "boot", "n": "seq"}}
GROUPS: list[dict[str, Any]] = [
    {"id": "plug-{n}", "dialect": "tasmota", "timezone": "Europe/Berlin"},
    {"id": "state-{n}", "topic": "plant/{site}/{id}/state", "payload": STATE},
    {"id": "numbered-{n}", **NUMBERED},
    {"id": "native-{n}"},
    {"id": "car-{n}", "kind": "gps"},
]
BRIDGE: dict[str, Any] = {
    "subscriptions": [
        "edge/+/+/+/telemetry",
        {"filter": "tele/#", "decode": "tasmota", "timezone": "Europe/Berlin"},
        # Its time is not read, and its humidity has another name.
        {"filter": "plant/#", "decode": {"topic": "plant/{site}/{id}/state", "payload": {"t": "temperature_c"}}},
        {"filter": "own/#", "decode": NUMBERED},
    ],
    "routes": [
        {"topic": "tele/plug-2/#", "drop": True},
        {"topic": "own/numbered-7", "drop": True},
        {"topic": "edge/+/gps/#", "kafka": {"topic": "gps_positions"}},
        {"topic": "edge/+/bme280/+/telemetry", "sample": "1/2 by message", "http": {}},
        {"topic": "#", "http": {}, "kafka": {"topic": "device_readings"}},
    ],
}


async def test_what_is_dropped_sampled_or_read_otherwise_is_not_lost(kafka: str, tmp_path: Path) -> None:
    plain = {"kind": "bme280", "count": 3, "interval": "100ms"}
    with running_chain(tmp_path, {"mode": "batch"}, kafka={"bootstrap_servers": kafka}, **BRIDGE) as chain:
        scenario = Scenario(broker=chain.broker.url, devices=[plain | group for group in GROUPS])
        record = await Fleet(scenario, name="test").run(2.2, asyncio.Event())
        await asyncio.to_thread(record.save, tmp_path / "run")
        await asyncio.to_thread(look, chain, kafka, tmp_path, record)


def look(chain: Chain, kafka: str, folder: Path, record: Any) -> None:
    from bridge.config import BridgeConfig

    config = load_config(folder / "bridge.yaml", BridgeConfig)

    def verdict(wait_s: float = 0, **changes: Any) -> RunVerdict:
        own = config.model_copy(update=changes) if changes else config
        return verify_run(record, ingest=chain.ingest, bridge=own, wait_s=wait_s)

    found = verdict(15)
    assert (found.outcome, found.failures(), found.untold) == (Outcome.PASS, [], [])
    note = found.sinks["http"].note
    dropped = "route 'tele/plug-2/#': drop", "route 'own/numbered-7': drop"
    for rule in (*dropped, "route 'edge/+/gps/#' does not lead to http"):
        assert f"left out by the bridge's rule: {rule}" in note
    assert "left out by the bridge's rule: sample 0.5 by message" in note
    total = found.sinks["http"].total
    assert (total.unexpected, total.altered, total.duplicates) == (0, 0, 0)
    assert 0 < total.sent < found.total_sent

    both = verify_run(record, ingest=chain.ingest, kafka=kafka, bridge=config, wait_s=15)
    assert (both.outcome, both.failures(), both.untold) == (Outcome.PASS, [], [])
    in_kafka = both.sinks["kafka"]
    assert (in_kafka.total.unexpected, in_kafka.total.altered) == (0, 0)
    assert in_kafka.per_kind["gps"].stored == in_kafka.per_kind["gps"].sent > 0
    for rule in (*dropped, "route 'edge/+/bme280/+/telemetry' does not lead to kafka"):
        assert f"left out by the bridge's rule: {rule}" in in_kafka.note
    assert verify_run(record, kafka=kafka).outcome is Outcome.FAIL

    # The same bridge is not held for another one: without its rules all this is missing, or altered.
    assert verify_run(record, ingest=chain.ingest).outcome is Outcome.FAIL
    without = verdict(routes=(config.routes[-1],))
    assert without.outcome is Outcome.FAIL
    doubtful = verdict(subscriptions=config.subscriptions[:3])
    assert doubtful.outcome is Outcome.INCOMPLETE
    assert "are on topics to which the bridge does not subscribe: whether they arrived is not compared" in str(
        doubtful.untold
    )

    store = Services("", "", chain.store)
    for device in ("plug-1", "state-4", "numbered-8"):
        change(store, device, None)
    change(store, "state-5", {"temperature_c": 77})
    lost = verdict()
    assert lost.outcome is Outcome.FAIL
    assert (lost.sinks["http"].total.lost, lost.sinks["http"].total.altered) == (3, 1)
    assert lost.sinks["http"].timing.missing_by_device == {"plug-1": 1, "state-4": 1, "numbered-8": 1}

    command = ["verify", folder / "run", "--ingest", chain.ingest, "--bridge", folder / "bridge.yaml", "--wait", "0s"]
    done = subprocess.run(
        [sys.executable, "-m", "edgefleet", *command, "--json"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["verdict"] == "FAIL"
