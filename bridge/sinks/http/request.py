"""Makes the HTTP requests for messages of a route: URL, headers, body, queue, compiled once from its target. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import quote

import orjson
from yarl import URL

from bridge.message import cloudevents
from bridge.message.attributes import http_attributes
from bridge.message.template import Template, TemplateError, one_line
from bridge.routing.routed import RoutedEvent
from bridge.sinks.http.config import HttpSinkConfig, HttpTarget
from bridge.sinks.http.success import USUAL, AnswerRules
from edgewire.errors import ConfigError
from edgewire.messages.cloudevents import BATCH_CONTENT_TYPE, CONTENT_TYPE
from edgewire.redact import hide_urls, is_harmless_header, named_secrets, query_values, show_url

_KNOWN_DESTINATIONS = 10_000

LONGEST_URL = 8_000
"""Characters; what RFC 9110 (4.1) asks every server to take. Longer ones are answered with anything or nothing."""

LONGEST_HEADERS = 8_000
"""Bytes of the values of headers that are made of a message: servers limit the line or the whole at 8 KB."""

_CONTENT_TYPES = {
    ("batch", "ndjson"): "application/x-ndjson",
    ("batch", "json"): "application/json",
    ("batch", "cloudevents"): BATCH_CONTENT_TYPE,
    ("single", "json"): "application/json",
    ("single", "cloudevents"): CONTENT_TYPE,
}


class RequestHead(NamedTuple):
    """Holds what the messages of one request have in common."""

    url: str
    headers: tuple[tuple[str, str], ...]
    rules: AnswerRules
    """What the answer means."""

    def __repr__(self) -> str:
        return f"RequestHead({show_url(self.url)!r}, {len(self.headers)} headers)"


class RequestBuilder:
    """Makes the requests of one target, with what the settings of the sink add to it."""

    def __init__(self, config: HttpSinkConfig, target: HttpTarget) -> None:
        """Compile a target. Raises `ConfigError` for one that does not fit the settings."""
        self.target = target
        self._batch = config.mode == "batch"
        self.format = config.format or ("ndjson" if self._batch else "json")
        if target.line_before and not (self._batch and self.format == "ndjson"):
            raise ConfigError("a route's http.line_before is for batches of format ndjson")
        self._url = _url(config, target)
        self.rules = _rules(config, target)
        self._destination = self._url if target.url or config.url.fields else _path(config, target)
        self._shards = config.requests_at_once if self._batch else 0
        self._headers = _headers(config, target, self.format)
        given = {name.lower() for name in (*config.headers, *target.headers)}
        self._has_usual_type = target.body is None and "content-type" not in given
        self._queue_keys: dict[str, list[str]] = {}  # by destination
        self.empty_batch = self.encode_batch([]) if self._batch else None
        """The body of a batch of no messages; a single post of none does not exist."""
        self.fixed_headers = {name: value.fixed for name, value in self._headers.items() if value.fixed is not None}
        """Those that are the same for every message."""
        self.fixed_url = self._url.fixed
        """Where all messages go; None where that depends on the message."""
        self.head_varies_by_device = self._url.varies_by_device or any(
            value.varies_by_device for value in self._headers.values()
        )
        """Whether the messages of one queue may have different URLs or headers."""
        fixed = self._url.fixed is not None and all(value.fixed is not None for value in self._headers.values())
        self.fixed_head = (
            RequestHead(
                self._url.fixed or "",
                tuple((name, value.fixed or "") for name, value in self._headers.items()),
                self.rules,
            )
            if fixed
            else None
        )
        """Where all messages go, with which headers; None where that depends on the message."""
        fixed_destination = self._destination.fixed
        self._only_queue_keys = None if fixed_destination is None else self._keys_of(fixed_destination)
        self.destinations = [] if fixed_destination is None else [fixed_destination]
        """Where its messages go, where that is the same for all."""

    def written(self, header: str) -> str:
        """Return the value of a header as the configuration has it, empty for one that is not of the configuration."""
        return self._headers[header].text if header in self._headers else ""

    def secrets(self) -> Iterator[str]:
        """Yield what may be secret in its URL, headers and body."""
        yield from query_values("".join(part if isinstance(part, str) else "{}" for part in self._url.parts))
        for name, value in self._headers.items():
            if not is_harmless_header(name):
                yield from (word for part in value.parts if isinstance(part, str) for word in part.split())
        for body in filter(None, (self.target.body, self.target.line_before)):
            yield from named_secrets(body.source if body.is_text else orjson.dumps(body.source).decode())

    def queue_key(self, event: RoutedEvent) -> str:
        """Return the key of the queue of a message; see `Sink.queue_key`."""
        keys = self._only_queue_keys
        if keys is None:
            destination = self._destination.render_static(event.topic_info)
            keys = self._queue_keys.get(destination)
            if keys is None:
                if len(self._queue_keys) >= _KNOWN_DESTINATIONS:
                    self._queue_keys.clear()
                keys = self._queue_keys[destination] = self._keys_of(destination)
        return keys[hash(event.device_id) % len(keys)] if self._shards else keys[0]

    def head(self, event: RoutedEvent) -> RequestHead:
        """Return where this message goes, with which headers. Raises `TemplateError`."""
        if self.fixed_head is not None:
            return self.fixed_head
        url = self._url.render(event, _quoted)
        if len(url) > LONGEST_URL:
            raise TemplateError(
                f"the URL has {len(url):,} characters with its fields filled in, more than {LONGEST_URL:,}"
            )
        if self._url.reads_payload and any(part in (".", "..") for part in url.partition("?")[0].split("/")):
            raise TemplateError(f"the URL {show_url(url)} has a level of dots alone")
        headers = tuple((name, _header(name, value.render(event))) for name, value in self._headers.items())
        size = sum(len(value.encode()) for _, value in headers)
        if size > LONGEST_HEADERS:
            raise TemplateError(
                f"the headers have {size:,} bytes with their fields filled in, more than {LONGEST_HEADERS:,}"
            )
        return RequestHead(url, headers, self.rules)

    def single_headers(self, event: RoutedEvent, fixed: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Return the headers of a single post: what tells of its message, and what the configuration says instead."""
        found = cloudevents.binary_headers(event) if self.format == "json" else {}
        if event.topic_info.is_foreign:
            found |= http_attributes(event)
        found |= dict(fixed)
        if event.is_raw and self.format == "json" and self._has_usual_type:
            found["Content-Type"] = event.content_type or ""
        return found

    def encode_item(self, event: RoutedEvent) -> bytes:
        """Return the message as one body, or as its part of a batch. Raises `TemplateError`."""
        body = self.target.body
        data = body.render(event) if body else event.body
        if self.format == "cloudevents":
            return cloudevents.structured(event, data)
        if self.format != "ndjson":
            return data
        before = self.target.line_before
        # A bulk API wants a line end behind its last line as well.
        return one_line(before.render(event)) + b"\n" + one_line(data) + b"\n" if before else data

    def encode_batch(self, items: list[bytes]) -> bytes:
        """Return a batch as one body."""
        if self.format == "ndjson":
            if self.target.line_before:
                return b"".join(items)
            body = b"\n".join(items)
            # Hardly any has a line break of its own: to look at all of them once is quicker than at each.
            has_others = b"\r" in body or body.count(b"\n") >= len(items)
            return b"\n".join(map(one_line, items)) if has_others else body
        return b"[" + b",".join(items) + b"]"

    def _keys_of(self, destination: str) -> list[str]:
        return [f"{destination}#{number}" for number in range(self._shards)] if self._shards else [destination]


