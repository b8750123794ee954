"""A schema registry that says what a script tells it to, and else keeps schemas as Confluent's does."""

import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer

_JSON = "application/vnd.schemaregistry.v1+json"


@dataclass
class ScriptedRegistry:
    """What has been registered, what was asked, and the next answers."""

    url: str = ""
    subjects: dict[str, list[tuple[int, str, str]]] = field(default_factory=dict)
    """Subject -> id, type and text of each version."""
    serialized: dict[str, bytes] = field(default_factory=dict)
    """Subject -> descriptor, where that can be asked for."""
    requests: list[str] = field(default_factory=list)
    answers: list[web.Response] = field(default_factory=list)
    """Said first, one a request."""
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Subject -> status and message of its refusal."""
    authorization: str | None = None
    """What a request must have."""

    def add(self, subject: str, schema_type: str, text: str) -> int:
        """Register a version; return its id, the same for the same schema."""
        known = [one for versions in self.subjects.values() for one in versions]
        number = next((one[0] for one in known if one[1:] == (schema_type, text)), 1 + len({one[0] for one in known}))
        versions = self.subjects.setdefault(subject, [])
        if all(one[0] != number for one in versions):
            versions.append((number, schema_type, text))
        return number

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one request."""
        self.requests.append(f"{request.method} {request.path}")
        if self.answers:
            return self.answers.pop(0)
        if self.authorization and request.headers.get("Authorization") != self.authorization:
            said = request.headers.get("Authorization", "nothing")
            return _error(401, 40101, f"Unauthorized: {said}")
        if request.path == "/schemas/types":
            return _answer(["JSON", "PROTOBUF", "AVRO"])
        subject = request.match_info["subject"]
        if subject in self.refused:
            status, message = self.refused[subject]
            return _error(status, status * 100 + 1, message)
        if request.method == "POST":
            assert request.content_type == _JSON
            document = orjson.loads(await request.read())
            return _answer({"id": self.add(subject, document.get("schemaType", "AVRO"), document["schema"])})
        if subject not in self.subjects:
            return _error(404, 40401, f"Subject '{subject}' not found.")
        number, schema_type, text = self.subjects[subject][-1]
        if request.query.get("format") == "serialized" and subject in self.serialized:
            text = base64.b64encode(self.serialized[subject]).decode()
        named = {} if schema_type == "AVRO" else {"schemaType": schema_type}
        return _answer({"subject": subject, "version": 1, "id": number, "schema": text, **named})


def _answer(document: Any) -> web.Response:
    return web.Response(body=orjson.dumps(document), content_type=_JSON)


def _error(status: int, code: int, message: str) -> web.Response:
    return web.Response(status=status, body=orjson.dumps({"error_code": code, "message": message}), content_type=_JSON)


@asynccontextmanager
async def scripted_registry(tls: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedRegistry]:
    """Serve a registry on loopback."""
    registry = ScriptedRegistry()
    app = web.Application()
    app.router.add_get("/schemas/types", registry.answer)
    app.router.add_route("*", "/subjects/{subject}/versions", registry.answer)
    app.router.add_route("*", "/subjects/{subject}/versions/latest", registry.answer)
    server = TestServer(app, scheme="http" if tls is None else "https")
    await server.start_server(ssl=tls)
    try:
        registry.url = str(server.make_url("")).rstrip("/")
        yield registry
    finally:
        await server.close()
