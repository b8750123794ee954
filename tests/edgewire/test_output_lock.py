"""One writer an output at a time, and who that is."""

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from edgewire.output_lock import OutputBusyError, OutputLock


def test_a_second_writer_is_told_who_the_first_is(tmp_path: Path) -> None:
    first, second = OutputLock(tmp_path / "x.csv"), OutputLock(tmp_path / "x.csv")
    first.acquire()
    with pytest.raises(
        OutputBusyError, match=rf"x\.csv is being written by another process \({os.getpid()} on "
    ) as told:
        second.acquire()
    assert told.value.exit_code == 2
    first.check()
    first.release()
    assert list(tmp_path.iterdir()) == []
    second.acquire()
    second.release()
    second.release()


@pytest.mark.slow
def test_what_a_killed_process_left_is_taken_over(tmp_path: Path) -> None:
    holder = (
        "import sys, pathlib; from edgewire.output_lock import OutputLock;"
        "OutputLock(pathlib.Path(sys.argv[1])).acquire(); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", holder, str(tmp_path / "x.csv")]
    lock = OutputLock(tmp_path / "x.csv")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(OutputBusyError, match=str(process.pid)):
            lock.acquire()
        process.kill()
    assert lock.path.exists()
    lock.acquire()
    assert orjson.loads(lock.path.read_bytes())["process"] == os.getpid()
    lock.release()


def test_an_output_that_another_has_taken_meanwhile_is_not_ours(tmp_path: Path) -> None:
    """As on a file system without locks, or after somebody has removed the lock."""
    lock, other = OutputLock(tmp_path / "x.csv"), OutputLock(tmp_path / "x.csv")
    lock.acquire()
    lock.path.unlink()
    other.acquire()
    with pytest.raises(OutputBusyError, match="has begun to write it meanwhile"):
        lock.check()
    lock.release()
    other.check()
    assert other.path.exists()
    other.release()
