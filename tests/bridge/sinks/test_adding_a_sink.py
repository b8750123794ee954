"""Adding a sink as docs/sinks.md tells it: its code blocks are applied to a copy, and the contract suite run there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.documents

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/sinks.md").read_text(encoding="utf-8").partition("# Adding a sink\n")[2]

MOST_FILES = 3

USE = """
import asyncio, sys
from bridge.check import check_endpoints, preview_route
from bridge.config import BridgeConfig
from edgewire.config import parse_config
config = parse_config(sys.argv[1], BridgeConfig, name="bridge.yaml")
body = b'{"device_id":"a","timestamp":"2026-03-01T12:00:00.000Z","boot":1,"seq":5}'
print(preview_route(config, "edge/hq/bme280/a/telemetry", body)["sinks"]["sqlite"]["destination"])
print({one.part: one.text for one in asyncio.run(check_endpoints(config))}["sqlite"])
by_contract = parse_config("sqlite: {}", BridgeConfig, name="x")
print(preview_route(by_contract, "edge/hq/bme280/a/telemetry", body)["sinks"]["sqlite"]["destination"])
"""


def blocks() -> dict[str, tuple[str, str]]:
    """The files that the page touches: what kind of block says it, and its text."""
    found = re.findall(r'^```(\w+) title="([^"]+)"\n(.*?)^```$', PAGE, re.MULTILINE | re.DOTALL)
    assert len({path for _, path, _ in found}) == len(found)
    return {path: (kind, text) for kind, path, text in found}


def patched(text: str, diff: str) -> str:
    """Apply a diff without line numbers: what its context and removed lines say stands once in the text."""
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] in " -")
        after = "".join(line[1:] for line in lines if line[0] in " +")
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return text


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bridge and its tests with the page's sink in them."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("bridge", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name, (kind, text) in blocks().items():
        path = folder / name
        assert path.exists() is (kind == "diff"), name
        path.write_text(patched(path.read_text(), text) if kind == "diff" else text)
    return folder


def run(folder: Path, *arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"},
        cwd=folder,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_it_touches_few_files_and_two_make_it_work() -> None:
    touched = list(blocks())
    assert len(touched) <= MOST_FILES
    assert [name for name in touched if not name.startswith("tests/")] == [
        "bridge/sinks/sqlite.py",
        "bridge/sinks/registry.py",
    ]


def test_the_configuration_the_routes_and_the_commands_know_it(copy: Path) -> None:
    example = re.search(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert example
    said = run(copy, "-W", "error", "-c", USE, example[1]).splitlines()
    assert said == ["air.db, hq", "air.db will be made", "messages.db, bme280"]


def test_it_keeps_the_contract_of_sinks(copy: Path) -> None:
    suite = "tests/bridge/sinks/test_sink_contract.py"
    said = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "sqlite", suite)
    assert re.search(r"^8 passed", said, re.MULTILINE), said
