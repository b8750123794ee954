import os
import random
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bridge.delivery.ack_tracker import AckTracker
from bridge.spool import dead_letters as letters
from bridge.spool.accounting import count_messages, read_lag
from bridge.spool.dead_letters import DeadLetterSelection, read_dead_letters
from bridge.spool.message import CursorUpdate, DeadLetter, SpooledMessage
from bridge.spool.reader import SpoolReader
from bridge.spool.sqlite import SpoolError
from bridge.spool.store import SpoolStore
from edgewire.errors import ConfigError
from tests.bridge.fakes import spooled

SINKS = ("http", "kafka")


def settled(sink: str, cursor: int, delivered: int, dropped: int = 0, dead: tuple[int, ...] = ()) -> CursorUpdate:
    letters = tuple(
        DeadLetter(
            sink=sink,
            message_id=number,
            received_ms=1,
            topic="t",
            payload=b"\x00p",
            reason=f"reason {number}",
            attempts=2,
            dead_ms=9,
        )
        for number in dead
    )
    return CursorUpdate(sink=sink, cursor=cursor, delivered=delivered, dropped=dropped, dead_letters=letters)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "spool.db"


VERSION_1 = """
CREATE TABLE messages (
  id INTEGER PRIMARY KEY, received_ms INTEGER NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL,
  qos INTEGER NOT NULL, retain INTEGER NOT NULL, dup INTEGER NOT NULL
) STRICT;
CREATE TABLE sinks (
  name TEXT PRIMARY KEY, start INTEGER NOT NULL, cursor INTEGER NOT NULL,
  delivered INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0, dead_lettered INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE dead_letters (
  number INTEGER PRIMARY KEY, sink TEXT NOT NULL, message_id INTEGER NOT NULL, received_ms INTEGER NOT NULL,
  topic TEXT NOT NULL, payload BLOB NOT NULL, reason TEXT NOT NULL, attempts INTEGER NOT NULL, dead_ms INTEGER NOT NULL
) STRICT;
INSERT INTO messages VALUES (1, 5, 't', x'00', 1, 0, 0);
INSERT INTO sinks VALUES ('http', 0, 0, 0, 0, 0), ('kafka', 0, 0, 0, 0, 0);
INSERT INTO dead_letters VALUES (1, 'http', 1, 5, 't', x'00', 'why', 2, 9);
PRAGMA user_version = 1;
"""


