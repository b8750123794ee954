"""Broker URLs."""

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from edgewire.errors import ConfigError

_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """Where a broker is. The credentials are for the `SessionConfig` of whoever connects; `connect_link` sends none."""

    scheme: str
    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> "BrokerUrl":
        """Reads `mqtt://[USER[:PASSWORD]@]HOST[:PORT]`, or `mqtts://` for TLS. Raises `ConfigError`, naming the URL."""
        try:
            parts = urlsplit(text.strip())
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"broker URL '{_without_password(text)}': {error}") from None
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ConfigError(f"broker URL '{_without_password(text)}' is not of the form mqtt://HOST:PORT or mqtts://")
        try:
            # As a resolver will.
            parts.hostname.encode("idna")
        except UnicodeError:
            raise ConfigError(
                f"broker URL '{_without_password(text)}' has a host name with a part that is empty, too long or no name"
            ) from None
        if port == 0:
            raise ConfigError(f"broker URL '{_without_password(text)}' has port 0: it is 1 to 65535")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ConfigError(f"broker URL '{_without_password(text)}' has more than a host and a port: leave that out")
        username = None if parts.username is None else unquote(parts.username)
        password = None if parts.password is None else unquote(parts.password)
        return cls(parts.scheme, parts.hostname, port or _PORTS[parts.scheme], username, password)

    def __str__(self) -> str:
        user = f"{self.username}@" if self.username else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{user}{host}:{self.port}"


def _without_password(text: str) -> str:
    return text.rpartition("@")[2]
