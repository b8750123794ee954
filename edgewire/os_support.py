"""Holds what Linux and macOS have and Windows has not, or under another name; the rest of the code asks here.

`sys.platform` is written out at each place, as that is what a type checker follows.
"""

# ruff: noqa: RET505 - what a type checker does not look at on a platform is what stands in `else`
import asyncio
import os
import sys
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl
    import resource

Result = TypeVar("Result")

OPEN_FLAGS: int = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
"""Of `os.open`: not for child processes, and bytes as they are."""


def run_coroutine(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end, on uvloop where that exists."""
    run = asyncio.run
    if sys.platform != "win32":
        with suppress(ModuleNotFoundError):  # as on 32-bit ARM, for which there is no wheel
            import uvloop

            run = uvloop.run
    return run(main)


def lock_file(descriptor: int, *, shared: bool = False) -> None:
    """Keep other processes off a file until it is closed; raises `BlockingIOError` where one of them does.

    Windows knows no shared locks of this kind: there each is exclusive, and lies on a byte far behind the content,
    which can be read meanwhile.
    """
    if sys.platform == "win32":
        place = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(error.errno, error.strerror) from None
        finally:
            os.lseek(descriptor, place, os.SEEK_SET)
    else:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


def is_ours(owner: int) -> bool:
    """Return whether a file's owner is who this process runs as; on Windows files have no such number."""
    return sys.platform == "win32" or owner == os.geteuid()


def is_root() -> bool:
    """Return whether this process runs as root, which Windows does not know."""
    return sys.platform != "win32" and os.geteuid() == 0


def open_files_limit() -> tuple[int, int]:
    """Return the soft and the hard limit of open files of this process; `sys.maxsize` where there is none."""
    if sys.platform == "win32":
        return sys.maxsize, sys.maxsize
    else:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        unlimited = resource.RLIM_INFINITY
        return (sys.maxsize if soft == unlimited else soft), (sys.maxsize if hard == unlimited else hard)


def set_open_files_limit(soft: int, hard: int) -> None:
    """Set both limits, as `open_files_limit` gives them. Raises `ValueError` or `OSError`."""
    if sys.platform != "win32":
        unlimited = resource.RLIM_INFINITY
        limits = (unlimited if soft == sys.maxsize else soft, unlimited if hard == sys.maxsize else hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def page_bytes() -> int:
    """Return the size of a page of memory."""
    if sys.platform == "win32":
        return 4096
    else:
        return resource.getpagesize()


def own_usage() -> tuple[float, int]:
    """Return processor time (s) and the most memory so far (bytes, 0 where the system does not say) of this process."""
    if sys.platform == "win32":
        return time.process_time(), 0
    else:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        # macOS counts bytes, the others KiB.
        return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
