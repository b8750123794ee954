"""Makes the parts of a data set on the nodes of a Ray cluster, a processor each. Imports nothing of Ray."""

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from devices.export.base import ExportError
from devices.export.part_maker import MadePart, PartedExport, PartMaker
from devices.export.parts import Part
from edgefleet.launch.ray_shard import ActorPlace, InstalledVersions, installed_versions
from edgewire.errors import EdgefleetError

if TYPE_CHECKING:
    from edgefleet.launch.ray_cluster import RayCluster

_LOOK_EVERY_S = 0.2


class PartActor:
    """Makes parts, one at a time, in a process that Ray calls an actor."""

    def __init__(self, job: PartedExport) -> None:
        self._job = job
        self._maker: PartMaker | None = None

    def place(self) -> tuple[str, int, InstalledVersions]:
        """Return an `ActorPlace`, as what every version can read."""
        return socket.gethostname(), os.getpid(), installed_versions()

    def make(self, part: Part) -> MadePart | str:
        """Return what a part consists of, or why it could not be made."""
        try:
            self._maker = self._maker or PartMaker(self._job)
            return self._maker.make(part)
        except EdgefleetError as error:
            return str(error)


def make_on_cluster(
    cluster: "RayCluster",
    job: PartedExport,
    parts: Sequence[Part],
    stop: Callable[[], bool],
    on_wait: Callable[[], None],
    *,
    jobs: int | None,
) -> Iterator[MadePart]:
    """Make parts on so many processors of a cluster, on all that are free without a number, until `stop` says so.

    Raises `ExportError` where a part cannot be made; what is complete by then stays.
    """
    _, free = cluster.processors()
    count = min(jobs or max(free, 1), len(parts))
    waiting = iter(parts)
    actors = [cluster.start_actor(PartActor, job) for _ in range(count)]
    try:
        for place in cluster.places_of(actors):
            cluster.require_same(ActorPlace(*place))
        busy = {actor.make.remote(next(waiting)): actor for actor in actors}
        while busy:
            ready = cluster.first_done(list(busy), _LOOK_EVERY_S)
            on_wait()
            if stop():
                return
            for reference in ready:
                actor = busy.pop(reference)
                made = cluster.result_of(reference)
                if not isinstance(made, MadePart):
                    raise ExportError(str(made))
                following = next(waiting, None)
                if following is not None:
                    busy[actor.make.remote(following)] = actor
                yield made
    finally:
        for actor in actors:
            cluster.end_actor(actor)
