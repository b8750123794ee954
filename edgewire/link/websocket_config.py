"""The keys `websocket`: what goes with the handshake of a WebSocket."""

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, field_validator, model_validator

from edgewire.config import Config
from edgewire.config_errors import text_matching
from edgewire.link.endpoint import Headers, WebHandshake

WEBSOCKET_UNUSED = "websocket: no broker is dialled by ws:// or wss://; leave it out"
"""The sentence where it would have no effect."""

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}"
_VALUE = re.compile(r"[\t -~]{0,8192}")
_MOST_HEADERS = 64
_MOST_BYTES = 64 << 10
_OWN = frozenset({"host", "connection", "upgrade", "content-length", "transfer-encoding"})


class WebSocketConfig(Config):
    """What ws:// and wss:// say besides the path, which is in the URL."""

    headers: Annotated[dict[str, SecretStr], Field(validate_default=False)] = {}
    """Headers of HTTP, such as `Authorization`; their values are never shown."""
    headers_file: Path | None = None
    """File with headers, a line each: `NAME: VALUE`; besides those of `headers`. Read again by a reload."""
    subprotocol: Annotated[str, text_matching(rf"^{_NAME}$", "a name such as mqtt or mqttv3.1")] = "mqtt"
    """What the server has to choose; MQTT over WebSockets is `mqtt`."""

    @property
    def handshake(self) -> WebHandshake:
        """Return what goes with the handshake."""
        headers: Headers = tuple((name, value.get_secret_value()) for name, value in self.headers.items())
        return WebHandshake(headers, self.subprotocol)

    @model_validator(mode="before")
    @classmethod
    def _headers_of_the_file(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(path := values.get("headers_file"), str | Path):
            return values
        headers = values.get("headers") or {}
        if not isinstance(headers, dict):
            return values
        try:
            found = read_headers(Path(path))
        except ValueError as error:
            raise ValueError(f"headers_file: {error}") from None
        named = {str(name).lower() for name in headers}
        if twice := next((name for name in found if name.lower() in named), None):
            raise ValueError(f"headers_file: {path} has '{twice}', and headers has it too: leave one of them out")
        return {**values, "headers": {**headers, **found}}

    @field_validator("headers")
    @classmethod
    def _can_be_sent(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        if len(headers) > _MOST_HEADERS:
            raise ValueError(f"has {len(headers)} headers, and {_MOST_HEADERS} are the most")
        named: set[str] = set()
        for name, value in headers.items():
            check_header(name, value.get_secret_value())
            if name.lower() in named:
                raise ValueError(f"has '{name}' twice: leave one of them out")
            named.add(name.lower())
        return headers


def check_header(name: str, value: str) -> None:
    """Raise `ValueError` for a header that cannot be sent, or is the handshake's own; it does not show the value."""
    if not re.fullmatch(_NAME, name):
        raise ValueError(f"{name!r} is no name of a header: letters, digits and '-'")
    if name.lower() in _OWN or name.lower().startswith("sec-websocket-"):
        fix = "name the subprotocol with subprotocol" if name.lower() == "sec-websocket-protocol" else "leave it out"
        raise ValueError(f"'{name}' is set by the handshake itself: {fix}")
    if not _VALUE.fullmatch(value):
        raise ValueError(f"the value of '{name}' has a line break, a sign that is not ASCII, or more than 8192 of them")


def read_headers(path: Path) -> dict[str, str]:
    """Return the headers of a file with a line `NAME: VALUE` each. Raises `ValueError`, which names file and line."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        lines = content.decode().splitlines()
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file: make it, or correct its name") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text in UTF-8") from None
    if len(content) > _MOST_BYTES:
        raise ValueError(f"{path} is larger than {_MOST_BYTES >> 10} KiB: is it the file of headers?")
    headers: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            name, value = parse_header(line)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        if name.lower() in map(str.lower, headers):
            raise ValueError(f"{path}, line {number}: has '{name}' a second time")
        headers[name] = value
    return headers


def parse_header(line: str) -> tuple[str, str]:
    """Return name and value of `NAME: VALUE`. Raises `ValueError`, which does not show the value."""
    name, colon, value = line.partition(":")
    if not colon:
        raise ValueError("is no header: write NAME: VALUE")
    if not re.fullmatch(_NAME, name.strip()):
        raise ValueError("what stands before its colon is no name of a header: write NAME: VALUE")
    check_header(name.strip(), value.strip())
    return name.strip(), value.strip()
