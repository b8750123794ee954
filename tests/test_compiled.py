"""Which modules are compiled: none of a checkout, and in the tree of `make test-compiled` those of hatch_build.py."""

import importlib
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgefleet.cli import app

ROOT = Path(__file__).parents[1]
IS_COMPILED = os.environ.get("EDGEFLEET_COMPILED") == "1"
PATHS = runpy.run_path(str(ROOT / "hatch_build.py"))["COMPILED"]


@pytest.mark.parametrize("path", PATHS)
def test_a_module_is_compiled_where_that_is_asked_for(path: str) -> None:
    file = importlib.import_module(path.removesuffix(".py").replace("/", ".")).__file__
    assert file is not None
    assert file.startswith(str(ROOT))
    assert file.endswith(".py") != IS_COMPILED


def test_the_command_says_whether_it_is_compiled() -> None:
    assert CliRunner().invoke(app, ["--version"]).output.endswith(" (compiled)\n") == IS_COMPILED


def test_no_package_of_the_compiler_is_needed_to_run() -> None:
    names = [path.removesuffix(".py").replace("/", ".") for path in PATHS]
    program = f"import sys, {', '.join(names)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert {"librt", "mypy", "mypy_extensions", "mypyc"} & set(done.stdout.split()) == set()
