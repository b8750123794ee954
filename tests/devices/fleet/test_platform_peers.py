"""Fleets at platforms that enforce their limits: nothing is cut off, commands are answered, tokens are renewed."""

import asyncio
import base64
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from devices.fleet import shutdown
from devices.fleet.fault_state import LinkFaultState
from devices.fleet.fleet import Fleet
from devices.scenario.scenario import Scenario
from edgewire.run_record import RunRecord
from tests.devices.fleet.observer import conduct
from tests.devices.fleet.platform_peers import AwsIotPeer, AzureIotPeer, Peer, ThingsBoardPeer, serving
from tests.waiting import eventually

pytestmark = pytest.mark.slow

IDS = ["pump-1", "pump-2"]
KEYS = {name: base64.b64encode(name.encode() * 5).decode() for name in IDS}
TOKENS = {"t0ken-of-pump-1": "pump-1", "t0ken-of-pump-2": "pump-2"}
OWN = {"payload": {"t": "temperature_c"}}


def scenario_of(url: object, group: dict[str, Any], **keys: Any) -> Scenario:
    content = {"kind": "bme280", "interval": "100ms", **group}
    named = content if "identities" in content or "gateway" in content else {"ids": IDS, **content}
    return Scenario.model_validate({"broker": str(url), "devices": [named], "allow_plain_password": True, **keys})


def table(path: Path, column: str, values: dict[str, str]) -> Path:
    path.write_text(f"id,{column}\n" + "".join(f"{name},{value}\n" for name, value in values.items()))
    return path


async def after_readings(peer: Peer, count: int = 10) -> None:
    await eventually(lambda: len(peer.published) > count, "readings")


def assert_all_is_well(record: RunRecord, peer: Peer) -> None:
    assert (peer.cuts, peer.refused) == ({}, 0)
    totals = record.totals
    assert totals["acknowledged"] == totals["emitted"] > 0
    assert record.problems == {}


async def test_thingsboard_knows_devices_by_their_tokens_and_rpcs_are_answered(tmp_path: Path) -> None:
    peer = ThingsBoardPeer(TOKENS)
    identities = table(tmp_path / "tokens.csv", "username", {name: token for token, name in TOKENS.items()})
    async with serving(peer) as broker:

        async def script(_: Fleet) -> None:
            await after_readings(peer)
            peer.push("pump-2", "v1/devices/me/rpc/request/7", {"method": "identify"})
            peer.push("pump-1", "v1/devices/me/attributes", {"interval_s": 0.2})
            await eventually(lambda: peer.bodies(r"v1/devices/me/rpc/response/7"), "the answer")
            await eventually(lambda: {"active_interval_s": 0.2} in peer.bodies("v1/devices/me/attributes"), "it is set")

        group = {"dialect": "thingsboard", "identities": str(identities)}
        record = await conduct(scenario_of(broker.url, group), script)
    assert_all_is_well(record, peer)
    (answer,) = peer.bodies(r"v1/devices/me/rpc/response/7")
    assert (answer["ok"], answer["kind"]) == (True, "bme280")
    assert {client for client, topic, _ in peer.published if topic.endswith("telemetry")} == {*IDS}


async def test_a_gateway_at_thingsboard_connects_its_devices_and_gives_each_what_is_for_it() -> None:
    peer = ThingsBoardPeer({"gateway-t0ken": "gateway"})
    async with serving(peer) as broker:

        async def script(_: Fleet) -> None:
            await after_readings(peer)
            for device, number in (("bme280-0002", 3), ("bme280-0009", 4)):
                asked = {"device": device, "data": {"id": number, "method": "identify", "params": {}}}
                peer.push("gateway-0001", "v1/gateway/rpc", asked)
            await eventually(lambda: peer.bodies("v1/gateway/rpc"), "the answer")

        url = f"mqtt://gateway-t0ken@{broker.url.host}:{broker.url.port}"
        group = {"dialect": "thingsboard", "count": 3, "gateway": {"count": 1}}
        record = await conduct(scenario_of(url, group), script)
    assert_all_is_well(record, peer)
    assert [(one["device"], one["id"]) for one in peer.bodies("v1/gateway/rpc")] == [("bme280-0002", 3)]
    names = [f"bme280-000{number}" for number in (1, 2, 3)]
    for what in ("connect", "disconnect"):
        assert sorted(one["device"] for one in peer.bodies(f"v1/gateway/{what}")) == names


async def test_a_thing_ends_at_the_newest_that_is_desired_whatever_conflicts_come() -> None:
    peer = AwsIotPeer()
    async with serving(peer) as broker:

        async def script(_: Fleet) -> None:
            await after_readings(peer)
            for seconds in (0.3, 0.4):
                peer.desire("pump-1", {"settings": {"interval_s": seconds}})
            # Another change, of which the thing has heard nothing yet as it reports the one before.
            peer.desire("pump-1", {"settings": {"interval_s": 0.2}}, tell=False)
            await eventually(lambda: not peer.shadows["pump-1"].delta, "the thing to be as it is desired")
            peer.desire("pump-2", {"settings": {"interval_s": "soon"}})
            await eventually(lambda: "error" in peer.shadows["pump-2"].reported.get("settings", {}), "the refusal")

        record = await conduct(scenario_of(broker.url, {"dialect": "aws-iot"}), script)
    assert_all_is_well(record, peer)
    assert peer.rejected[409] >= 1
    assert peer.shadows["pump-1"].reported["settings"] == {"interval_s": 0.2}
    assert peer.shadows["pump-2"].delta == {}
    assert peer.shadows["pump-2"].reported["device"]["kind"] == "bme280"


