"""One script does all that can be done to a run, of one process and of two workers: nothing is lost, all is told."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
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
from edgefleet.verify import Outcome, verify_run
from edgewire.errors import ConfigError, EdgefleetError
from edgewire.run_record import RunRecord, describe_actions

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(180)]

SCENARIO = {
    "seed": 4,
    "devices": [
        {"kind": "bme280", "count": 12, "interval": "500ms"},
        {"kind": "gps", "count": 6, "interval": "500ms"},
    ],
    "reconnect": {"base": "200ms", "cap": "1s"},
}
TOKEN = "a-token-of-a-run-0123"


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"{what}: did not happen within 60 s"
        time.sleep(0.05)


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


@pytest.fixture(params=["1", "2"], ids=["one process", "two workers"])
def run(request: pytest.FixtureRequest, tmp_path: Path, scenario: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "edgefleet", "run", scenario, "--broker", "embedded", "--control", "0"]
    command += ["--workers", request.param, "--record", tmp_path / "run", "--json", "--log-level", "error"]
    environment = os.environ | {"EDGEFLEET_CONTROL_TOKEN": TOKEN}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        yield process
        process.kill()


def ctl(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgefleet", "ctl", *words, "--fleet", str(folder)]
    environment = os.environ | {"EDGEFLEET_CONTROL_TOKEN": TOKEN}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


def test_all_controls(run: subprocess.Popen[bytes], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    until(lambda: (folder / "control.json").exists() or run.poll() is not None, "the run can be controlled")
    client = ControlClient(find_address(str(folder)), TOKEN)
    store = Store(client.read("status")["brokers"][0])
    try:
        script(client)
        said = ctl(folder, "status")
        assert said.returncode == 0, said.stderr
        assert "18 devices connected" in said.stdout
        assert max(map(len, said.stdout.splitlines())) <= 200
        wrong = ctl(folder, "scale", "gpz", "4")
        assert (wrong.returncode, wrong.stdout) == (2, "")
        assert wrong.stderr.startswith("edgefleet: group: there is no 'gpz', did you mean 'gps'?")
        ended = ctl(folder, "stop", "--json")
        assert orjson.loads(ended.stdout)["said"] == "the run ends in order"
        stdout, _ = run.communicate(timeout=90)
        summary = orjson.loads(stdout)
        assert (run.returncode, summary["ok"]) == (0, True), summary["verdict"]
    finally:
        store.close()
    check(folder, store, summary)


def script(client: ControlClient) -> None:
    """Do all that can be done."""

    def act(name: str, **keys: Any) -> Any:
        found = client.act({"action": name, **keys})
        assert found["outcome"] == "done", found
        return found

    def devices(**query: Any) -> Any:
        return client.read("devices", limit=500, **query)

    until(lambda: devices(state="connected")["found"] == 18, "all are connected")
    act("scale", group="gps", count=10)
    until(lambda: devices(group="gps", state="connected")["found"] == 10, "four more are connected")
    act("scale", group="gps", count=6)
    act("set", group="bme280", rate=48)
    assert {row["interval_ms"] for row in devices(group="bme280")["devices"]} == {250}
    stuck = act("fault", fault={"type": "stuck_at", "field": "temperature_c"}, group="bme280", share=0.5, duration="2s")
    dead = act("fault", fault={"type": "silent_death"}, devices=["gps-0001"])
    look = client.device("gps-0001")
    until(lambda: client.device("gps-0001")["state"] == "disconnected", "one has lost its connection")
    assert [fault["by"] for fault in look["faults"]] == [f"control/fault-{dead['number']}"]
    act("end_fault", fault=dead["number"])
    until(lambda: client.device("gps-0001")["state"] == "connected", "it is back")
    told = act("command", command="identify", devices=["bme280-0001", "gps-0002"])["told"]
    assert {row["device_id"] for row in told} == {"bme280-0001", "gps-0002"}
    act("command", command="reboot", devices=["gps-0003"])
    act("pause", group="gps")
    assert devices(state="paused")["found"] == 6
    act("resume")
    act("mute", devices=["bme280-0003", "bme280-0004"])
    until(lambda: client.device("bme280-0003")["buffered"] > 1, "they keep what they measure")
    act("unmute")
    assert client.device("bme280-0002")["messages"] == []
    until(lambda: len(client.device("bme280-0002")["messages"]) > 2, "its messages are seen")
    message = client.device("bme280-0002")["messages"][-1]
    assert message["json"]["device_id"] == "bme280-0002"
    act("broker_outage", duration="1500ms")
    until(lambda: client.read("status")["broker_is_away"], "the broker is away")
    with pytest.raises(EdgefleetError, match="away already"):
        client.act({"action": "broker_outage", "duration": "1s"})
    until(lambda: devices(state="connected")["found"] == 18, "all are connected again")
    with pytest.raises(ConfigError, match="'stuck' is no type of fault"):
        client.act({"action": "fault", "fault": {"type": "stuck"}})
    names = [one["action"] for one in client.read("actions")]
    assert names.count("scale") == 2
    assert stuck["devices"] > 0
    heard = [content.get("text") for _, content in islice(client.events(), 30)]
    assert "gps scaled from 6 to 10 devices" in heard


def check(folder: Path, store: Store, summary: dict[str, Any]) -> None:
    """Nothing is lost, every action is in the record and in what verify says, and the faults have labels."""
    record = RunRecord.load(folder)
    names = [
        *("scale", "scale", "set", "fault", "fault", "end_fault", "command", "command", "pause", "resume", "mute"),
        *("unmute", "broker_outage", "stop"),
    ]
    assert [one.action for one in record.actions] == names
    assert [one["action"] for one in summary["actions"]] == names
    outage = record.actions[-2]
    assert outage.ended_ms is not None
    assert outage.ended_ms - outage.at_ms >= 1500
    rows = folder.parent / "rows.jsonl"
    rows.write_bytes(b"\n".join(set(store.rows)))
    verdict = verify_run(record, rows=rows, wait_s=0)
    assert verdict.outcome is Outcome.PASS, verdict.failures()
    assert verdict.to_json()["actions"][0]["said"] == "gps scaled from 6 to 10 devices"
    assert describe_actions(record.actions).startswith("14 actions while it ran: 2 scale, 1 set, 2 fault, ")
    labels = [orjson.loads(line) for line in (folder / "labels.jsonl").read_bytes().splitlines()]
    assert {label["type"] for label in labels} == {"stuck_at", "silent_death", "delay"}
    assert {label["device_id"] for label in labels if label["type"] == "silent_death"} == {"gps-0001"}
    # The share is that of any other way to run it: it hangs on seed, action and ids alone.
    assert len([label for label in labels if label["type"] == "stuck_at"]) == record.actions[3].devices
    wanted = {device.device_id for device, _ in expand_devices(Scenario(devices=SCENARIO["devices"]))}
    assert wanted < {device.device_id for device in record.devices}
    assert TOKEN not in (folder / "run.json").read_text()
