"""What is known of one worker: its state, as its silence tells it, and the last of its numbers that still hold."""

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum

from devices.fleet.metrics import FleetSnapshot
from devices.fleet.shutdown import GRACE_S
from edgefleet.launch.launcher import WorkerHandle
from edgefleet.launch.shard import ShardResult
from edgewire.run_checkpoint import RunCheckpoint


class WorkerState(StrEnum):
    """Says what a worker is doing, in the word that people see."""

    STARTING = "starting"
    RUNNING = "running"
    SILENT = "silent"
    DONE = "done"
    DIED = "died"

    @property
    def is_up(self) -> bool:
        """Return whether it does what it should."""
        return self not in (WorkerState.SILENT, WorkerState.DIED)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """Says how long a worker may be silent (s)."""

    silent_s: float = 3.0
    """A worker speaks every half-second; one that is silent for so long is shown as such, and its devices as gone."""
    patience_s: float = 60.0
    """One that is to end, and says nothing for so long, is killed. To build a large part of a fleet, or to hand in its
    record, takes seconds. Also how long one may take to come up, where it does not share its core."""
    drain_s: float = 2 * GRACE_S
    """After its duration a run drains its outboxes and says goodbye, each for the grace period at the most."""


@dataclass(slots=True)
class WorkerStatus:
    """Holds what is known of one worker. Times are the monotonic clock's (s)."""

    number: int
    handle: WorkerHandle | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    snapshot: FleetSnapshot = field(default_factory=FleetSnapshot)
    """The last that it said."""
    last_message_s: float = 0.0
    checkpoint: RunCheckpoint | None = None
    """The last: what each of its devices had done."""
    result: ShardResult | None = None
    failure: str | None = None
    warned: bool = False
    """Of its silence, which is not over."""

    def state(self, now_s: float, silent_s: float) -> WorkerState:
        """Return what it is doing."""
        if self.failure:
            return WorkerState.DIED
        if self.result:
            return WorkerState.DONE
        if not self.ready.is_set():
            return WorkerState.STARTING
        return WorkerState.SILENT if now_s - self.last_message_s > silent_s else WorkerState.RUNNING

    def view(self, now_s: float, silent_s: float) -> tuple[WorkerState, FleetSnapshot]:
        """Return its state and its numbers, without the connections that it no longer vouches for."""
        state = self.state(now_s, silent_s)
        if state in (WorkerState.STARTING, WorkerState.RUNNING):
            return state, self.snapshot
        return state, self.snapshot.without_connections()
