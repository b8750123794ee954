"""Lets a process open many files and pause seldom while it runs a shard or a bridge; its settings are put back then."""

import ctypes
import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from edgewire.os_support import open_files_limit, set_open_files_limit

# So long a thread computes before it gives way: readings to their sending, an event loop to the writer of a spool.
SWITCH_S = 0.0005
GC_THRESHOLDS = (50_000, 20, 50)
# Of mallopt(3): from this size on, memory is mapped, so it goes back to the system when it is freed. glibc raises its
# own limit up to 32 MiB as arrays come and go; the holes they left took 1.4 KB a device of 10,000.
M_MMAP_THRESHOLD, MAPPED_BYTES = -3, 1 << 16


class _Tuning:
    """Holds how the settings were before the first of the runs that overlap."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs = 0
        self._undo: list[Callable[[], None]] = []

    def begin(self) -> None:
        with self._lock:
            if not self._runs:
                self._change()
            self._runs += 1

    def end(self) -> None:
        with self._lock:
            self._runs -= 1
            while not self._runs and self._undo:
                self._undo.pop()()

    def _change(self) -> None:
        soft, hard = open_files_limit()
        thresholds, switch_s = gc.get_threshold(), sys.getswitchinterval()
        # `gc.unfreeze` knows all or nothing: where others have frozen something, it all stays frozen.
        self._undo = [] if gc.get_freeze_count() else [gc.unfreeze]
        self._undo += [lambda: gc.set_threshold(*thresholds), lambda: sys.setswitchinterval(switch_s)]
        self._undo.append(lambda: _set_open_files(soft, hard))
        raise_open_files()
        sys.setswitchinterval(SWITCH_S)
        gc.set_threshold(*GC_THRESHOLDS)


_tuning = _Tuning()


@contextmanager
def tuned_process() -> Iterator[None]:
    """Tune this process for as long as the block runs, or the last of several that overlap."""
    _tuning.begin()
    try:
        yield
    finally:
        _tuning.end()


def _set_open_files(soft: int, hard: int) -> None:
    # Somebody may have lowered the hard limit meanwhile.
    with suppress(ValueError, OSError):
        set_open_files_limit(soft, hard)


def tune_allocator() -> None:
    """Let memory that is freed go back to the system. There is no way back, so it is for processes of our own."""
    if sys.platform == "linux":
        # A C library without it, such as musl, has no such habit.
        with suppress(AttributeError):
            ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)


def favour_throughput() -> None:
    """Let this thread, and those that it starts, run on when others wake up: for processes that share a core.

    Thirty that interrupt each other find their caches cold each time: of 15 fleets and 15 brokers on two cores that
    connect, a connection took 14 % less CPU. Who wakes up waits a little longer where there is no idle processor.
    """
    if sys.platform == "linux":
        # Some sandboxes do not let a process choose.
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def raise_open_files() -> int:
    """Raise the soft limit of open files to the hard one; returns it."""
    soft, hard = open_files_limit()
    if soft != hard:
        set_open_files_limit(hard, hard)
    return hard
