"""Makes the parts of a data set in this process, and in others of this machine, each at the end of a pipe."""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection, parent_process, resource_tracker
from multiprocessing.connection import Connection
from pickle import PicklingError
from typing import Any

from devices.export.base import ExportError
from devices.export.part_maker import MadePart, PartedExport, PartMaker, PartStopped
from devices.export.parts import Part
from edgefleet.launch.processes import JOIN_S, TERMINAL_SIGNALS
from edgewire.errors import EdgefleetError

_LOOK_EVERY_S = 0.2
_NO_MEMORY = "no memory was left to make a part: ask for fewer --jobs"


def make_parts(
    job: PartedExport, parts: Sequence[Part], stop: Callable[[], bool], on_wait: Callable[[], None], *, jobs: int = 1
) -> Iterator[MadePart]:
    """Make parts in so many processes, until `stop` says so; `on_wait` is called now and then.

    This process is one of them, and makes parts while the others start, which takes as long as a million rows.
    Raises `ExportError` where a part cannot be made; what is complete by then stays.
    """
    waiting = deque(parts)
    workers = [_Worker(job) for _ in range(min(jobs, len(parts)) - 1)]

    def look() -> bool:
        on_wait()
        return stop()

    try:
        for worker in workers:
            worker.give(waiting.popleft())
        maker = PartMaker(job)
        while waiting or any(worker.given for worker in workers):
            if look():
                return
            if waiting:
                yield maker.make(waiting.popleft(), look)
            yield from _collect(workers, waiting, timeout=0 if waiting else _LOOK_EVERY_S)
    except PartStopped:
        return
    except MemoryError:
        raise ExportError(_NO_MEMORY) from None
    finally:
        for worker in workers:
            worker.end()


def _collect(workers: "Sequence[_Worker]", waiting: deque[Part], timeout: float) -> "Iterator[MadePart]":
    """Yield what workers have made meanwhile, and give them the next parts."""
    busy = {worker.pipe: worker for worker in workers if worker.given}
    if not busy:
        return
    for pipe in connection.wait(list(busy), timeout=timeout):
        assert isinstance(pipe, Connection), "only pipes were waited for"
        worker = busy[pipe]
        made = worker.take()
        # One that has begun has a part in hand while this process is busy with its own; near the end nobody hoards.
        in_hand = 2 if len(waiting) > 2 * len(workers) else 1
        while waiting and worker.given < in_hand:
            worker.give(waiting.popleft())
        yield made


class _Worker:
    """Reaches a process that makes one part at a time."""

    def __init__(self, job: PartedExport) -> None:
        self.given = 0
        """How many parts it has been given and not returned."""
        context: Any = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve_parts, args=(theirs, job), daemon=True)
        try:
            self._start()
        except (PicklingError, TypeError, AttributeError) as error:  # as pickle says that it cannot
            self.pipe.close()
            raise ExportError(f"the export cannot be handed to a process: {error}; make it with --jobs 1") from None
        finally:
            theirs.close()

    def _start(self) -> None:
        # Ctrl-C reaches all processes of a terminal; what is under way in them ends with this one.
        if sys.platform == "win32":
            self._process.start()
            return
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, TERMINAL_SIGNALS)
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def give(self, part: Part) -> None:
        """Let it make a part."""
        try:
            self.pipe.send(part)
            self.given += 1
        except OSError:
            raise self._death() from None

    def take(self) -> MadePart:
        """Return what it has made; raises `ExportError` where it could not, or died."""
        try:
            made = self.pipe.recv()
        except (EOFError, OSError):
            raise self._death() from None
        if isinstance(made, MadePart):
            self.given -= 1
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
        pipe.send(_NO_MEMORY)


def _end_with_parent() -> None:
    """End this process as soon as the one that asked for its parts is gone: nobody keeps the lock any more."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
