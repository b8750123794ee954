"""Keeps the folder of the file sink: its lock, the files that are open, and those that are too old. Blocking calls."""

import os
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bridge.message.template import Template
from bridge.sinks.file.rotating_file import RotatingFile, Rotation, is_rotated
from edgewire import logs
from edgewire.errors import ConfigError, ServiceUnavailable
from edgewire.os_support import OPEN_FLAGS, lock_file
from edgewire.output import make_durable_folder

OPEN_FILES = 128
_KNOWN_FILES = 10_000
"""Whose age is known although they are closed; of others it is that of their last line."""

log = logs.get("file")


class Folder:
    """Holds the files of the sink. Every method is called by one thread at a time."""

    def __init__(self, path: Path, rotation: Rotation, paths: Iterable[Template], now: Callable[[], float]) -> None:
        """Take the templates that make the names of its files; `now` is seconds since 1970."""
        self._path = path
        self._rotation = rotation
        self._now = now
        self._names = [re.compile("".join(map(_pattern, template.parts))) for template in paths]
        self._files: OrderedDict[str, RotatingFile] = OrderedDict()  # the open ones
        self._closed: OrderedDict[str, RotatingFile] = OrderedDict()
        self._lock = -1

    def lock(self) -> None:
        """Take the folder for this bridge.

        Raises `ConfigError` for one that another bridge has, `ServiceUnavailable` for one that fails.
        """
        try:
            make_durable_folder(self._path)
            self._lock = os.open(self._path / ".lock", os.O_RDWR | os.O_CREAT | OPEN_FLAGS, 0o644)
            lock_file(self._lock)
        except BlockingIOError:
            self.close()
            raise ConfigError(f"{self._path} is used by another bridge: set file.folder to one of its own") from None
        except OSError as error:
            self.close()
            raise ServiceUnavailable(
                f"{self._path} cannot be written to: {error.strerror}; look at file.folder"
            ) from None

    def append_lines(self, path: str, lines: bytes) -> RotatingFile | None:
        """Add whole lines to a file; return it where there is something to clean up. Raises `OSError`."""
        file = self._files.get(path)
        opened = file is None
        if file is None:
            file = self._closed.pop(path, None) or RotatingFile(self._path / path, self._rotation, self._now)
            self._files[path] = file
            if len(self._files) > OPEN_FILES:
                self._close_oldest()
        self._files.move_to_end(path)
        rotated = file.append_lines(lines)
        return file if opened or rotated else None

    def rotate_aged(self) -> list[RotatingFile]:
        """Put aside what is too old, also what is not open, and return these files."""
        done: list[RotatingFile] = []
        for file in [*self._files.values(), *self._closed.values(), *self._idle_files()]:
            try:
                if file.is_aged() and file.rotate():
                    done.append(file)
            except OSError as error:
                log.warning("a file cannot be rotated", path=str(file.path), fault=error.strerror)
        return done

    def close(self) -> None:
        """Let go of everything; `lock` may follow."""
        while self._files:
            self._files.popitem()[1].close()
        self._closed.clear()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _close_oldest(self) -> None:
        """Close the file that was not written to for longest."""
        name, file = self._files.popitem(last=False)
        file.close()
        self._closed[name] = file
        if len(self._closed) > _KNOWN_FILES:
            self._closed.popitem(last=False)

    def _idle_files(self) -> Iterator[RotatingFile]:
        """Yield files of an earlier life, or of a path that has had nothing for long."""
        oldest_s = self._rotation.max_age_s
        for path in self._path.rglob("*") if oldest_s is not None else ():
            name = path.relative_to(self._path).as_posix()
            if (
                name in self._files
                or name in self._closed
                or is_rotated(path)
                or not any(one.fullmatch(name) for one in self._names)
            ):
                continue
            try:
                if self._now() - path.stat().st_mtime >= (oldest_s or 0) and path.is_file():
                    file = RotatingFile(path, self._rotation, self._now)
                    file.close()
                    yield file
            except OSError as error:
                log.warning("a file cannot be looked at", path=str(path), fault=error.strerror)


def _pattern(part: object) -> str:
    """Return what a part of a template may become: its text, or any name without a level."""
    return re.escape(part) if isinstance(part, str) else "[^/]+"
