"""A run split over processes of this machine: each runs a part of the shard, this one collects what they say.

A worker imports first and says so; only then is the moment of the start set, the same for all. It stops when it is told
to or when this process is gone. One that dies is reported, and the others go on.
"""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Any

import uvloop

from devices.fleet import Snapshot, start_lead_ms
from edgefleet.shard import ShardJob, ShardResult, combine, run_shard
from edgewire import logs
from edgewire.clock import Clock, SystemClock
from edgewire.errors import EdgefleetError

# A worker speaks every half-second; one that is silent for so long is shown as such.
SILENT_S = 3.0
# How long a process may take to end once its pipe is closed.
JOIN_S = 5.0

log = logs.get("workers")


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker has started and waits for its job."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A worker could not go on, for this reason."""

    reason: str


Said = Ready | Snapshot | ShardResult | Failed


@dataclass(slots=True)
class Worker:
    """One process and what is known of it."""

    number: int
    process: Any
    pipe: Connection
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    snapshot: Snapshot = field(default_factory=Snapshot)
    heard_s: float = 0.0
    result: ShardResult | None = None
    failure: str | None = None

    def state(self, now_s: float) -> str:
        """For people: what it is doing."""
        if self.failure:
            return "died"
        if self.result:
            return "done"
        silent_s = now_s - self.heard_s
        return f"silent for {silent_s:.0f} s" if silent_s > SILENT_S else "running"


class Workers:
    """The processes of one run."""

    def __init__(self, job: ShardJob, count: int, *, log_level: str, clock: Clock | None = None) -> None:
        self._job = job
        self._log_level = log_level
        self._clock = clock or SystemClock()
        self._count = count
        self.all: list[Worker] = []

    def parts(self) -> list[tuple[str, Snapshot]]:
        """State and last known numbers of each worker."""
        now_s = self._clock.monotonic()
        return [(worker.state(now_s), worker.snapshot) for worker in self.all]

    async def run(self, stop: asyncio.Event) -> ShardResult:
        """Run to the end; what the workers that came to theirs have done, with the failures of the others.

        Raises `ServiceUnavailable` where none did.
        """
        try:
            self._spawn()
            await asyncio.gather(*(_either(worker.ready, worker.ended) for worker in self.all))
            self._hand_out()
            ended = asyncio.gather(*(worker.ended.wait() for worker in self.all))
            stopper = asyncio.create_task(self._pass_on(stop), name="stop workers")
            try:
                await ended
            finally:
                stopper.cancel()
        finally:
            await self._clean_up()
        results = [worker.result for worker in self.all if worker.result]
        return combine(results, [worker.failure for worker in self.all if worker.failure])

    def _spawn(self) -> None:
        context = multiprocessing.get_context("spawn")
        loop = asyncio.get_running_loop()
        for number in range(self._count):
            ours, theirs = context.Pipe()
            process = context.Process(target=main, args=(theirs, self._log_level), name=f"worker {number}", daemon=True)
            process.start()
            theirs.close()
            worker = Worker(number, process, ours, heard_s=self._clock.monotonic())
            self.all.append(worker)
            # Not `add_reader`: libuv would make the pipe non-blocking, which `send` and `recv` do not bear.
            listener = threading.Thread(target=_listen, args=(worker, loop, self._hear), daemon=True)
            listener.start()

    def _hand_out(self) -> None:
        # The start lies far enough ahead for the slowest: all of them build their devices at the same time.
        shards, crowd = self._job.shard.count * self._count, self._count / (os.cpu_count() or 1)
        started_ms = self._clock.now_ms() + start_lead_ms(self._job.scenario, shards, crowd)
        job = replace(self._job, started_ms=self._job.started_ms or started_ms)
        for worker in self.all:
            if not worker.ended.is_set():
                worker.heard_s = self._clock.monotonic()
                worker.pipe.send(replace(job, shard=job.shard.part(worker.number, self._count)))

    def _hear(self, worker: Worker, said: "Said | None") -> None:
        worker.heard_s = self._clock.monotonic()
        match said:
            case None:
                self._end(worker)
            case Ready():
                worker.ready.set()
            case Snapshot():
                worker.snapshot = said
            case ShardResult():
                worker.result, worker.snapshot = said, said.final
            case Failed(reason):
                worker.failure = f"worker {worker.number}: {reason}"

    def _end(self, worker: Worker) -> None:
        """The pipe is closed: the process has ended, or is about to."""
        if worker.result is None and worker.failure is None:
            worker.process.join(timeout=JOIN_S)
            worker.failure = (
                f"worker {worker.number} died{_cause(worker.process.exitcode)}, its devices are unaccounted for"
            )
        worker.ended.set()
        if worker.failure:
            log.error("worker failed", worker=worker.number, reason=worker.failure, devices=worker.snapshot.devices)

    async def _pass_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        for worker in self.all:
            if not worker.ended.is_set():
                worker.pipe.send("stop")

    async def _clean_up(self) -> None:
        for worker in self.all:
            if not worker.ended.is_set():
                worker.process.kill()
            await asyncio.to_thread(worker.process.join, JOIN_S)
            worker.pipe.close()


def _listen(worker: Worker, loop: asyncio.AbstractEventLoop, hear: Callable[[Worker, "Said | None"], None]) -> None:
    """Hand on what a worker says, last None for the end of its pipe."""
    said: Said | None = Ready()
    while said is not None:
        try:
            said = worker.pipe.recv()
        except (EOFError, OSError):
            said = None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            loop.call_soon_threadsafe(hear, worker, said)


def _cause(exit_code: int | None) -> str:
    if exit_code is None:
        return ""
    return f" of {signal.Signals(-exit_code).name}" if exit_code < 0 else f" with exit code {exit_code}"


async def _either(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


def main(pipe: Connection, log_level: str) -> None:
    """What a worker process does."""
    # Ctrl-C reaches all processes of a terminal; the parent tells when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logs.configure(log_level)
    try:
        pipe.send(Ready())
        job = pipe.recv()
    except (EOFError, OSError):
        return
    said: Said
    try:
        said = uvloop.run(_serve(job, pipe))
    except EdgefleetError as error:
        said = Failed(str(error))
    except Exception as error:
        log.exception("a mistake of ours")
        said = Failed(f"{type(error).__name__}: {error}")
    # The parent may be gone.
    with contextlib.suppress(OSError):
        pipe.send(said)


async def _serve(job: ShardJob, pipe: Connection) -> ShardResult:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def obey() -> None:
        # "stop", or the end of a parent that is gone.
        with contextlib.suppress(EOFError, OSError):
            pipe.recv()
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=obey, daemon=True).start()
    return await run_shard(job, stop, _teller(pipe))


def _teller(pipe: Connection) -> Callable[[Snapshot], None]:
    def tell(snapshot: Snapshot) -> None:
        # The parent may be gone; then the run ends of itself.
        with contextlib.suppress(OSError):
            pipe.send(snapshot)

    return tell
