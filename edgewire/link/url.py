"""Broker URLs."""

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from edgewire.errors import ConfigError
from edgewire.link.transport import TRANSPORTS


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """Tells where a broker is. The credentials are for the `SessionConfig` of whoever connects: the link sends none."""

    scheme: str
    """One of `TRANSPORTS`."""
    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> "BrokerUrl":
        """Read `mqtt://[USER[:PASSWORD]@]HOST[:PORT]`, or `mqtts://` for TLS. Raises `ConfigError`, naming the URL."""
        try:
            parts = urlsplit(text.strip())
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"broker URL '{_without_password(text)}': {error}") from None
        if parts.scheme not in TRANSPORTS or not parts.hostname:
            first, *others = (f"{scheme}://" for scheme in TRANSPORTS)
            forms = " or ".join((f"{first}HOST:PORT", *others))
            raise ConfigError(f"broker URL '{_without_password(text)}' is not of the form {forms}")
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
        return cls(parts.scheme, parts.hostname, port or TRANSPORTS[parts.scheme].default_port, username, password)

    @property
    def uses_tls(self) -> bool:
        """Tell whether the connection is encrypted, and the broker shows a certificate."""
        return TRANSPORTS[self.scheme].uses_tls

    def __str__(self) -> str:
        user = f"{self.username}@" if self.username else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{user}{host}:{self.port}"


def _without_password(text: str) -> str:
    return text.rpartition("@")[2]
