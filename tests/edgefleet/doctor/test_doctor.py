"""`edgefleet doctor` and the check before a run, on a real Mosquitto."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from edgefleet.embedded import MosquittoProcess
from edgefleet.version import describe_version

pytestmark = pytest.mark.services


def scenario(folder: Path, broker: MosquittoProcess, count: int) -> str:
    path = folder / "fleet.yaml"
    path.write_text(f"broker: {broker.url}\ndevices: [{{kind: bme280, count: {count}, interval: 10s}}]")
    return str(path)


def edgefleet(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgefleet", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_small_fleet_fits(tmp_path: Path, mosquitto_factory: Callable[[], MosquittoProcess]) -> None:
    broker = mosquitto_factory()
    result = edgefleet("doctor", scenario(tmp_path, broker, 10), "--json")
    report = orjson.loads(result.stdout)
    assert (result.returncode, report["ok"]) == (0, True)
    checks = {check["name"]: check for check in report["checks"]}
    assert checks["edgefleet"]["have"] == describe_version()
    assert checks["open files a process"]["need"] == "310"
    assert checks[f"broker 127.0.0.1:{broker.port}, packet size"]["have"] == "1,048,576 bytes"
    assert checks[f"broker 127.0.0.1:{broker.port}, open files"]["need"] == "110"
    assert report["brokers"][0]["sys"]["$SYS/broker/version"].startswith("mosquitto")


def test_a_fleet_that_does_not_fit_is_told_and_not_started(
    tmp_path: Path, mosquitto_factory: Callable[..., MosquittoProcess]
) -> None:
    broker = mosquitto_factory(options={"max_packet_size": "90"})
    path = scenario(tmp_path, broker, 10)
    told = edgefleet("doctor", path)
    assert told.returncode == 1
    assert "-> broker" in told.stdout
    assert "max_packet_size" in told.stdout
    run = edgefleet("run", path, "--duration", "5s", "--record", str(tmp_path / "run"))
    assert run.returncode == 1
    assert "packet size" in run.stderr
    assert not (tmp_path / "run").exists()
