"""One script does all that can be done to a run, of one process and of four workers: nothing is lost, all is told."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import paho.mqtt.client as mqtt
import pytest
import yaml

from devices.scenario.devices import expand_devices
from devices.scenario.scenario import Scenario
from edgefleet.control.address import find_address
from edgefleet.control.client import ControlClient
from edgefleet.embedded import free_port
from edgefleet.verify import Outcome, verify_run
from edgewire.run_record import BY_REQUEST, RunRecord, describe_actions
from tests.edgefleet.control.behind import bridge_behind
from tests.edgefleet.control.script import (
    ACTIONS,
    BRIDGE_ACTIONS,
    OUTAGE_MS,
    REFUSED,
    SCENARIO,
    STUCK_DEVICES,
    do_everything,
    until,
)

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(300)]

TOKEN = "a-token-of-a-run-0123"
NAMES = [*ACTIONS, *BRIDGE_ACTIONS, "broker_outage", "bridge_drain", "stop"]


class Store:
    """Keeps what comes out of the broker, in a session that outlives outages."""

    def __init__(self, url: str) -> None:
        self.rows: list[bytes] = []
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="store", clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe([("edge/+/+/+/telemetry", 1)])
        self._client.on_message = lambda _client, _data, message: self.rows.append(message.payload)
        host, _, port = url.removeprefix("mqtt://").rpartition(":")
        self._client.connect(host, int(port))
        self._client.loop_start()

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.yaml"
    path.write_text(yaml.safe_dump(SCENARIO))
    return path


@pytest.fixture
def admin_port() -> int:
    """That of the bridge, which comes after the run."""
    return free_port()


@pytest.fixture(
    params=[pytest.param("1", id="one process"), pytest.param("4", id="four workers", marks=pytest.mark.long)]
)
def run(
    request: pytest.FixtureRequest, tmp_path: Path, scenario: Path, admin_port: int
) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "edgefleet", "run", scenario, "--broker", "embedded", "--control", "0"]
    command += [
        "--bridge",
        f"http://127.0.0.1:{admin_port}",
        "--workers",
        request.param,
        "--record",
        tmp_path / "run",
        "--json",
        "--log-level",
        "error",
    ]
    environment = os.environ | {"EDGEFLEET_CONTROL_TOKEN": TOKEN}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        yield process
        process.kill()


def ctl(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgefleet", "ctl", *words, "--fleet", str(folder)]
    environment = os.environ | {"EDGEFLEET_CONTROL_TOKEN": TOKEN}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


def test_all_controls(run: subprocess.Popen[bytes], tmp_path: Path, admin_port: int) -> None:
    folder = tmp_path / "run"
    until(lambda: (folder / "control.json").exists() or run.poll() is not None, "the run can be controlled")
    client = ControlClient(find_address(str(folder)), TOKEN)
    broker = client.read("status")["brokers"][0]
    store = Store(broker)
    with bridge_behind(tmp_path, broker, admin_port) as ingest, closing(store):
        do_everything(client)
        said = ctl(folder, "status")
        assert said.returncode == 0, said.stderr
        assert "18 devices connected" in said.stdout
        assert max(map(len, said.stdout.splitlines())) <= 200
        wrong = ctl(folder, "scale", "gpz", "4")
        assert (wrong.returncode, wrong.stdout) == (2, "")
        assert wrong.stderr.startswith("edgefleet: group: there is no 'gpz', did you mean 'gps'?")
        saved = ctl(folder, "record", "--out", str(tmp_path / "session.yaml"))
        assert f"{len(NAMES) - 1} steps saved in" in saved.stdout, saved.stderr
        ended = ctl(folder, "stop", "--json")
        assert orjson.loads(ended.stdout)["said"] == "the run ends in order"
        stdout, _ = run.communicate(timeout=90)
        summary = orjson.loads(stdout)
        assert (run.returncode, summary["ok"]) == (0, True), summary["verdict"]
        check(folder, store, summary)
        drained = verify_run(RunRecord.load(folder), ingest=ingest, wait_s=0)
        # What was sent after that nobody has received.
        assert drained.outcome is Outcome.FAIL
        assert "the bridge was drained at" in str(drained.to_json())


def check(folder: Path, store: Store, summary: dict[str, Any]) -> None:
    """Nothing is lost, every action is in the record and in what verify says, and the faults have labels."""
    record = RunRecord.load(folder)
    assert [one.action for one in record.actions] == NAMES
    assert [one["action"] for one in summary["actions"]] == NAMES
    assert [change.time_scale for change in record.time_changes] == [4, 1]
    outage = record.actions[-3]
    assert outage.ended_ms is not None
    assert outage.ended_ms - outage.at_ms >= OUTAGE_MS
    rows = folder.parent / "rows.jsonl"
    rows.write_bytes(b"\n".join({*store.rows} - {REFUSED}))
    verdict = verify_run(record, rows=rows, wait_s=0)
    assert verdict.outcome is Outcome.PASS, verdict.failures()
    assert verdict.to_json()["actions"][0]["said"] == "gps scaled from 6 to 10 devices"
    assert describe_actions(record.actions).startswith("25 actions while it ran: 2 scale, 4 set, 2 fault, ")
    labels = [orjson.loads(line) for line in (folder / "labels.jsonl").read_bytes().splitlines()]
    assert {label["type"] for label in labels} == {"stuck_at", "silent_death", "delay", "takeover"}
    assert [(span.device_id, span.why) for span in record.standby] == [(f"gps-{n:04}", BY_REQUEST) for n in range(1, 7)]
    assert {label["device_id"] for label in labels if label["type"] == "silent_death"} == {"gps-0001"}
    assert len([label for label in labels if label["type"] == "stuck_at"]) == record.actions[3].devices == STUCK_DEVICES
    wanted = {device.device_id for device, _ in expand_devices(Scenario(devices=SCENARIO["devices"]))}
    assert wanted < {device.device_id for device in record.devices}
    assert TOKEN not in (folder / "run.json").read_text()
