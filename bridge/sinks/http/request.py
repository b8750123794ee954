"""Where the messages of a route go over HTTP: URL, headers, body and lane, compiled once from its target. Pure."""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

from bridge.message import cloudevents
from bridge.message.template import Template, TemplateError, one_line
from bridge.routing.routed import RoutedEvent
from bridge.sinks.http.config import HttpConfig, HttpTarget
from edgewire.errors import ConfigError
from edgewire.messages.cloudevents import BATCH_CONTENT_TYPE, CONTENT_TYPE

_KNOWN_LANES = 10_000


_CONTENT_TYPES = {
    ("batch", "ndjson"): "application/x-ndjson",
    ("batch", "json"): "application/json",
    ("batch", "cloudevents"): BATCH_CONTENT_TYPE,
    ("single", "json"): "application/json",
    ("single", "cloudevents"): CONTENT_TYPE,
}


class Envelope(NamedTuple):
    """What messages of one request have in common."""

    url: str
    headers: tuple[tuple[str, str], ...]


class Way:
    """One target, with what the settings of the sink add to it."""

    def __init__(self, config: HttpConfig, target: HttpTarget) -> None:
        """Raises `ConfigError` for a target that does not fit the settings."""
        self.target = target
        self._batch = config.mode == "batch"
        self.format = config.format or ("ndjson" if self._batch else "json")
        self._url = _url(config, target)
        self._lane = self._url if target.url or config.url.fields else _path(config, target)
        self._parts = config.requests_at_once if self._batch else 0
        self._headers = _headers(config, target, self.format)
        self._lanes: dict[str, list[str]] = {}
        self.nothing = self.document([]) if self._batch else None
        """The body of a batch of no messages; a single post of none does not exist."""
        self.fixed_headers = {name: value.fixed for name, value in self._headers.items() if value.fixed is not None}
        """Those that are the same for every message."""
        self.fixed_url = self._url.fixed
        """Where all messages go; None where that depends on the message."""
        self.of_device = self._url.of_device
        """Whether the messages of one lane go to different URLs."""
        fixed = self._url.fixed is not None and all(value.fixed is not None for value in self._headers.values())
        self.fixed = (
            Envelope(self._url.fixed or "", tuple((name, value.fixed or "") for name, value in self._headers.items()))
            if fixed
            else None
        )
        """Where all messages go, with which headers; None where that depends on the message."""
        self._only_lanes = self._named(self._lane.fixed) if self._lane.fixed is not None else None

    def queue_key(self, routed: RoutedEvent) -> str:
        """The queue of a message; see `Sink.queue_key`."""
        lanes = self._only_lanes
        if lanes is None:
            name = self._lane.of_lane(routed.address)
            lanes = self._lanes.get(name)
            if lanes is None:
                if len(self._lanes) >= _KNOWN_LANES:
                    self._lanes.clear()
                lanes = self._lanes[name] = self._named(name)
        return lanes[hash(routed.device_id) % len(lanes)] if self._parts else lanes[0]

    def envelope(self, routed: RoutedEvent) -> Envelope:
        """Where this message goes, with which headers. Raises `TemplateError`."""
        if self.fixed is not None:
            return self.fixed
        url = self._url.render(routed, _quoted)
        if self._url.of_payload and any(part in (".", "..") for part in url.partition("?")[0].split("/")):
            raise TemplateError(f"the URL {url} has a level of dots alone")
        headers = tuple((name, _header(name, value.render(routed))) for name, value in self._headers.items())
        return Envelope(url, headers)

    def item(self, routed: RoutedEvent) -> bytes:
        """The message as one body, or as its part of a batch. Raises `TemplateError`."""
        body = self.target.body
        data = body.render(routed) if body else routed.message.payload
        if self.format == "cloudevents":
            return cloudevents.structured(routed, data)
        return one_line(data) if self.format == "ndjson" else data

    def document(self, items: list[bytes]) -> bytes:
        """A batch as one body."""
        return b"\n".join(items) if self.format == "ndjson" else b"[" + b",".join(items) + b"]"

    def _named(self, destination: str) -> list[str]:
        return [f"{destination}#{number}" for number in range(self._parts)] if self._parts else [destination]


def _url(config: HttpConfig, target: HttpTarget) -> Template:
    if target.url:
        return target.url
    return Template(config.url.text.rstrip("/") + _path(config, target).text)


def _path(config: HttpConfig, target: HttpTarget) -> Template:
    if config.mode == "batch":
        return config.batch_path
    if target.path is None:
        raise ConfigError("a route's http has neither path nor url: single posts need one")
    return target.path


def _headers(config: HttpConfig, target: HttpTarget, form: str) -> Mapping[str, Template]:
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
