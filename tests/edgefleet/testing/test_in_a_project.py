"""The fixture in somebody else's project: installed from the wheel, beside a folder `devices`, under a type checker."""

import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

PIPELINE = '''
"""What stands for a user's pipeline: stores the payloads of all readings, but every DROP-th."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt


class Pipeline:
    def __init__(self, drop: int) -> None:
        self.drop, self.seen = drop, 0
        self._rows: list[bytes] = []

    def rows(self) -> list[bytes]:
        return list(self._rows)

    def store(self, client: mqtt.Client, data: Any, message: mqtt.MQTTMessage) -> None:
        self.seen += 1
        if not self.drop or self.seen % self.drop:
            self._rows.append(message.payload)


@contextmanager
def run_pipeline(url: str, drop: int = 0, version: int = 4) -> Iterator[Pipeline]:
    pipeline, ready = Pipeline(drop), threading.Event()
    where = urlsplit(url)
    options = {"clean_session": False} if version == 4 else {}
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="pipeline", protocol=version, **options)
    client.on_connect = lambda client, *_: client.subscribe("edge/+/+/+/telemetry", 1)
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = pipeline.store
    client.reconnect_delay_set(1, 1)
    client.connect(where.hostname or "", where.port or 1883)
    client.loop_start()
    try:
        assert ready.wait(10)
        yield pipeline
        ready.wait(0.2)
    finally:
        client.disconnect()
        client.loop_stop()
'''

LOSING = """
from edgefleet import Fleet, LocalBroker
from edgefleet.testing import EdgefleetFixture, verify
from my_pipeline import run_pipeline


def test_a_pipeline_that_loses(edgefleet: EdgefleetFixture) -> None:
    broker = edgefleet.broker(engine="iotcore")
    fleet = edgefleet.fleet("bme280", 5, every=0.2, broker=broker, seed=3, start="2026-03-01", time_scale=5)
    with run_pipeline(broker.url, drop=10, version=5) as pipeline, fleet:
        counts = fleet.run(messages=30)
        assert counts.connected == 5
    edgefleet.verify(fleet, pipeline.rows).assert_nothing_lost()


def test_devices_of_a_type_unknown(edgefleet: EdgefleetFixture) -> None:
    with edgefleet.fleet("bme281", 5, broker=edgefleet.broker()):
        pass


async def test_without_the_fixture_and_as_a_coroutine() -> None:
    import edgefleet

    with LocalBroker() as broker, run_pipeline(broker.url) as pipeline:
        async with edgefleet.AsyncFleet(Fleet("gps", 2, every="500ms", broker=broker)) as fleet:
            await fleet.run(seconds=0.5)
            await fleet.run(messages=4)
        verify(fleet.fleet, pipeline.rows, within=5).assert_exactly_once()
        fleet.fleet.close()
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an environment in which the wheel is installed, and a user's own package `devices`."""
    folder = tmp_path_factory.mktemp("project")
    building = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder / "dist"]
    subprocess.run(building, cwd=ROOT, check=True, capture_output=True, timeout=100)
    venv.create(folder / "venv")
    installed = folder / "venv" / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    (installed / "others.pth").write_text(sysconfig.get_path("purelib"))
    (folder / "devices").mkdir()
    (folder / "devices" / "__init__.py").write_text("raise RuntimeError('the devices of the user')\n")
    (folder / "my_pipeline.py").write_text(PIPELINE)
    shown = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "testing.md").read_text(), re.MULTILINE | re.DOTALL)
    (folder / "test_shown.py").write_text("".join(shown))
    (folder / "test_losing.py").write_text(LOSING)
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    return folder


def run(project: Path, *arguments: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    python = project / "venv" / "bin" / "python"
    return subprocess.run(
        [python, "-m", *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.fixture
def environment(project: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """With the user's folder on PYTHONPATH, and a variable that would change every scenario."""
    return {"PATH": "/usr/bin:/bin:/usr/sbin", "PYTHONPATH": str(project), "EDGEFLEET_SEED": "no seed"}


@pytest.mark.documents
def test_the_documented_test_passes_in_several_processes(project: Path, environment: dict[str, str]) -> None:
    done = run(project, "pytest", "-q", "-n", "2", "test_shown.py", environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.documents
def test_what_is_lost_is_named_with_where_it_was_seen_last(project: Path, environment: dict[str, str]) -> None:
    done = run(project, "pytest", "-q", "test_losing.py", environment=environment)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "2 failed, 1 passed" in done.stdout
    assert re.search(r"FAIL: [\d,]+ of [\d,]+ messages are there, [\d,]+ are lost", done.stdout)
    assert re.search(r"bme280-\d+:\d+:\d+  left the broker at \S+Z, and is not in the rows", done.stdout)
    assert "edgefleet: broker iotcore at mqtt://127.0.0.1:" in done.stdout
    assert re.search(r"edgefleet: fleet, record in \S+fleet-0/run", done.stdout)
    assert "devices[0].kind: is not a kind of device, did you mean 'bme280'?" in done.stdout


@pytest.mark.documents
def test_a_strict_type_checker_has_nothing_to_say(project: Path, environment: dict[str, str]) -> None:
    python = project / "venv" / "bin" / "python"
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--python-executable",
        python,
        "test_shown.py",
        "test_losing.py",
    ]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=110, check=False)
    assert [line for line in done.stdout.splitlines() if line.startswith("test_")] == [], done.stdout
