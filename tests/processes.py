"""Processes of a test, of which none outlives it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def not_outliving(process: "subprocess.Popen[Any]") -> Iterator[None]:
    """`Popen` waits at the end of its block, for ever where the test has failed and nobody has told the process."""
    try:
        yield
    finally:
        process.kill()
