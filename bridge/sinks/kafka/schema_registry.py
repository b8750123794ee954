"""Asks a schema registry with Confluent's API for the ids of schemas, and says what its errors mean for messages."""

import ssl
from base64 import b64encode
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple, TypeGuard
from urllib.parse import quote

import aiohttp
import orjson

from bridge.sinks.base import NotConnected, Retry, Scope
from bridge.sinks.http.proxy import ProxyChooser
from bridge.sinks.kafka.value_config import SchemaRegistryConfig
from edgewire.errors import ServiceUnavailable
from edgewire.http_answer import one_printable_line
from edgewire.http_status import StatusClass, classify_status
from edgewire.redact import KnownSecrets, show_url
from edgewire.tls import RenewedContext, configured_context, explain_alert, explain_tls

_MOST_BYTES = 4 << 20
"""Of an answer."""
_SHOWN = 300
"""Characters of what a registry says."""
_MOST_ID = (1 << 31) - 1
_MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
_HINTS: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "look at username, password and token in kafka.schema_registry",
    HTTPStatus.FORBIDDEN: "give the bridge the right to it",
    HTTPStatus.CONFLICT: "it is not compatible with the versions before it: change the subject's compatibility, or use"
    " another subject",
}


class RegisteredSchema(NamedTuple):
    """Is a version of a subject."""

    id: int
    type: str
    """AVRO, PROTOBUF or JSON."""
    text: str
    has_references: bool


