"""Makes the FastAPI application: routes, and one place that turns errors into answers."""

from collections.abc import Sequence
from typing import Any

import structlog
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from edgefleet.ingest.api import Api, json_response, router
from edgefleet.ingest.auth import guard
from edgefleet.ingest.body import BodyLimits, BodyRefused
from edgefleet.ingest.metrics import IngestMetrics, RequestTimer
from edgefleet.ingest.pages import add_pages
from edgefleet.ingest.store import MessageStore, StoreError
from edgefleet.ingest.validation import BatchTooLong, NotJson
from edgewire import logs
from edgewire.clock import Clock, SystemClock
from edgewire.config_errors import pattern_words
from edgewire.messages import ACCEPTED, ContractError

LIMITS = BodyLimits(bytes=8 << 20, seconds=30)
"""By default; the bytes are some 30,000 messages."""

_DESCRIPTION = (
    "Validates messages of edge devices against the contract, keeps each once by its id, and says what it has."
)


class _App(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """Add the models of the messages: the routes name them, but FastAPI does not see them checked."""
        if self.openapi_schema:
            return self.openapi_schema
        page = super().openapi()
        models = [message.model for contract in ACCEPTED.values() for message in contract.messages]
        _, definitions = models_json_schema(
            [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
        )
        page["components"]["schemas"].update(definitions["$defs"])
        return page


def create_app(
    store: MessageStore, *, clock: Clock | None = None, limits: BodyLimits = LIMITS, tokens: Sequence[str] = ()
) -> FastAPI:
    """Return the service over an open store; whoever opened the store closes it after the service has stopped.

    With `tokens`, one of them is needed to post or read messages.
    """
    metrics = IngestMetrics()
    app = _App(title="edgefleet ingest", version="1", description=_DESCRIPTION, docs_url=None, redoc_url=None)
    guards = [Depends(guard(tokens))] if tokens else []
    app.include_router(router(Api(store, clock or SystemClock(), metrics, limits), guards))
    add_pages(app)
    app.add_middleware(RequestTimer, metrics=metrics)
    _answer_errors(app, logs.get("ingest"))
    return app


def _answer_errors(app: FastAPI, log: structlog.typing.FilteringBoundLogger) -> None:
    """Answer every error with `{"error": sentence}`."""

    def answer(status: int, reason: object, **headers: str) -> Response:
        return json_response({"error": str(reason)}, status, headers)

    @app.exception_handler(NotJson)
    def not_json(_: Request, error: NotJson) -> Response:
        return answer(400, error)

    @app.exception_handler(BatchTooLong)
    def batch_too_long(_: Request, error: BatchTooLong) -> Response:
        return answer(413, error)

    @app.exception_handler(BodyRefused)
    def body_refused(_: Request, error: BodyRefused) -> Response:
        # What is left of a body that was not read to its end would be taken for the next request.
        headers = {"Connection": "close"} if error.unread else {}
        return answer(error.status, error, **headers, **({"Retry-After": "1"} if error.status == 503 else {}))

    @app.exception_handler(ContractError)
    def contract_broken(_: Request, error: ContractError) -> Response:
        return answer(422, error)

    @app.exception_handler(StoreError)
    def not_stored(request: Request, error: StoreError) -> Response:
        log.error("store failed", path=request.url.path, error=str(error))
        return answer(503, error, **{"Retry-After": "1"})

    @app.exception_handler(RequestValidationError)
    def parameter_wrong(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        said = first["msg"].removeprefix("Value error, ")
        if first["type"] == "string_pattern_mismatch":
            said = f"should be {pattern_words(first['ctx']['pattern'])}"
        return answer(422, f"parameter {first['loc'][1]}: {said}")

    @app.exception_handler(HTTPException)
    def no_such_route(_: Request, error: HTTPException) -> Response:
        return answer(error.status_code, error.detail, **(error.headers or {}))

    @app.exception_handler(ClientDisconnect)
    def gone(_: Request, error: ClientDisconnect) -> Response:
        return answer(400, "the connection was closed before the end of the body")
