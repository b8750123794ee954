"""What a user installs: a wheel with the types of all four packages, and one version, named in one place."""

import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

import edgefleet
from edgefleet.cli import app
from edgefleet.starter import starter_files

ROOT = Path(__file__).parents[1]
PACKAGES = ("edgewire", "devices", "bridge", "edgefleet")

PROGRAM = """\
from bridge.config import BridgeConfig
from devices.scenario.scenario import Scenario
from edgefleet import __version__
from edgewire.messages import MessageId


def describe(scenario: Scenario, bridge: BridgeConfig, message: MessageId) -> str:
    return f"{__version__} {scenario.seed} {bridge.client_id} {message}"


def misuse(scenario: Scenario) -> str:
    return scenario.seed
"""
"""What somebody writes on top of us, with one mistake in its last line."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder, folder=ROOT)
    (built,) = folder.glob("*.whl")
    return built


def run(*command: str | Path, folder: Path) -> str:
    """Run a command and return what it prints."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_says_that_every_package_is_typed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    included = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(included["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == set(PACKAGES)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_type_checker_finds_the_mistake_of_a_user_and_nothing_else(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    # An environment of its own, in which the wheel comes before the packages of this one: only what lies in a folder of
    # installed packages needs py.typed to count as typed.
    venv.create(tmp_path / "venv")
    installed = tmp_path / "venv" / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    (installed / "others.pth").write_text(sysconfig.get_path("purelib"))
    (tmp_path / "program.py").write_text(PROGRAM)
    python = tmp_path / "venv" / "bin" / "python"
    where = run(python, "-P", "-c", "import edgefleet; print(edgefleet.__file__)", folder=tmp_path)
    assert where.startswith(str(installed)), "the wheel is not what is imported"

    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-executable", python, "program.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
    )
    last = PROGRAM.count("\n")
    errors = [line for line in checked.stdout.splitlines() if ": error: " in line]
    assert errors == [
        f'program.py:{last}: error: Incompatible return value type (got "int", expected "str")  [return-value]'
    ], checked.stdout + checked.stderr


@pytest.mark.slow
def test_what_is_installed_writes_what_a_checkout_has(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "installed"))
    folder = tmp_path / "folder"
    folder.mkdir()
    told = run(sys.executable, "-P", "-m", "edgefleet", "init", "new", folder=folder)
    assert sorted(Path(line).relative_to("new") for line in told.splitlines() if "schemas" not in line) == sorted(
        map(Path, starter_files())
    )
    for name, text in starter_files().items():
        assert (folder / "new" / name).read_text(encoding="utf-8") == text


def test_without_being_asked_for_nothing_is_compiled(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name in archive.namelist() if name.endswith((".so", ".pyd"))]


def test_the_version_is_that_of_the_package(wheel: Path) -> None:
    assert edgefleet.__version__ == version("edgefleet")
    assert wheel.name.split("-")[1] == edgefleet.__version__


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_command_tells_the_version(option: str) -> None:
    told = CliRunner().invoke(app, [option])
    assert (told.exit_code, told.output) == (0, f"edgefleet {edgefleet.__version__}\n")


def test_the_image_that_is_deployed_is_of_this_version() -> None:
    deployed = [ROOT / "docker-compose.yml", ROOT / "docs" / "deploy.md", *(ROOT / "deploy").rglob("*.yaml")]
    text = "".join(path.read_text(encoding="utf-8") for path in deployed)
    named = re.findall(r"edgefleet:(\d[\w.]+)|newName: edgefleet, newTag: ([\w.]+)", text)
    assert {first or second for first, second in named} == {edgefleet.__version__}
