"""What a crash, a broken disk or a careless hand does to the spool file, on copies of it."""

import asyncio
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.spool import sqlite
from bridge.spool.accounting import count_messages, read_spool_report
from bridge.spool.message import CursorUpdate
from bridge.spool.sqlite import SpoolError
from bridge.spool.store import SpoolStore
from tests.bridge.fakes import ingest_stub, payload, scripted_broker, spooled

GROUPS = 12


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a killed process leaves: a file and a write-ahead log of twelve commits, ten messages each."""
    folder = tmp_path_factory.mktemp("crashed")
    store = SpoolStore(folder / "spool.db", ["s"])
    store._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for group in range(GROUPS):
        store.commit(
            [spooled(10 * group + number, text="x" * 300) for number in range(1, 11)],
            [CursorUpdate(sink="s", cursor=5 * group, delivered=5 if group else 0)],
        )
    left = tmp_path_factory.mktemp("left")
    for file in folder.iterdir():
        shutil.copy(file, left / file.name)
    store.close()
    return left


def copy(crashed: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(crashed, folder, ignore=shutil.ignore_patterns("*-shm", "*.lock"))
    return folder / "spool.db"


def recovered(path: Path) -> int:
    """Opens the file and returns how many whole commits it has; fails if it has anything else."""
    with closing(SpoolStore(path, ["s"])) as store:
        groups, rest = divmod(store.last_id, 10)
        assert rest == 0
        (books,) = read_spool_report(path).sinks
        assert books.balanced
        assert books.delivered == 5 * max(groups - 1, 0)
        store.commit([spooled(store.last_id + 1)])
    return groups


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1), garbage=st.binary(max_size=5000))
def test_a_torn_log_is_recovered_to_the_last_whole_commit(
    crashed: Path, tmp_path: Path, share: float, garbage: bytes
) -> None:
    path = copy(crashed, tmp_path / "copy")
    wal = path.with_name("spool.db-wal")
    size = wal.stat().st_size
    with wal.open("r+b") as file:
        file.truncate(int(size * share))
        file.seek(0, os.SEEK_END)
        file.write(garbage)
    groups = recovered(path)
    assert groups <= GROUPS
    assert abs(groups - share * GROUPS) <= 3


def test_nothing_is_lost_of_a_log_that_is_whole_with_garbage_behind_it(crashed: Path, tmp_path: Path) -> None:
    path = copy(crashed, tmp_path / "copy")
    with path.with_name("spool.db-wal").open("ab") as file:
        file.write(os.urandom(50_000))
    assert recovered(path) == GROUPS


def closed_in_order(tmp_path: Path) -> Path:
    path = tmp_path / "spool.db"
    with closing(SpoolStore(path, ["s"])) as store:
        store.commit([spooled(number, text="x" * 3000) for number in range(1, 200)])
    return path


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_file_that_was_cut_is_refused_with_what_to_do(
    tmp_path: Path, share: float, small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not small:
        monkeypatch.setattr(sqlite, "SMALL_BYTES", 0)
    path = closed_in_order(tmp_path)
    os.truncate(path, int(path.stat().st_size * share) // 4096 * 4096)
    with pytest.raises(SpoolError, match=r"the spool is damaged \(.*'sqlite3 .* \.recover' and move the file away"):
        SpoolStore(path, ["s"])


def test_a_file_that_was_overwritten_is_checked_after_an_unclean_end_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "SMALL_BYTES", 0)
    path = closed_in_order(tmp_path)
    looked: list[str] = []
    monkeypatch.setattr(sqlite, "quick_check", lambda *_: looked.append("looked"))
    SpoolStore(path, ["s"]).close()
    assert looked == []
    killed = SpoolStore(path, ["s"])
    copied = copy(tmp_path, tmp_path.with_name(f"{tmp_path.name}-copy"))
    killed.close()
    SpoolStore(copied, ["s"]).close()
    assert looked == ["looked"]


def test_the_check_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = closed_in_order(tmp_path)
    monkeypatch.setattr(sqlite, "CHECK_S", -1.0)
    monkeypatch.setattr(sqlite, "STEPS_BETWEEN_LOOKS", 1)
    with closing(SpoolStore(path, ["s"])) as store:
        assert store.last_id == 199


def test_a_message_that_is_pending_and_missing_is_named(tmp_path: Path) -> None:
    from bridge.spool.reader import SpoolReader

    path = closed_in_order(tmp_path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("DELETE FROM messages WHERE id = 7")
        database.commit()
    assert not count_messages(path)[0].balanced
    with closing(SpoolReader(path)) as reader, pytest.raises(SpoolError, match="the message 7 of 's' is pending"):
        reader.fetch_messages("s", [6, 7, 8])


# A bridge without sources: messages are appended until the disk refuses, and what was acknowledged is printed.
WRITER = """
import asyncio, sys
from pathlib import Path
from bridge.spool.config import SpoolConfig
from bridge.spool.message import SpooledMessage
from bridge.spool.spool import Spool
from bridge.spool.store import SpoolStore

