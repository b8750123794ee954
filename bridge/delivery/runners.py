"""Holds the runners of a bridge, one a sink: started, replaced and stopped one by one while messages go on arriving.

What a runner that stops has not delivered stays in the spool, and the next one of its sink begins there.
"""

import asyncio
import random
from collections.abc import Callable, Collection, Sequence

from bridge.delivery.runner import SinkRunner
from bridge.metrics import BridgeMetrics
from bridge.routing.routed import RoutedEvent
from bridge.routing.table import RouteTable
from bridge.sinks.base import Sink
from bridge.spool.message import SpooledMessage
from bridge.spool.spool import Spool
from edgewire.clock import Clock


class SinkRunners:
    """Holds every runner and its task."""

    def __init__(self, table: RouteTable, metrics: BridgeMetrics, clock: Clock, rng: random.Random) -> None:
        self.table = table
        """For the runners started from now on, so exchange it when none is at work."""
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Ends with what the first runner failed with."""
        self.on_delivered: Callable[[str, Sequence[RoutedEvent]], None] | None = None
        """Told the sink and the messages of every delivery."""
        self._metrics = metrics
        self._clock = clock
        self._rng = rng
        self._runners: dict[str, SinkRunner] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def names(self) -> list[str]:
        """Return the sinks at work."""
        return list(self._runners)

    @property
    def problems(self) -> list[str]:
        """Say what waits, one sentence each, with the name of its sink."""
        return [f"{runner.name}: {problem}" for runner in self._runners.values() for problem in runner.problems]

    @property
    def warnings(self) -> list[str]:
        """Say what an operator should know of what was delivered, one sentence each, with the name of its sink."""
        return [f"{runner.name}: {warning}" for runner in self._runners.values() for warning in runner.warnings]

    def start(self, sinks: Sequence[Sink], spool: Spool, finish_s: float) -> None:
        """Let these sinks work from where the spool says they are."""
        for route, level in self.table.validated:
            self._metrics.invalid.labels(route, level)
        self.table.on_invalid = lambda route, level: self._metrics.invalid.labels(route, level).inc()
        for sink in sinks:
            runner = SinkRunner(sink, spool, self.table, self._metrics, self._clock, self._rng, self.on_delivered)
            self._runners[runner.name] = runner
            task = self._tasks[runner.name] = asyncio.create_task(runner.run_sink(finish_s), name=runner.name)
            task.add_done_callback(self._on_done)

    async def stop(self, names: Collection[str]) -> None:
        """Let these finish what they have begun, and close their sinks."""
        stopping = [name for name in names if name in self._runners]
        for name in stopping:
            self._runners[name].stop()
        if stopping:
            await asyncio.wait([self._tasks[name] for name in stopping])
        for name in stopping:
            del self._runners[name], self._tasks[name]

    def dispatch(self, messages: list[SpooledMessage]) -> None:
        """Resolve newly committed messages once for all the runners that keep up; the others read them later."""
        first = messages[0].id
        runners = self._runners.values()
        keeping_up = [runner for runner in runners if runner.can_accept(first, len(messages))]
        if keeping_up:
            resolved = [self.table.resolve(message) for message in messages]
            for runner in keeping_up:
                runner.accept_messages(resolved)
        for runner in runners:
            if runner not in keeping_up:
                runner.wake_up()

    def _on_done(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error and not self.failure.done():
            self.failure.set_exception(error)
