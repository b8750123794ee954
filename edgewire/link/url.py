"""Broker URLs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from edgewire.config_errors import closest
from edgewire.errors import ConfigError
from edgewire.link.transport import TRANSPORTS
from edgewire.redact import MASK, escape_hint, show_url, url_fault
from edgewire.secret_file import read_secret

_WEBSOCKETS = ("ws", "wss")
_OTHER_NAMES = {"tcp": "mqtt", "ssl": "mqtts", "tls": "mqtts", "mqtt+ssl": "mqtts", "mqtt+tls": "mqtts"}
"""Schemes by which other programs call ours."""


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """Tells where a broker is. The credentials are for the `SessionConfig` of whoever connects: the link sends none.

    Its text is for people, and shows no credentials.
    """

    scheme: str
    """One of `TRANSPORTS`."""
    host: str
    port: int
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> "BrokerUrl":
        """Read `mqtt://[USER[:PASSWORD]@]HOST[:PORT]`, or `mqtts://` for TLS. Raises `ConfigError`, naming the URL."""
        try:
            parts = urlsplit(text.strip())
            port = parts.port
        except ValueError as error:
            raise _refused(text, f"cannot be read: {url_fault(error)}") from None
        if parts.scheme not in TRANSPORTS or not parts.hostname:
            raise _refused(text, _wrong_form(parts.scheme))
        try:
            # As a resolver will.
            parts.hostname.encode("idna")
        except UnicodeError:
            raise _refused(text, "has a host name with a part that is empty, too long or no name") from None
        if port == 0:
            raise _refused(text, "has port 0: it is 1 to 65535")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise _refused(text, "has more than a host and a port: leave that out")
        username = None if parts.username is None else unquote(parts.username)
        password = None if parts.password is None else unquote(parts.password)
        return cls(parts.scheme, parts.hostname, port or TRANSPORTS[parts.scheme].default_port, username, password)

    @property
    def uses_tls(self) -> bool:
        """Tell whether the connection is encrypted, and the broker shows a certificate."""
        return TRANSPORTS[self.scheme].uses_tls

    def __str__(self) -> str:
        user = f"{MASK}@" if self.username or self.password else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{user}{host}:{self.port}"


def with_password_file(values: Mapping[str, Any], path: Any, key: str, default: str) -> dict[str, Any]:
    """Return the keys of a configuration with the password that a file holds in the URLs of `broker`.

    `key` is the one that names the file. Raises `ValueError` where it cannot be read, or a URL has no user for it or a
    password of its own.
    """
    if not isinstance(path, str | Path):
        return dict(values)
    try:
        password = read_secret(Path(path))
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
    urls = values.get("broker", default)

    def completed(text: str) -> str:
        scheme, separator, rest = text.partition("://")
        user, at, place = rest.rpartition("@")
        if not at or not user:
            raise ValueError(f"{key} is set, but broker URL '{show_url(text)}' names no user: write mqtts://USER@HOST")
        if ":" in user:
            raise ValueError(f"{key} is set, but broker URL '{show_url(text)}' has a password too: leave one out")
        return f"{scheme}{separator}{user}:{quote(password, safe='')}@{place}"

    if isinstance(urls, str):
        return {**values, "broker": completed(urls)}
    if isinstance(urls, list | tuple) and all(isinstance(one, str) for one in urls):
        return {**values, "broker": [completed(one) for one in urls]}
    return dict(values)


def _refused(text: str, said: str) -> ConfigError:
    return ConfigError(f"broker URL '{show_url(text)}' {said}{escape_hint(text)}")


def _wrong_form(scheme: str) -> str:
    first, *others = (f"{name}://" for name in TRANSPORTS)
    forms = " or ".join((f"{first}HOST:PORT", *others))
    if scheme in _WEBSOCKETS:
        return f"is for MQTT over WebSocket, which is not supported: name the broker's TCP listener, as {forms}"
    near = f", did you mean {_OTHER_NAMES[scheme]}://?" if scheme in _OTHER_NAMES else closest(scheme, TRANSPORTS)
    return f"is not of the form {forms}{near}"
