"""examples/meters, installed as a user does: its kind, its dialect and its sink are as those of edgefleet."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

pytestmark = pytest.mark.documents
ROOT = Path(__file__).parents[1]
SCENARIO = """\
seed: 3
devices:
  - {kind: energy, count: 5, interval: 1s}
  - {kind: energy, id: "bus-{n}", count: 2, interval: 1s, dialect: meterbus, discovery: homeassistant}
faults:
  - {type: bias, kind: energy, field: power_w, offset: 300, rate: 30/h, duration: 20s..1m}
"""
USE = """
from pathlib import Path
import orjson
from bridge.check import preview_route
from bridge.config import BridgeConfig
from devices.scenario.devices import Shard
from devices.scenario.loading import load_scenario
from devices.timeline.timeline import Timeline
from edgewire.clock import parse_ms
from edgewire.config import parse_config
from edgewire.messages import CONTRACT
one, begin = load_scenario(Path("meters.yaml")), parse_ms("2026-03-02T12:00:00Z")
whole = Timeline(one, begin).batch(begin, begin + 600_000).payload
timeline = Timeline(one, begin)
assert timeline.batch(begin, begin + 7).payload + timeline.batch(begin + 7, begin + 600_000).payload == whole
parts = [line for n in (0, 1) for line in Timeline(one, begin, Shard(n, 2)).batch(begin, begin + 600_000).payload]
assert sorted(parts) == sorted(whole)
for line in whole[:20]:
    CONTRACT["energy"].parse(line)
assert {label.type for label in timeline.labels(begin, begin + 600_000)} == {"bias"}
spoken = Timeline(one, begin, in_dialects=True).batch(begin, begin + 1000)
measure = next(payload for payload in spoken.payload if payload.startswith(b'{"P"'))
text = "{subscriptions: [{filter: meters/#, decode: meterbus}], journal: {path: j.txt}}"
config = parse_config(text, BridgeConfig, name="b")
found = preview_route(config, "meters/bus-6/measure", measure)
print(found["sinks"]["journal"]["body"])
"""

ASK = """
import orjson
from typer.testing import CliRunner
from edgefleet.cli import app
span = ["--from", "2026-03-02", "--records", "3", "--out", "-"]
commands = [
    ["generate", "--kind", "bme280", *span],
    ["generate", "--kind", "energy", *span],
    ["generate", "bus.yaml", *span],
    ["bridge", "route", "bridge.yaml", "--topic", "a", "--payload", "{}"],
]
done = [CliRunner().invoke(app, command) for command in commands]
print(orjson.dumps([[str(one.exception or ""), one.stdout.count(chr(10))] for one in done]).decode())
"""


def environment(site: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(site)])}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example installed, without a network."""
    folder = tmp_path_factory.mktemp("example")
    shutil.copytree(ROOT / "examples/meters", folder / "meters")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-build-isolation", "--no-deps"]
    subprocess.run([*pip, "--target", folder / "site", folder / "meters"], check=True, timeout=120)
    return folder / "site"


def test_its_kind_dialect_and_sink_are_there_and_say_the_same_in_any_company(site: Path, tmp_path: Path) -> None:
    (tmp_path / "meters.yaml").write_text(SCENARIO)
    done = subprocess.run(
        [sys.executable, "-c", USE], cwd=tmp_path, env=environment(site), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert '"power_w":' in done.stdout
    assert '"format":"meterbus"' in done.stdout


def test_a_broken_one_is_named_where_it_is_asked_for_and_costs_nobody_else(site: Path, tmp_path: Path) -> None:
    broken = tmp_path / "site"
    shutil.copytree(site, broken)
    sensor = broken / "edgefleet_meters/energy.py"
    sensor.write_text(sensor.read_text().replace('"power_w": power.round(1),', '"power": power.round(1),'))
    (broken / "edgefleet_meters/meterbus.py").write_text("import nowhere_at_all\n")
    (broken / "edgefleet_meters/journal.py").write_text("SINK = 3\n")
    (tmp_path / "bridge.yaml").write_text("journal: {path: x}\n")
    (tmp_path / "bus.yaml").write_text("devices: [{kind: energy, dialect: meterbus}]\n")
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=tmp_path, env=environment(broken), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    fine, wrong, unspoken, unsunk = orjson.loads(done.stdout.splitlines()[-1])
    assert fine == ["", 3]
    assert "plug-in 'energy' of edgefleet-meters 1.0" in wrong[0]
    assert "measures 'power', which is no field of its reading" in wrong[0]
    assert "there is no dialect 'meterbus'" in unspoken[0]
    assert "plug-in 'meterbus' of edgefleet-meters 1.0 (edgefleet.dialects) cannot be loaded" in unspoken[0]
    said = "plug-in 'journal' of edgefleet-meters 1.0 (edgefleet.sinks) is a int, and has to be a SinkKind"
    assert said in unsunk[0]
