"""Runs workers as actors of an existing Ray cluster, a processor each, spread over its nodes."""

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from edgefleet.doctor import BrokerFacts
from edgefleet.launch.launcher import OnWorkerMessage, WorkerFailed, WorkerReady
from edgefleet.launch.ray_shard import ActorPlace, InstalledVersions, ShardActor, installed_versions
from edgefleet.launch.requests import ShardRequest
from edgefleet.launch.shard import ShardJob
from edgewire import logs
from edgewire.errors import ConfigError, EdgefleetError, ServiceUnavailable

# How long a cluster may take to find a processor for a worker, and to import us there.
PLACE_S = 60.0
# A cluster that answers at all accepts a connection in this time; Ray itself would try for a minute.
CONNECT_S = 5.0

log = logs.get("ray")


class RayCluster:
    """Starts workers for the job whose parts they run; each first looks whether its node has what it needs.

    `brokers` is what they have answered; None leaves that look out.
    """

    def __init__(self, ray: Any, log_level: str) -> None:
        self._ray = ray
        self._log_level = log_level
        self._build = installed_versions()
        self._job: ShardJob | None = None
        self._brokers: Sequence[BrokerFacts] | None = None
        self._count = 1
        self._actor = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD")(
            ShardActor
        )

    def processors(self) -> tuple[int, int]:
        """Return how many processors the cluster has, and how many are free."""
        return tuple(
            int(found.get("CPU", 0)) for found in (self._ray.cluster_resources(), self._ray.available_resources())
        )  # type: ignore[return-value]

    def prepare(self, job: ShardJob, count: int, brokers: Sequence[BrokerFacts] | None) -> "RayCluster":
        """Let the workers look at their part of this job before they say they are ready.

        Raises `ServiceUnavailable` where the cluster has fewer processors than there are to be workers.
        """
        total, free = self.processors()
        if count > total:
            raise ServiceUnavailable(
                f"the Ray cluster has {total} processors, and {count} workers take one each: ask for --workers {total} "
                "at the most, or add nodes"
            )
        if count > free:
            log.warning(
                f"the Ray cluster has no processor for some workers, they wait up to {PLACE_S:.0f} s for one",
                workers=count,
                processors=total,
                free=free,
            )
        self._job, self._count, self._brokers = job, count, brokers
        return self

    def launch_worker(self, number: int, on_message: OnWorkerMessage) -> "RayWorker":
        """Start one, once a node has a free processor."""
        return RayWorker(self._ray, self._actor.remote(self._log_level, number), self._ready(number), on_message)

    def workers_per_core(self, count: int) -> float:
        """Return 1: each has a processor of its own."""
        return 1.0

    def start_actor(self, actor_class: type, *arguments: object) -> Any:
        """Start an actor that has a processor to itself; its methods are called with `remote`."""
        options = self._ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD")
        return options(actor_class).remote(*arguments)

    def places_of(self, actors: Sequence[Any]) -> list[Any]:
        """Return where actors run, once they do; raises `ServiceUnavailable` where the cluster has no room for one."""
        try:
            return list(self._ray.get([actor.place.remote() for actor in actors], timeout=PLACE_S))
        except self._ray.exceptions.GetTimeoutError:
            total, free = self.processors()
            raise ServiceUnavailable(
                f"the Ray cluster had no processors for {len(actors)} workers within {PLACE_S:.0f} s: of {total} it "
                f"has {free} free; ask for fewer --jobs or add a node"
            ) from None
        except self._ray.exceptions.RayError as error:
            raise ServiceUnavailable(_no_start(str(error))) from None

    def require_same(self, place: ActorPlace) -> None:
        """Raise `ServiceUnavailable` where a node has other versions than this one: messages would differ."""
        if difference := _difference(self._build, place.installed_versions):
            raise ServiceUnavailable(
                f"node {place.node} has {difference}: install the same there as here, or messages would differ"
            )

    def first_done(self, references: Sequence[Any], wait_s: float) -> list[Any]:
        """Return which of some calls have ended, after so many seconds at the most."""
        ready, _ = self._ray.wait(list(references), num_returns=1, timeout=wait_s)
        return list(ready)

    def result_of(self, reference: Any) -> Any:
        """Return what a call has returned; raises `ServiceUnavailable` where its actor died, or failed."""
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise ServiceUnavailable(f"a worker failed: {type(error.cause).__name__}: {error.cause}") from None
        except self._ray.exceptions.RayError as error:
            raise ServiceUnavailable(
                f"a worker on the Ray cluster died: {_no_start(str(error)).partition('; ')[0]}"
            ) from None

    def end_actor(self, actor: Any) -> None:
        """End an actor, whatever it does."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(actor)

    def _ready(self, number: int) -> Any:
        async def wait(actor: Any) -> ActorPlace:
            place = await self._placed(actor)
            if self._job and self._brokers is not None:
                part = self._job.shard.part(number, self._count)
                await actor.check.remote(self._job.scenario, part, self._brokers)
            return place

        return wait

    async def _placed(self, actor: Any) -> ActorPlace:
        try:
            async with asyncio.timeout(PLACE_S):
                place = ActorPlace(*await actor.place.remote())
        except TimeoutError:
            total, free = await asyncio.to_thread(self.processors)
            raise ServiceUnavailable(
                f"the Ray cluster had no processor for it within {PLACE_S:.0f} s: of {total} it has {free} free; "
                "ask for fewer --workers or add a node"
            ) from None
        self.require_same(place)
        return place


class RayWorker:
    """Reaches a worker that is an actor."""

    def __init__(self, ray: Any, actor: Any, ready: Any, on_message: OnWorkerMessage) -> None:
        self._ray = ray
        self._actor = actor
        self._on_message = on_message
        self._place: ActorPlace | None = None
        self._job: asyncio.Future[ShardJob] = asyncio.get_running_loop().create_future()
        self._requests: set[asyncio.Task[None]] = set()
        self._task = asyncio.create_task(self._run(ready), name="ray worker")

    @property
    def place(self) -> ActorPlace | None:
        """Return where it runs, once that is known."""
        return self._place

    def start_job(self, job: ShardJob) -> None:
        """Give it its job."""
        if not self._job.done():
            self._job.set_result(job)

    def request_stop(self, *, at_once: bool = False) -> None:
        """Let it end in order, or without waiting for anything."""
        self._actor.stop.remote(at_once)

    def send_request(self, request: ShardRequest) -> None:
        """Hand it a request for its fleet."""
        task = asyncio.create_task(self._request(request), name="ray request")
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)

    async def _request(self, request: ShardRequest) -> None:
        # One that has died is about to be heard of.
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._on_message(await self._actor.request.remote(request))

    def exit_description(self) -> str:
        """Return where it was: why it ended, only its node may know."""
        return f" on node {self._place.node} (process {self._place.pid})" if self._place else " before it was placed"

    async def close(self, *, ended: bool) -> None:
        """Let go of it: Ray ends the process and has its processor back."""
        for task in (self._task, *self._requests):
            task.cancel()
        await asyncio.gather(self._task, *self._requests, return_exceptions=True)
        with contextlib.suppress(self._ray.exceptions.RayError):
            await asyncio.to_thread(self._ray.kill, self._actor)

    async def _run(self, ready: Any) -> None:
        errors = self._ray.exceptions
        try:
            self._place = await ready(self._actor)
            self._on_message(WorkerReady())
            job = await self._job
            async for message in self._actor.run.remote(job):
                self._on_message(await message)
        except EdgefleetError as error:
            self._on_message(WorkerFailed(str(error)))
        except errors.RayTaskError as error:
            self._on_message(WorkerFailed(f"{type(error.cause).__name__}: {error.cause}"))
        except errors.RayError as error:
            log.debug("Ray says", error=str(error))
            if self._place is None:
                self._on_message(WorkerFailed(_no_start(str(error))))
        finally:
            self._on_message(None)


def _difference(ours: InstalledVersions, theirs: InstalledVersions) -> str:
    return ", ".join(
        f"{name} {theirs.get(name, 'of another version')} instead of {value}"
        for name, value in ours.items()
        if theirs.get(name) != value
    )


def _no_start(message: str) -> str:
    """Put in one line what Ray fills pages with, the last of which says what it was."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    found = next((line for line in reversed(lines) if "Error" in line), lines[-1] if lines else "no reason given")
    return f"it does not start on the cluster: {found}; every node needs edgefleet, of the version that is here"


