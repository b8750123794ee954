"""Programs that are recorded: each writes into a folder and tells a second file what it has been told is safe.

Run as `python -m tests.power_loss.workloads NAME FOLDER MARKS SEED STEPS`. A mark is a JSON line of what is about to be
asked for ("asked") or has been answered ("safe"); marks grow, so the last of each says all.
"""

import json
import os
import random
import sqlite3
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from bridge.delivery.ack_tracker import AckTracker
from bridge.message.template import Template
from bridge.sinks.file.folder import Folder
from bridge.sinks.file.rotating_file import RotatingFile, Rotation
from bridge.spool import retention
from bridge.spool.message import DeadLetter, SpooledMessage
from bridge.spool.store import SpoolStore

SINKS = ("file", "http")
FILES = ("north/bme280.jsonl", "south/bme280.jsonl", "all.jsonl")
ROTATION = Rotation(max_bytes=6_000, compress=True)
TEMPLATES = [Template("{site}/{kind}.jsonl"), Template("all.jsonl")]

Mark = Callable[[str, Any], None]


def payload_of(message_id: int, seed: int) -> bytes:
    """Return the contents of a message: most are short, some need pages of their own."""
    rng = random.Random(f"{seed}/{message_id}")
    return rng.randbytes(rng.choice((40, 120, 120, 900, 9_000)))


def line_of(path: str, number: int, seed: int) -> bytes:
    """Return a line of a file."""
    filler = "x" * random.Random(f"{seed}/{path}/{number}").choice((5, 60, 700))
    return json.dumps({"path": path, "number": number, "filler": filler}).encode() + b"\n"


def write_spool(folder: Path, mark: Mark, rng: random.Random, seed: int, steps: int) -> None:
    """Take messages in and settle them, as the bridge does; now and then close the spool, or let it be checkpointed."""
    path = folder / "state" / "bridge" / "spool.db"
    facts: dict[str, Any] = {"last_id": 0, "letters": [], "done": {sink: [] for sink in SINKS}}
    store, trackers = _opened_spool(path)
    for step in range(steps):
        first = store.last_id + 1
        new = [message_of(number, seed) for number in range(first, first + rng.randint(0, 6))]
        updates = []
        for sink, tracker in trackers.items():
            pending = [one for one in range(1, first) if not tracker.is_done(one)]
            chosen = sorted(rng.sample(pending, rng.randint(0, min(len(pending), 7))))
            for number in chosen:
                if rng.random() < 0.1:
                    tracker.record_dead(_letter(sink, number, seed))
                    facts["letters"].append([sink, number])
                elif rng.random() < 0.1:
                    tracker.record_dropped(number)
                else:
                    tracker.record_delivered([number])
            facts["done"][sink] += chosen
            if update := tracker.flush():
                updates.append(update)
        facts["last_id"] += len(new)
        mark("asked", facts)
        store.commit(new, updates)
        mark("safe", facts)
        if step % 9 == 8:
            with closing(sqlite3.connect(path)) as other:
                other.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        if step % 13 == 12:
            store.maintain()
        if step % 17 == 16:
            store.close()
            store, trackers = _opened_spool(path)
    store.close()


def _opened_spool(path: Path) -> tuple[SpoolStore, dict[str, AckTracker]]:
    store = SpoolStore(path, SINKS)
    return store, {sink: AckTracker(sink, store.cursor(sink), store.done_bitmaps(sink)) for sink in SINKS}


def message_of(number: int, seed: int) -> SpooledMessage:
    """Return a message of the spool."""
    return SpooledMessage(number, 1, f"edge/{number}", payload_of(number, seed), 1, retain=False, dup=False)


def _letter(sink: str, number: int, seed: int) -> DeadLetter:
    return DeadLetter(
        sink=sink,
        message_id=number,
        received_ms=1,
        topic=f"edge/{number}",
        payload=payload_of(number, seed),
        reason="no",
        attempts=1,
        dead_ms=2,
    )


def write_files(folder: Path, mark: Mark, rng: random.Random, seed: int, steps: int) -> None:
    """Append lines to files that are rotated, and compressed in another thread, as the file sink does."""
    facts: dict[str, int] = dict.fromkeys(FILES, 0)
    now = iter(range(1, 1_000_000))
    to_clean: SimpleQueue[RotatingFile | None] = SimpleQueue()
    cleaner = threading.Thread(target=_clean_up, args=(to_clean,))
    cleaner.start()
    files = Folder(folder / "messages", ROTATION, TEMPLATES, lambda: float(next(now)))
    files.lock()
    for step in range(steps):
        path = rng.choice(FILES)
        numbers = range(facts[path], facts[path] + rng.randint(1, 9))
        mark("asked", {**facts, path: numbers.stop})
        file = files.append_lines(path, b"".join(line_of(path, number, seed) for number in numbers))
        facts[path] = numbers.stop
        mark("safe", facts)
        if file:
            to_clean.put(file)
        if step % 17 == 16:
            files.close()
            files.lock()
    to_clean.put(None)
    cleaner.join()
    files.close()


def _clean_up(files: SimpleQueue[RotatingFile | None]) -> None:
    while file := files.get():
        file.clean_up()


WORKLOADS = {"spool": write_spool, "files": write_files}


def main() -> None:
    """Run one of them; its marks go into a file of their own, a `write` each."""
    # So that the spool's file shrinks each time that room is made in it.
    retention.KEEP_FREE_BYTES = 0
    name, folder, marks, seed, steps = sys.argv[1:]
    descriptor = os.open(marks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def mark(kind: str, facts: Any) -> None:
        os.write(descriptor, json.dumps({kind: facts}).encode() + b"\n")

    WORKLOADS[name](Path(folder), mark, random.Random(int(seed)), int(seed), int(steps))


if __name__ == "__main__":
    main()
