"""Writes what a user names as an output, and never puts a file in the place of what is none.

- a regular file, or nothing yet: written beside it as `NAME.partial`, which is given the name when it is complete;
- a symbolic link: the same at its target, and the link stays;
- a FIFO, a character device or a socket (a stream): opened and written into. It has no name to be given and no state to
  go on from;
- a block device, or a folder where a file is to be: refused.

Whatever is refused raises `OSError` with a reason as its `strerror`, as the operating system does.
"""

import errno
import os
import re
import signal
import socket
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from edgewire.os_support import OPEN_FLAGS

_STREAMS = {stat.S_IFIFO: "a FIFO", stat.S_IFCHR: "a character device", stat.S_IFSOCK: "a socket"}
_NO_FILES = _STREAMS | {stat.S_IFBLK: "a block device"}

FIFO_WAIT_S = 30.0
"""How long a FIFO may be without a reader (s)."""

_OPEN_FILES = re.compile(r"/(dev|proc/(self|thread-self|\d+))/fd/")
"""Links to what a process has open: what they lead to may have no name, and is the opener's to replace."""


def resolve_output(path: Path) -> Path:
    """Return the path of the file that is written: that of the target where `path` is a link, whether it exists or not.

    A link of a process to what it has open is not followed: `/dev/stdout` stays as it is. Raises `OSError` for links
    that lead in a circle.
    """
    for _ in range(40):
        if not path.is_symlink() or _is_open_file(path):
            return path
        path = path.parent / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def is_stream(path: Path) -> bool:
    """Return whether output goes into what is there, instead of taking its place; see the module."""
    try:
        found = resolve_output(path)
        return _is_open_file(found) or stat.S_IFMT(found.stat().st_mode) in _STREAMS
    except OSError:
        return False


def require_file(path: Path) -> Path:
    """Return the path to write at, as `resolve_output`. Raises `OSError` where something else than a file is there."""
    found = resolve_output(path)
    with suppress(FileNotFoundError):
        kind = stat.S_IFMT(found.stat().st_mode)
        if kind == stat.S_IFDIR:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if kind != stat.S_IFREG:
            raise OSError(errno.EINVAL, f"it is {_NO_FILES.get(kind, 'no regular file')}, not a file", str(path))
    return found


def partial_path(path: Path, suffix: str = ".partial") -> Path:
    """Return the name of a file under construction. Raises `OSError` where something else than a file has it."""
    partial = path.with_name(path.name + suffix)
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(partial.lstat().st_mode):
            raise OSError(errno.EEXIST, f"{partial.name} beside it is no regular file: remove it", str(partial))
    return partial


def make_output_folder(path: Path, mode: int = 0o777) -> None:
    """Make a folder, and those it is in, where they are missing; where a link leads nowhere yet, its target is made.

    Raises `OSError` where something else than a folder is there.
    """
    found = Path(os.path.realpath(path))
    try:
        found.mkdir(mode, parents=True, exist_ok=True)
    except FileExistsError:
        kind = _NO_FILES.get(stat.S_IFMT(found.stat().st_mode), "a file")
        raise NotADirectoryError(errno.ENOTDIR, f"it is {kind}, not a folder", str(path)) from None


def make_durable_folder(path: Path) -> None:
    """Make a folder as `make_output_folder` does, so that it and those it is in are there after a power cut.

    A name is safe once the folder that it is in is synced. Those that were there are synced too, as who made them may
    have died before that; one that is not ours to open is its owner's. Raises `OSError`.
    """
    found = Path(os.path.realpath(path))
    missing = [one for one in (found, *found.parents) if not one.exists()]
    make_output_folder(path)
    for folder in (found, *found.parents):
        try:
            sync_folder(folder.parent)
        except OSError:
            if folder in missing:
                raise


def sync_folder(path: Path) -> None:
    """Make the names in a folder safe; on Windows, where a folder cannot be opened, nothing is done.

    Raises `OSError`.
    """
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY | OPEN_FLAGS)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_stream(path: Path, *, wait_s: float = FIFO_WAIT_S) -> BinaryIO:
    """Open a stream for writing; of a FIFO, wait for its reader, `wait_s` seconds at the most.

    Raises `OSError` for what is no stream, and for a FIFO that nobody has begun to read.
    """
    found = resolve_output(path)
    kind = 0 if _is_open_file(found) else stat.S_IFMT(found.stat().st_mode)
    if kind == stat.S_IFIFO:
        return os.fdopen(_open_fifo(found, wait_s), "wb")
    if sys.platform != "win32" and kind == stat.S_IFSOCK:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(found))
            return connection.makefile("wb")
        finally:
            connection.close()  # the file keeps it open
    # Not to be cut off and never to be made: it is there, and what it has may be somebody's.
    return os.fdopen(os.open(found, os.O_WRONLY | os.O_APPEND | OPEN_FLAGS), "wb")


def write_output(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Write a file whole or not at all, its folder made where it is missing; or write into a stream.

    `mode` are the permissions of a file, less those that the umask takes. Raises `OSError`.
    """
    if is_stream(path):
        with open_stream(path) as stream:
            stream.write(content)
        return
    found = require_file(path)
    make_output_folder(found.parent)
    partial = partial_path(found)
    with suppress(FileNotFoundError):
        partial.unlink()  # an earlier one may have other permissions
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | OPEN_FLAGS, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        partial.replace(found)
    except OSError:
        # Half a file takes room where there may be none.
        with suppress(OSError):
            partial.unlink()
        raise


def _open_fifo(path: Path, wait_s: float) -> int:
    # An open that blocks is begun again after a signal that has a handler: it would end by SIGKILL alone.
    deadline = time.monotonic() + wait_s
    with _ended_by_signals(path):
        while True:
            try:
                descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | OPEN_FLAGS)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                if time.monotonic() >= deadline:
                    said = f"nobody has begun to read this FIFO in {wait_s:g} s: start its reader first"
                    raise OSError(errno.ENXIO, said, str(path)) from None
                time.sleep(0.02)
            else:
                os.set_blocking(descriptor, True)
                return descriptor


@contextmanager
def _ended_by_signals(path: Path) -> Iterator[None]:
    """Let a signal end the wait by an `OSError`: a handler that ends the work between two steps is never asked."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ended(number: int, _frame: object) -> None:
        said = f"nobody had begun to read this FIFO when {signal.Signals(number).name} came"
        raise OSError(errno.EINTR, said, str(path))

    names = [number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))]
    ours = [number for number in names if signal.getsignal(number) not in (signal.SIG_IGN, signal.SIG_DFL, None)]
    before = {number: signal.signal(number, ended) for number in ours}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_open_file(path: Path) -> bool:
    # `/dev/stdout` leads to one; on the way there are no other links.
    text = str(path)
    with suppress(OSError):
        if path.is_symlink() and str(path.parent) == "/dev":
            text = str(path.readlink())
    return _OPEN_FILES.match(text) is not None