class SchemaRegistry:
    """Asks between `open` and `close`; remembers nothing."""

    def __init__(self, config: SchemaRegistryConfig) -> None:
        """Take the settings. Raises `ConfigError` for an unfit proxy."""
        self._config = config
        self._secrets = KnownSecrets(_credentials(config))
        self._proxies = ProxyChooser(config.proxy)
        self._session: aiohttp.ClientSession | None = None
        self._tls: RenewedContext | None = None

    def open(self) -> None:
        """Get ready; nothing is sent. Raises `ConfigError` for certificates that cannot be read."""
        if self._session is not None:
            return
        config = self._config
        headers = {"Accept": f"{_MEDIA_TYPE}, application/json", "Content-Type": _MEDIA_TYPE}
        if config.token:
            headers["Authorization"] = f"Bearer {config.token.get_secret_value()}"
        if config.username is not None and config.password:
            headers["Authorization"] = f"Basic {_basic(config.username, config.password.get_secret_value())}"
        if config.url.startswith("https:"):
            self._tls = RenewedContext(lambda: _make_context(config), config.ca_file, config.certificate, config.key)
        self._session = aiohttp.ClientSession(
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=config.timeout / 1000),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Drop all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def register(self, subject: str, schema_type: str, text: str) -> int | Retry:
        """Return the id of a schema, which becomes the subject's newest version where it is none yet."""
        document = {"schema": text} | ({} if schema_type == "AVRO" else {"schemaType": schema_type})
        answer = await self._ask("POST", f"/subjects/{quote(subject, safe='')}/versions", subject, document)
        if isinstance(answer, Retry):
            return answer
        found = answer.get("id")
        return found if _is_id(found) else self._odd(subject, "no id")

    async def latest(self, subject: str, *, serialized: bool) -> RegisteredSchema | Retry:
        """Return the newest version of a subject; `serialized`: of Protobuf, as base64 of its descriptor."""
        path = f"/subjects/{quote(subject, safe='')}/versions/latest{'?format=serialized' if serialized else ''}"
        answer = await self._ask("GET", path, subject, None)
        if isinstance(answer, Retry):
            return answer
        found, text, schema_type = answer.get("id"), answer.get("schema"), answer.get("schemaType", "AVRO")
        if not (_is_id(found) and isinstance(text, str) and isinstance(schema_type, str)):
            return self._odd(subject, "no id and schema")
        return RegisteredSchema(found, schema_type, text, bool(answer.get("references")))

    async def probe(self) -> str:
        """Reach the registry, and say what answered. Raises `ServiceUnavailable`, or `ConfigError` as `open`."""
        self.open()
        answer = await self._ask("GET", "/schemas/types", "", None)
        if isinstance(answer, Retry):
            raise ServiceUnavailable(answer.reason)
        return f"schema registry {show_url(self._config.url)} answers"

    async def _ask(self, method: str, path: str, subject: str, document: Any) -> dict[str, Any] | Retry:
        if self._session is None:
            raise NotConnected("the schema registry is not connected: it is being closed")
        config = self._config
        body = None if document is None else orjson.dumps(document)
        # A redirected POST may arrive as a GET; a moved registry is for a person to look at.
        try:
            async with self._session.request(
                method,
                config.url + path,
                data=body,
                allow_redirects=False,
                ssl=True if self._tls is None else self._tls.current(),
                proxy=self._proxies.proxy_for(config.url),
            ) as response:
                status, said = response.status, await _read(response)
        except TimeoutError:
            return self._retry("timeout", f"does not answer within {config.timeout / 1000:g} s")
        except aiohttp.ClientSSLError as error:
            why = explain_tls(error, "kafka.schema_registry.ca_file", "http://") or _text_of(error)
            return self._retry("tls", f"cannot be reached: {self._secrets.hide(why)}", needs_operator=True)
        except (aiohttp.ClientError, ValueError) as error:
            if alert := explain_alert(error):
                return self._retry("tls", f"cannot be reached: {alert}", needs_operator=True)
            where = self._proxies.describe(config.url)
            return self._retry("network", f"cannot be reached: {self._secrets.hide(_text_of(error))}{where}")
        try:
            answer = orjson.loads(said)
        except orjson.JSONDecodeError:
            answer = None
        if classify_status(status) is not StatusClass.TAKEN:
            return self._refused(status, answer, subject)
        if isinstance(answer, dict):
            return answer
        # What there are types of is a list.
        return {} if isinstance(answer, list) else self._odd(subject, "no JSON that could be read")

    def _refused(self, status: int, answer: Any, subject: str) -> Retry:
        said = answer.get("message") if isinstance(answer, dict) else None
        told = f": {self._secrets.hide(one_printable_line(said))[:_SHOWN]}" if isinstance(said, str) else ""
        if classify_status(status) is StatusClass.TRY_AGAIN:
            return self._retry(str(status), f"answers {status}{told}")
        hint = _HINTS.get(status, "")
        if status == HTTPStatus.NOT_FOUND and subject:
            hint = f"register a schema under {subject}, or write auto_register: true; else look at the URL"
        of = f" for subject {subject}" if subject else ""
        reason = f"answers {status}{of}{told}{'; ' if hint else ''}{hint}"
        # Credentials and address are the same for all subjects.
        is_of_all = status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) or 300 <= status < 400
        scope = Scope.QUEUE if is_of_all else Scope.DEVICE
        return self._retry(str(status), reason, scope=scope, needs_operator=True)

    def _odd(self, subject: str, what: str) -> Retry:
        return self._retry("odd_answer", f"answers {what} for subject {subject}", needs_operator=True)

    def _retry(self, cause: str, reason: str, *, scope: Scope = Scope.QUEUE, needs_operator: bool = False) -> Retry:
        said = f"schema registry {show_url(self._config.url)} {reason}"
        return Retry(cause=f"registry_{cause}", reason=said, scope=scope, needs_operator=needs_operator)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > _MOST_BYTES:
            break
    return b"".join(parts)


def _is_id(found: object) -> TypeGuard[int]:
    return type(found) is int and 0 <= found <= _MOST_ID


def _credentials(config: SchemaRegistryConfig) -> Iterator[str]:
    for secret in (config.token, config.password):
        if secret:
            yield secret.get_secret_value()
    if config.username is not None and config.password:
        yield _basic(config.username, config.password.get_secret_value())


def _basic(username: str, password: str) -> str:
    return b64encode(f"{username}:{password}".encode()).decode()


def _text_of(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _make_context(config: SchemaRegistryConfig) -> ssl.SSLContext:
    return configured_context("kafka.schema_registry", config.ca_file, config.certificate, config.key)
