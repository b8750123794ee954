"""Deletion beyond the lowest cursor, and the file that shrinks."""

from contextlib import closing
from pathlib import Path

import pytest

from bridge.delivery.ack_tracker import AckTracker
from bridge.spool import bitmap, retention
from bridge.spool.accounting import read_spool_report
from bridge.spool.message import CursorUpdate
from bridge.spool.reader import SpoolReader
from bridge.spool.store import SpoolStore
from edgewire.errors import ConfigError
from tests.bridge.fakes import spooled

SINKS = ("http", "kafka")
COUNT = 3 * bitmap.SIZE


def commit_cursor(store: SpoolStore, progress: AckTracker, ids: list[int]) -> None:
    progress.record_delivered(ids)
    update = progress.flush()
    assert update
    store.commit(updates=[update])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


def fill(store: SpoolStore, count: int = COUNT, size: int = 0) -> None:
    for first in range(store.last_id + 1, store.last_id + count + 1, 512):
        end = min(first + 512, count + 1)
        store.commit([spooled(number, text="x" * size) for number in range(first, end)])


def maintain_all(store: SpoolStore) -> None:
    while store.needs_maintenance():
        store.maintain()


def test_one_stuck_message_keeps_itself_and_not_what_is_behind_it(path: Path) -> None:
    with closing(SpoolStore(path, SINKS)) as store, closing(SpoolReader(path)) as reader:
        fill(store, size=200)
        full = store.used_bytes()
        for sink in SINKS:
            stuck = 5 if sink == "http" else 0
            progress = AckTracker(sink, 0)
            for first in range(1, COUNT + 1, 700):
                commit_cursor(store, progress, [n for n in range(first, min(first + 700, COUNT + 1)) if n != stuck])
        left = reader.read_messages(0, limit=COUNT, max_bytes=1 << 30)
        assert len(left) <= COUNT - bitmap.SIZE + 256  # only what is near the cursor waits for a moment of rest
        maintain_all(store)
        left = reader.read_messages(0, limit=COUNT, max_bytes=1 << 30)
        assert left[0].id == 5
        assert len(left) <= 2 * 256 + bitmap.SIZE  # the newest block stays whole
        assert store.used_bytes() < full / 2
        ledger = read_spool_report(path)
        assert ledger.balanced
        assert [one.pending for one in ledger.sinks] == [1, 0]
    with closing(SpoolStore(path, SINKS)) as store:
        assert store.last_id == COUNT
        store.commit([spooled(COUNT + 1)])
        again = AckTracker("http", store.cursor("http"), store.done_bitmaps("http"))
        commit_cursor(store, again, [5])
        assert store.cursor("http") == COUNT
        maintain_all(store)
        assert read_spool_report(path).balanced
        assert [one.pending for one in read_spool_report(path).sinks] == [1, 1]


def test_a_sink_that_comes_later_begins_with_what_is_left_and_its_books_balance(path: Path) -> None:
    with closing(SpoolStore(path, SINKS)) as store:
        fill(store)
        for sink in SINKS:
            commit_cursor(store, AckTracker(sink, 0), [n for n in range(1, COUNT + 1) if n % 1000])
        maintain_all(store)
        with pytest.raises(ConfigError, match="holds 12 messages for the sink 'kafka'"):
            store.reconcile_sinks(["http"])
        store.reconcile_sinks([*SINKS, "file"])
        file = next(one for one in read_spool_report(path).sinks if one.sink == "file")
        assert file.balanced
        with closing(SpoolReader(path)) as reader:
            assert file.pending == len(reader.read_messages(0, limit=COUNT, max_bytes=1 << 30)) < COUNT / 2


def test_what_several_queues_deliver_near_the_cursor_is_deleted_below_it(path: Path) -> None:
    """Two queues, one always a batch ahead: nothing is deleted one by one, and nothing is left."""
    with closing(SpoolStore(path, ["http"])) as store, closing(SpoolReader(path)) as reader:
        fill(store)
        progress = AckTracker("http", 0)
        for first in range(1, COUNT + 1, 1000):
            ids = range(first, min(first + 1000, COUNT + 1))
            for parity in (1, 0):
                commit_cursor(store, progress, [number for number in ids if number % 2 == parity])
                left = reader.read_messages(0, limit=COUNT, max_bytes=1 << 30)
                beyond = [one.id for one in left if one.id > store.cursor("http")]
                assert beyond == list(range(store.cursor("http") + 1, COUNT + 1))
        maintain_all(store)
        assert reader.read_messages(0, limit=COUNT, max_bytes=1 << 30) == []
        assert read_spool_report(path).balanced


@pytest.mark.slow
def test_the_file_shrinks_in_small_steps_after_a_long_outage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "KEEP_FREE_BYTES", 1 << 20)
    with closing(SpoolStore(path, ["http"])) as store:
        fill(store, 6000, size=3000)
        store.commit(updates=[CursorUpdate(sink="http", cursor=6000, delivered=6000)])
        large = read_spool_report(path).file_bytes
        assert large > 18 << 20
        steps, before = 0, large
        while store.needs_maintenance():
            store.maintain()
            assert before - (before := read_spool_report(path).file_bytes) <= 513 * 4096
            steps += 1
        assert steps > 6
        assert before < 2 << 20
        # Not only in what the log says: on the disk, and while the bridge goes on.
        assert path.stat().st_size == before