async def main(path):
    acknowledged = 0
    def done():
        nonlocal acknowledged
        acknowledged += 10
    spool = Spool(SpoolStore(path, ["s"]), SpoolConfig(path=path), on_messages=lambda _: None, on_commit=lambda _: None)
    for _ in range(10_000):
        spool.append_messages([SpooledMessage(0, 1, "t", b"x" * 4000, 1, False, False) for _ in range(10)], done)
        if spool.failure.done():
            break
        await spool.wait_idle()
    print(acknowledged, spool.failure.exception(), flush=True)
    await spool.close()

asyncio.run(main(Path(sys.argv[1])))
"""


def write_until_it_fails(path: Path, limit_bytes: int | None = None) -> tuple[int, str]:
    def limit() -> None:
        if limit_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    ended = subprocess.run(
        [sys.executable, "-c", WRITER, str(path)], preexec_fn=limit, capture_output=True, text=True, timeout=60
    )
    count, _, error = ended.stdout.strip().partition(" ")
    assert count, ended.stderr
    return int(count), error


@pytest.mark.slow
def test_a_disk_that_takes_no_more_stops_it_and_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    acknowledged, error = write_until_it_fails(path, limit_bytes=3_000_000)
    assert "the disk does not take or give data" in error
    assert acknowledged > 100
    with closing(SpoolStore(path, ["s"])) as store:
        # What was written when the disk refused may be there as well, but nothing that was promised is missing.
        assert acknowledged <= store.last_id <= acknowledged + 10
        assert read_spool_report(path).balanced


@pytest.mark.slow
def test_a_full_disk_stops_it_and_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a small tmpfs; the write error above needs none")
    try:
        acknowledged, error = write_until_it_fails(disk / "spool.db")
        assert "the disk is full; make room and start the bridge again" in error
        assert acknowledged > 100
        roomy = tmp_path / "roomy"
        shutil.copytree(disk, roomy)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    with closing(SpoolStore(roomy / "spool.db", ["s"])) as store:
        assert acknowledged <= store.last_id <= acknowledged + 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "said"), [("write-error", "the disk does not take or give data"), ("disk-full", "the disk is full")]
)
async def test_a_bridge_whose_disk_fails_says_so_ends_with_1_and_acknowledges_nothing(
    tmp_path: Path, point: str, said: str
) -> None:
    SpoolStore(tmp_path / "spool.db", ["http"]).close()
    async with scripted_broker() as broker, ingest_stub() as ingest:
        config = tmp_path / "bridge.yaml"
        config.write_text(
            f"broker: {broker.url}\nspool: {{path: {tmp_path / 'spool.db'}}}\nadmin: {{port: 0}}\n"
            f"http: {{url: '{ingest.url}'}}\nwatch: {{broker_statistics: false}}\n"
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "edgefleet", "bridge", "run", str(config)),
            env={**os.environ, "EDGEFLEET_FAILPOINT": f"{point}:1"},
            stderr=asyncio.subprocess.PIPE,
        )
        await asyncio.wait_for(broker.subscribed.wait(), 30)
        broker.publish(1, "edge/site/bme280/a/telemetry", payload("a", 1))
        _, errors = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 1
        assert said in errors.decode().splitlines()[-1]
        assert broker.acked == []
        assert ingest.stored == []
