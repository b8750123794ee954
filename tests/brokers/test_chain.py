"""A fleet, a bridge that is killed in between, and a store, over every broker."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from edgefleet.embedded import ManagedProcess, edgefleet_process, free_port
from edgewire.mqtt import Subscription, Version
from tests.edgewire.link.wire_client import WireClients
from tests.waiting import eventually

pytestmark = [pytest.mark.brokers, pytest.mark.timeout(240)]

FLEET = {
    "devices": [
        {"kind": "bme280", "count": 10, "interval": "200ms"},
        {"kind": "gps", "count": 5, "interval": "500ms"},
        {"kind": "people", "count": 5, "interval": "1s"},
    ],
    "reconnect": {"base": "200ms", "cap": "1s"},
}
DEVICE = "edge/default/bme280/bme280-0001"


async def test_nothing_is_lost_on_the_way_to_the_store(
    clients: WireClients, url: str, version: Version, tmp_path: Path
) -> None:
    ports = free_port(), free_port()
    ingest_url, admin_url = (f"http://127.0.0.1:{port}" for port in ports)
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump({**FLEET, "broker": url}))
    (tmp_path / "bridge.yaml").write_text(
        yaml.safe_dump(
            {
                "broker": url,
                "spool": {"path": str(tmp_path / "spool.db")},
                "http": {"url": ingest_url},
                "admin": {"port": ports[1]},
            }
        )
    )
    store = f"sqlite:///{tmp_path / 'ingest.db'}"
    ingest = edgefleet_process(
        "ingest", "ingest", "--port", str(ports[0]), "--store", store, url=f"{ingest_url}/readyz"
    )
    bridge = edgefleet_process("bridge", "bridge", "run", tmp_path / "bridge.yaml", url=f"{admin_url}/readyz")
    with ingest, bridge:
        run = asyncio.create_task(edgefleet(tmp_path, "run", "fleet.yaml", "--duration", "8s", "--record", "run"))
        try:
            await asyncio.gather(
                asyncio.to_thread(kill_and_restart, bridge), command_is_answered(clients, url, version)
            )
        finally:
            code, output = await run
        assert code == 0, output
        code, output = await edgefleet(tmp_path, "verify", "run", "--ingest", ingest_url, "--wait", "60s")
    assert code == 0, output
    assert "PASS" in output


def kill_and_restart(bridge: ManagedProcess) -> None:
    bridge.kill()
    bridge.start()


async def command_is_answered(clients: WireClients, url: str, version: Version) -> None:
    """As `mosquitto_pub` does it, as often as it takes until the device is there."""
    ours = clients(url, version)
    await ours.connect()
    await ours.subscribe(Subscription(f"{DEVICE}/#", 1))
    await eventually(lambda: any(one.topic == f"{DEVICE}/telemetry" for one in ours.messages), timeout_s=60)
    ours.link.publish(f"{DEVICE}/cmd", json.dumps({"id": "c-1", "action": "identify"}).encode(), qos=1)
    await eventually(lambda: any(one.topic == f"{DEVICE}/result" for one in ours.messages), timeout_s=60)
    answer = next(json.loads(one.payload) for one in ours.messages if one.topic == f"{DEVICE}/result")
    assert (answer["id"], answer["ok"], answer["data"]["kind"]) == ("c-1", True, "bme280")


async def edgefleet(folder: Path, *words: str) -> tuple[int, str]:
    """Run the command; return its exit code and what it prints."""

    def run() -> tuple[int, str]:
        command = [sys.executable, "-m", "edgefleet", *words]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=150, check=False)
        return done.returncode, done.stdout + done.stderr

    return await asyncio.to_thread(run)
