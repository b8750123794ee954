"""The routes: each asks the controller, which lives on another event loop, and answers in JSON."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal

import orjson
from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from devices.scenario.actions import ACTION, ACTION_NAMES, AnyAction
from edgefleet.control.events import EventHub, Listener
from edgefleet.control.run_page import add_run_page
from edgefleet.control.served_run import ServedRun
from edgefleet.ingest.pages import add_pages
from edgewire import logs
from edgewire.config import describe_error
from edgewire.errors import ConfigError, EdgefleetError, ServiceUnavailable

log = logs.get("control")

MOST_ROWS = 500
MOST_LETTERS = 200
PING_S = 15.0
"""So often a listener hears something, so that one that has gone is noticed."""
SEND_S = 5.0
"""So long a listener may take to take what it is sent."""

_DESCRIPTION = (
    "Shows a fleet of emulated devices while it runs, and changes it. Every action is in the record of the run. Errors "
    'are `{"error": sentence}`: 401 without the token, 404 no such device, 409 not as the run is now, 422 not possible.'
)
LATEST_MS = 253_402_300_799_999
DeviceTime = Annotated[int | None, Query(ge=0, le=LATEST_MS, description="Of the devices' time, of a record.")]
DeviceState = Literal["connected", "disconnected", "paused", "asleep", "off", "standby"]


class ControlError(BaseModel):
    """Says why nothing was done."""

    error: str


_REFUSALS: dict[int | str, str] = {
    400: "The body is no JSON, or no request",
    401: "The token is missing, or another one",
    403: "A page of another site, or another name of this host",
    404: "There is no such device, site or path",
    408: "The body came too slowly",
    409: "The run cannot do so as it is",
    413: "The body is too large",
    415: "What changes something is sent as JSON",
    422: "A parameter or an argument is wrong",
    429: "Too many requests",
    503: "Not now: try again later",
}
"""Status -> what it means; all with a `ControlError`."""


class ActionResult(BaseModel):
    """Says what came of an action, as it stands in the run record."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    number: int
    """From 1 in each run; a fault is ended by that of the action that has begun it."""
    at_ms: int
    device_at_ms: int | None
    action: str
    arguments: dict[str, Any]
    devices: int
    """How many it has changed."""
    outcome: Literal["done", "partly", "failed"]
    said: str
    """What came of it, in a sentence."""
    told: list[dict[str, Any]] = []
    """What devices have answered to a command, up to 100 of them."""


