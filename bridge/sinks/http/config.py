"""Reads the settings of the HTTP sink, and its target in a route."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from bridge.message.template import Body, Template
from bridge.sinks.http.proxy import ProxySetting
from bridge.sinks.http.success import Statuses, SuccessConfig
from bridge.sinks.settings import SinkConfig, Target
from edgewire.config import DurationMs, PositiveInt, SizeBytes
from edgewire.config_errors import text_matching
from edgewire.messages import BATCH_PATH, KindContract, MessageType
from edgewire.redact import show_url, url_fault
from edgewire.secret_file import take_secret

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS = ("idempotency-key", "content-length", "content-encoding", "transfer-encoding")
_CHOOSES_HOST = ("site", "kind", "channel")


def _url(template: Template) -> Template:
    text = template.text
    scheme, _, rest = text.partition("://")
    authority = re.split(r"[/?#]", rest)[0]
    for field in Template(authority).fields:
        if field.name not in _CHOOSES_HOST:
            raise ValueError(f"'{{{field.name}}}' cannot choose the host: only {', '.join(_CHOOSES_HOST)} can")
    if scheme not in ("http", "https") or not authority or any(character.isspace() for character in text):
        raise ValueError(f"'{show_url(text)}' is no URL of the form http://HOST[:PORT][/PATH]")
    _no_fragment(text)
    if "@" in authority:
        raise ValueError("a URL holds no password: write username and password")
    try:
        _ = urlsplit(Template(text).fixed or re.sub(r"\{[^}]*\}", "x", text)).port
    except ValueError as error:
        raise ValueError(f"'{show_url(text)}' is no URL: {url_fault(error)}") from None
    return template


def _path(template: Template) -> Template:
    if not re.fullmatch(r"/[^\s]*", template.text):
        raise ValueError(f"'{show_url(template.text)}' is no path: it begins with / and has no spaces")
    _no_fragment(template.text)
    return template


def _no_fragment(text: str) -> None:
    if "#" in re.sub(r"\{[^{}]*\}", "", text):
        raise ValueError(f"'{show_url(text)}': what follows # is not sent: leave it out, or write # as %23")


def _headers(headers: dict[str, Template]) -> dict[str, Template]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"'{name}' is no name of a header")
        if name.lower() in _OURS:
            raise ValueError(f"'{name}' is written by the bridge itself")
        if not value.text.isprintable():
            raise ValueError(f"the value of header '{name}' has a line break or another control character")
    return headers


Url = Annotated[Template, AfterValidator(_url)]
UrlPath = Annotated[Template, AfterValidator(_path)]
Headers = Annotated[dict[str, Template], AfterValidator(_headers)]


class HttpTarget(Target):
    """Says where a route leads over HTTP. A path alone is written as text."""

    path: UrlPath | None = None
    """Template; below `http.url`, of single posts. Batches go to `batch_path`."""
    url: Url | None = None
    """Template; a whole URL for the messages of this route, single or in batches."""
    headers: Headers = {}
    """Templates; besides those of `http.headers`."""
    body: Body | None = None
    """Template of a text, or of JSON; without it the body is the payload."""
    line_before: Body | None = None
    """Template of a line that goes before each message of an ndjson batch, as bulk APIs want it."""
    statuses: Statuses | None = None
    """Instead of `http.statuses`, for this route."""
    success: SuccessConfig | None = None
    """Instead of `http.success`, for this route."""

    @model_validator(mode="before")
    @classmethod
    def _text_alone(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"url": value} if "://" in value else {"path": value}
        return value

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if self.path and self.url:
            raise ValueError("write path or url, not both")
        return self

    @classmethod
    def from_contract(cls, kind: KindContract, message: MessageType) -> Self:
        return cls(path=Template(kind.http_path))


class HttpSinkConfig(SinkConfig):
    """The HTTP sink."""

    url: Url = Template("http://127.0.0.1:8000")
    """Base of all paths; a template."""
    mode: Literal["batch", "single"] = "batch"
    """Many messages a POST to `batch_path`; or one POST a message to the path of its route."""
    format: Literal["ndjson", "json", "cloudevents"] | None = None
    """Of a batch: ndjson (the default), a JSON array, or a CloudEvents batch. Of a single post: the payload, with the
    attributes of CloudEvents as headers (json, the default), or one CloudEvent."""
    batch_path: UrlPath = Template(BATCH_PATH)
    """Template; below `url`."""
    batch_messages: PositiveInt = 500
    linger: Annotated[DurationMs, Field(ge=0, le=10_000)] = 20
    """A batch that is not full begins this long after the one before, so a message waits at most so long for others."""
    parallel: PositiveInt | None = None
    """Requests at the same time to one destination, messages of one device always one after the other; 2 batches or 32
    single posts."""
    connections: PositiveInt = 100
    """Requests at the same time to all destinations together."""
    timeout: Annotated[DurationMs, Field(ge=1)] = 10_000
    """Until the whole answer is there."""
    connect_timeout: Annotated[DurationMs, Field(ge=1)] = 5_000
    """Until the connection is there, TLS included."""
    answer_limit: Annotated[SizeBytes, Field(ge=1024, le=1 << 30)] = 4 << 20
    """Of an answer, decompressed: more is not read. Where the fate of messages is in it, they wait for a person."""
    statuses: Statuses = {}
    """Status -> delivered, dead_letter, retry or pause, where that is not as docs/sinks.md has it, such as
    `{409: delivered}`."""
    success: SuccessConfig | None = None
    """What an answer of 2xx must have besides its status. Absent: nothing, but one that tells of an error is noted."""
    proxy: ProxySetting = "environment"
    """environment: HTTP_PROXY, HTTPS_PROXY and NO_PROXY count; none: they do not; or http://HOST:PORT."""
    compression: Literal["none", "gzip"] = "none"
    """Of bodies; the server must take `Content-Encoding: gzip`."""
    headers: Headers = {}
    """Templates."""
    token: SecretStr | None = None
    """Sent as `Authorization: Bearer`."""
    username: Annotated[str, text_matching(r"^[^:]*$", "a name without a colon")] | None = None
    """With `password`, sent as `Authorization: Basic`."""
    password: SecretStr | None = None
    token_file: Path | None = None
    """File with the token, instead of `token`. Read again by a reload."""
    password_file: Path | None = None
    """File with the password, instead of `password`. Read again by a reload."""
    ca_file: Path | None = None
    """Certificates to trust for https:// instead of the system's."""
    certificate: Path | None = None
    """PEM file of the certificate, and its chain, by which the bridge says who it is (mTLS)."""
    key: Path | None = None
    """PEM file of its key, where that is not in the same file."""

    def takes_bytes(self, target: Target) -> bool:
        """Return whether the parts of a body are not JSON beside JSON."""
        has_body = isinstance(target, HttpTarget) and target.body is not None
        return self.mode == "single" or self.format == "cloudevents" or has_body

    @model_validator(mode="before")
    @classmethod
    def _secrets_from_files(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return take_secret(take_secret(values, "token"), "password")

    @field_validator("token", "password")
    @classmethod
    def _one_line(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not secret.get_secret_value().isprintable():
            raise ValueError("has a line break or another control character: a secret is one line")
        return secret

    @field_validator("url")
    @classmethod
    def _base(cls, url: Template) -> Template:
        if "?" in url.text or "#" in url.text:
            raise ValueError("the base of all paths has no query")
        return url

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.mode == "single" and self.format == "ndjson":
            raise ValueError("format ndjson is of batches: write mode: batch, or format: json or cloudevents")
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together: write both or none")
        if self.token and self.username is not None:
            raise ValueError("token and username are both set: a request can have only one of them")
        if self.authorized and any(name.lower() == "authorization" for name in self.headers):
            raise ValueError("headers has Authorization, but token or username is set too")
        if self.key and not self.certificate:
            raise ValueError("key is set, but not its certificate")
        return self

    @property
    def authorized(self) -> bool:
        """Return whether requests carry a token or a password."""
        return self.token is not None or self.username is not None

    @property
    def requests_at_once(self) -> int:
        """Return `parallel`, or its default for the mode."""
        return self.parallel or (2 if self.mode == "batch" else 32)
