"""Devices that speak CBOR and MessagePack: every reading is in the store as it was measured, and none is missing."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from bridge.config import BridgeConfig
from devices.fleet.fleet import Fleet
from devices.scenario.scenario import Scenario
from edgefleet.verify import Outcome, RunVerdict, verify_run
from edgewire.config import load_config
from tests.e2e.chain import running_chain
from tests.e2e.test_dialect_verdict import change

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(120)]

NUMBERED = {"topic": "numbered/{id}", "payload": {"t": "temperature_c", "b": "boot", "n": "seq"}}
STATE = {"topic": "state/{id}", "payload": {"t": "temperature_c", "ts": {"from": "timestamp", "as": "epoch_ms"}}}
LISTS = {"topic": "lists/{id}", "payload": {"b": "boot", "r": {"each": {"t": "temperature_c", "n": "seq"}}}}
GROUPS: list[dict[str, Any]] = [
    {"id": "plain-{n}", "site": "plain"},
    {"id": "cbor-{n}", "site": "cbor", "encoding": "cbor"},
    {"id": "msgpack-{n}", "site": "msgpack", "encoding": "msgpack"},
    {"id": "people-{n}", "site": "msgpack", "encoding": "msgpack", "kind": "people"},
    {"id": "numbered-{n}", "encoding": "msgpack", **NUMBERED},
    {"id": "state-{n}", "encoding": "cbor", **STATE},
    {"id": "lists-{n}", "encoding": "cbor", "batch": 5, **LISTS},
]
SUBSCRIPTIONS: list[Any] = [
    *(
        {"filter": f"edge/{name}/+/+/{channel}", "encoding": name}
        for name in ("cbor", "msgpack")
        for channel in ("telemetry", "event")
    ),
    {"filter": "edge/plain/+/+/telemetry"},
    {"filter": "numbered/#", "decode": NUMBERED, "encoding": "msgpack"},
    {"filter": "state/#", "decode": STATE, "encoding": "cbor"},
    {"filter": "lists/#", "decode": LISTS, "encoding": "cbor"},
]


async def test_every_reading_is_in_the_store_whatever_its_encoding(tmp_path: Path) -> None:
    plain = {"kind": "bme280", "count": 2, "interval": "100ms"}
    sites = [{"name": name, "latitude": 48, "longitude": 2} for name in ("plain", "cbor", "msgpack")]
    with running_chain(tmp_path, {"mode": "batch"}, subscriptions=SUBSCRIPTIONS) as chain:
        scenario = Scenario(broker=chain.broker.url, sites=sites, devices=[plain | group for group in GROUPS])  # type: ignore[arg-type]
        record = await Fleet(scenario, name="test").run(2.5, asyncio.Event())
        config = load_config(tmp_path / "bridge.yaml", BridgeConfig)

        def verdict(wait_s: float, bridge: BridgeConfig | None) -> RunVerdict:
            return verify_run(record, ingest=chain.ingest, bridge=bridge, wait_s=wait_s)

        for bridge in (None, config):
            found = await asyncio.to_thread(verdict, 15, bridge)
            assert (found.outcome, found.failures(), found.untold) == (Outcome.PASS, [], [])
            total = found.sinks["http"].total
            assert (total.lost, total.altered, total.unexpected, total.duplicates) == (0, 0, 0, 0)
        assert found.total_sent > 200
        assert record.scenario_sha256
        await asyncio.to_thread(change, chain, "state-9", {"temperature_c": 4711})
        altered = (await asyncio.to_thread(verdict, 0, config)).sinks["http"]
        assert altered.total.altered == 1
        assert orjson.loads(orjson.dumps(record.spoken))["devices"][1]["encoding"] == "cbor"