@contextmanager
def join_cluster(address: str | None, log_level: str, *, option: str = "--ray-address") -> Iterator[RayCluster]:
    """Join the cluster at `HOST:PORT`, or the one this machine is a node of (None; `RAY_ADDRESS`), for a block.

    Raises `ConfigError` where Ray is not installed or the address is none, `ServiceUnavailable` where nothing answers.
    """
    address = address or os.environ.get("RAY_ADDRESS") or "auto"
    if address != "auto":
        _require_answer(address, option)
    try:
        import ray
    except ImportError:
        raise ConfigError(
            "--ray needs the package ray, of the cluster's version: pip install 'edgefleet[ray]'"
        ) from None
    util: Any = ray.util
    _require_answer_to_ray(address, util.get_node_ip_address(), option)
    try:
        # Log lines of the workers would come between ours; their nodes keep them.
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise ServiceUnavailable(f"--ray {address}: {_one_line(error, option)}") from None
    # What Ray itself has to say about a death is printed to stdout, which is for the report.
    with contextlib.redirect_stdout(sys.stderr):
        try:
            yield RayCluster(ray, log_level)
        finally:
            ray.shutdown()


def _one_line(error: Exception, option: str) -> str:
    if "Could not find any running Ray" in str(error):
        return (
            "this machine is no node of a Ray cluster; begin one with `ray start --head`, or name one: "
            f"{option} HOST:PORT"
        )
    return " ".join(str(error).split())


def _require_answer_to_ray(address: str, node_ip: str, option: str) -> None:
    """Refuse a cluster that listens on 127.0.0.1 alone where Ray asks at the machine's own address, for minutes."""
    host, _, port = address.rpartition(":")
    if host not in ("127.0.0.1", "localhost", "::1"):
        return
    try:
        socket.create_connection((node_ip, int(port)), timeout=CONNECT_S).close()
    except OSError as error:
        raise ServiceUnavailable(
            f"{option} {address}: Ray takes {host} for {node_ip}, and no cluster answers there: {error}; begin it with "
            f"`ray start --head --node-ip-address {node_ip}`, or keep all of it on 127.0.0.1 with "
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 in the environment of the nodes and of this command"
        ) from None


def _require_answer(address: str, option: str) -> None:
    host, _, port = address.rpartition(":")
    if "/" in address or not host or not port.isdecimal():
        raise ConfigError(
            f"{option}: '{address}' is no HOST:PORT; addresses of ray:// are not supported, "
            "run on a node of the cluster"
        )
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise ServiceUnavailable(f"{option} {address}: no Ray cluster answers there: {error}") from None
