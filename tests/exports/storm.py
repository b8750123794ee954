"""One place that exports are written to: killed at random, gone on with, and begun by two at once."""

import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyarrow import fs

from tests.services.fixtures import require_package
from tests.services.s3 import ENVIRONMENT, KEY, SECRET

PLACES = {
    "jsonl": ("x.jsonl",),
    "jsonl.gz": ("x.jsonl.gz",),
    "csv": ("set/", "--format", "csv"),
    "parquet": ("set/", "--format", "parquet"),
    "arrow": ("x.arrow",),
    "duckdb": ("x.duckdb",),
    "sqlite": ("x.sqlite",),
    "delta": ("set/", "--format", "delta"),
    "parts": ("set/", "--format", "parquet", "--jobs", "2"),
    "parts of csv.zst": ("set/", "--format", "csv.zst", "--jobs", "2"),
    "s3": ("s3://lake/{name}/", "--format", "parquet", "--jobs", "2"),
}
"""Name -> what comes behind `--out`."""
_COMMAND = [sys.executable, "-m", "edgefleet", "generate", "--kind", "bme280", "--count", "100", "--interval", "1s"]
_MOST_TRIES = 12


@dataclass(frozen=True, slots=True)
class Outcome:
    """Says what came of a place."""

    place: str
    kills: int
    refused: int
    resumed: int
    wrong: str = ""


def storm(chance: random.Random, folder: Path, url: str, place: str | None = None) -> Outcome:
    """Write to a place until an export has finished, and compare it with one that nobody disturbed."""
    place = place or chance.choice(list(PLACES))
    environment = os.environ | ENVIRONMENT | {"AWS_ENDPOINT_URL": url}
    minutes = chance.randint(30, 60)  # over midnight
    span = ["--from", "2026-03-01T23:50", "--to", f"2026-03-02T00:{minutes - 10:02d}"]
    (folder / "one").mkdir(parents=True)
    (folder / "two").mkdir()

    def begin(where: str, *more: str) -> "subprocess.Popen[bytes]":
        out, *options = (word.format(name=f"{folder.name}-{where}") for word in PLACES[place])
        return subprocess.Popen(
            [*_COMMAND, *span, "--out", out, *options, *more],
            cwd=folder / where,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    calm = begin("one")
    began = time.monotonic()
    said = calm.communicate(timeout=300)[1]
    lasts = time.monotonic() - began
    if calm.returncode:
        return Outcome(place, 0, 0, 0, f"undisturbed: {said.decode()}")
    kills = refused = resumed = 0
    for number in range(_MOST_TRIES):
        first = begin("two", *(["--resume"] if number else []))
        resumed += number > 0
        # The last tries are left in peace.
        is_ended = number < _MOST_TRIES - 3 and chance.random() < 0.7
        if chance.random() < 0.4:
            time.sleep(chance.uniform(0, lasts / 2))
            second = begin("two", "--resume")
            told = second.communicate(timeout=300)[1]
            if second.returncode not in (0, 2):
                return Outcome(place, kills, refused, resumed, f"the second: {told.decode()}")
            refused += second.returncode == 2
        elif is_ended:
            time.sleep(chance.uniform(0, lasts * 1.1))
        if is_ended and first.poll() is None:
            kills += 1
            first.send_signal(chance.choice([signal.SIGKILL, signal.SIGINT]))
        told = first.communicate(timeout=300)[1]
        if first.returncode == 0:
            ours, expected = (digest(place, folder, where, url) for where in ("two", "one"))
            wrong = "" if ours == expected else f"{ours} instead of {expected}"
            return Outcome(place, kills, refused, resumed, wrong)
        if first.returncode not in (1, 2, 130, -signal.SIGKILL, -signal.SIGINT):
            return Outcome(place, kills, refused, resumed, f"exit code {first.returncode}: {told.decode()}")
    return Outcome(place, kills, refused, resumed, f"never finished: {told.decode()}")


def digest(place: str, folder: Path, where: str, url: str) -> dict[str, str]:
    """Return of each file, or table, what is in it; of a database its rows."""
    root = folder / where
    if place == "s3":
        return _digest_of_s3(f"{folder.name}-{where}", url)
    if place in ("duckdb", "sqlite", "delta"):
        return {"rows": _hash(repr(row).encode() for row in _rows(place, root))}
    return {
        path.relative_to(root).as_posix(): _hash([path.read_bytes()])
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def _digest_of_s3(name: str, url: str) -> dict[str, str]:
    store = fs.S3FileSystem(
        access_key=KEY,
        secret_key=SECRET,
        endpoint_override=url.partition("://")[2],
        scheme="http",
        region="us-east-1",
    )
    found = store.get_file_info(fs.FileSelector(f"lake/{name}", recursive=True))
    return {
        one.path.partition(name)[2]: _hash([store.open_input_stream(one.path).read()]) for one in found if one.is_file
    }


def _rows(place: str, root: Path) -> list[Any]:
    if place == "delta":
        table = require_package("deltalake").DeltaTable(root / "set" / "bme280").to_pyarrow_table()
        return sorted(zip(*(table[name].to_pylist() for name in ("device_id", "seq", "temperature_c")), strict=True))
    path = root / f"x.{place}"
    made: Any = sqlite3.connect(path) if place == "sqlite" else require_package("duckdb").connect(str(path))
    with closing(made) as connection:
        return list(connection.execute("SELECT * FROM bme280 ORDER BY device_id, seq").fetchall())


def _hash(pieces: Iterator[bytes] | list[bytes]) -> str:
    made = hashlib.sha256()
    for piece in pieces:
        made.update(piece)
    return made.hexdigest()[:16]
