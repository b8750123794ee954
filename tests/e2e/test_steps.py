"""The same scenario with steps makes the same run, in one process and in two, and from what was recorded of another."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from edgewire.run_record import RunRecord

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(300)]

SCENARIO = """\
seed: 4
time_scale: 10
devices:
  - {kind: bme280, count: 12, interval: 5s, standby: true}
  - {kind: gps, count: 6, interval: 5s}
steps:
  - {at: 0s, action: set, group: gps, interval: 2s}
  - {at: 10s, action: scale, group: gps, count: 10}
  - {after: 5s, action: fault, fault: {type: stuck_at, field: temperature_c}, group: bme280, share: 0.5, duration: 10s}
  - {at: 25s, action: mute, group: gps, repeat: {every: 10s, times: 2}}
  - {at: 28s, action: unmute, group: gps, repeat: {every: 10s, times: 2}}
  - {at: 30s, action: scale, group: gps, count: 4}
  - {at: 32s, action: pause, devices: [bme280-0001]}
  - {at: 36s, action: resume}
  - {at: 12s, action: set, time_scale: 100}
  - {at: 22s, action: set, time_scale: 9}
  - {at: 27s, action: standby, devices: [bme280-0002, bme280-0003]}
  - {at: 39s, action: return}
  - {at: 42s, action: broker_outage, duration: 200ms}
"""


def edgefleet(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "edgefleet", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def run(scenario: Path, folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run a scenario from the same moment for the same time."""
    fixed = ["--broker", "embedded", "--from", "2026-03-02", "--log-level", "error"]
    return edgefleet("run", scenario, "--record", folder, *fixed, *options)


def outcome(folder: Path) -> tuple[Any, ...]:
    """Return what was sent and done, less what hangs on the wall's time."""
    record = RunRecord.load(folder)
    begun_ms = record.sim_started_ms
    actions = [
        (one.number, one.action, one.arguments, one.devices, one.device_at_ms and one.device_at_ms - begun_ms)
        for one in record.actions
    ]
    devices = sorted((one.device_id, one.boot, one.first_seq, one.last_seq) for one in record.devices)
    labels = sorted((folder / "labels.jsonl").read_bytes().splitlines())
    times = [(change.at_ms - begun_ms, change.time_scale) for change in record.time_changes]
    return actions, devices, labels, times


@pytest.mark.long
def test_steps_do_the_same_in_every_run(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(SCENARIO)
    done = run(path, tmp_path / "one", "--duration", "5s")
    assert done.returncode == 0, done.stderr
    actions, devices, labels, times = outcome(tmp_path / "one")
    assert times == [(12_000, 100), (22_000, 9)]
    moments = [(number, at_ms) for number, *_, at_ms in actions]
    assert moments == [
        *((1, 0), (2, 10_000), (9, 12_000), (3, 15_000), (10, 22_000), (4, 25_000), (11, 27_000), (5, 28_000)),
        *((6, 30_000), (7, 32_000), (14, 35_000), (8, 36_000), (15, 38_000), (12, 39_000), (13, None)),
    ]
    assert len(devices) == 24, "two have had another boot"
    assert {orjson.loads(label)["type"] for label in labels} == {"stuck_at", "delay"}
    saved = edgefleet("ctl", "record", "--fleet", tmp_path / "one", "--out", tmp_path / "again.yaml")
    assert "15 steps saved in" in saved.stdout, saved.stderr
    done = run(tmp_path / "again.yaml", tmp_path / "two", "--duration", "5s", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert outcome(tmp_path / "two") == (actions, devices, labels, times)
    short = run(path, tmp_path / "short", "--duration", "1100ms")
    assert (short.returncode, "FAIL  The run ended before step 9 at 12s (set), step 3 at 15s" in short.stdout) == (
        1, True
    ), short.stdout  # fmt: skip
