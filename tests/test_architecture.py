"""The rules of the layout: imports point down and never in a circle, pure parts do no I/O, a name is one thing."""

import ast
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.import_graph import PACKAGES, Graph, find_circles, read_graph
from tests.services.fixtures import require_program

ROOT = Path(__file__).parents[1]

MAY_IMPORT = {
    "edgewire": set(),
    "devices": {"edgewire"},
    "bridge": {"edgewire"},
    "edgefleet": {"edgewire", "devices", "bridge"},
}
"""Package -> the other packages of ours that it may import."""

LAYERS = {
    "edgewire": [
        "errors",
        "plugins",
        "clock",
        "backoff",
        "redact",
        "secret_file",
        "output",
        "yaml_file",
        "model_tree",
        "config_errors",
        "environment",
        "config",
        "logs",
        "mqtt",
        "link",
        "messages",
        "dialects",
        "run_record",
        "run_checkpoint",
        "run_folder",
    ],
    "devices": [
        "world",
        "sensors",
        "replay",
        "faults",
        "declared",
        "firmware",
        "scenario",
        "timeline",
        "export",
        "fleet",
    ],
    "bridge": [
        "failpoints",
        "metrics",
        "spool",
        "message",
        "sinks",
        "routing",
        "source",
        "loss_detection",
        "tracing",
        "delivery",
        "operator",
        "admin",
        "service",
    ],
    "edgefleet": [
        "terminal",
        "starter",
        "embedded",
        "ingest",
        "verify",
        "doctor",
        "provision",
        "launch",
        "report",
        "control",
        "testing",
        "learn",
        "demo",
        "cli",
    ],
}
"""Package -> its parts, the lowest first: a part imports only from parts below it."""
UPWARDS = {
    ("bridge.sinks", "bridge.routing"): "a route names targets of the sinks, and a sink is given what routing found",
}
"""Imports between two parts that run upwards all the same, and why."""

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


def part_of(module: str) -> str:
    """The folder, or the file at the top of its package, that a module belongs to."""
    return ".".join(module.split(".")[:2])


def upwards(graph: dict[str, set[str]]) -> set[tuple[str, str]]:
    """The pairs of parts of one package in which the lower imports from the higher one."""
    height = {f"{package}.{part}": number for package, parts in LAYERS.items() for number, part in enumerate(parts)}
    pairs = {(part_of(module), part_of(target)) for module, targets in graph.items() for target in targets}
    return {
        (one, other)
        for one, other in pairs
        if one.split(".")[0] == other.split(".")[0] and one != other and height.get(one, 99) < height.get(other, -1)
    }


def public_classes() -> dict[str, list[str]]:
    """Every public class at the top level of our modules -> the files that define it."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sources():
        for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(path)
    return found


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
    require_program("git", "git")
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


@pytest.fixture(scope="module")
def graph() -> Graph:
    return read_graph(ROOT)


def test_nothing_is_imported_in_a_circle(graph: Graph) -> None:
    assert find_circles(graph) == []


def test_a_circle_is_found_wherever_it_hides(tmp_path: Path) -> None:
    for name in ("edgewire/__init__.py", "edgewire/link/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "edgewire/one.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from edgewire import two"
    )
    (tmp_path / "edgewire/two.py").write_text("def use():\n    from edgewire.link import leaf")
    (tmp_path / "edgewire/link/leaf.py").write_text("")
    assert find_circles(read_graph(tmp_path)) == []
    (tmp_path / "edgewire/link/__init__.py").write_text("from ..one import name")
    assert find_circles(read_graph(tmp_path)) == [["edgewire.link", "edgewire.one", "edgewire.two"]]


def test_to_name_the_package_around_is_to_import_it(tmp_path: Path) -> None:
    (tmp_path / "edgewire").mkdir()
    (tmp_path / "edgewire/__init__.py").write_text("from edgewire.one import name")
    (tmp_path / "edgewire/one.py").write_text("from edgewire import two")
    (tmp_path / "edgewire/two.py").write_text("")
    assert find_circles(read_graph(tmp_path)) == [["edgewire", "edgewire.one"]]
    (tmp_path / "edgewire/one.py").write_text("from edgewire.two import name")
    assert find_circles(read_graph(tmp_path)) == []


def test_the_parts_of_a_package_import_downwards(graph: Graph) -> None:
    assert upwards(graph) == UPWARDS.keys()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_part_of_a_package_has_its_place(package: str) -> None:
    parts = {path.name.removesuffix(".py") for path in (ROOT / package).glob("*") if path.suffix in ("", ".py")}
    above = {"__init__", "__main__", "__pycache__"}
    assert set(LAYERS[package]) <= parts
    unplaced = parts - set(LAYERS[package]) - above
    assert {part for part in unplaced if (ROOT / package / part).is_dir()} == set()


def test_a_name_of_a_class_means_one_thing() -> None:
    assert {name for name, files in public_classes().items() if len(files) > 1} == set()


@pytest.mark.parametrize(
    "path", [path for path in sources() if path.endswith("__init__.py") and path.startswith(("bridge/", "devices/"))]
)
def test_a_folder_begins_with_its_map_and_runs_nothing(path: str) -> None:
    (statement,) = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
    assert isinstance(statement, ast.Expr)
    assert isinstance(statement.value, ast.Constant)
    assert isinstance(statement.value.value, str)


@pytest.mark.parametrize(("package", "most"), [("bridge", 10), ("devices", 2)])
def test_few_files_stand_directly_in_a_package(package: str, most: int) -> None:
    assert len(list((ROOT / package).glob("*.py"))) <= most
