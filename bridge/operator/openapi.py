"""Describes the admin port as OpenAPI 3.1, for programs: served at `/openapi.json`, and asked of it by Schemathesis."""

from importlib.metadata import version
from typing import Any

from bridge.operator.api import (
    LARGEST_LIMIT,
    MOST_LETTERS,
    MOST_NUMBERS,
    SENTENCES,
    ChangedLetters,
    LetterChoice,
    SinkChoice,
)

Document = dict[str, Any]

_TEXT: Document = {"type": "string"}
_FLAG: Document = {"type": "boolean"}
_COUNT: Document = {"type": "integer", "minimum": 0}
_TEXTS: Document = {"type": "array", "items": _TEXT}
_JSON = "application/json"


def _object(optional: Document | None = None, **required: Document) -> Document:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": [*required],
        "additionalProperties": False,
    }


_BOOKS = _object(
    sink=_TEXT,
    **dict.fromkeys(
        ("received", "delivered", "dead_lettered", "dropped", "pending", "discarded"),
        _COUNT,
    ),
    oldest_pending_ms={"type": ["integer", "null"], "description": "Milliseconds since 1970 UTC."},
    balanced=_FLAG,
    lag_s={"type": "number", "minimum": 0},
)
_LETTER = _object(
    number=_COUNT,
    sink=_TEXT,
    message_id=_COUNT,
    received_ms={"type": "integer"},
    received={"type": "string", "format": "date-time"},
    topic=_TEXT,
    qos={"type": "integer", "minimum": 0, "maximum": 2},
    retain=_FLAG,
    reason=_TEXT,
    attempts=_COUNT,
    dead_ms={"type": "integer"},
    dead={"type": "string", "format": "date-time"},
    optional={
        "payload": {"type": "string", "description": "Where it is text in UTF-8, else it is `payload_base64`."},
        "payload_base64": _TEXT,
        "payload_is_cut": _FLAG,
        "properties": {"type": "object"},
    },
)
_CHANGE = {"messages": {"type": "object", "additionalProperties": _TEXTS}, "named": _COUNT}
_READINESS = _object(ready=_FLAG, reasons=_TEXTS, waiting=_TEXTS, warnings=_TEXTS, brokers=_TEXTS, paused=_TEXTS)
_PATHS = _object(service=_TEXT, paths={"type": "array", "items": _object(method=_TEXT, path=_TEXT, sentence=_TEXT)})

_SCHEMAS = {
    "Paths": _PATHS,
    "Health": _object(status={"const": "ok"}),
    "Readiness": _READINESS,
    "Ledger": _object(balanced=_FLAG, spool_bytes=_COUNT, file_bytes=_COUNT, sinks={"type": "array", "items": _BOOKS}),
    "DeadLetters": _object(dead_letters={"type": "array", "items": _LETTER, "maxItems": MOST_LETTERS}),
    "Replaying": _object(replaying=_COUNT, **_CHANGE),
    "Dropped": _object(dropped=_COUNT, **_CHANGE),
    "Paused": _object(paused=_TEXTS),
    "Draining": _object(draining=_FLAG),
    "Refusal": _object(error=_TEXT),
}

_LOOKED_AT: dict[str, tuple[str, dict[str, str]]] = {
    "/": ("What is served here.", {"200": "Paths"}),
    "/healthz": ("Whether the process works.", {"200": "Health"}),
    "/readyz": (
        "Whether messages are received and kept safe; why not, and which sinks wait.",
        {"200": "Readiness", "503": "Readiness"},
    ),
    "/ledger": ("The books of every sink, counted from the spool.", {"200": "Ledger"}),
}
"""Path -> what it is for, and the answers by status."""

_OPERATED: dict[tuple[str, str], tuple[str, type[SinkChoice | ChangedLetters] | None]] = {
    ("GET", "/v1/dead-letters"): ("DeadLetters", None),
    ("POST", "/v1/dead-letters/replay"): ("Replaying", ChangedLetters),
    ("POST", "/v1/dead-letters/drop"): ("Dropped", ChangedLetters),
    ("POST", "/v1/pause"): ("Paused", SinkChoice),
    ("POST", "/v1/resume"): ("Paused", SinkChoice),
    ("POST", "/v1/drain"): ("Draining", None),
}
"""Operation -> the answer, and the body of the request."""

