"""Serves the routes: one POST a kind, batches, and what the store holds. JSON is written directly where it is many."""

import asyncio
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import asdict
from operator import itemgetter
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response, params
from pydantic import BeforeValidator, Field, WithJsonSchema

from edgefleet.ingest import answers, validation
from edgefleet.ingest.body import BodyLimits, BodyReader, content_type
from edgefleet.ingest.metrics import IngestMetrics
from edgefleet.ingest.store import Delivery, MessageStore, StoredMessage, StoreResult, is_full
from edgefleet.ingest.store import Query as StoreQuery
from edgefleet.ingest.validation import BATCH_FORMS, MAX_LISTED, BatchTooLong, BodyMessages, NotJson
from edgewire.clock import Clock, parse_ms
from edgewire.config_errors import text_matching
from edgewire.messages import ACCEPTED, BATCH_PATH, ContractError, KindContract, cloudevents
from edgewire.messages.base import DeviceId

SINGLE_FORMS = ("application/json", cloudevents.CONTENT_TYPE)
"""Content types of one message: as it is, or an event with the message as data."""

_AT_ONCE_BYTES = 16 << 10
"""A single message up to this size is decoded without a thread, in some tens of microseconds."""

MAX_PAGE = 50_000
MAX_DEVICES = 1000
"""In one question: as many ids as a URL holds."""


def _instant_ms(value: object) -> int:
    text = str(value)
    if text.isdecimal():
        return int(text[:_INT_DIGITS])  # longer ones are too large as well, and slow to read
    return parse_ms(text)


MAX_INT = 2**63 - 1
"""The stores' largest."""
_INT_DIGITS = len(str(MAX_INT)) + 1

Instant = Annotated[
    int,
    Field(le=MAX_INT),
    BeforeValidator(_instant_ms),
    WithJsonSchema({"type": "string", "description": "ISO 8601 (UTC without an offset), or milliseconds since 1970"}),
]


def json_response(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return an answer written with orjson, which also takes dataclasses and fragments."""
    return Response(orjson.dumps(content), status, headers, media_type="application/json")


class Api:
    """Handles the requests over one store."""

    def __init__(self, store: MessageStore, clock: Clock, metrics: IngestMetrics, limits: BodyLimits) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._bodies = BodyReader(limits)

    def post_of(self, contract: KindContract) -> Callable[[Request], Awaitable[Response]]:
        """Return the handler that takes one message of this kind."""

        async def post(request: Request) -> Response:
            async with self._bodies.read(request, SINGLE_FORMS, validation.MESSAGE_BYTES) as body:
                form, key = content_type(request), request.headers.get("idempotency-key")
                arguments = (contract, body, form, key)
                try:
                    if len(body) <= _AT_ONCE_BYTES:
                        message = validation.read_single(*arguments)
                    else:
                        message = await self._bodies.decode(len(body), validation.read_single, *arguments)
                except (NotJson, ContractError, BatchTooLong):
                    await self._add(Delivery(self._clock.now_ms(), rejected={contract.kind: 1}))
                    raise
                (result,) = await self._add(Delivery(self._clock.now_ms(), [message]))
            answer = {"id": message.id, "status": result}
            match result:
                case StoreResult.STORED:
                    return json_response(answer, 201)
                case StoreResult.KNOWN:
                    return json_response(answer)
                case StoreResult.CONFLICT:
                    # Not 409, which to a resent request may mean that the first is stored: this one never is.
                    return json_response(answer | {"error": _conflict(message.id)}, 422)

        return post

    async def post_batch(
        self,
        request: Request,
        items: Annotated[
            Literal["rejected", "all"], Query(description="Which lines to list in the answer.")
        ] = "rejected",
    ) -> Response:
        """Store messages of any kinds in one transaction; answered per line, 200 also where lines are rejected.

        A line's kind is told by the field that only that kind has. In an array, an entry is what a line is in NDJSON.
        """
        received_ms = self._clock.now_ms()
        async with self._bodies.read(request, BATCH_FORMS) as body:
            form = content_type(request)
            batch = await self._bodies.decode(len(body), validation.read_batch, body, form)
            results = await self._add(Delivery(received_ms, batch.messages, batch.rejected))
            return json_response(await asyncio.to_thread(_account, batch, results, list_all=items == "all"))

    async def stats(self) -> answers.Stats:
        """How many messages of each kind were stored, came again, or were rejected, since the store was made."""
        counts = await self._store.counts()
        kinds = {kind: answers.KindStats(**asdict(count)) for kind, count in counts.items()}
        return answers.Stats(
            stored=sum(kind.stored for kind in kinds.values()),
            redelivered=sum(kind.redelivered for kind in kinds.values()),
            rejected=sum(kind.rejected for kind in kinds.values()),
            conflicts=sum(kind.conflicts for kind in kinds.values()),
            kinds={kind: answers.KindStats() for kind in ACCEPTED} | kinds,
        )

    async def messages(
        self,
        kind: Annotated[
            str | None, text_matching("^[a-z0-9_]{1,64}$", "lower-case letters, digits and '_', at most 64 of them")
        ] = None,
        device_id: Annotated[
            list[DeviceId] | None, Query(max_length=MAX_DEVICES, description="Of this device; repeatable.")
        ] = None,
        boot: Annotated[int | None, Query(ge=0, le=MAX_INT, description="Of the devices.")] = None,
        since: Annotated[Instant | None, Query(description="Measured at this time or later.")] = None,
        until: Annotated[Instant | None, Query(description="Measured before this time.")] = None,
        received_since: Annotated[Instant | None, Query(description="Arrived at this time or later.")] = None,
        received_until: Annotated[Instant | None, Query(description="Arrived before this time.")] = None,
        conflict_since: Annotated[
            Instant | None, Query(description="Other content came under their ids at this time or later.")
        ] = None,
        after: Annotated[int, Query(ge=0, le=MAX_INT, description="The `next` of the page before.")] = 0,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 1000,
        payload: Annotated[bool, Query(description="Whether to send the payloads along.")] = True,
    ) -> Response:
        """A page of what is stored, in the order of arrival."""
        query = StoreQuery(
            after=after,
            limit=limit,
            kind=kind,
            device_ids=device_id or (),
            boot=boot,
            since_ms=since,
            until_ms=until,
            received_since_ms=received_since,
            received_until_ms=received_until,
            conflict_since_ms=conflict_since,
            payload=payload,
        )
        rows = await self._store.read(query)
        content = await asyncio.to_thread(page_body, rows, query)
        return Response(content, media_type="application/json")

    async def live(self) -> answers.Health:
        """The process answers."""
        return answers.Health(status="ok")

    async def ready(self) -> answers.Health:
        """The store can be written."""
        await self._store.check()
        return answers.Health(status="ok")

    async def prometheus(self) -> Response:
        """Metrics in the Prometheus text format."""
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _add(self, delivery: Delivery) -> list[StoreResult]:
        results = await self._store.add(delivery)
        self._metrics.count(
            Counter((message.kind, result) for message, result in zip(delivery.messages, results, strict=True))
        )
        self._metrics.count({(kind, "rejected"): number for kind, number in delivery.rejected.items()})
        return results


def _conflict(message_id: str) -> str:
    return f"'{message_id}' is stored with other content, and this is not; was its device's boot counter reset?"


def _account(batch: BodyMessages, results: Sequence[StoreResult], *, list_all: bool) -> dict[str, Any]:
    """Return `answers.BatchPosted`."""
    counts = Counter(results)
    rejected = sum(batch.rejected.values())
    refused: list[dict[str, Any]] = [
        {"line": line, "status": "rejected", "id": message_id, "error": error}
        for line, message_id, error in batch.rejections
    ]
    listed: list[dict[str, Any]] = []
    for line, message, result in zip(batch.lines, batch.messages, results, strict=True):
        if result is StoreResult.CONFLICT:
            refused.append({"line": line, "status": result, "id": message.id, "error": _conflict(message.id)})
        elif list_all:
            listed.append({"line": line, "status": result, "id": message.id})
    refused.sort(key=itemgetter("line"))
    listed += refused[:MAX_LISTED]
    return {
        "stored": counts[StoreResult.STORED],
        "known": counts[StoreResult.KNOWN],
        "rejected": rejected,
        "conflicts": counts[StoreResult.CONFLICT],
        "unlisted": rejected + counts[StoreResult.CONFLICT] - len(refused[:MAX_LISTED]),
        "items": sorted(listed, key=itemgetter("line")),
    }


def page_body(rows: Sequence[StoredMessage], query: StoreQuery) -> bytes:
    """Return `answers.Page` as JSON; one that is not full is the last for now."""
    next_after = rows[-1].cursor if is_full(rows, query) else None
    return orjson.dumps({"messages": [_row(row) for row in rows], "next": next_after})


def _row(row: StoredMessage) -> dict[str, Any]:
    fields = row._asdict()
    payload = fields.pop("payload")
    if row.conflict_ms is None:
        del fields["conflict_ms"]
    fields["id"] = f"{row.device_id}:{row.boot}:{row.seq}"
    # The payload goes out as it came in, without being decoded: it was valid JSON when it was stored.
    return fields if payload is None else fields | {"payload": orjson.Fragment(payload)}


def router(api: Api, guards: Sequence[params.Depends] = ()) -> APIRouter:
    """Return all routes, described for the OpenAPI page; those that post or read messages are behind `guards`."""
    refused: dict[int | str, dict[str, Any]] = {
        413: {"model": answers.Error, "description": "Too large"},
        422: {"model": answers.NotPosted, "description": "Breaks the contract, or its id has other content"},
        503: {"model": answers.Error, "description": "Not stored; try again later"},
        400: {"model": answers.Error, "description": "Not JSON, or damaged"},
        415: {"model": answers.Error, "description": "Of another type, character set or encoding than is taken"},
        408: {"model": answers.Error, "description": "The body came too slowly"},
    }
    if guards:
        refused[401] = {"model": answers.Error, "description": "No bearer token, or not one of this service"}
    routes = APIRouter()
    guarded = APIRouter(dependencies=guards)
    for contract in ACCEPTED.values():
        guarded.add_api_route(
            contract.http_path,
            api.post_of(contract),
            methods=["POST"],
            tags=["ingest"],
            operation_id=f"post_{contract.kind}",
            summary=f"Store one {contract.kind} message",
            description=f"Store one {contract.kind} message; a header `Idempotency-Key` must be the message id.",
            status_code=201,
            response_model=answers.Posted,
            responses=refused | {200: {"model": answers.Posted, "description": "Already known"}},
            openapi_extra={"requestBody": _json_body(contract)},
        )
    guarded.add_api_route(
        BATCH_PATH,
        api.post_batch,
        methods=["POST"],
        tags=["ingest"],
        response_model=answers.BatchPosted,
        responses=refused,
        dependencies=[Depends(_only_parameters_of(api.post_batch))],
        openapi_extra={"requestBody": {"required": True, "content": _batch_body()}},
    )
    guarded.add_api_route("/stats", api.stats, tags=["read"])
    guarded.add_api_route(
        "/messages",
        api.messages,
        tags=["read"],
        response_model=answers.Page,
        dependencies=[Depends(_only_parameters_of(api.messages, repeatable={"device_id"}))],
    )
    routes.include_router(guarded)
    routes.add_api_route("/healthz", api.live, tags=["operation"])
    routes.add_api_route("/readyz", api.ready, tags=["operation"], responses={503: {"model": answers.Error}})
    routes.add_api_route("/metrics", api.prometheus, tags=["operation"], response_class=Response)
    return routes


def _only_parameters_of(
    endpoint: Callable[..., Awaitable[Response]], repeatable: Collection[str] = ()
) -> Callable[[Request], Awaitable[None]]:
    """Return a dependency that answers 422 to a parameter that would have no effect: misspelt, or given twice."""
    known = [name for name in inspect.signature(endpoint).parameters if name != "request"]

    async def check(request: Request) -> None:
        for name, times in Counter(name for name, _ in request.query_params.multi_items()).items():
            if name not in known:
                raise HTTPException(422, f"parameter {name[:100]!r} is none of {', '.join(known)}")
            if times > 1 and name not in repeatable:
                raise HTTPException(422, f"parameter {name} is given {times} times; give it once")

    return check


def _batch_body() -> dict[str, Any]:
    lines, *arrays = BATCH_FORMS
    # What is no message is an entry that is answered as rejected.
    array = {"schema": {"type": "array", "items": {}}}
    return {lines: {"schema": {"type": "string"}}} | dict.fromkeys(arrays, array)


def _json_body(contract: KindContract) -> dict[str, Any]:
    schemas = [{"$ref": f"#/components/schemas/{message.model.__name__}"} for message in contract.messages]
    content = {
        "schema": {"oneOf": schemas},
        "examples": {message.model.__name__: {"value": message.examples[0]} for message in contract.messages},
    }
    properties = {"id": {"type": "string"}, "data": {"oneOf": schemas}}
    event = {"schema": {"type": "object", "required": [*properties], "properties": properties}}
    return {"required": True, "content": {"application/json": content, cloudevents.CONTENT_TYPE: event}}
