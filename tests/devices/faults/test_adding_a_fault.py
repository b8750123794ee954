"""Adding a fault is two files: this does what docs/faults.md says, in a copy of the packages, and uses the fault."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

ROOT = Path(__file__).parents[3]
COPIED = ("edgewire", "devices", "bridge", "edgefleet", "docs")
SCENARIO = """
seed: 4
devices: [{kind: bme280, count: 2, interval: 60s}]
faults:
  - {type: overflow, kind: bme280, field: humidity, limit: 10, devices: [bme280-0001], from: 2026-03-01T10:00:00Z}
"""


def steps() -> list[tuple[str, str, str]]:
    """Return the code blocks of the section: the file that the text before names, the language, the content."""
    section = (ROOT / "docs/faults.md").read_text(encoding="utf-8").split("## Adding a fault\n")[1].split("\n## ")[0]
    found: list[tuple[str, str, str]] = []
    for text, language, block in re.findall(r"(.*?)^```(\w+)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE):
        named = re.findall(r"^\*\*\d.*?`([\w/]+\.py)`", text, re.MULTILINE)
        found.append((named[-1] if named else found[-1][0], language, block))
    return found


def follow(root: Path) -> None:
    """Write the files that are shown whole, and add the lines marked with + behind those shown before them."""
    for file, language, block in steps():
        path = root / file
        if language == "python":
            assert not path.exists()
            path.write_text(block, encoding="utf-8")
            continue
        lines = block.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] == " ")
        after = "".join(line[1:] for line in lines)
        text = path.read_text(encoding="utf-8")
        assert text.count(before) == 1, f"docs/faults.md shows lines that are not in {file}"
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
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("copy")
    for name in COPIED:
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    follow(root)
    return root


def test_it_touches_at_most_three_files(copy: Path) -> None:
    old, new = files(ROOT), files(copy)
    touched = {name for name in new if new[name] != old.get(name)}
    assert touched == {"devices/faults/overflow.py", "devices/faults/registry.py"}
    assert len(touched) <= 3


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
from devices.firmware.commands import read_command
payload = b'{"id":"a","action":"set_fault","arguments":{"type":"overflow","field":"humidity","limit":50}}'
print(type(read_command(payload, "bme280", 0)).__name__, read_command(payload, "bme280", 0))
"""
    assert "limit=50" in run(copy, "-c", program)
