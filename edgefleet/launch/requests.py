"""Carries requests to the processes of a run, wherever they are, and what they answer back."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from devices.fleet.fleet import Fleet
from devices.fleet.steering import (
    ApplyScenario,
    FleetAnswer,
    FleetChange,
    FleetQuery,
    FleetRequest,
    FleetSteering,
)
from devices.scenario.changes import ScenarioChange, compare_scenarios
from devices.scenario.scenario import Scenario
from edgewire import logs
from edgewire.errors import ConfigError, EdgefleetError, ServiceUnavailable

ANSWER_S = 15.0
"""How long a process may take to answer; to build devices takes longer, see `BUILD_S`."""
BUILD_S = 120.0

log = logs.get("requests")


@dataclass(frozen=True, slots=True)
class ShardRequest:
    """Holds a request with its number, by which it is answered."""

    number: int
    request: FleetRequest


@dataclass(frozen=True, slots=True)
class ShardReply:
    """Holds the answer to a request of this number, or why there is none."""

    number: int
    answer: FleetAnswer | None
    error: str = ""
    is_usage: bool = False
    """Whether what was asked for cannot be, whoever is asked."""


OnReply = Callable[[ShardReply], None]


class RequestQueue:
    """Holds what a shard is asked for until its fleet is there, and has it answered."""

    def __init__(self, on_reply: OnReply) -> None:
        self._on_reply = on_reply
        self._waiting: asyncio.Queue[ShardRequest] = asyncio.Queue()
        self._changes: asyncio.Queue[ShardRequest] = asyncio.Queue()

    def put(self, request: ShardRequest) -> None:
        """Take a request; on the event loop."""
        self._waiting.put_nowait(request)

    async def serve(self, fleet: Fleet, seed: int) -> None:
        """Answer until cancelled: changes one after the other, looks at once."""
        steering = FleetSteering(fleet, seed)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._serve_changes(steering), name="changes")
            while True:
                one = await self._waiting.get()
                if isinstance(one.request, FleetQuery):
                    tasks.create_task(self._answer(steering, one), name="look")
                else:
                    self._changes.put_nowait(one)

    async def _serve_changes(self, steering: FleetSteering) -> None:
        while True:
            await self._answer(steering, await self._changes.get())

    async def _answer(self, steering: FleetSteering, one: ShardRequest) -> None:
        try:
            reply = ShardReply(one.number, await steering.answer(one.request))
        except EdgefleetError as error:
            if isinstance(one.request, ApplyScenario):
                log.error("scenario not applied, these devices go on as they were", reason=str(error))
            reply = ShardReply(one.number, None, str(error), isinstance(error, ConfigError))
        except Exception as error:
            log.exception("a mistake of ours")
            reply = ShardReply(one.number, None, f"{type(error).__name__}: {error}")
        self._on_reply(reply)


class Shards(Protocol):
    """Names what is asked of a run, of one process or of several."""

    async def ask(self, request: FleetRequest) -> FleetAnswer:
        """Return what all processes answer together. Raises as `FleetSteering.answer`."""
        ...

    async def apply(self, scenario: Scenario) -> ScenarioChange:
        """Let all processes go on with another scenario. Raises as `Fleet.apply`."""
        ...


class ReplyBook:
    """Knows which requests are not answered yet."""

    def __init__(self) -> None:
        self._numbers = 0
        self._awaited: dict[int, tuple[str, asyncio.Future[ShardReply]]] = {}

    def enter(self, request: FleetRequest, name: str) -> tuple[ShardRequest, "asyncio.Future[ShardReply]"]:
        """Return a request with a number of its own, and where the answer of whoever has this name will be."""
        self._numbers += 1
        reply: asyncio.Future[ShardReply] = asyncio.get_running_loop().create_future()
        self._awaited[self._numbers] = name, reply
        return ShardRequest(self._numbers, request), reply

    def on_reply(self, reply: ShardReply) -> None:
        """Take an answer; one that nobody waits for any more is let go."""
        _, awaited = self._awaited.pop(reply.number, ("", None))
        if awaited is not None and not awaited.done():
            awaited.set_result(reply)

    def on_end(self, name: str) -> None:
        """Wait for no more answers of whoever has this name, as it has ended."""
        for number in [number for number, (other, _) in self._awaited.items() if other == name]:
            self.on_reply(ShardReply(number, None, f"{name} has ended"))

    async def collect(
        self, request: FleetRequest, replies: "Iterable[tuple[str, asyncio.Future[ShardReply]]]"
    ) -> FleetAnswer:
        """Return the answers of all who were asked, by their names, as one. Raises as `Shards.ask`."""
        limit_s = BUILD_S if isinstance(request, ApplyScenario) else ANSWER_S
        found, failures, is_usage = FleetAnswer(), [], True
        awaited = [*replies]
        if awaited:
            await asyncio.wait([reply for _, reply in awaited], timeout=limit_s)
        for name, reply in awaited:
            if not reply.done():
                reply.cancel()
                failures.append(f"{name} has not answered within {limit_s:g} s")
                is_usage = False
                continue
            answer = reply.result()
            if answer.answer is None:
                failures.append(answer.error)
                is_usage = is_usage and answer.is_usage
            else:
                found.merge(answer.answer)
        if failures:
            said = "; ".join(dict.fromkeys(failures))
            if len(failures) < len(awaited) and isinstance(request, FleetChange):
                said += f"; the other {len(awaited) - len(failures)} processes have done it"
                is_usage = False
            raise ConfigError(said) if is_usage else ServiceUnavailable(said)
        return found


class LocalShard:
    """Asks the shard that runs in this process."""

    def __init__(self, scenario: Scenario) -> None:
        self._book = ReplyBook()
        self._scenario = scenario
        self.requests = RequestQueue(self._book.on_reply)

    async def ask(self, request: FleetRequest) -> FleetAnswer:
        """Return what the fleet answers."""
        numbered, reply = self._book.enter(request, "the fleet")
        self.requests.put(numbered)
        return await self._book.collect(request, [("the fleet", reply)])

    async def apply(self, scenario: Scenario) -> ScenarioChange:
        """Let the fleet go on with another scenario."""
        # What is wrong with it is said at once, also while the fleet is being built.
        await asyncio.to_thread(compare_scenarios, self._scenario, scenario)
        answer = await self.ask(ApplyScenario(scenario))
        assert answer.change is not None
        self._scenario = scenario
        return replace(answer.change, at_ms=answer.at_ms)
