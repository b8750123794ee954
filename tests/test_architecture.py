"""The rules of the layout: imports point down only, the pure parts do no I/O, no file names a package registry."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MAY_IMPORT = {
    "edgewire": set(),
    "devices": {"edgewire"},
    "bridge": {"edgewire"},
    "edgefleet": {"edgewire", "devices", "bridge"},
}
"""Package -> the other packages of ours that it may import."""

NO_IO = {"asyncio", "socket", "time"}
PURE = {
    "edgewire/mqtt": NO_IO,
    "devices/firmware": NO_IO,
    "devices/world": NO_IO | {"random"},
    "devices/sensors": NO_IO | {"random"},
}
"""Folder -> the modules that would end its being a pure function of its arguments."""

REGISTRIES = re.compile(
    r"files\.pythonhosted\.org|pypi\.org|registry\.npmjs\.org|repo1?\.maven|deb\.debian\.org|proxy\.golang\.org"
    r"|static\.crates\.io"
)


def imported(source: str) -> Iterator[str]:
    """The top-level name of every module that a source imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


def forbidden(path: str, source: str) -> set[str]:
    """What the file at `path`, relative to the repository, imports although it may not."""
    package = path.split("/")[0]
    names = set(imported(source))
    upwards = names & (MAY_IMPORT.keys() - MAY_IMPORT[package] - {package})
    impure = {name for folder, barred in PURE.items() if path.startswith(folder + "/") for name in names & barred}
    return upwards | impure


def sources() -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", sources())
def test_imports_point_down_and_pure_parts_do_no_io(path: str) -> None:
    assert forbidden(path, (ROOT / path).read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize("folder", [*MAY_IMPORT, *PURE])
def test_the_rules_are_about_folders_that_exist(folder: str) -> None:
    assert list((ROOT / folder).glob("*.py"))


@pytest.mark.parametrize(
    ("path", "source", "found"),
    [
        ("edgewire/link.py", "import asyncio, bridge.spool", {"bridge"}),
        ("devices/fleet/fleet.py", "def run():\n    from bridge import config", {"bridge"}),
        ("bridge/source/client.py", "from devices.scenario.scenario import Scenario", {"devices"}),
        ("edgewire/mqtt/session.py", "from asyncio import Protocol", {"asyncio"}),
        ("devices/firmware/outbox.py", "import socket\nimport time as t", {"socket", "time"}),
        ("devices/world/weather.py", "import random", {"random"}),
        ("edgefleet/demo.py", "import asyncio, time\nfrom devices import fleet\nfrom bridge import config", set()),
        ("devices/firmware/firmware.py", "from edgewire import clock\nfrom devices.firmware import outbox", set()),
    ],
)
def test_a_breach_is_found(path: str, source: str, found: set[str]) -> None:
    assert forbidden(path, source) == found


def test_no_file_names_the_host_of_a_package_registry() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode != 0:
        pytest.skip("this is no git checkout, so which files belong to the project is not known")
    files = [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]
    assert files
    assert [path for path in files if REGISTRIES.search(path.read_text(encoding="utf-8", errors="replace"))] == []


def test_the_host_of_a_registry_is_recognised() -> None:
    assert REGISTRIES.search("index-url = https://pypi" + ".org/simple")