class EventStream(Response):
    """Sends a listener what happens, as server-sent events, as long as it reads."""

    media_type = "text/event-stream"

    def __init__(self, hub: EventHub, listener: Listener, abort: Callable[[Scope], None]) -> None:
        super().__init__()
        self._hub = hub
        self._listener = listener
        self._abort = abort

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve until the client goes, is too slow, or the run is over."""
        listener = self._listener
        sending = asyncio.create_task(self._send(scope, send), name="control.listener")
        leaving = asyncio.create_task(_gone(receive), name="control.leaving")
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.unsubscribe(listener)
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send(self, scope: Scope, send: Send) -> None:
        listener = self._listener
        headers = [
            *((b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")),
            *((b"x-accel-buffering", b"no"), (b"x-content-type-options", b"nosniff")),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            while not (listener.is_over and not listener.queue):
                if not listener.queue:
                    listener.has_some.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(PING_S):
                            await listener.has_some.wait()
                some = b"".join(listener.queue) or b": still there\n\n"
                listener.queue.clear()
                if listener.is_dropped:
                    some += b'event: dropped\ndata: {"reason":"too slow: events were lost, listen anew"}\n\n'
                async with asyncio.timeout(SEND_S):
                    await send({"type": "http.response.body", "body": some, "more_body": True})
                if listener.is_dropped:
                    break
        except TimeoutError:
            self._hub.dropped += 1
            # What it does not take would be kept for it for ever.
            self._abort(scope)
            return
        self._hub.dropped += listener.is_dropped
        await send({"type": "http.response.body", "body": b""})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def create_control_app(
    controller: ServedRun, run_loop: asyncio.AbstractEventLoop, hub: EventHub, abort: Callable[[Scope], None]
) -> FastAPI:
    """Return the service; `abort` ends the connection of a request though it is not served to its end."""

    async def ask(question: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(question, run_loop))
        except EdgefleetError:
            raise
        except asyncio.CancelledError:
            raise HTTPException(503, "the run has ended") from None
        except Exception as error:
            log.exception("a mistake of ours")
            raise HTTPException(500, f"a mistake of edgefleet's, see its log: {type(error).__name__}") from None

    async def read(value: Callable[[], Any]) -> Any:
        async def on_run_loop() -> Any:
            return value()

        return await ask(on_run_loop())

    app = FastAPI(
        title="edgefleet control",
        version="1",
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        responses={status: {"model": ControlError, "description": said} for status, said in _REFUSALS.items()},
    )

    @app.get("/v1/status", summary="How the run is: devices, rates, lags, problems, processes.")
    async def status() -> Response:
        # Made by the run once a second, however many ask.
        return _json(controller.status)

    @app.get("/v1/runs", summary="The runs that are served here, and their paths from this one.")
    async def runs() -> Response:
        return _json(await read(controller.runs))

    @app.get(
        "/v1/history",
        summary="How the run was over its time, as the file `status.jsonl` of its folder has it.",
        response_class=Response,
    )
    async def history() -> Response:
        content = await ask(controller.history())
        headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
        return Response(content, 200, headers, "application/x-ndjson")

    @app.get("/v1/groups", summary="The groups of devices as they are now.")
    async def groups() -> Response:
        return _json(await read(controller.groups))

    @app.get("/v1/devices", summary="Devices by id, a page at a time.")
    async def devices(
        search: Annotated[str, Query(max_length=100, description="Text in the id.")] = "",
        group: Annotated[str | None, Query(max_length=100)] = None,
        kind: Annotated[str | None, Query(max_length=100)] = None,
        state: Annotated[DeviceState | None, Query()] = None,
        after: Annotated[str, Query(max_length=1000, description="`next` of the page before.")] = "",
        limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 50,
    ) -> Response:
        return _json(await ask(controller.find_devices(search, group, kind, state, after, limit)))

    @app.get(
        "/v1/devices/{device_id}",
        summary="All that is known of a device: faults now and in the next hour, and its messages and commands since "
        "first asked.",
    )
    async def device(device_id: str) -> Response:
        found = await ask(controller.look_at(device_id[:1000]))
        if found is None:
            raise HTTPException(404, f"there is no device '{device_id[:100]}': search with /v1/devices?search=…")
        shown = {"messages": [_shown(one) for one in found["messages"]]}
        return _json(found | shown | {"commands": [_shown_command(one) for one in found["commands"]]})

    @app.get("/v1/map/sites", summary="The sites with the weather they have, for a map.")
    async def map_sites(at_ms: DeviceTime = None) -> Response:
        return _json(await ask(controller.map.sites(at_ms)))

    @app.get("/v1/map/roads", summary="The roads of a site: lines in metres east and north of it, and their class.")
    async def map_roads(site: Annotated[str, Query(max_length=100)]) -> Response:
        return _json(await ask(controller.map.roads(site)))

    @app.get(
        "/v1/map/devices", summary="The devices of the map: ids, kinds and sites; of very many every second or so."
    )
    async def map_devices() -> Response:
        return _json(await ask(controller.map.devices()))

    @app.get(
        "/v1/map/places",
        summary="Where these devices are, in their order, as little-endian arrays: east and north of their sites as "
        "int16 (times `unit_m`), then a byte of state each. The header `map-version` is that of the list.",
        response_class=Response,
    )
    async def map_places(at_ms: DeviceTime = None) -> Response:
        places = await ask(controller.map.places(at_ms))
        headers = {"map-version": places.version, "device-time-ms": str(places.at_ms), "cache-control": "no-store"}
        return Response(places.content, 200, headers, "application/octet-stream")

    @app.get("/v1/actions", summary="What has been done to the run so far, as it will stand in its record.")
    async def actions() -> Response:
        return _json(await read(lambda: [*controller.actions]))

    @app.post(
        "/v1/actions",
        response_model=ActionResult,
        summary=f"Change the run: {', '.join(ACTION_NAMES)}.",
    )
    async def act(action: AnyAction) -> Response:
        outcome = await ask(controller.perform(action))
        return _json(orjson.loads(orjson.dumps(outcome.record)) | {"told": [*outcome.rows]})

    @app.get("/v1/scenario", summary="The scenario with which the run has begun, and when.")
    async def scenario() -> Response:
        return _json(await read(controller.session))

    @app.get(
        "/v1/dead-letters",
        summary="What the bridge behind the run could not deliver, the newest first.",
    )
    async def dead_letters(
        number: Annotated[list[int] | None, Query(max_length=1000, description="Only these.")] = None,
        sink: Annotated[str | None, Query(max_length=100)] = None,
        topic: Annotated[str | None, Query(max_length=1000, description="A filter.")] = None,
        reason: Annotated[str | None, Query(max_length=1000, description="A part of it.")] = None,
        since: Annotated[str | None, Query(max_length=100)] = None,
        until: Annotated[str | None, Query(max_length=100)] = None,
        limit: Annotated[int, Query(ge=1, le=MOST_LETTERS)] = 50,
    ) -> Response:
        given = {"sink": sink, "topic": topic, "reason": reason, "since": since, "until": until, "limit": limit}
        query = [("number", str(one)) for one in number or ()]
        query += [(name, str(value)) for name, value in given.items() if value is not None]
        return _json(await ask(controller.dead_letters(query)))

    @app.get("/v1/events", summary="Server-sent events: `state` every second, `event` in words, `dropped` at last.")
    async def events() -> Response:
        listener = hub.subscribe()
        if listener is None:
            raise HTTPException(503, f"{hub.listeners} listen already, and no more may: try again later")
        return EventStream(hub, listener, abort)

    add_run_page(app)
    add_pages(app)
    _answer_errors(app)
    return app


def control_description() -> dict[str, Any]:
    """Return the OpenAPI description, which no run is needed for."""
    nobody: Any = None
    return create_control_app(nobody, nobody, EventHub(), lambda _: None).openapi()


def _answer_errors(app: FastAPI) -> None:
    def answer(status: int, reason: object, headers: Any = None) -> Response:
        return _json({"error": str(reason)}, status, headers)

    @app.exception_handler(ConfigError)
    def not_possible(_: Request, error: ConfigError) -> Response:
        return answer(422, error)

    @app.exception_handler(EdgefleetError)
    def not_now(_: Request, error: EdgefleetError) -> Response:
        return answer(409, error)

    @app.exception_handler(ServiceUnavailable)
    def not_there(_: Request, error: ServiceUnavailable) -> Response:
        return answer(503, error)

    @app.exception_handler(RequestValidationError)
    def not_valid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            return answer(400, f"the body is not JSON: {first['ctx']['error']}")
        if first["loc"][0] == "body":
            try:
                ACTION.validate_python(error.body)
            except ValidationError as same:
                return answer(422, describe_error(same))
        return answer(422, f"parameter {first['loc'][-1]}: {first['msg']}")

    @app.exception_handler(HTTPException)
    def of_http(request: Request, error: HTTPException) -> Response:
        if error.status_code != 405:
            return answer(error.status_code, error.detail, error.headers)
        # Starlette names those of the first route of a path alone; RFC 9110, 15.5.6, wants all.
        found = [route for route in app.routes if isinstance(route, Route) and route.path_regex.match(request.url.path)]
        allowed = sorted({method for route in found for method in route.methods or ()})
        return answer(405, error.detail, {"allow": ", ".join(allowed)})


def _shown(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message with its payload as text, or in hex, and decoded where it is JSON."""
    payload: bytes = message["payload"]
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return message | {"payload": None, "hex": payload.hex()}
    try:
        return message | {"payload": text, "json": orjson.loads(payload)}
    except orjson.JSONDecodeError:
        return message | {"payload": text}


def _shown_command(command: dict[str, Any]) -> dict[str, Any]:
    return command | {name: command[name].decode(errors="replace") for name in ("asked", "answered")}


def _json(content: Any, status: int = 200, headers: Any = None) -> Response:
    found = {"cache-control": "no-store", "x-content-type-options": "nosniff"} | dict(headers or {})
    return Response(orjson.dumps(content), status, found, "application/json")
