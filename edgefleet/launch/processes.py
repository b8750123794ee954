"""Runs workers as processes of this machine, each at the end of a pipe."""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

import uvloop

from devices.fleet.metrics import FleetSnapshot
from edgefleet.launch.shard import ShardJob, ShardResult, run_shard
from edgefleet.launch.workers import OnWorkerMessage, WorkerFailed, WorkerMessage, WorkerReady
from edgewire import logs
from edgewire.errors import EdgefleetError

# How long a process may take to end once its pipe is closed.
JOIN_S = 5.0

log = logs.get("workers")


class ProcessLauncher:
    """Starts workers as processes."""

    def __init__(self, log_level: str) -> None:
        self._log_level = log_level
        self._context = multiprocessing.get_context("spawn")

    def launch_worker(self, number: int, on_message: OnWorkerMessage) -> "LocalProcess":
        """Start one; it imports what it needs meanwhile."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=main, args=(theirs, self._log_level), name=f"worker {number}", daemon=True
        )
        # Ctrl-C reaches all processes of a terminal, also one that cannot ignore it yet: so it is born with the signal
        # blocked. The tracker, which the first one would start, unblocks it.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        # Not `add_reader`: libuv would make the pipe non-blocking, which `send` and `recv` do not bear.
        loop = asyncio.get_running_loop()
        threading.Thread(target=_listen, args=(ours, loop, on_message), daemon=True).start()
        return LocalProcess(process, ours)

    def workers_per_core(self, count: int) -> float:
        """Return how many of them share a core."""
        return count / (os.cpu_count() or 1)


class LocalProcess:
    """Reaches a worker that is a process."""

    def __init__(self, process: Any, pipe: Connection) -> None:
        self.process = process
        self._pipe = pipe

    def start_job(self, job: ShardJob) -> None:
        """Give it its job."""
        self._send(job)

    def request_stop(self) -> None:
        """Let it end in order."""
        self._send("stop")

    def exit_description(self) -> str:
        """Return how it ended, after "died"."""
        self.process.join(timeout=JOIN_S)
        code: int | None = self.process.exitcode
        if code is None:
            return ""
        return f" of {signal.Signals(-code).name}" if code < 0 else f" with exit code {code}"

    async def close(self, *, ended: bool) -> None:
        """Let go of it; one that has not ended is killed."""
        if not ended:
            self.process.kill()
        await asyncio.to_thread(self.process.join, JOIN_S)
        self._pipe.close()

    def _send(self, what: ShardJob | str) -> None:
        # One that has just died is about to be heard of.
        with contextlib.suppress(OSError):
            self._pipe.send(what)


def _listen(pipe: Connection, loop: asyncio.AbstractEventLoop, on_message: OnWorkerMessage) -> None:
    """Pass on what a worker says, last None for the end of its pipe."""
    message: WorkerMessage | None = WorkerReady()
    while message is not None:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            message = None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            loop.call_soon_threadsafe(on_message, message)


def main(pipe: Connection, log_level: str) -> None:
    """Run as a worker process."""
    # The parent tells when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logs.configure(log_level)
    try:
        pipe.send(WorkerReady())
        job = pipe.recv()
    except (EOFError, OSError):
        return
    message: WorkerMessage
    try:
        message = uvloop.run(_serve(job, pipe))
    except EdgefleetError as error:
        message = WorkerFailed(str(error))
    except Exception as error:
        log.exception("a mistake of ours")
        message = WorkerFailed(f"{type(error).__name__}: {error}")
    # The parent may be gone.
    with contextlib.suppress(OSError):
        pipe.send(message)


async def _serve(job: ShardJob, pipe: Connection) -> ShardResult:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait_for_stop() -> None:
        # "stop", or the end of a parent that is gone.
        with contextlib.suppress(EOFError, OSError):
            pipe.recv()
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait_for_stop, daemon=True).start()
    # Whoever ends a whole service, as systemd does, sends it to the workers too.
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    return await run_shard(job, stop, _snapshot_sender(pipe))


def _snapshot_sender(pipe: Connection) -> Callable[[FleetSnapshot], None]:
    def send_snapshot(snapshot: FleetSnapshot) -> None:
        # The parent may be gone; then the run ends of itself.
        with contextlib.suppress(OSError):
            pipe.send(snapshot)

    return send_snapshot
