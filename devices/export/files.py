"""A file under construction: it has its own name when it is complete, and `NAME.partial` until then."""

import os
from pathlib import Path
from typing import BinaryIO

from devices.export.base import ExportError


class PartialFile:
    """Appends to `path.partial`; `complete` gives it its name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.partial = path.with_name(path.name + ".partial")
        self._file: BinaryIO | None = None

    def open(self, size: int | None) -> None:
        """Begin anew, or go on behind the first `size` bytes, dropping what came later.

        Raises `ExportError` where the file cannot be written, or is shorter than that.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if size is not None and not self.partial.exists():
                raise ExportError(f"{self.partial} is gone, so it cannot be gone on with: leave out --resume")
            if size is not None and self.partial.stat().st_size < size:
                raise ExportError(f"{self.partial} is shorter than its checkpoint says: leave out --resume")
            self._file = self.partial.open("wb" if size is None else "r+b")
            if size is not None:
                self._file.truncate(size)
                self._file.seek(size)
        except OSError as error:
            raise ExportError(f"{self.partial} cannot be written: {error.strerror}") from None

    def write(self, data: bytes) -> None:
        """Append; raises `ExportError` where the disk is full."""
        try:
            self._opened.write(data)
        except OSError as error:
            raise ExportError(f"{self.partial} cannot be written: {error.strerror}") from None

    def sync(self) -> int:
        """Make durable what was written; the size."""
        file = self._opened
        try:
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            raise ExportError(f"{self.partial} cannot be written: {error.strerror}") from None
        return file.tell()

    def complete(self) -> None:
        """Make it durable and give it its name."""
        self.sync()
        self.close()
        self.partial.replace(self.path)

    def discard(self) -> None:
        """Remove it."""
        self.close()
        self.partial.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go; the partial file stays."""
        if self._file:
            self._file.close()
            self._file = None

    @property
    def _opened(self) -> BinaryIO:
        assert self._file is not None, f"{self.partial} is not open"
        return self._file
