"""A broker for whoever has none: `edgefleet broker`, and `edgefleet run --broker embedded`."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from edgefleet.cli import app
from edgefleet.embedded import IotcoreProcess, accepts_connections, free_port
from tests.processes import not_outliving

FLEET = "devices: [{kind: bme280, count: 3, interval: 100ms}]\n"


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def port_5() -> int:
    return free_port()


@pytest.fixture
def broker_command(port: int, port_5: int) -> Iterator["subprocess.Popen[bytes]"]:
    ports = ["--port", str(port), "--mqtt5-port", str(port_5)]
    command = [sys.executable, "-m", "edgefleet", "broker", *ports, "--engine", "iotcore", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process, not_outliving(process):
        yield process


@pytest.mark.slow
def test_broker_says_where_it_is_and_ends_on_ctrl_c(
    broker_command: "subprocess.Popen[bytes]", port: int, port_5: int
) -> None:
    assert broker_command.stdout is not None
    said = orjson.loads(broker_command.stdout.readline())
    assert said["urls"] == {"MQTT 3.1.1": f"mqtt://127.0.0.1:{port}", "MQTT 5": f"mqtt://127.0.0.1:{port_5}"}
    assert accepts_connections("127.0.0.1", port)
    broker_command.send_signal(signal.SIGINT)
    assert broker_command.wait(20) == 0
    assert not accepts_connections("127.0.0.1", port)


@pytest.mark.slow
def test_broker_fails_when_the_program_it_has_started_ends(broker_command: "subprocess.Popen[bytes]") -> None:
    assert broker_command.stdout is not None
    broker_command.stdout.readline()
    (watch,) = children(broker_command.pid)
    (program,) = children(watch)
    os.kill(program, signal.SIGKILL)
    _, said = broker_command.communicate(timeout=20)
    assert broker_command.returncode == 1
    assert said.decode().startswith("edgefleet: iotcore has ended")


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("command", ["broker", "demo"])
def test_a_name_of_no_broker_is_one_sentence(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--engine", "hivemq"])
    assert str(done.exception) == "--engine: 'hivemq' is no broker that can be started: mosquitto, iotcore, amqtt"


def test_a_port_in_use_is_one_sentence(port: int) -> None:
    with IotcoreProcess(port=port):
        done = CliRunner().invoke(app, ["broker", "--port", str(port), "--engine", "iotcore"])
    assert str(done.exception) == f"iotcore cannot use port {port}: another program listens there"


@pytest.mark.slow
def test_run_starts_a_broker_for_as_long_as_it_needs_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgefleet.embedded.brokers.find_mosquitto", lambda: None)
    (tmp_path / "fleet.yaml").write_text(FLEET)
    arguments = ["--broker", "embedded", "--messages", "2", "--record", str(tmp_path / "run"), "--json"]
    done = CliRunner().invoke(app, ["run", str(tmp_path / "fleet.yaml"), *arguments])
    assert done.exit_code == 0, done.output
    report = orjson.loads(done.stdout)
    assert (report["emitted"], report["acknowledged"]) == (6, 6)
    url = next(word for word in done.stderr.split() if word.startswith("mqtt://"))
    assert not accepts_connections("127.0.0.1", int(url.rpartition(":")[2]))


def test_workers_on_other_machines_cannot_reach_it(tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_text(FLEET)
    done = CliRunner().invoke(app, ["run", str(tmp_path / "fleet.yaml"), "--broker", "embedded", "--ray"])
    assert str(done.exception).startswith("--broker embedded: it listens on this machine alone")
