"""Broker URLs."""

import ipaddress
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

from edgewire.config_errors import closest
from edgewire.errors import ConfigError
from edgewire.link.transport import TRANSPORTS, TransportType, UrlForm
from edgewire.redact import MASK, escape_hint, show_url, url_fault
from edgewire.secret_file import read_secret

_OTHER_NAMES = {
    "tcp": "mqtt",
    "ssl": "mqtts",
    "tls": "mqtts",
    "mqtt+ssl": "mqtts",
    "mqtt+tls": "mqtts",
    "http": "ws",
    "https": "wss",
    "mqtt+ws": "ws",
    "mqtt+wss": "wss",
    "mqtt+unix": "unix",
}
"""Schemes by which other programs call ours."""

WEBSOCKET_PATH = "/mqtt"
"""What a URL without a path asks for: the path of EMQX, HiveMQ, VerneMQ and the cloud services; Mosquitto takes any."""
_IN_A_TARGET = "/%:@!$&'()*+,;=-._~?"
_UNIX_PATH_BYTES = 107
"""unix(7): with the zero behind it a path has 108."""


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

    path: str = field(default="", repr=False)
    """Of a WebSocket: path and query to ask for, as they go out. Of a UNIX socket: its file."""

    @classmethod
    def parse(cls, text: str) -> "BrokerUrl":
        """Read `mqtt://[USER[:PASSWORD]@]HOST[:PORT]`, the same with `mqtts://`, `ws://` or `wss://`, or `unix:///PATH`.

        Those of WebSockets may have a path and a query. Raises `ConfigError`, naming the URL.
        """
        try:
            parts = urlsplit(text.strip())
            port = parts.port
        except ValueError as error:
            raise _refused(text, f"cannot be read: {url_fault(error)}") from None
        if parts.scheme in TRANSPORTS and TRANSPORTS[parts.scheme].form is UrlForm.FILE:
            return cls._of_file(text, parts)
        if parts.scheme not in TRANSPORTS or not parts.hostname:
            raise _refused(text, _wrong_form(parts.scheme))
        try:
            # As a resolver will.
            parts.hostname.encode("idna")
        except UnicodeError:
            raise _refused(text, "has a host name with a part that is empty, too long or no name") from None
        if port == 0:
            raise _refused(text, "has port 0: it is 1 to 65535")
        kind, path = TRANSPORTS[parts.scheme], ""
        if kind.form is UrlForm.WEB:
            path = _web_path(text, parts)
        elif parts.path not in ("", "/") or parts.query or parts.fragment:
            raise _refused(text, "has more than a host and a port: leave that out")
        return cls(parts.scheme, parts.hostname, port or kind.default_port, *_user(parts), path)

    @classmethod
    def _of_file(cls, text: str, parts: SplitResult) -> "BrokerUrl":
        path = unquote(parts.path)
        if parts.hostname:
            said = f"names a host, '{parts.hostname}': a socket is a file, write three slashes, unix:///PATH"
            raise _refused(text, said)
        if parts.query or parts.fragment:
            raise _refused(text, "has more than the path of a socket: leave that out, or write ? as %3F and # as %23")
        if not path.startswith("/") or path.endswith("/"):
            raise _refused(text, "does not name the file of a socket by its whole path: write unix:///PATH")
        if "\0" in path or len(path.encode(errors="surrogateescape")) > _UNIX_PATH_BYTES:
            raise _refused(text, f"has a path that no socket can have: it has {_UNIX_PATH_BYTES} bytes at the most")
        return cls(parts.scheme, "", 0, *_user(parts), path)

    @property
    def uses_tls(self) -> bool:
        """Tell whether the connection is encrypted, and the broker shows a certificate."""
        return TRANSPORTS[self.scheme].uses_tls

    @property
    def is_local(self) -> bool:
        """Tell whether what is sent to it stays on this machine: it is a file, or on loopback."""
        if self.kind.form is UrlForm.FILE or self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        with suppress(ValueError):
            return ipaddress.ip_address(self.host).is_loopback
        return False

    @property
    def kind(self) -> TransportType:
        """Return what is known of the scheme."""
        return TRANSPORTS[self.scheme]

    @property
    def place(self) -> str:
        """Return where it is, in short: `HOST:PORT`, or the file of the socket."""
        if self.kind.form is UrlForm.FILE:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        user = f"{MASK}@" if self.username or self.password else ""
        if self.kind.form is UrlForm.FILE:
            return f"{self.scheme}://{user}{quote(self.path)}"
        path = "" if self.path == WEBSOCKET_PATH else show_url(self.path)
        return f"{self.scheme}://{user}{self.place}{path}"


def plain_password_warning(brokers: Iterable[BrokerUrl], key: str, *, has_logins: bool = False) -> str | None:
    """Say where user names and passwords go over the network for all to read; None where they go nowhere so.

    With `has_logins` clients have passwords of their own, whatever the URL has. `key` is the setting that takes it.
    """
    for broker in brokers:
        if (has_logins or broker.password is not None) and not (broker.uses_tls or broker.is_local):
            secure = "wss" if broker.kind.form is UrlForm.WEB else "mqtts"
            return (
                f"user name and password go to {broker} unencrypted, and whoever is on the way can read them: write"
                f" {secure}://, or {key}: true where the network is trusted"
            )
    return None


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


def _user(parts: SplitResult) -> tuple[str | None, str | None]:
    username = None if parts.username is None else unquote(parts.username)
    return username, None if parts.password is None else unquote(parts.password)


def _web_path(text: str, parts: SplitResult) -> str:
    """Return the path and query to ask a WebSocket for."""
    if parts.fragment or "#" in text:
        raise _refused(text, "has a part behind # that no server gets: leave it out, or write # as %23")
    path = (parts.path or (WEBSOCKET_PATH if not parts.query else "/")) + (f"?{parts.query}" if parts.query else "")
    if any(character.isspace() or not character.isprintable() for character in path):
        raise _refused(text, "has a space or another character that no path has: write it as %20")
    return quote(path, safe=_IN_A_TARGET)


def _wrong_form(scheme: str) -> str:
    first, *others = (
        f"{name}://" + ("/PATH" if kind.form is UrlForm.FILE else "") for name, kind in TRANSPORTS.items()
    )
    forms = " or ".join((f"{first}HOST:PORT", *others))
    near = f", did you mean {_OTHER_NAMES[scheme]}://?" if scheme in _OTHER_NAMES else closest(scheme, TRANSPORTS)
    return f"is not of the form {forms}{near}"
