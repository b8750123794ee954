"""The preloaded library makes a process meet what it is told, and nothing else."""

import errno
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from tests.chaos.preload import NAME, Calls, Preload
from tests.services.fixtures import require_program

pytestmark = pytest.mark.chaos

_ASK = f"""
import json, os, socket, sys, time
said = {{"now": time.time(), "passed": time.monotonic()}}
def attempt(name, what):
    try:
        said[name] = what()
    except OSError as error:
        said[name] = error.errno
for folder in sys.argv[1:]:
    file = os.open(folder + "/is there", os.O_RDONLY)
    attempt(folder + " read", lambda: len(os.read(file, 9)))
    attempt(folder + " open", lambda: os.close(os.open(folder + "/new", os.O_CREAT | os.O_RDWR)))
    attempt(folder + " rename", lambda: os.rename(folder + "/is there", folder + "/is there"))
    attempt(folder + " sync", lambda: os.fsync(file))
attempt("name", lambda: socket.getaddrinfo("{NAME}", 80, type=socket.SOCK_STREAM)[0][4][0])
attempt("number", lambda: socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)[0][4][0])
print(json.dumps(said))
"""


class Asked:
    """A folder that fails, one beside it, and a process that tries both."""

    def __init__(self, folder: Path) -> None:
        require_program("gcc", "gcc libc6-dev")
        self.preload = Preload(folder)
        self.sick, self.well = folder / "sick", folder / "well"
        for one in (self.sick, self.well):
            one.mkdir()
            (one / "is there").write_bytes(b"123")

    def ask(self) -> dict[str, object]:
        command = [sys.executable, "-c", _ASK, self.sick, self.well]
        environment = {**os.environ, **self.preload.environment}
        done = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60)
        said: dict[str, object] = orjson.loads(done.stdout)
        return said

    def disk(self, folder: Path) -> list[object]:
        said = self.ask()
        return [said[f"{folder} {call}"] for call in ("read", "open", "rename", "sync")]


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    return Asked(tmp_path)


def test_a_disk_fails_in_the_calls_that_were_named_and_beside_it_none(asked: Asked) -> None:
    for calls, met in (
        (Calls.SYNCS, [3, None, None, errno.EIO]),
        (Calls.WRITES, [3, None, errno.EIO, None]),
        (Calls.OPENS, [3, errno.EIO, None, None]),
    ):
        asked.preload.fail_disk(asked.sick, calls=calls)
        assert asked.disk(asked.sick) == met
        assert asked.disk(asked.well) == [3, None, None, None]
    asked.preload.make_read_only(asked.sick)
    assert asked.disk(asked.sick) == [3, errno.EROFS, errno.EROFS, None]
    asked.preload.heal()
    assert asked.disk(asked.sick) == [3, None, None, None]


def test_a_clock_is_moved_and_durations_are_not(asked: Asked) -> None:
    asked.preload.move_clock(-7200)
    said = asked.ask()
    now, monotonic = said["now"], said["passed"]
    assert isinstance(now, float)
    assert isinstance(monotonic, float)
    assert abs(now - (time.time() - 7200)) < 60
    assert abs(monotonic - time.monotonic()) < 60


def test_a_name_fails_or_leads_elsewhere_and_an_address_does_not(asked: Asked) -> None:
    assert asked.ask()["name"] == "127.0.0.1"
    asked.preload.resolve_to("127.0.0.9")
    assert asked.ask()["name"] == "127.0.0.9"
    asked.preload.fail_lookups()
    said = asked.ask()
    assert (said["name"], said["number"]) == (socket.EAI_AGAIN, "127.0.0.1")
