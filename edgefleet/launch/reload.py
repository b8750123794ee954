"""Lets a run go on with its scenario as it is in its file now, or says why it does not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from devices.scenario.changes import ScenarioChange, compare_scenarios
from devices.scenario.scenario import Scenario
from edgewire import logs
from edgewire.errors import EdgefleetError

Apply = Callable[[Scenario], Awaitable[ScenarioChange]]

log = logs.get("reload")


@asynccontextmanager
async def reloading(reloader: "ScenarioReloader | None", apply: Apply) -> AsyncIterator[None]:
    """Carry out what a reloader is asked for, as long as the block runs."""
    if reloader is None:
        yield
        return
    task = asyncio.create_task(reloader.run_reloads(apply), name="reloads")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class ScenarioReloader:
    """Reads a scenario again when it is asked to; `reread` raises `ConfigError` for one that cannot be run."""

    def __init__(self, scenario: Scenario, reread: Callable[[], Scenario]) -> None:
        self.scenario = scenario
        """As the run goes by now."""
        self.applied = 0
        self.refused = 0
        self._reread = reread
        self._asked = asyncio.Event()

    def request_reload(self) -> None:
        """Read it again, as soon as that can be; asked for several times before that, it is read once."""
        self._asked.set()

    async def run_reloads(self, apply: Apply) -> None:
        """Carry out what is asked for until cancelled; what cannot be leaves the run as it is, and is said."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                scenario = await asyncio.to_thread(self._reread)
                # Before any worker hears of it.
                await asyncio.to_thread(compare_scenarios, self.scenario, scenario)
                await apply(scenario)
            except EdgefleetError as error:
                self.refused += 1
                log.error("scenario not reloaded, the run goes on as it was", reason=str(error))
                continue
            self.applied += 1
            self.scenario = scenario
