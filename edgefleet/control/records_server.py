"""Serves the page of runs that are records: each below a path of its own, by the same routes as one that goes on."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import RedirectResponse
from starlette.types import Scope

from edgefleet.control.api import create_control_app
from edgefleet.control.events import EventHub, encode_event
from edgefleet.control.recorded_run import RecordedRun, describe_runs
from edgefleet.control.server import ControlConfig, ControlServer
from edgewire import logs
from edgewire.errors import ConfigError

MOST_RUNS = 100
LOOK_S = 2.0
"""Between two looks whether a run that had not ended has written more."""

log = logs.get("web")


def load_runs(folders: Sequence[Path]) -> list[RecordedRun]:
    """Read the runs of these folders; raises `ConfigError` for what is none, and for the same one twice."""
    if len(folders) > MOST_RUNS:
        raise ConfigError(f"{len(folders):,} runs: a page shows {MOST_RUNS} at the most: name fewer")
    known: dict[Path, Path] = {}
    for folder in folders:
        if (other := known.setdefault(folder.resolve(), folder)) is not folder:
            raise ConfigError(f"{folder}: is the same run as {other}: name each once")
    runs = [RecordedRun(folder) for folder in folders]
    for place, run in enumerate(runs):
        run.runs = functools.partial(describe_runs, runs, place)
    return runs


@asynccontextmanager
async def served_records(config: ControlConfig, runs: Sequence[RecordedRun]) -> AsyncIterator[str]:
    """Serve the page of runs as long as the block runs; yields its URL. Raises `ServiceUnavailable`."""
    hubs, loop = [EventHub() for _ in runs], asyncio.get_running_loop()

    def create_app(abort: Callable[[Scope], None]) -> FastAPI:
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

        async def first() -> RedirectResponse:
            return RedirectResponse("runs/1/")

        app.add_api_route("/", first, methods=["GET", "HEAD"], include_in_schema=False)
        for number, (run, hub) in enumerate(zip(runs, hubs, strict=True), 1):
            app.mount(f"/runs/{number}", create_control_app(run, loop, hub, abort))
        return app

    server = ControlServer(config, create_app, hubs)
    await server.start()
    for run, hub in zip(runs, hubs, strict=True):
        _tell(server, run, hub)
    looking = asyncio.create_task(_look_again(server, runs, hubs), name="records")
    try:
        yield server.url
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        await server.close()


def _tell(server: ControlServer, run: RecordedRun, hub: EventHub) -> None:
    for event in run.events:
        server.publish(hub, encode_event("event", event, event["number"]), False)
    server.publish(hub, encode_event("state", run.status), True)


async def _look_again(server: ControlServer, runs: Sequence[RecordedRun], hubs: Sequence[EventHub]) -> None:
    told: dict[int, str] = {}
    while True:
        await asyncio.sleep(LOOK_S)
        for number, (run, hub) in enumerate(zip(runs, hubs, strict=True)):
            if run.status["is_complete"]:
                continue
            try:
                known = len(run.events)
                if await asyncio.to_thread(run.refresh):
                    for event in run.events[min(known, len(run.events)) :]:
                        server.publish(hub, encode_event("event", event, event["number"]), False)
                    server.publish(hub, encode_event("state", run.status), True)
                told.pop(number, None)
            except (ConfigError, OSError) as error:
                # It may be about to be written; the page shows what was there before.
                if told.get(number) != str(error):
                    log.warning("a run cannot be read again", reason=str(error))
                told[number] = str(error)
