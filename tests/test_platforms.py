"""Systems that the suite does not run on: what is installed there, and that what they have not is not needed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgefleet.cli.delivery_options import DeliveryOptions
from edgefleet.cli.destination import Destination
from edgefleet.cli.signals import StopFlag
from edgefleet.cli.targets import batch_target
from edgefleet.verify import verify_run
from edgewire.errors import ConfigError
from tests.platforms import PLATFORMS, Platform, wanted
from tests.run_records import small_record

ROOT = Path(__file__).parents[1]
BY_NAME = {platform.name: platform for platform in PLATFORMS}

WITHOUT = """
import importlib.abc, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

MISSING = set(sys.argv.pop(1).split(","))
sys.meta_path.insert(0, Missing())
from edgefleet.cli import main
main()
"""
"""Runs the command line where these modules are not installed."""


def names(platform: Platform, *extras: str) -> set[str]:
    return {requirement.name for requirement in wanted(platform, extras)}


def run(*words: str | Path, cwd: Path, path: str = str(ROOT)) -> "subprocess.CompletedProcess[str]":
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"} | {"PYTHONPATH": path}
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda platform: platform.name)
def test_nobody_is_asked_for_what_has_no_wheel_for_their_system(platform: Platform) -> None:
    base = names(platform)
    assert "numpy" in base
    assert "confluent-kafka" not in base, "it has no wheel for musl, which no marker tells from glibc"
    assert ("uvloop" in base) == (platform.sys_platform != "win32" and platform.machine != "armv7l")
    assert ("jsonschema-rs" in base) == (platform.machine != "armv7l")
    assert ("iotcore" in names(platform, "demo")) is True
    assert {"amqtt", "confluent-kafka"} <= names(platform, "demo")


def test_windows_on_arm_has_amqtt_alone() -> None:
    windows = BY_NAME["Windows"]
    arm = Platform("Windows on ARM", ("win_arm64",), "win32", "ARM64", ())
    assert names(windows, "demo") - names(arm, "demo") == {"iotcore"}


@pytest.mark.slow
def test_the_commands_that_need_no_kafka_do_without_it_and_without_uvloop(tmp_path: Path) -> None:
    missing = "uvloop,confluent_kafka,jsonschema_rs,iotcore,amqtt,psycopg,pyarrow,matplotlib,cryptography,ray"
    (tmp_path / "fleet.yaml").write_text("devices: [{kind: bme280, count: 2, interval: 1s}]\n")
    period = ("--from", "2026-03-01", "--to", "2026-03-01T00:01")
    made = run("-c", WITHOUT, missing, "generate", "fleet.yaml", *period, "--out", "out.jsonl", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "out.jsonl").read_bytes().count(b"\n") == 120
    (tmp_path / "kafka.yaml").write_text("kafka: {bootstrap_servers: '127.0.0.1:1'}\nspool: {path: spool.db}\n")
    refused = run("-c", WITHOUT, missing, "bridge", "run", "kafka.yaml", cwd=tmp_path)
    assert refused.returncode == 2, refused.stderr
    assert "the Kafka sink needs the package confluent_kafka: pip install 'edgefleet[kafka]'" in " ".join(
        refused.stderr.split()
    )


NEEDS_KAFKA = r"--kafka needs the package confluent_kafka: pip install 'edgefleet\[kafka\]'"


def test_what_needs_kafka_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(ConfigError, match=NEEDS_KAFKA):
        verify_run(small_record(), kafka="127.0.0.1:1", wait_s=0)
    timeline = Timeline(Scenario.model_validate({"devices": [{"kind": "bme280", "count": 1}]}), 0)
    with pytest.raises(ConfigError, match=NEEDS_KAFKA):
        batch_target(Destination.parse("-", None, DeliveryOptions(kafka="127.0.0.1:1")), timeline, StopFlag())


@pytest.fixture
def folder_of_a_user(tmp_path: Path) -> Path:
    """A folder with packages of the user's own that have our names."""
    for name in ("devices", "bridge", "edgewire"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('this is mine')\n")
    return tmp_path


@pytest.mark.slow
def test_packages_of_a_user_in_the_working_directory_are_not_taken_for_ours(folder_of_a_user: Path) -> None:
    told = run("-m", "edgefleet", "schema", "bme280", cwd=folder_of_a_user)
    assert told.returncode == 0, told.stderr
    script = Path(sys.executable).with_name("edgefleet")
    told = run(script, "schema", "bme280", cwd=folder_of_a_user)
    assert told.returncode == 0, told.stderr


@pytest.mark.slow
def test_packages_of_a_user_that_come_first_are_named(tmp_path: Path) -> None:
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "__init__.py").write_text("")
    (tmp_path / "fleet.yaml").write_text("devices: [{kind: bme280, count: 2}]\n")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    told = run("-m", "edgefleet", "run", "fleet.yaml", cwd=tmp_path, path=path)
    assert told.returncode == 1
    assert " ".join(told.stderr.split()) == (
        f"edgefleet: Python has imported {tmp_path}/devices/__init__.py as 'devices', which is a part of edgefleet: "
        "rename that folder, or take it out of PYTHONPATH"
    )