def _url(config: HttpSinkConfig, target: HttpTarget) -> Template:
    url = target.url or Template(config.url.text.rstrip("/") + _path(config, target).text)
    if url.fixed is not None:
        try:
            URL(url.fixed)
        except ValueError as error:
            raise ConfigError(
                f"'{show_url(url.fixed)}' is no URL that can be asked for: {hide_urls(str(error))}"
            ) from None
    return url


def _rules(config: HttpSinkConfig, target: HttpTarget) -> AnswerRules:
    statuses = config.statuses if target.statuses is None else target.statuses
    success = config.success if target.success is None else target.success
    return AnswerRules(statuses, success) if statuses or success else USUAL


def _path(config: HttpSinkConfig, target: HttpTarget) -> Template:
    if config.mode == "batch":
        return config.batch_path
    if target.path is None:
        raise ConfigError("a route's http has neither path nor url: single posts need one")
    return target.path


def _headers(config: HttpSinkConfig, target: HttpTarget, form: str) -> Mapping[str, Template]:
    text = target.body is not None and target.body.is_text
    if text and (form == "cloudevents" or (form == "json" and config.mode == "batch")):
        raise ConfigError(f"a route's http.body is a text, which format {form} has no place for: write it as JSON")
    kind = "text/plain; charset=utf-8" if text else _CONTENT_TYPES[config.mode, form]
    found = {"Content-Type": Template(kind)}
    for headers in (config.headers, target.headers):
        for name, value in headers.items():
            found = {known: one for known, one in found.items() if known.lower() != name.lower()} | {name: value}
    return found


def _quoted(value: str) -> str:
    return quote(value, safe="")


def _header(name: str, value: str) -> str:
    if not value.isprintable():
        raise TemplateError(f"the value of header '{name}' has a line break or another control character")
    return value
