"""Runs one shard on a node of a Ray cluster, in a process of its own that Ray calls an actor.

An actor and not a task, because a shard is told to stop and says how it goes, and because Ray runs a failed task again,
which would publish its messages twice. Imports nothing of Ray: an actor is a plain class.
"""

import asyncio
import hashlib
import os
import platform
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy

from devices.fleet.metrics import FleetSnapshot
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from edgefleet.doctor import BrokerFacts, Machine, Needs, evaluate, require_healthy
from edgefleet.launch.launcher import WorkerFailed
from edgefleet.launch.process_tuning import tune_allocator
from edgefleet.launch.requests import ReplyBook, RequestQueue, ShardReply, ShardRequest
from edgefleet.launch.shard import ShardJob, ShardResult, run_shard
from edgewire import logs
from edgewire.errors import EdgefleetError
from edgewire.run_checkpoint import RunCheckpoint

PACKAGES = ("edgewire", "devices", "edgefleet")

InstalledVersions = dict[str, str]
"""What decides which messages a device sends, and whether a job can be read: name and version of each."""


class ActorPlace(NamedTuple):
    """Tells where an actor runs, and of which versions."""

    node: str
    pid: int
    installed_versions: InstalledVersions


def installed_versions() -> InstalledVersions:
    """Return what this process has installed."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(path for package in PACKAGES for path in (root / package).rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return {
        "edgefleet": version("edgefleet"),
        "edgefleet's files": digest.hexdigest()[:12],
        "python": platform.python_version(),
        "numpy": numpy.__version__,
    }


class ShardActor:
    """Runs one shard. Its methods run on one event loop, so it can be stopped while it runs."""

    def __init__(self, log_level: str, number: int) -> None:
        logs.configure(log_level, worker=number)
        tune_allocator()
        self._stop, self._at_once = asyncio.Event(), asyncio.Event()
        self._replies = ReplyBook()
        self._requests = RequestQueue(self._replies.on_reply)

    async def place(self) -> tuple[str, int, InstalledVersions]:
        """Return an `ActorPlace`, as what every version can read."""
        return socket.gethostname(), os.getpid(), installed_versions()

    async def check(self, scenario: Scenario, shard: Shard, brokers: Sequence[BrokerFacts]) -> None:
        """Raise `EdgefleetError` where this node has not what the shard needs."""
        require_healthy(evaluate(Needs.of(scenario, shard=shard), Machine.read(), brokers))

    async def stop(self, at_once: bool) -> None:
        """Let the run end in order, or without waiting for anything."""
        self._stop.set()
        if at_once:
            self._at_once.set()

    async def request(self, request: ShardRequest) -> ShardReply:
        """Hand the fleet a request, and return its answer."""
        numbered, reply = self._replies.enter(request.request, "the shard")
        self._requests.put(numbered)
        return replace(await reply, number=request.number)

    async def run(self, job: ShardJob) -> AsyncIterator[FleetSnapshot | RunCheckpoint | ShardResult | WorkerFailed]:
        """Yield how it goes, and last what came of it."""
        # The newest of each.
        latest: dict[type, FleetSnapshot | RunCheckpoint] = {}
        news = asyncio.Event()

        def keep(message: FleetSnapshot | RunCheckpoint) -> None:
            latest[type(message)] = message
            news.set()

        async def keep_checkpoint(checkpoint: RunCheckpoint) -> None:
            keep(checkpoint)

        running = run_shard(job, self._stop, keep, keep_checkpoint, self._at_once, self._requests)
        task = asyncio.create_task(running, name="shard")
        task.add_done_callback(lambda _: news.set())
        while not task.done():
            await news.wait()
            news.clear()
            while latest and not task.done():
                yield latest.pop(next(iter(latest)))
        try:
            yield task.result()
        except EdgefleetError as error:
            yield WorkerFailed(str(error))
        except Exception as error:
            logs.get("shard").exception("a mistake of ours")
            yield WorkerFailed(f"{type(error).__name__}: {error}")
