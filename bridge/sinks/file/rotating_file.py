"""Lets a file grow by whole lines, each of them safe before it is reported, and rotates it. Blocking calls.

A crash can leave a torn last line, a power cut also zeros where sectors of the last lines were not written yet: both
are cut off when the file is opened again. A rotated file that is not yet compressed is so then. What was reported is
never touched.
"""

import gzip
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edgewire.os_support import OPEN_FLAGS
from edgewire.output import make_durable_folder, require_file, sync_folder

_CHUNK = 64 << 10
_SECTOR = 512
"""Bytes that a disk writes whole or not at all."""
_STAMP = "%Y%m%dT%H%M%S.%fZ"
_ROTATED = r"-\d{8}T\d{6}\.\d{6}Z(-\d+)?"


@dataclass(frozen=True, slots=True)
class Rotation:
    """Says when a file is put aside, and what becomes of it."""

    max_bytes: int
    max_age_s: float | None = None
    compress: bool = False
    keep: int | None = None
    """Rotated files that are kept, the newest; None for all."""


class RotatingFile:
    """Writes one file. `append_lines` from one thread at a time; `clean_up` in any other."""

    def __init__(self, path: Path, rotation: Rotation, now: Callable[[], float]) -> None:
        """Open or create it, or that which a link at `path` leads to. `now` is seconds since 1970.

        Raises `OSError`, also for what is no file: in a FIFO nothing is safe.
        """
        self.path = path = require_file(path)
        self._rotation = rotation
        self._now = now
        self._started = now()
        self._size = 0
        self._uncut = False  # whether there may be more in it than `_size`
        self._file = -1
        make_durable_folder(path.parent)
        written = path.stat().st_mtime if path.exists() else self._started
        self._open(is_known=False)
        if self._size:
            self._started = written  # when its first line came is not known: not after the last one

    def append_lines(self, lines: bytes) -> Path | None:
        """Write whole lines and make them safe; return the rotated file, where the old one could not hold them.

        Raises `OSError`, and then none of it is in the file.
        """
        rotated = self.rotate() if self._size and self._must_rotate(len(lines)) else None
        if self._file < 0:
            self._open()
        try:
            view = memoryview(lines)
            while view:
                view = view[os.write(self._file, view) :]
            _sync_data(self._file)
        except OSError:
            # Part of it may be there; and after a failed sync nobody knows what is.
            self._cut_and_close()
            raise
        self._size += len(lines)
        return rotated

    def rotate(self) -> Path | None:
        """Put the file aside under a name with the time, and return that; None if there is nothing in it."""
        if self._uncut:
            self._open()
        self.close()
        if not self._size:
            return None
        stamp = datetime.fromtimestamp(self._now(), UTC).strftime(_STAMP)
        rotated, number = self._named(stamp), 0
        while rotated.exists() or _compressed(rotated).exists():
            number += 1
            rotated = self._named(f"{stamp}-{number}")
        self.path.rename(rotated)
        self._size = 0
        sync_folder(self.path.parent)
        return rotated

    def is_aged(self) -> bool:
        """Return whether it is older than a file may be, and not empty."""
        oldest_s = self._rotation.max_age_s
        return bool(self._size) and oldest_s is not None and self._now() - self._started >= oldest_s

    def clean_up(self) -> None:
        """Compress what is rotated and not compressed, and delete what is more than shall be kept."""
        rotated = self._rotated()
        for old in rotated[: -self._rotation.keep] if self._rotation.keep else ():
            old.unlink(missing_ok=True)
        if self._rotation.compress:
            for path in rotated:
                if path.suffix != ".gz" and path.exists():
                    _compress(path)

    def close(self) -> None:
        """Let go of it; everything in it is safe. `append_lines` opens it again."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self, *, is_known: bool = True) -> None:
        """Open the file, cut where a crash tore it; `is_known` where everything in it is ours and safe."""
        new = not self.path.exists()
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | OPEN_FLAGS, 0o644)
        try:
            self._cut_torn_lines(is_known=is_known)
            if new or not is_known:  # who made it may have died before its name was safe
                sync_folder(self.path.parent)
        except OSError:
            self.close()  # or it would count as cut
            raise
        if not self._size:
            self._started = self._now()

    def _cut_torn_lines(self, *, is_known: bool) -> None:
        size = os.fstat(self._file).st_size
        written = size if is_known else _written_lines(self._file, size)
        if self._uncut:
            written = self._size  # what stays in front of safe lines would take them along when it proves torn
        self._size = _whole_lines(self._file, written)
        if self._size < size:
            os.ftruncate(self._file, self._size)
            os.fsync(self._file)
        self._uncut = False

    def _must_rotate(self, more: int) -> bool:
        return self._size + more > self._rotation.max_bytes or self.is_aged()

    def _cut_and_close(self) -> None:
        self._uncut = True
        try:
            os.ftruncate(self._file, self._size)
            self._uncut = False
        finally:
            self.close()

    def _named(self, stamp: str) -> Path:
        return self.path.with_name(f"{self.path.stem}-{stamp}{self.path.suffix}")

    def _rotated(self) -> list[Path]:
        """Return the rotated files, the oldest first; one that exists compressed and not is there once."""
        name = re.compile(rf"{re.escape(self.path.stem)}{_ROTATED}{re.escape(self.path.suffix)}(\.gz)?")
        return sorted(path for path in self.path.parent.iterdir() if name.fullmatch(path.name))


def is_rotated(path: Path) -> bool:
    """Return whether it has the name of a file that was put aside."""
    return re.search(rf"{_ROTATED}(\.[^.]*)?(\.gz)?$", path.name) is not None


def _whole_lines(file: int, size: int) -> int:
    """Return how many bytes there are up to the end of the last whole line."""
    end = size
    while end:
        start = max(0, end - _CHUNK)
        found = _read_at(file, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _written_lines(file: int, size: int) -> int:
    """Return how many bytes there are up to the first line of which a sector is missing.

    Such a sector reads as zeros. Lines that were lost begin where a safe one ends: the first is missing from there to
    the border of a sector, or it lacks a whole one. A line that has zeros elsewhere is somebody's message.
    """
    for start in range(0, size, _CHUNK):
        chunk = _read_at(file, min(_CHUNK, size - start), start)
        at = chunk.find(0)
        while at >= 0:
            zeros = chunk[at : (at // _SECTOR + 1) * _SECTOR]
            line = _whole_lines(file, start + at)
            if not any(zeros) and (line == start + at or at % _SECTOR == 0):
                return line
            at = chunk.find(0, at + len(zeros) - len(zeros.lstrip(b"\0")))
    return size


def _read_at(file: int, size: int, start: int) -> bytes:
    os.lseek(file, start, os.SEEK_SET)  # what is appended goes to the end all the same
    return os.read(file, size)


_sync_data: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)
"""Linux alone may leave out what else is known of a file."""


def _compressed(path: Path) -> Path:
    return path.with_name(f"{path.name}.gz")


def _compress(path: Path) -> None:
    """Replace a file by its compressed form; whenever it is interrupted, one of the two is whole."""
    half = require_file(path.with_name(f".{path.name}.gz.half"))
    with path.open("rb") as source, half.open("wb") as target:
        with gzip.GzipFile(fileobj=target, mode="wb", compresslevel=6, mtime=0) as packed:
            shutil.copyfileobj(source, packed, _CHUNK)
        target.flush()
        os.fsync(target.fileno())
    half.rename(_compressed(path))
    sync_folder(path.parent)
    path.unlink(missing_ok=True)
