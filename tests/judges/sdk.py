"""Software of other people that needs other versions of what we need, and is asked in virtual environments of its own.

They are made on first use, and kept beside Kafka's jars.
"""

import os
import subprocess
import sys
import tempfile
import venv
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from tests.services.fixtures import unavailable
from tests.services.kafka import cache_folder, keep_in_cache

_ASKED = Path(__file__).with_name("asked")
_MADE_WITHIN_S, _ANSWERED_WITHIN_S = 300, 90


@cache
def folder_with(*requirements: str) -> Path:
    """Return a folder with packages alone, as `name==version`; skips the running test where pip cannot get them."""
    kept = cache_folder() / "judges" / "-".join(requirements).replace("==", "-")
    if not kept.is_dir():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            made = Path(folder) / "packages"
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
            done = subprocess.run(
                [*command, "--target", made, *requirements], capture_output=True, text=True, timeout=_MADE_WITHIN_S
            )
            if done.returncode != 0:
                unavailable(f"pip cannot get {' and '.join(requirements)}: {done.stderr.strip()[-500:]}")
            keep_in_cache(made, kept)
    return kept


@cache
def python_with(requirement: str) -> Path:
    """Return a Python that has a package: `name==version`; skips the running test where pip cannot get it."""
    kept = cache_folder() / "judges" / f"{requirement.replace('==', '-')}-{sys.version_info[0]}.{sys.version_info[1]}"
    if not kept.is_dir():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            made = Path(folder) / "venv"
            venv.create(made, with_pip=True)
            command = [made / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            done = subprocess.run([*command, requirement], capture_output=True, text=True, timeout=_MADE_WITHIN_S)
            if done.returncode != 0:
                unavailable(f"pip cannot get {requirement}: {done.stderr.strip()[-500:]}")
            # It may be moved, but for its scripts: its interpreter is a link, which finds packages beside it.
            keep_in_cache(made, kept)
    return kept / "bin" / "python"


def ask(requirement: str, script: str, given: Any = None, *arguments: str) -> Any:
    """Return what a script in `asked/`, run where a package is, prints for what it is given."""
    done = subprocess.run(
        command_of(requirement, script, *arguments),
        input=orjson.dumps(given),
        capture_output=True,
        timeout=_ANSWERED_WITHIN_S,
        env=without_ours(),
    )
    assert done.returncode == 0, done.stderr.decode()
    return orjson.loads(done.stdout)


def command_of(requirement: str, script: str, *arguments: str) -> list[str]:
    """Return the command that runs a script in `asked/` where a package is."""
    return [str(python_with(requirement)), "-I", str(_ASKED / f"{script}.py"), *arguments]


def without_ours() -> dict[str, str]:
    """Return this environment without what would have another Python find our packages."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
