"""What a run and its workers say to each other, and what a place to run workers at must be able to do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from devices.fleet.metrics import FleetSnapshot
from edgefleet.launch.requests import ShardReply, ShardRequest
from edgefleet.launch.shard import ShardJob, ShardResult
from edgewire.run_checkpoint import RunCheckpoint


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """Tells that a worker has started and waits for its job."""


@dataclass(frozen=True, slots=True)
class WorkerFailed:
    """Tells that a worker could not go on, for this reason."""

    reason: str


WorkerMessage = WorkerReady | FleetSnapshot | RunCheckpoint | ShardReply | ShardResult | WorkerFailed

OnWorkerMessage = Callable[[WorkerMessage | None], None]
"""Is called on the event loop with each message of a worker, last with None when it has ended."""


class WorkerHandle(Protocol):
    """Reaches one worker, wherever it runs. No call waits for the worker: it may be stopped by SIGSTOP."""

    def start_job(self, job: ShardJob) -> None:
        """Give it its job, once it is ready."""

    def request_stop(self, *, at_once: bool = False) -> None:
        """Let it end in order, or without waiting for anything."""

    def send_request(self, request: ShardRequest) -> None:
        """Hand it a request for its fleet; it has its job. The answer is one of its messages."""

    def exit_description(self) -> str:
        """Return how it ended, after "worker 1 died", for one that has ended without a word."""

    async def close(self, *, ended: bool) -> None:
        """Let go of it; one that has not ended is killed."""


class Launcher(Protocol):
    """Starts workers where they are to run."""

    def launch_worker(self, number: int, on_message: OnWorkerMessage) -> WorkerHandle:
        """Start one."""

    def workers_per_core(self, count: int) -> float:
        """Return how many of `count` workers share a core."""