def test_a_spool_of_an_earlier_version_is_taken_over_with_all_it_holds(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as old:
        old.executescript(VERSION_1)
    for _ in range(2):  # the second opening finds it as it should be
        with closing(SpoolStore(path, SINKS)) as store:
            assert store.last_id == 1
    with closing(SpoolStore(path, SINKS)) as store, closing(SpoolReader(path)) as reader:
        two = spooled(2)
        two.properties = b"{}"
        store.commit([two])
        assert [one.properties for one in reader.read_messages(0, limit=9, max_bytes=1 << 20)] == [None, b"{}"]
    (letter,) = read_dead_letters(path)
    assert (letter.reason, letter.properties) == ("why", None)


def test_notes_are_kept(path: Path) -> None:
    with closing(SpoolStore(path, SINKS)) as store:
        assert store.get_metadata("a") is None
        store.set_metadata("a", "1")
        store.set_metadata("a", "2")
    with closing(SpoolStore(path, SINKS)) as store:
        assert store.get_metadata("a") == "2"


def test_sinks_come_and_go_while_the_file_is_open(path: Path) -> None:
    with closing(SpoolStore(path, SINKS)) as store:
        store.commit([spooled(1), spooled(2)], [settled("http", 2, 2), settled("kafka", 1, 1)])
        with pytest.raises(ConfigError, match="1 messages for the sink 'kafka'"):
            store.reconcile_sinks(["http", "file"])
        assert [one.sink for one in count_messages(path)] == ["http", "kafka"]
        store.reconcile_sinks(["http", "file"], ["kafka"])
        assert [one.sink for one in count_messages(path)] == ["file", "http"]
        assert (store.cursor("http"), store.cursor("file")) == (2, 1)
        store.commit([spooled(3)], [settled("file", 3, 2)])
        assert all(one.balanced for one in count_messages(path))


def test_what_was_committed_is_there_after_reopening(path: Path) -> None:
    messages = [spooled(number) for number in range(1, 400)]
    messages[3].payload = bytes(range(256))
    messages[4].retain = messages[5].dup = True
    messages[6].qos = 0
    messages[7].properties = b'{"user":[]}'
    store = SpoolStore(path, SINKS)
    store.commit(messages)
    store.close()
    with closing(SpoolReader(path)) as reader:
        read = reader.read_messages(0, limit=1000, max_bytes=1 << 30)
        assert [one.id for one in reader.read_messages(100, limit=3, max_bytes=1 << 30)] == [101, 102, 103]
        assert len(reader.read_messages(0, limit=1000, max_bytes=1)) == 1

    def fields(message: object) -> list[object]:
        names = ("id", "received_ms", "topic", "payload", "qos", "retain", "dup", "properties")
        return [getattr(message, name) for name in names]

    assert [fields(one) for one in read] == [fields(one) for one in messages]
    with closing(SpoolStore(path, SINKS)) as store:
        assert store.last_id == 399


def test_it_is_durable_not_only_written(path: Path) -> None:
    with closing(SpoolStore(path, SINKS)) as store:
        assert store._database.execute("PRAGMA synchronous").fetchone()[0] == 2
        assert store._database.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_messages_leave_when_every_sink_is_past_them(path: Path) -> None:
    with closing(SpoolStore(path, SINKS)) as store, closing(SpoolReader(path)) as reader:
        store.commit([spooled(number) for number in range(1, 11)])
        store.commit(updates=[settled("http", 10, 8, dropped=1, dead=(4,))])
        assert len(reader.read_messages(0, limit=99, max_bytes=1 << 30)) == 10
        store.commit(updates=[settled("kafka", 6, 6)])
        assert [one.id for one in reader.read_messages(0, limit=99, max_bytes=1 << 30)] == [7, 8, 9, 10]
        http, kafka = count_messages(path)
        assert http[:6] == ("http", 10, 8, 1, 1, 0)
        assert kafka[:6] == ("kafka", 10, 6, 0, 0, 4)
        assert kafka.oldest_pending_ms == 1007
        assert http.balanced
        assert kafka.balanced
        assert read_lag(path) == [("http", 0, None), ("kafka", 4, 1007)]
        letters = read_dead_letters(path)
        assert [(one.sink, one.message_id, one.reason, one.payload) for one in letters] == [
            ("http", 4, "reason 4", b"\x00p")
        ]
        assert read_dead_letters(path, sink="kafka") == []


def test_books_that_do_not_balance_are_seen(path: Path) -> None:
    with closing(SpoolStore(path, SINKS)) as store:
        store.commit([spooled(number) for number in range(1, 6)])
        store._database.execute("DELETE FROM messages WHERE id = 3")
        assert not any(one.balanced for one in count_messages(path))


def test_ids_go_on_after_everything_was_delivered_and_deleted(path: Path) -> None:
    store = SpoolStore(path, SINKS)
    store.commit([spooled(1), spooled(2)], [settled("http", 2, 2), settled("kafka", 2, 2)])
    store.close()
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM messages").fetchone()[0] == 0
    with closing(SpoolStore(path, SINKS)) as store:
        assert store.last_id == 2


def test_a_new_sink_begins_with_the_oldest_message_there_is(path: Path) -> None:
    store = SpoolStore(path, ["http"])
    store.commit([spooled(number) for number in range(1, 5)], [settled("http", 2, 2)])
    store.close()
    with closing(SpoolStore(path, SINKS)) as store:
        assert store.cursor("kafka") == 2
        http, kafka = count_messages(path)
        assert http[:6] == ("http", 4, 2, 0, 0, 2)
        assert kafka[:6] == ("kafka", 2, 0, 0, 0, 2)


def test_a_sink_with_pending_messages_cannot_be_configured_away_by_accident(path: Path) -> None:
    store = SpoolStore(path, SINKS)
    store.commit([spooled(1), spooled(2)], [settled("http", 2, 2)])
    store.close()
    with pytest.raises(ConfigError, match=r"holds 2 messages for the sink 'kafka'.*spool.abandon: \[kafka\]"):
        SpoolStore(path, ["http"])
    with closing(SpoolStore(path, ["http"], abandon=["kafka"])) as store:
        assert [one.sink for one in count_messages(path)] == ["http"]
        store.commit(updates=[settled("http", 2, 0)])
    SpoolStore(path, ["kafka"]).close()  # http has nothing pending, so it may go


def test_one_bridge_a_spool(path: Path) -> None:
    with closing(SpoolStore(path, SINKS)), pytest.raises(SpoolError, match="another bridge uses this spool"):
        SpoolStore(path, SINKS)
    SpoolStore(path, SINKS).close()


def test_a_spool_with_messages_of_another_bridge_is_refused(path: Path) -> None:
    with closing(SpoolStore(path, SINKS)) as store:
        store.claim("a")
        store.commit([spooled(1), spooled(2)], [settled("http", 2, 2), settled("kafka", 1, 1)])
    with closing(SpoolStore(path, SINKS)) as store:
        with pytest.raises(ConfigError, match=r"bridge 'a', with 1 messages .* not of 'b'; set another"):
            store.claim("b")
        store.claim("a")
        store.commit(updates=[settled("kafka", 2, 1)])
        store.claim("b")  # nothing of the other one's is left
        store.commit([spooled(3)])
        with pytest.raises(ConfigError, match="of the bridge 'b'"):
            store.claim("a")


def test_a_spool_of_before_owners_were_noted_is_whose_bridge_opens_it(path: Path) -> None:
    with closing(SpoolStore(path, SINKS)) as store:
        store.commit([spooled(1)])
    with closing(SpoolStore(path, SINKS)) as store:
        store.claim("a")


def test_a_full_disk_is_named_and_nothing_is_written(path: Path) -> None:
    with closing(SpoolStore(path, SINKS)) as store:
        pages = store._scalar("PRAGMA page_count")
        store._database.execute(f"PRAGMA max_page_count = {pages + 2}")
        big = [spooled(number) for number in range(1, 4)]
        for one in big:
            one.payload = b"x" * 50_000
        with pytest.raises(SpoolError, match="the disk is full; make room"):
            store.commit(big)
        assert count_messages(path)[0].received == 0
        assert store.last_id == 0
        store.commit([spooled(1)])
        assert count_messages(path)[0].received == 1


def test_room_that_was_freed_does_not_count(path: Path) -> None:
    with closing(SpoolStore(path, ["http"])) as store:
        empty = store.used_bytes()
        store.commit([spooled(number, text="x" * 5000) for number in range(1, 201)])
        assert store.used_bytes() > 1_000_000
        store.commit(updates=[settled("http", 200, 200)])
        assert store.used_bytes() < empty + 50_000


@pytest.mark.parametrize("content", [b"this is no database, but long enough to be one" * 100, None])
def test_a_file_that_is_no_spool_is_refused(path: Path, content: bytes | None) -> None:
    path.parent.mkdir()
    if content:
        path.write_bytes(content)
    else:
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE something (a)")
    with pytest.raises(SpoolError, match="no spool"):
        SpoolStore(path, SINKS)
    if content is None:
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("something",)]


