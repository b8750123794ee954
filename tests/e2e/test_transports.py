"""A fleet, the bridge and the commands over WebSockets and UNIX sockets of a real Mosquitto: nothing is lost."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from edgefleet.embedded import MosquittoProcess, edgefleet_process, free_port
from edgefleet.verify import Outcome, verify_run
from edgewire.errors import ServiceUnavailable
from edgewire.run_record import RunRecord
from tests.services.fixtures import unavailable

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(120)]


class Reached(NamedTuple):
    """One Mosquitto by two transports, and an ingest."""

    urls: dict[str, str]
    ingest: str


@pytest.fixture(scope="module")
def reached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reached]:
    folder = tmp_path_factory.mktemp("transports")
    plain, web, http = (free_port() for _ in range(3))
    # `socket_domain`: Debian's 2.0.11 tries IPv6 for WebSockets otherwise.
    listeners = (
        f"{plain} 127.0.0.1\nlistener {web} 127.0.0.1\nsocket_domain ipv4\nprotocol websockets\n"
        f"listener 0 {folder}/m.sock"
    )
    try:
        broker = MosquittoProcess(port=plain, options={"listener": listeners})
    except ServiceUnavailable as error:
        unavailable(str(error))
    command = ("ingest", "--port", str(http), "--store", f"sqlite:///{folder}/ingest.db")
    with broker, edgefleet_process("ingest", *command, url=f"http://127.0.0.1:{http}/readyz"):
        yield Reached(
            {"ws": f"ws://127.0.0.1:{web}/mqtt", "unix": f"unix://{folder}/m.sock"}, f"http://127.0.0.1:{http}"
        )


def edgefleet(*arguments: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "edgefleet", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("transport", ["ws", pytest.param("unix", marks=pytest.mark.long)])
def test_all_that_a_fleet_says_arrives_over(transport: str, reached: Reached, tmp_path: Path) -> None:
    url, admin = reached.urls[transport], free_port()
    config, scenario = tmp_path / "bridge.yaml", tmp_path / "fleet.yaml"
    settings = {
        "broker": url,
        "client_id": f"bridge-{transport}",
        "spool": {"path": str(tmp_path / "spool.db")},
        "http": {"url": reached.ingest, "mode": "batch"},
        "admin": {"port": admin},
    }
    config.write_text(yaml.safe_dump(settings))
    scenario.write_text(
        yaml.safe_dump({"broker": url, "devices": [{"kind": "bme280", "count": 20, "interval": "250ms"}]})
    )
    assert json.loads(edgefleet("bridge", "check", config, "--json"))["broker"]["ok"]
    assert json.loads(edgefleet("doctor", scenario, "--json", "--wait", "5s"))["ok"]
    with edgefleet_process("bridge", "bridge", "run", config, url=f"http://127.0.0.1:{admin}/readyz"):
        edgefleet("run", scenario, "--duration", "2s", "--record", tmp_path / "run", "--no-check")
        record = RunRecord.load(tmp_path / "run")
        found = verify_run(record, ingest=reached.ingest, wait_s=20)
    assert (found.outcome, record.totals["emitted"]) == (Outcome.PASS, 160), found.failures()
    # Their statuses are retained: a tail shows them, and forget clears them.
    shown = edgefleet("watch", "edge/+/+/+/status", "--broker", url, "--count", "20", "--json").splitlines()
    assert {json.loads(line)["payload"]["state"] for line in shown} == {"offline"}
    assert json.loads(edgefleet("forget", scenario, "--json"))["cleared"] == 20