async def test_what_has_waited_leaves_no_quicker_than_aws_iot_takes_it() -> None:
    peer = AwsIotPeer()
    async with serving(peer) as broker:

        async def script(fleet: Fleet) -> None:
            await after_readings(peer)
            (client,) = fleet.clients
            client.link_faults = LinkFaultState()
            client.link_faults.drop_count = 1
            client.drop_connection()
            await eventually(lambda: len(client.firmware.outbox) > 130, "readings to wait")
            client.link_faults = None
            client.request_reconnect()
            await eventually(lambda: client.is_idle, "all to have left")

        group = {"dialect": "aws-iot", "ids": ["pump-1"], "interval": "25ms"}
        record = await conduct(scenario_of(broker.url, group, reconnect={"base": "100ms", "cap": "200ms"}), script)
    assert_all_is_well(record, peer)


@pytest.mark.parametrize(
    ("group", "keys", "reason"),
    [
        ({"topic": "plant/{id}", "qos": 2, **OWN}, {}, "QoS 2"),
        ({"topic": "a/b/c/d/e/f/g/h/{id}", **OWN}, {}, "topic"),
        ({"topic": "plant/{id}", "pad_to": 140_000, **OWN}, {}, "too large"),
        ({"topic": "plant/{id}", **OWN}, {"keep_alive": "20s"}, "keep alive"),
    ],
)
async def test_who_goes_beyond_a_limit_is_cut_off_and_the_run_says_so(
    group: dict[str, Any], keys: dict[str, Any], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutdown, "GRACE_S", 0.5)
    peer = AwsIotPeer()
    async with serving(peer) as broker:
        scenario = scenario_of(broker.url, group, **keys)
        stop = asyncio.Event()
        fleet = Fleet(scenario, name="test")
        running = asyncio.create_task(fleet.run(100, stop))
        await eventually(lambda: peer.cuts[reason] >= 2, "both to be cut off")
        await eventually(lambda: fleet.snapshot().emitted > 0, "readings")
        stop.set()
        record = await running
    assert set(peer.cuts) == {reason}
    totals = record.totals
    assert totals["acknowledged"] < totals["emitted"]
    assert record.problems


async def test_tokens_of_a_hub_are_renewed_before_they_end_and_nothing_is_lost_or_said_twice(tmp_path: Path) -> None:
    peer = AzureIotPeer(KEYS)
    identities = table(tmp_path / "keys.csv", "sas_key", KEYS)
    async with serving(peer) as broker:

        async def script(fleet: Fleet) -> None:
            await after_readings(peer)
            peer.push("pump-2", "$iothub/methods/POST/identify/?$rid=1a", {})
            peer.desire("pump-1", {"interval_s": 0.2})
            await eventually(lambda: peer.twins["pump-1"].reported.get("interval_s"), "the acknowledgement")
            await eventually(lambda: all(broker.dials[name] >= 3 for name in IDS), "another token, and another")
            # It has lost nothing that it would have to make up for.
            assert [client.reconnects for client in fleet.clients] == [0, 0]

        dialect = {"dialect": "azure-iot", "token_lifetime": "5s"}
        record = await conduct(scenario_of(broker.url, {"dialect": dialect, "identities": str(identities)}), script)
    for one in peer.ends:
        one.cancel()
    assert_all_is_well(record, peer)
    assert peer.twins["pump-1"].reported["interval_s"] == {"value": 0.2, "ac": 200, "av": 2}
    (answer,) = peer.bodies(r"\$iothub/methods/res/200/\?\$rid=1a")
    assert answer["ok"]
    readings = [(client, payload) for client, topic, payload in peer.published if topic.startswith("devices/")]
    assert len(readings) == len(set(readings)) == record.totals["emitted"]


@pytest.mark.parametrize("platform", ["azure-iot", "thingsboard"])
async def test_no_key_and_no_token_is_in_what_a_run_says_or_keeps(tmp_path: Path, platform: str) -> None:
    is_hub = platform == "azure-iot"
    wrong = base64.b64encode(b"another key that the hub does not know").decode()
    secrets = (
        {"pump-1": KEYS["pump-1"], "pump-2": wrong} if is_hub else {"pump-1": "t0ken-of-pump-1", "pump-2": "t0ken-x"}
    )
    peer = AzureIotPeer(KEYS) if is_hub else ThingsBoardPeer(TOKENS)
    identities = table(tmp_path / "secrets.csv", "sas_key" if is_hub else "username", secrets)
    async with serving(peer) as broker:
        device = {"kind": "bme280", "interval": "100ms", "dialect": platform, "identities": str(identities)}
        scenario = tmp_path / "fleet.yaml"
        content = {"broker": str(broker.url), "allow_plain_password": True, "devices": [device]}
        scenario.write_text(yaml.safe_dump(content))
        words = ("run", str(scenario), "--duration", "1s", "--record", str(tmp_path / "run"), "--json")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "edgefleet", *words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(60):
            said = b"".join(await process.communicate())
    assert peer.refused >= 1
    assert process.returncode == 1, said.decode()
    files = [path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert files, said.decode()
    for text in (said, *files):
        for secret in (*secrets.values(), "SharedAccessSignature", "sig="):
            assert secret.encode() not in text
    assert b"pump-2" in said + b"".join(files)
    assert orjson.loads((tmp_path / "run" / "run.json").read_bytes())
