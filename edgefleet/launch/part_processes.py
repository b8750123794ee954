"""Makes the parts of a data set in processes of this machine, each at the end of a pipe."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection, parent_process, resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from devices.export.base import ExportError
from devices.export.part_maker import MadePart, PartedExport, PartMaker, PartStopped
from devices.export.parts import Part
from edgefleet.launch.processes import JOIN_S, TERMINAL_SIGNALS
from edgewire.errors import EdgefleetError

_LOOK_EVERY_S = 0.2


def make_here(
    job: PartedExport, parts: Sequence[Part], stop: Callable[[], bool], on_wait: Callable[[], None]
) -> Iterator[MadePart]:
    """Make parts in this process, one after the other, until `stop` says so; `on_wait` is called now and then."""
    maker = PartMaker(job)

    def look() -> bool:
        on_wait()
        return stop()

    for part in parts:
        if look():
            return
        try:
            yield maker.make(part, look)
        except PartStopped:
            return


def make_in_processes(
    job: PartedExport, parts: Sequence[Part], stop: Callable[[], bool], on_wait: Callable[[], None], *, jobs: int
) -> Iterator[MadePart]:
    """Make parts in so many processes, until `stop` says so; `on_wait` is called now and then.

    Raises `ExportError` where a part cannot be made; what is complete by then stays.
    """
    if min(jobs, len(parts)) < 2:
        yield from make_here(job, parts, stop, on_wait)
        return
    waiting = iter(parts)
    workers = [_Worker(job) for _ in range(min(jobs, len(parts)))]
    busy: dict[Connection, _Worker] = {}
    try:
        for worker in workers:
            worker.give(next(waiting))
            busy[worker.pipe] = worker
        while busy:
            ready = connection.wait(list(busy), timeout=_LOOK_EVERY_S)
            on_wait()
            if stop():
                return
            for pipe in ready:
                assert isinstance(pipe, Connection), "only pipes were waited for"
                worker = busy[pipe]
                made = worker.take()
                following = next(waiting, None)
                if following is None:
                    del busy[pipe]
                else:
                    worker.give(following)
                yield made
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """Reaches a process that makes one part at a time."""

    def __init__(self, job: PartedExport) -> None:
        context: Any = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve_parts, args=(theirs, job), daemon=True)
        # Ctrl-C reaches all processes of a terminal; what is under way in them ends with this one.
        if sys.platform == "win32":
            self._process.start()
        else:
            resource_tracker.ensure_running()
            before = signal.pthread_sigmask(signal.SIG_BLOCK, TERMINAL_SIGNALS)
            try:
                self._process.start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def give(self, part: Part) -> None:
        """Let it make a part."""
        try:
            self.pipe.send(part)
        except OSError:
            raise self._death() from None

    def take(self) -> MadePart:
        """Return what it has made; raises `ExportError` where it could not, or died."""
        try:
            made = self.pipe.recv()
        except (EOFError, OSError):
            raise self._death() from None
        if isinstance(made, MadePart):
            return made
        raise ExportError(str(made))

    def end(self) -> None:
        """End it, whatever it does: a part that is not complete is made again."""
        self._process.kill()
        self._process.join(JOIN_S)
        self.pipe.close()

    def _death(self) -> ExportError:
        self._process.join(JOIN_S)
        code = self._process.exitcode
        how = f"of {signal.Signals(-code).name}" if code is not None and code < 0 else f"with exit code {code}"
        return ExportError(
            f"a process that made parts died {how}, as where memory runs out: the same command with --resume goes on"
        )


def serve_parts(pipe: Connection, job: PartedExport) -> None:
    """Run as a worker process."""
    for ignored in TERMINAL_SIGNALS:
        signal.signal(ignored, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        maker = PartMaker(job)
        while True:
            pipe.send(maker.make(pipe.recv()))
    except (EOFError, BrokenPipeError):
        return
    except EdgefleetError as error:
        pipe.send(str(error))
    except MemoryError:
        pipe.send("no memory was left to make a part: ask for fewer --jobs")


def _end_with_parent() -> None:
    """End this process as soon as the one that asked for its parts is gone: nobody keeps the lock any more."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
