"""Fail points strike where and when they are told to, and are nothing where they are not armed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bridge import failpoints
from bridge.failpoints import FailPoints, parse
from bridge.spool.sqlite import SpoolError
from bridge.spool.store import SpoolStore
from edgewire.clock import SystemClock
from edgewire.errors import ConfigError
from tests.bridge.fakes import spooled

pytestmark = pytest.mark.slow

COMMITS = """
import sys
from pathlib import Path
from bridge import failpoints
from bridge.spool.message import CursorUpdate
from bridge.spool.store import SpoolStore
from tests.bridge.fakes import spooled
failpoints.announce()
store = SpoolStore(Path(sys.argv[1]), ["http"])
for number in range(1, 6):
    store.commit([spooled(number)])
    store.commit(updates=[CursorUpdate(sink="http", cursor=number, delivered=1)])
store.close()
"""


def run_commits(spool: Path, armed: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", COMMITS, str(spool)],
        env={**os.environ, failpoints.VARIABLE: armed},
        capture_output=True,
        text=True,
        timeout=30,
    )


@pytest.mark.parametrize(
    ("point", "messages", "cursor"),
    [("before-commit", 2, 2), ("after-commit", 3, 2), ("before-cursor", 3, 2), ("after-cursor", 3, 3)],
)
def test_a_process_is_killed_at_the_third_passing_and_the_file_shows_where(
    tmp_path: Path, point: str, messages: int, cursor: int
) -> None:
    ended = run_commits(tmp_path / "spool.db", f"{point}:3")
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert f"armed by {failpoints.VARIABLE}" in ended.stdout + ended.stderr
    store = SpoolStore(tmp_path / "spool.db", ["http"])
    assert (store.last_id, store.cursor("http")) == (messages, cursor)
    store.close()


def test_a_point_that_is_not_reached_does_nothing(tmp_path: Path) -> None:
    assert run_commits(tmp_path / "spool.db", "before-commit:6").returncode == 0


@pytest.mark.parametrize(("point", "said"), [("write-error", "disk I/O error"), ("disk-full", "the disk is full")])
def test_a_commit_that_fails_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str, said: str
) -> None:
    monkeypatch.setattr(failpoints, "committing", FailPoints(parse(f"{point}:2")).committing)
    store = SpoolStore(tmp_path / "spool.db", ["http"])
    store.commit([spooled(1)])
    with pytest.raises(SpoolError, match=said):
        store.commit([spooled(2)])
    assert store.last_id == 1
    store.close()


def test_a_sink_can_be_named() -> None:
    struck: list[str] = []
    points = FailPoints(parse("after-accept/kafka:2"), lambda: struck.append("dead"))
    for sink in ("http", "kafka", "http"):
        points.accepted(sink)
    assert struck == []
    points.accepted("kafka")
    assert struck == ["dead"]


def test_the_wall_clock_jumps_once_and_durations_do_not() -> None:
    clock = FailPoints(parse("clock-jump/-3600:2")).clock(SystemClock())
    before, now = SystemClock().now_ms(), SystemClock().monotonic()
    assert clock.now_ms() >= before
    assert clock.now_ms() < before - 3_500_000
    assert clock.now_ms() < before - 3_500_000
    assert 0 <= clock.monotonic() - now < 60


@pytest.mark.parametrize("text", ["", "after-commit", "after-commit:0", "after-comit:1", "clock-jump:3", "a:1,,b:2"])
def test_a_misspelt_point_is_refused_with_what_there_is(text: str) -> None:
    with pytest.raises(ConfigError, match=failpoints.VARIABLE):
        parse(text)


def test_a_bridge_with_a_misspelt_point_does_not_start(tmp_path: Path) -> None:
    config = tmp_path / "bridge.yaml"
    config.write_text("http: {}\n")
    ended = subprocess.run(
        [sys.executable, "-m", "edgefleet", "bridge", "run", str(config)],
        env={**os.environ, failpoints.VARIABLE: "after-comit:1"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == 2
    assert "'after-comit:1' is no fail point" in ended.stderr


def test_nothing_is_armed_where_the_variable_is_not_set() -> None:
    assert failpoints.VARIABLE not in os.environ
    unarmed = failpoints._nothing
    assert failpoints.committing is failpoints.committed is failpoints.accepted is unarmed
    assert failpoints.acknowledged is failpoints.announce is unarmed
    clock = SystemClock()
    assert failpoints.clock_of(clock) is clock
