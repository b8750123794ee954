"""The help of every command comes up without what the commands themselves need."""

import json
import subprocess
import sys

import pytest

SCRIPT = """
import contextlib, io, json, sys
import orjson, typer, typer.rich_utils
before = set(sys.modules)
from edgefleet.cli import app

def ask(words):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        app(words, prog_name="edgefleet")
    return said.getvalue()

def walk(group, words):
    for name, command in group.commands.items():
        texts[" ".join([*words, name])] = ask([*words, name, "--help"])
        if hasattr(command, "commands"):
            walk(command, [*words, name])

texts = {"--version": ask(["--version"])}
early = sorted(set(sys.modules) - before)
texts["--help"] = ask(["--help"])
walk(typer.main.get_command(app), [])
json.dump({"texts": texts, "early": early, "modules": sorted(set(sys.modules) - before)}, sys.stdout)
"""


@pytest.fixture(scope="module")
def asked() -> dict[str, dict[str, str] | list[str]]:
    """What an interpreter has loaded beside Typer and Rich after it has printed every help."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60)
    found: dict[str, dict[str, str] | list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_no_help_loads_what_only_the_command_needs(asked: dict[str, list[str]]) -> None:
    packages = {name.split(".")[0] for name in asked["modules"]}
    assert packages - sys.stdlib_module_names <= {"edgefleet", "edgewire", "typer", "rich"}
    assert "asyncio" not in packages
    ours = {name for name in asked["modules"] if name.startswith(("edgefleet", "edgewire"))}
    assert {name for name in ours if not name.startswith("edgefleet.cli")} == {
        "edgefleet",
        "edgefleet.terminal",
        "edgefleet.version",
        "edgewire",
        "edgewire.clock",
        "edgewire.errors",
    }
    assert len(asked["modules"]) < 60


@pytest.mark.slow
def test_the_version_is_printed_without_any_command(asked: dict[str, list[str]]) -> None:
    assert [name for name in asked["early"] if name.startswith("edgefleet.")] == [
        "edgefleet.cli",
        "edgefleet.cli.lazy_group",
        "edgefleet.terminal",
        "edgefleet.version",
    ]


@pytest.mark.slow
def test_every_command_has_its_help(asked: dict[str, dict[str, str]]) -> None:
    texts = asked["texts"]
    assert texts.pop("--version").startswith("edgefleet ")
    assert {"run", "bridge", "bridge run", "bridge dead-letters list"} < texts.keys()
    assert [words for words, text in texts.items() if words != "--help" and f"edgefleet {words}" not in text] == []
    assert [words for words in texts if " " not in words and words not in texts["--help"]] == []
