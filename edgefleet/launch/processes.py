"""Runs workers as processes of this machine, each at the end of a pipe."""

import asyncio
import contextlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

from devices.fleet.metrics import FleetSnapshot
from edgefleet.doctor.machine import count_oom_kills
from edgefleet.launch.launcher import OnWorkerMessage, WorkerFailed, WorkerMessage, WorkerReady
from edgefleet.launch.process_tuning import favour_throughput, tune_allocator
from edgefleet.launch.requests import RequestQueue, ShardReply, ShardRequest
from edgefleet.launch.shard import ShardJob, ShardResult, run_shard
from edgewire import logs
from edgewire.errors import EdgefleetError
from edgewire.os_support import run_coroutine
from edgewire.run_checkpoint import RunCheckpoint

# How long a process may take to end once its pipe is closed.
JOIN_S = 5.0
# What may wait for a parent that does not listen; further lines of the log are lost.
MOST_WAITING = 1000
# What a terminal sends to all its processes; the parent tells the workers when to stop.
TERMINAL_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)]
TEMPLATE = "edgefleet.launch.worker_template"

log = logs.get("workers")


@dataclass(frozen=True, slots=True)
class WorkerLogLine:
    """Holds a line that a worker has logged."""

    text: str


class ProcessLauncher:
    """Starts workers as processes; `oom_kills` counts those that the kernel has ended for want of memory, so far."""

    def __init__(self, log_level: str, oom_kills: Callable[[], int] = count_oom_kills) -> None:
        self._log_level = log_level
        self._oom_kills = oom_kills
        self._context = _start_template()

    def launch_worker(self, number: int, on_message: OnWorkerMessage) -> "LocalProcess":
        """Start one; it imports what it needs meanwhile."""
        pipe: tuple[Any, Any] = self._context.Pipe()
        ours, theirs = pipe
        # What processes are forked from has the environment of its own start.
        arguments = theirs, self._log_level, number, dict(os.environ)
        process: Any = self._context.Process(target=main, args=arguments, name=f"worker {number}", daemon=True)
        with _signals_blocked():
            process.start()
        theirs.close()
        # Not `add_reader`: libuv would make the pipe non-blocking, which `send` and `recv` do not bear.
        loop = asyncio.get_running_loop()
        threading.Thread(target=_listen, args=(ours, loop, on_message), daemon=True).start()

        def say(message: WorkerMessage) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(on_message, message)

        return LocalProcess(process, ours, self._oom_kills, say)

    def workers_per_core(self, count: int) -> float:
        """Return how many of them share a core."""
        return count / (os.cpu_count() or 1)


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Let processes be born with signals blocked that end a process which cannot ignore them yet.

    Ctrl-C reaches all processes of a terminal, and whoever ends a whole service sends SIGTERM to all of it.
    """
    if sys.platform == "win32":
        yield
        return
    # The tracker, which the first process would start, unblocks them.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [*TERMINAL_SIGNALS, signal.SIGTERM])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_template() -> Any:
    """Return the context that starts processes: where that is safe, forks of one that has imported what they need.

    macOS lets no process use its own libraries that is a fork of one that has.
    """
    if sys.platform == "linux":
        from multiprocessing import forkserver

        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([TEMPLATE])
        # It takes a socket in a folder for temporary files, which a container may not have.
        with contextlib.suppress(OSError), _signals_blocked():
            forkserver.ensure_running()
            return context
    return multiprocessing.get_context("spawn")


class LocalProcess:
    """Reaches a worker that is a process."""

    def __init__(
        self, process: Any, pipe: Connection, oom_kills: Callable[[], int], say: Callable[[WorkerMessage], None]
    ) -> None:
        """Take the process; `say` is told, on any thread, of what could not be handed to it."""
        self.process = process
        self._say = say
        self._pipe = pipe
        self._oom_kills = oom_kills
        self._oom_kills_before = oom_kills()
        self._outgoing: queue.SimpleQueue[ShardJob | ShardRequest | str | None] = queue.SimpleQueue()
        threading.Thread(target=self._write, daemon=True).start()

    def start_job(self, job: ShardJob) -> None:
        """Give it its job."""
        self._outgoing.put(job)

    def request_stop(self, *, at_once: bool = False) -> None:
        """Let it end in order, or without waiting for anything."""
        self._outgoing.put("at once" if at_once else "stop")

    def send_request(self, request: ShardRequest) -> None:
        """Hand it a request for its fleet."""
        self._outgoing.put(request)

    def exit_description(self) -> str:
        """Return how it ended, after "died"."""
        self.process.join(timeout=JOIN_S)
        code: int | None = self.process.exitcode
        if code is None:
            return ""
        if code >= 0:
            return f" with exit code {code}"
        # The kernel sends the same signal as `kill -9`, but counts it.
        by_kernel = signal.Signals(-code).name == "SIGKILL" and self._oom_kills() > self._oom_kills_before
        why = ", sent by the kernel because memory ran out (OOM killer)" if by_kernel else ""
        return f" of {signal.Signals(-code).name}{why}"

    async def close(self, *, ended: bool) -> None:
        """Let go of it; one that has not ended is killed."""
        self._outgoing.put(None)
        if not ended:
            self.process.kill()
        await asyncio.to_thread(self.process.join, JOIN_S)
        self._pipe.close()

    def _write(self) -> None:
        """Tell it things, on a thread: the pipe to one that is stopped may be full."""
        # One that has just died is about to be heard of.
        with contextlib.suppress(OSError):
            while (what := self._outgoing.get()) is not None:
                try:
                    data = ForkingPickler.dumps(what)
                except Exception as error:  # whatever the classes raise that are in it
                    self._refuse(what, f"{type(error).__name__}: {error}")
                else:
                    self._pipe.send_bytes(data)

    def _refuse(self, what: ShardJob | ShardRequest | str, fault: str) -> None:
        if isinstance(what, ShardRequest):
            self._say(ShardReply(what.number, None, f"what is asked for cannot be handed to a process: {fault}"))
            return
        # It would wait for its job for ever.
        self._say(WorkerFailed(f"its job cannot be handed to a process: {fault}; run it without --workers"))
        self.process.kill()


def _listen(pipe: Connection, loop: asyncio.AbstractEventLoop, on_message: OnWorkerMessage) -> None:
    """Pass on what a worker says, last None for the end of its pipe."""
    message: WorkerMessage | WorkerLogLine | None = WorkerReady()
    while message is not None:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            message = None
        if isinstance(message, WorkerLogLine):
            # Where the live table is shown, Rich stands in the place of stderr, and prints above it.
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(message.text + "\n")
                sys.stderr.flush()
            continue
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            loop.call_soon_threadsafe(on_message, message)


def main(pipe: Connection, log_level: str, number: int, environment: Mapping[str, str]) -> None:
    """Run as a worker process."""
    for ignored in TERMINAL_SIGNALS:
        signal.signal(ignored, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    os.environ.clear()
    os.environ.update(environment)
    said: _Speaker | None = None

    def write_line(line: str) -> None:
        if said is None:
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - it has not been heard yet
        else:
            said.say_line(line)

    logs.configure(log_level, write_line=write_line, worker=number)
    tune_allocator()
    try:
        pipe.send(WorkerReady())
        job = pipe.recv()
    except (EOFError, OSError):
        return
    if job.core_share < 1:
        favour_throughput()
    said = _Speaker(pipe)
    try:
        said.say(run_coroutine(_serve(job, pipe, said)))
    except EdgefleetError as error:
        said.say(WorkerFailed(str(error)))
    except MemoryError:
        said.say(WorkerFailed("no memory was left for it; run fewer devices on this machine, or raise its limit"))
    except Exception as error:
        log.exception("a mistake of ours")
        said.say(WorkerFailed(f"{type(error).__name__}: {error}"))
    said.finish()


async def _serve(job: ShardJob, pipe: Connection, said: "_Speaker") -> ShardResult:
    stop, at_once = asyncio.Event(), asyncio.Event()
    requests = RequestQueue(said.say)
    loop = asyncio.get_running_loop()

    def wait_for_stop() -> None:
        # Requests, then "stop" and perhaps "at once", or the end of a parent that is gone.
        asked: str | ShardRequest = ""
        with contextlib.suppress(EOFError, OSError, RuntimeError):
            while asked != "at once":
                asked = pipe.recv()
                if isinstance(asked, ShardRequest):
                    loop.call_soon_threadsafe(requests.put, asked)
                    continue
                loop.call_soon_threadsafe(at_once.set if asked == "at once" else stop.set)
            return
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait_for_stop, daemon=True).start()
    # Whoever ends a whole service, as systemd does, sends it to the workers too.
    if sys.platform != "win32":
        loop.add_signal_handler(signal.SIGTERM, stop.set)
    return await run_shard(job, stop, said.say_if_heard, said.say_when_heard, at_once, requests)


class _Speaker:
    """Says things to the parent on a thread, in order: it may be stopped, and then nobody may wait for it.

    To one that is gone, or does not listen, no more is said than it can take.
    """

    def __init__(self, pipe: Connection) -> None:
        self._outgoing: queue.SimpleQueue[WorkerMessage | WorkerLogLine | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._speak, args=(pipe,), daemon=True)
        self._thread.start()

    def say(self, message: "WorkerMessage | WorkerLogLine") -> None:
        """Say it, whenever that is possible."""
        self._outgoing.put(message)

    def say_line(self, line: str) -> None:
        """Hand over a line of the log: only the parent knows what is on the terminal, such as the live table."""
        if self._outgoing.qsize() < MOST_WAITING:
            self.say(WorkerLogLine(line))

    def say_if_heard(self, snapshot: FleetSnapshot) -> None:
        """Say how it goes, unless the parent has not even heard how it went."""
        if self._outgoing.empty():
            self.say(snapshot)

    async def say_when_heard(self, checkpoint: RunCheckpoint) -> None:
        """Hand over a checkpoint, with the same exception."""
        if self._outgoing.empty():
            self.say(checkpoint)

    def finish(self) -> None:
        """Wait until all is said."""
        self._outgoing.put(None)
        self._thread.join()

    def _speak(self, pipe: Connection) -> None:
        # The parent may be gone; then the run ends of itself.
        with contextlib.suppress(OSError):
            while (message := self._outgoing.get()) is not None:
                pipe.send(message)
