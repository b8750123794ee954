"""Has Schemathesis ask a running HTTP service what its OpenAPI says it takes, and what it does not."""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from tests.services.fixtures import require_package

LIMIT_S = 300


def schemathesis(
    url: str, folder: Path, *, examples: int, leave_out: Sequence[str] = (), checks: Sequence[str] = ()
) -> str:
    """Try the service at `url`, with so many examples of each operation; return what is said, empty for all is well.

    Operations whose path begins as one of `leave_out` are not tried, and none of `checks` is made.
    """
    require_package("schemathesis")
    program = Path(sysconfig.get_path("scripts")) / "schemathesis"
    command = [sys.executable, str(program), "run", f"{url}/openapi.json", "--no-color", "--warnings", "off"]
    command += ["--max-examples", str(examples), "--request-timeout", "20", "--generation-database", "none"]
    command += [part for path in leave_out for part in ("--exclude-path-regex", f"^{path}")]
    command += ["--exclude-checks", ",".join(checks)] if checks else []
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr
