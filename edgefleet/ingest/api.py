"""Serves the routes: one POST a kind, batches, and what the store holds. JSON is written directly where it is many."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request, Response, params
from pydantic import BeforeValidator, Field, WithJsonSchema

from edgefleet.ingest import answers, validation
from edgefleet.ingest.body import BodyLimits, content_type, read_body
from edgefleet.ingest.metrics import IngestMetrics
from edgefleet.ingest.store import Delivery, MessageStore, StoredMessage
from edgefleet.ingest.store import Query as StoreQuery
from edgefleet.ingest.validation import BATCH_FORMS, NotJson
from edgewire.clock import Clock, parse_ms
from edgewire.messages import BATCH_PATH, CONTRACT, ContractError, KindContract, cloudevents

MAX_PAGE = 50_000
MAX_DEVICES = 1000
"""In one question: as many ids as a URL holds."""


def _instant_ms(value: object) -> int:
    text = str(value)
    return int(text) if text.isdecimal() else parse_ms(text)


MAX_INT = 2**63 - 1
"""The stores' largest."""

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
        self._limits = limits

    def post_of(self, contract: KindContract) -> Callable[[Request], Awaitable[Response]]:
        """Return the handler that takes one message of this kind."""

        async def post(request: Request) -> Response:
            body = await read_body(request, self._limits)
            key = request.headers.get("idempotency-key")
            try:
                message = validation.read_single(contract, body, content_type(request), key)
            except (NotJson, ContractError):
                await self._add(Delivery(self._clock.now_ms(), rejected={contract.kind: 1}))
                raise
            (is_new,) = await self._add(Delivery(self._clock.now_ms(), [message]))
            return json_response({"id": message.id, "status": _status(is_new)}, 201 if is_new else 200)

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
        body = await read_body(request, self._limits, types=BATCH_FORMS)
        # In a thread, so that a large batch does not hold up everybody else.
        batch = await asyncio.to_thread(validation.read_batch, body, content_type(request))
        news = await self._add(Delivery(received_ms, batch.messages, batch.rejected))
        listed: list[dict[str, Any]] = [
            {"line": line, "status": "rejected", "id": message_id, "error": error}
            for line, message_id, error in batch.rejections
        ]
        if items == "all":
            accepted = zip(batch.lines, batch.messages, news, strict=True)
            listed += [
                {"line": line, "status": _status(is_new), "id": message.id} for line, message, is_new in accepted
            ]
            listed.sort(key=lambda item: item["line"])
        stored = sum(news)
        return json_response(
            {"stored": stored, "known": len(news) - stored, "rejected": len(batch.rejections), "items": listed}
        )

    async def stats(self) -> answers.Stats:
        """How many messages of each kind were stored, came again, or were rejected, since the store was made."""
        counts = await self._store.counts()
        kinds = {
            kind: answers.KindStats(stored=count.stored, redelivered=count.redelivered, rejected=count.rejected)
            for kind, count in counts.items()
        }
        return answers.Stats(
            stored=sum(kind.stored for kind in kinds.values()),
            redelivered=sum(kind.redelivered for kind in kinds.values()),
            rejected=sum(kind.rejected for kind in kinds.values()),
            kinds={kind: answers.KindStats() for kind in CONTRACT} | kinds,
        )

    async def messages(
        self,
        kind: str | None = None,
        device_id: Annotated[
            list[str] | None, Query(max_length=MAX_DEVICES, description="Of this device; repeatable.")
        ] = None,
        boot: Annotated[int | None, Query(ge=0, le=MAX_INT, description="Of the devices.")] = None,
        since: Annotated[Instant | None, Query(description="Measured at this time or later.")] = None,
        until: Annotated[Instant | None, Query(description="Measured before this time.")] = None,
        received_since: Annotated[Instant | None, Query(description="Arrived at this time or later.")] = None,
        received_until: Annotated[Instant | None, Query(description="Arrived before this time.")] = None,
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
            payload=payload,
        )
        rows = await self._store.read(query)
        content = await asyncio.to_thread(_page, rows, limit)
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

    async def _add(self, delivery: Delivery) -> list[bool]:
        news = await self._store.add(delivery)
        stored = Counter(message.kind for message, is_new in zip(delivery.messages, news, strict=True) if is_new)
        self._metrics.count("stored", stored)
        self._metrics.count("known", Counter(message.kind for message in delivery.messages) - stored)
        self._metrics.count("rejected", delivery.rejected)
        return news


def _status(is_new: bool) -> Literal["stored", "known"]:
    return "stored" if is_new else "known"


def _page(rows: Sequence[StoredMessage], limit: int) -> bytes:
    """Return `answers.Page` as JSON; a short page is the last for now."""
    return orjson.dumps(
        {"messages": [_row(row) for row in rows], "next": rows[-1].cursor if len(rows) == limit else None}
    )


def _row(row: StoredMessage) -> dict[str, Any]:
    fields = row._asdict()
    payload = fields.pop("payload")
    fields["id"] = f"{row.device_id}:{row.boot}:{row.seq}"
    # The payload goes out as it came in, without being decoded: it was valid JSON when it was stored.
    return fields if payload is None else fields | {"payload": orjson.Fragment(payload)}


def router(api: Api, guards: Sequence[params.Depends] = ()) -> APIRouter:
    """Return all routes, described for the OpenAPI page; those that post or read messages are behind `guards`."""
    refused: dict[int | str, dict[str, Any]] = {
        413: {"model": answers.Error, "description": "Too large"},
        422: {"model": answers.Error, "description": "Breaks the contract; names the field"},
        503: {"model": answers.Error, "description": "Not stored; try again later"},
        400: {"model": answers.Error, "description": "Not JSON, or damaged"},
        408: {"model": answers.Error, "description": "The body came too slowly"},
    }
    if guards:
        refused[401] = {"model": answers.Error, "description": "No bearer token, or not one of this service"}
    routes = APIRouter()
    guarded = APIRouter(dependencies=guards)
    for contract in CONTRACT.values():
        guarded.add_api_route(
            contract.http_path,
            api.post_of(contract),
            methods=["POST"],
            tags=["ingest"],
            operation_id=f"post_{contract.kind}",
            summary=f"Store one {contract.kind} message",
            description="Idempotent by the message id; a header `Idempotency-Key` must be that id.",
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
        responses=refused | {415: {"model": answers.Error, "description": f"None of {', '.join(BATCH_FORMS)}"}},
        openapi_extra={"requestBody": {"required": True, "content": _batch_body()}},
    )
    guarded.add_api_route("/stats", api.stats, tags=["read"])
    guarded.add_api_route("/messages", api.messages, tags=["read"], response_model=answers.Page)
    routes.include_router(guarded)
    routes.add_api_route("/healthz", api.live, tags=["operation"])
    routes.add_api_route("/readyz", api.ready, tags=["operation"], responses={503: {"model": answers.Error}})
    routes.add_api_route("/metrics", api.prometheus, tags=["operation"], response_class=Response)
    return routes


def _batch_body() -> dict[str, Any]:
    lines, *arrays = BATCH_FORMS
    array = {"schema": {"type": "array", "items": {"type": "object"}}}
    return {lines: {"schema": {"type": "string"}}} | dict.fromkeys(arrays, array)


def _json_body(contract: KindContract) -> dict[str, Any]:
    schemas = [{"$ref": f"#/components/schemas/{message.model.__name__}"} for message in contract.messages]
    content = {
        "schema": {"oneOf": schemas},
        "examples": {message.model.__name__: {"value": message.examples[0]} for message in contract.messages},
    }
    event = {"schema": {"type": "object", "required": ["id", "data"]}}
    return {"required": True, "content": {"application/json": content, cloudevents.CONTENT_TYPE: event}}