_REFUSALS = {
    "400": "The body is no JSON, or no host is named; as text: a line is too long.",
    "403": "Whoever asks is a page of another site, or nobody may from where others reach the port.",
    "421": "The host that is asked for is not this machine.",
    "422": "What is asked for does not exist, or is not understood.",
    "503": "The spool cannot be read, or is busy.",
}
_REFUSALS_OF_CHANGES = {
    "408": "The body was not complete in time.",
    "413": "The body is too large.",
    "415": "The body is not sent as application/json, or with an encoding.",
}
_NO_TOKEN = {"401": "The token is missing, or is another one."}


def describe_admin(*, has_token: bool) -> Document:
    """Return the document; `has_token` says whether what is below `/v1/` asks for a token."""
    paths: Document = {}
    for path, (sentence, answers) in _LOOKED_AT.items():
        found = {status: _answer("As it says.", name) for status, name in answers.items()}
        paths[path] = {"get": {"summary": sentence, "responses": found}}
    paths["/"]["get"]["responses"]["200"]["content"]["text/html"] = {"schema": _TEXT}
    metrics = {"description": "Prometheus' text format.", "content": {"text/plain": {"schema": _TEXT}}}
    paths["/metrics"] = {"get": {"summary": "Metrics.", "responses": {"200": metrics}}}
    paths["/openapi.json"] = {
        "get": {
            "summary": "This document.",
            "responses": {"200": {"description": "OpenAPI.", "content": {_JSON: {"schema": {"type": "object"}}}}},
        }
    }
    unread = {"description": "A line is too long.", "content": {"text/plain": {"schema": _TEXT}}}
    for one in paths.values():
        one["get"]["responses"]["400"] = unread
    for (method, path), sentence in SENTENCES.items():
        paths.setdefault(path, {})[method.lower()] = _operation(method, path, sentence, has_token=has_token)
    components: Document = {
        "schemas": {**_SCHEMAS, **{one.__name__: one.model_json_schema() for one in (SinkChoice, ChangedLetters)}}
    }
    if has_token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    info = {"title": "edgefleet bridge", "version": version("edgefleet"), "description": "The admin port of a bridge."}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": components}


def _operation(method: str, path: str, sentence: str, *, has_token: bool) -> Document:
    answer, body = _OPERATED[method, path]
    refusals = _REFUSALS | (_REFUSALS_OF_CHANGES if method == "POST" else {}) | (_NO_TOKEN if has_token else {})
    found: Document = {
        "summary": sentence,
        "responses": {
            "200": _answer("Done.", answer),
            **{status: _answer(text, "Refusal") for status, text in refusals.items()},
        },
    }
    found["responses"]["400"]["content"]["text/plain"] = {"schema": _TEXT}
    if method == "GET":
        found["parameters"] = _parameters()
    else:
        schema = _object() if body is None else _reference(body.__name__)
        found["requestBody"] = {"required": True, "content": {_JSON: {"schema": schema}}}
    return found | ({"security": [{"token": []}]} if has_token else {})


def _parameters() -> list[Document]:
    """Return those by which dead letters are chosen: the fields of `LetterChoice`, and how many are wanted."""
    fields = LetterChoice.model_json_schema()["properties"]
    number = {**fields.pop("numbers")["items"], "maximum": LARGEST_LIMIT}
    several = {"type": "array", "items": number, "maxItems": MOST_NUMBERS}
    found = [{"name": "number", "in": "query", "schema": several, "description": "Again and again."}]
    for name, schema in fields.items():
        text = next(one for one in schema["anyOf"] if one["type"] != "null")
        found.append({"name": name, "in": "query", "schema": text, "description": schema.get("description", "")})
    limit = {"type": "integer", "minimum": 1, "maximum": LARGEST_LIMIT, "default": 50}
    found.append({"name": "limit", "in": "query", "schema": limit, "description": f"{MOST_LETTERS} at the most."})
    return found


def _answer(text: str, name: str) -> Document:
    return {"description": text, "content": {_JSON: {"schema": _reference(name)}}}


def _reference(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}
