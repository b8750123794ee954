"""Says what a power loss cost: opens what is left as the bridge would, and looks for what was said to be safe."""

import gzip
import re
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson

from bridge.delivery.ack_tracker import AckTracker
from bridge.sinks.file.folder import Folder
from bridge.spool.accounting import read_spool_report
from bridge.spool.dead_letters import DeadLetterSelection, read_dead_letters
from bridge.spool.reader import SpoolReader
from bridge.spool.store import SpoolStore
from edgewire.errors import EdgefleetError
from tests.power_loss.workloads import FILES, ROTATION, SINKS, TEMPLATES, line_of, message_of, payload_of

Facts = dict[str, Any] | None
"""What a workload was told, or had asked for, last; None for nothing."""

Check = Callable[[Path, int, Facts, Facts], list[str]]
"""Folder, seed, what is safe, what was asked for -> what is wrong."""


def check_spool(folder: Path, seed: int, safe: Facts, asked: Facts) -> list[str]:
    """Open the spool, compare it with what its last commits promised, and go on with it."""
    path = folder / "state" / "bridge" / "spool.db"
    nothing: dict[str, Any] = {"last_id": 0, "letters": [], "done": {sink: [] for sink in SINKS}}
    safe, asked = safe or nothing, asked or nothing
    try:
        with closing(SpoolStore(path, SINKS)) as store:
            wrong = _compare_spool(store, path, seed, safe, asked)
        wrong += go_on_with_spool(path, SINKS, seed)
    except EdgefleetError as error:
        return [f"it cannot be gone on with: {error}"]
    return wrong


def go_on_with_spool(path: Path, sinks: Sequence[str], seed: int) -> list[str]:
    """Write one more message, as the next bridge would, and look for it after that one's end. Raises `SpoolError`."""
    with closing(SpoolStore(path, sinks)) as store:
        new = message_of(store.last_id + 1, seed)
        store.commit([new])
    with closing(SpoolReader(path)) as reader:
        found = reader.read_messages(new.id - 1, limit=2, max_bytes=1 << 30)
    return [] if [one.payload for one in found] == [new.payload] else ["a message that is written now is not there"]


def _compare_spool(store: SpoolStore, path: Path, seed: int, safe: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    wrong: list[str] = []
    if not safe["last_id"] <= store.last_id <= asked["last_id"]:
        wrong.append(f"the newest message is {store.last_id}, {safe['last_id']} was committed")
    if not read_spool_report(path).balanced:
        wrong.append("its books do not balance")
    letters = {(one.sink, one.message_id): one.payload for one in read_dead_letters(path, DeadLetterSelection())}
    wrong += [f"dead letter {one} is gone" for one in safe["letters"] if tuple(one) not in letters]
    wrong += [f"dead letter {one} was never asked for" for one in letters if list(one) not in asked["letters"]]
    wrong += [f"dead letter {one} is altered" for one in letters if letters[one] != payload_of(one[1], seed)]
    with closing(SpoolReader(path)) as reader:
        there = {one.id: one.payload for one in reader.read_messages(0, limit=1_000_000, max_bytes=1 << 30)}
    wrong += [f"message {one} is altered" for one, contents in there.items() if contents != payload_of(one, seed)]
    for sink in SINKS:
        tracker = AckTracker(sink, store.cursor(sink), store.done_bitmaps(sink))
        for number in range(1, store.last_id + 1):
            if tracker.is_done(number):
                if number not in asked["done"][sink]:
                    wrong.append(f"message {number} counts as done for '{sink}', which never was")
            elif number not in there:
                wrong.append(f"message {number} is gone, which '{sink}' still needs")
            elif number in safe["done"][sink]:
                wrong.append(f"message {number} is pending for '{sink}' again")
    return wrong


def check_files(folder: Path, seed: int, safe: Facts, asked: Facts) -> list[str]:
    """Go on writing into what is left, and look for each line that was reported."""
    wrong: list[str] = []
    files = Folder(folder / "messages", ROTATION, TEMPLATES, lambda: 9e6)
    try:
        files.lock()
        for path in FILES:
            file = files.append_lines(path, b'{"number": -1}\n')
            if file:
                file.clean_up()
    except (OSError, EdgefleetError) as error:
        return [f"it cannot be gone on with: {error}"]
    finally:
        files.close()
    for path in FILES:
        data = b"".join(map(contents_of, _parts(folder / "messages" / path)))
        if not data.endswith(b"\n"):
            wrong.append(f"{path} ends within a line")
        found = [_number(line, path, seed) for line in data.splitlines(keepends=True)]
        numbers = [number for number in found if number is not None and number >= 0]
        if None in found:
            wrong.append(f"{path} has a line that nobody wrote")
        missing = sorted(set(range((safe or {}).get(path, 0))) - set(numbers))
        if missing:
            wrong.append(f"{path} lacks {len(missing)} lines that were reported, the first is {missing[0]}")
        if numbers != sorted(set(numbers)):
            wrong.append(f"{path} has lines twice or in another order")
        if numbers and numbers[-1] >= (asked or {}).get(path, 0):
            wrong.append(f"{path} has line {numbers[-1]}, which was never asked for")
    return wrong


def _parts(path: Path) -> list[Path]:
    """Return what was rotated, in order, and the file itself; of one that is there compressed and not, the latter."""
    name = re.compile(rf"{re.escape(path.stem)}-\d[^.]*\.\d+Z(-\d+)?{re.escape(path.suffix)}(\.gz)?")
    found = sorted(one for one in path.parent.iterdir() if name.fullmatch(one.name))
    return [one for one in found if one.suffix != ".gz" or one.with_suffix("") not in found] + [path]


def contents_of(path: Path) -> bytes:
    """Return what is in a file, compressed or not."""
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def _number(line: bytes, path: str, seed: int) -> int | None:
    try:
        number: int = orjson.loads(line)["number"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return number if number == -1 or line == line_of(path, number, seed) else None


CHECKS: dict[str, Check] = {"spool": check_spool, "files": check_files}