def test_a_damaged_spool_is_found_at_the_start(path: Path) -> None:
    store = SpoolStore(path, SINKS)
    store.commit([spooled(number, text="x" * 3000) for number in range(1, 50)])
    store.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(os.urandom(size // 4))
    with pytest.raises(SpoolError, match="damaged"):
        SpoolStore(path, SINKS)


def test_a_missing_spool_cannot_be_read(path: Path) -> None:
    with pytest.raises(SpoolError, match="there is no spool yet"):
        count_messages(path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="cannot be opened"):
        SpoolStore(tmp_path / "file" / "spool.db", SINKS)


class Crashes(RuleBasedStateMachine):
    """Any order of receiving, delivering, replaying and dying leaves the file as the model has it."""

    def __init__(self) -> None:
        super().__init__()
        self.done: dict[str, set[int]] = {sink: set() for sink in SINKS}
        self.dead: dict[str, set[int]] = {sink: set() for sink in SINKS}
        self.again: dict[str, set[int]] = {sink: set() for sink in SINKS}
        self.discarded = dict.fromkeys(SINKS, 0)
        self.received = 0

    @initialize()
    def open(self) -> None:
        # In memory: what is tested is what is in the file, and thousands of commits need no disk for that.
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
        self.path = Path(self.folder.name) / "spool.db"
        self._open()

    @rule(count=st.sampled_from([1, 20, 600, 5000]))
    def receive(self, count: int) -> None:
        self.store.commit([spooled(self.received + number) for number in range(1, count + 1)])
        self.received += count

    @rule(sink=st.sampled_from(SINKS), rng=st.randoms(use_true_random=False), share=st.sampled_from([0.1, 0.9, 1]))
    def deliver(self, sink: str, rng: random.Random, share: float) -> None:
        """Some of what is pending ends, in any order: delivered, dropped by rule, or given up."""
        open_ids = [number for number in range(1, self.received + 1) if number not in self.done[sink]]
        chosen = [number for number in open_ids if rng.random() < share]
        fates = rng.choices(range(3), weights=(20, 2, 1 if len(chosen) < 500 else 0), k=len(chosen))
        progress = self.progress[sink]
        progress.record_delivered([number for number, fate in zip(chosen, fates, strict=True) if fate == 0])
        for number, fate in zip(chosen, fates, strict=True):
            if fate == 1:
                progress.record_dropped(number)
            elif fate == 2:
                progress.record_dead(letter(sink, number))
                self.dead[sink].add(number)
        self.done[sink] |= set(chosen)
        self._settle(sink, [spooled(self.received + 1)])
        self.received += 1

    @rule(sink=st.sampled_from(SINKS), count=st.integers(1, 5))
    def replay(self, sink: str, count: int) -> None:
        chosen = sorted(self.dead[sink])[:count]
        with closing(sqlite3.connect(self.path)) as database:
            numbers = [
                number
                for number, message_id in database.execute(
                    "SELECT number, message_id FROM dead_letters WHERE sink = ? AND replay = 0", (sink,)
                )
                if message_id in chosen
            ]
        if numbers:
            assert letters.replay_dead_letters(self.path, DeadLetterSelection(numbers=tuple(numbers))).count == len(
                chosen
            )
        self.dead[sink] -= set(chosen)
        self.again[sink] |= set(chosen)

    @rule(sink=st.sampled_from(SINKS), well=st.booleans())
    def replays_end(self, sink: str, well: bool) -> None:
        waiting = self.reader.read_replays(sink, 0, 10_000)
        assert {one.id for _, one in waiting} == self.again[sink]
        for number in self.again[sink]:
            self.progress[sink].add_replays([number])
            if well:
                self.progress[sink].record_delivered([number])
            else:
                self.progress[sink].record_dead(letter(sink, number))
                self.dead[sink].add(number)
        self.again[sink].clear()
        self._settle(sink)

    @rule(sink=st.sampled_from(SINKS))
    def drop(self, sink: str) -> None:
        assert letters.discard_dead_letters(self.path, DeadLetterSelection(sink=sink)).count == len(self.dead[sink])
        self.discarded[sink] += len(self.dead[sink])
        self.dead[sink].clear()

    @rule()
    def die_in_a_transaction(self) -> None:
        """What SIGKILL leaves: an unfinished transaction, and no lock."""
        self.store._database.execute("BEGIN IMMEDIATE")
        self.store._insert([spooled(self.received + 1)])
        self.store._database.execute("UPDATE sinks SET cursor = cursor + 1")
        self.store._database.execute("DELETE FROM blocks")
        self._close()
        self._open()

    @precondition(lambda self: self.received > 0)
    @rule()
    def restart(self) -> None:
        self._close()
        self._open()

    @rule()
    def tidy(self) -> None:
        self.store.maintain()

    def _settle(self, sink: str, messages: Sequence[SpooledMessage] = ()) -> None:
        update = self.progress[sink].flush()
        self.store.commit(messages, [update] if update else [])

    def _open(self) -> None:
        self.store = SpoolStore(self.path, SINKS)
        self.reader = SpoolReader(self.path)
        self.progress = {
            sink: AckTracker(sink, self.store.cursor(sink), self.store.done_bitmaps(sink)) for sink in SINKS
        }

    def _close(self) -> None:
        self.reader.close()
        self.store.close()

    @invariant()
    def books_balance(self) -> None:
        assert self.store.last_id == self.received
        for books in count_messages(self.path):
            sink = books.sink
            assert books.balanced
            assert books.received == self.received
            assert books.pending == self.received - len(self.done[sink]) + len(self.again[sink])
            assert (books.dead_lettered, books.discarded) == (len(self.dead[sink]), self.discarded[sink])
        assert {name: pending for name, pending, _ in read_lag(self.path)} == {
            one.sink: one.pending for one in count_messages(self.path)
        }

    @invariant()
    def what_is_pending_is_there_in_order(self) -> None:
        for sink in SINKS:
            progress = AckTracker(sink, self.store.cursor(sink), self.store.done_bitmaps(sink))
            rows = self.reader.read_messages(self.store.cursor(sink), limit=1_000_000, max_bytes=1 << 30)
            pending = [one.id for one in rows if not progress.is_done(one.id)]
            assert pending == [number for number in range(1, self.received + 1) if number not in self.done[sink]]
            assert [one.id for one in self.reader.fetch_messages(sink, pending[:50])] == pending[:50]

    def teardown(self) -> None:
        self._close()
        self.folder.cleanup()


def letter(sink: str, number: int) -> DeadLetter:
    return settled(sink, 0, 0, dead=(number,)).dead_letters[0]


TestCrashes = pytest.mark.slow(Crashes.TestCase)
TestCrashes.settings = settings(max_examples=8, stateful_step_count=20, deadline=None)


def test_nobody_else_may_read_a_spool(path: Path) -> None:
    path.parent.mkdir()
    (path.parent / "spool.db.lock").touch(0o644)
    before = os.umask(0)
    try:
        for _ in range(2):
            with closing(SpoolStore(path, SINKS)) as store:
                store.commit([spooled(store.last_id + 1)], [])
                modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
                assert modes == dict.fromkeys(("spool.db", "spool.db-wal", "spool.db-shm", "spool.db.lock"), 0o600)
            path.chmod(0o644)  # as an earlier version left it
    finally:
        os.umask(before)


@pytest.mark.parametrize("is_database", [False, True])
def test_what_is_no_spool_is_left_as_it_is(path: Path, is_database: bool) -> None:
    path.parent.mkdir()
    if is_database:
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE albums (name TEXT)")
    else:
        path.write_text("somebody else's")
    path.chmod(0o644)
    before = path.read_bytes(), path.stat().st_mode
    with pytest.raises(SpoolError, match="no spool"):
        SpoolStore(path, SINKS)
    assert (path.read_bytes(), path.stat().st_mode) == before
