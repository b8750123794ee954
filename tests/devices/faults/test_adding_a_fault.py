"""Adding a fault is two files: this does what docs/faults.md says, in a copy of the packages, and uses the fault."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

pytestmark = pytest.mark.documents

ROOT = Path(__file__).parents[3]
COPIED = ("edgewire", "devices", "bridge", "edgefleet", "docs")
TOUCHED = {
    "A fault of the readings": {"devices/faults/overflow.py", "devices/faults/registry.py"},
    "A fault of the device or its link": {
        "devices/faults/sim_blocked.py",
        "devices/faults/registry.py",
        "devices/fleet/fault_injector.py",
    },
}
SCENARIO = """
seed: 4
devices: [{kind: bme280, count: 2, interval: 60s}]
faults:
  - {type: overflow, kind: bme280, field: humidity, limit: 10, devices: [bme280-0001], from: 2026-03-01T10:00:00Z}
  - {type: sim_blocked, kind: bme280, from: 2026-03-01T10:00:00Z, to: 2026-03-01T10:05:00Z}
"""


def steps(heading: str) -> list[tuple[str, str, str]]:
    """Return the code blocks of a section: the file that the text before names, the language, the content."""
    page = (ROOT / "docs/faults.md").read_text(encoding="utf-8")
    section = page.split(f"### {heading}\n")[1].split("\n### ")[0]
    found: list[tuple[str, str, str]] = []
    for text, language, block in re.findall(r"(.*?)^```(\w+)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE):
        named = re.findall(r"^\*\*\d.*?`([\w/]+\.py)`", text, re.MULTILINE)
        found.append((named[-1] if named else found[-1][0], language, block))
    return found


def follow(root: Path, heading: str) -> None:
    """Write the files that are shown whole, and add the lines marked with + among those that they are shown with."""
    for file, language, block in steps(heading):
        path = root / file
        if language == "python":
            assert not path.exists()
            path.write_text(block, encoding="utf-8")
            continue
        lines = block.splitlines(keepends=True)
        before = "".join(line[1:] or "\n" for line in lines if line[0] != "+")
        after = "".join(line[1:] or "\n" for line in lines)
        text = path.read_text(encoding="utf-8")
        assert text.count(before) == 1, f"docs/faults.md shows lines that are not in {file}: {before}"
        path.write_text(text.replace(before, after), encoding="utf-8")


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for name in COPIED
        for path in (root / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def run(root: Path, *arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("copy")
    for name in COPIED:
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    return root


@pytest.fixture(scope="module")
def copy(original: Path) -> Path:
    """Follow both examples, one after the other."""
    for heading, touched in TOUCHED.items():
        old = files(original)
        follow(original, heading)
        new = files(original)
        assert {name for name in new if new[name] != old.get(name)} == touched
    return original


def test_each_touches_at_most_three_files(copy: Path) -> None:
    assert all(len(touched) <= 3 for touched in TOUCHED.values())
    old, new = files(ROOT), files(copy)
    assert {name for name in new if new[name] != old.get(name)} == set().union(*TOUCHED.values())


def test_it_is_applied_and_labelled(copy: Path) -> None:
    (copy / "s.yaml").write_text(SCENARIO, encoding="utf-8")
    window = ("--from", "2026-03-01T09:00:00Z", "--to", "2026-03-01T11:00:00Z")
    run(copy, "-m", "edgefleet", "generate", "s.yaml", *window, "--out", "d.jsonl", "--clean", "--labels", "l.jsonl")
    rows = [orjson.loads(line) for line in (copy / "d.jsonl").read_bytes().splitlines()]
    wrong = [row for row in rows if row["humidity"] != row["clean_humidity"]]
    assert len(wrong) == 60
    assert {row["device_id"] for row in wrong} == {"bme280-0001"}
    assert [row["humidity"] for row in wrong] == [round(row["clean_humidity"] % 10, 2) for row in wrong]
    (label,) = map(orjson.loads, (copy / "l.jsonl").read_bytes().splitlines())
    shown = (label["type"], label["fields"], label["parameters"], label["layer"], label["messages"])
    assert shown == ("overflow", ["humidity"], {"limit": 10.0}, "sensor", 60)
    assert (label["first_seq"], label["last_seq"]) == (wrong[0]["seq"], wrong[-1]["seq"])


def test_the_schema_of_the_scenario_lists_it(copy: Path) -> None:
    schema = orjson.loads(run(copy, "-m", "edgefleet", "schema", "scenario"))
    assert schema["properties"]["faults"]["items"]["discriminator"]["mapping"]["overflow"] == "#/$defs/Overflow"
    assert set(schema["$defs"]["Overflow"]["required"]) == {"type", "kind", "field", "limit"}


def test_the_reference_lists_it(copy: Path) -> None:
    page = run(copy, "-c", "import sys; sys.path.insert(0, 'docs'); import generate; print(generate.scenario())")
    section = page.split("## `faults[] of type overflow`\n")[1].split("\n## ")[0]
    assert "The converter overflows" in section
    assert "| `limit` | number | required | The first value that it cannot hold, in the unit of the value. |" in section


def test_a_device_can_be_told_to_have_it(copy: Path) -> None:
    program = """
from devices.firmware.commands import SetFault
print(SetFault.parse({"type": "overflow", "field": "humidity", "limit": 50}, "bme280", 0))
"""
    assert "limit=50.0" in run(copy, "-c", program)


def test_a_live_fleet_begins_and_ends_it(copy: Path) -> None:
    program = """
from types import SimpleNamespace
from devices.faults.registry import FAULTS
from devices.fleet.fault_injector import FAULT_ACTIONS

fault = FAULTS["sim_blocked"].model_validate({"type": "sim_blocked", "kind": "gps", "rate": 1, "duration": "1m"})
done = []
client = SimpleNamespace(link_faults=None)
for name in ("drop_connection", "request_reconnect", "flush_outbox"):
    setattr(client, name, lambda name=name: done.append(name))
FAULT_ACTIONS[type(fault)].begin(None, client, fault, None)
print(client.link_faults.drop_count, done)
FAULT_ACTIONS[type(fault)].end(None, client, fault, None)
print(client.link_faults, done)
"""
    began, ended = run(copy, "-c", program).splitlines()
    assert began == "1 ['drop_connection']"
    assert ended == "None ['drop_connection', 'request_reconnect', 'flush_outbox']"


def test_it_is_labelled_in_a_live_run(copy: Path) -> None:
    (copy / "s.yaml").write_text(SCENARIO, encoding="utf-8")
    program = """
from pathlib import Path
from devices.scenario.loading import load_scenario
from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgewire.clock import parse_ms

begin, end = parse_ms("2026-03-01T09:00:00Z"), parse_ms("2026-03-01T11:00:00Z")
timeline = Timeline(load_scenario(Path("s.yaml")), begin)
for label in timeline.labels(begin, end, live=True):
    if label.type == "sim_blocked":
        print(label.device_id, label.layer, label.messages)
"""
    assert run(copy, "-c", program).splitlines() == ["bme280-0001 transport 5", "bme280-0002 transport 5"]
