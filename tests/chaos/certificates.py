"""Certificates of a server on loopback that are valid, or have ended, from an authority of their own."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edgefleet.provision.authority import Authority

_HOST = "127.0.0.1"
_DAYS = 1


class Certificates:
    """Keeps the authority in `folder`; `ca_file` is what clients trust."""

    def __init__(self, folder: Path) -> None:
        # Older than any certificate that it signs.
        self._authority = Authority.open(folder, datetime.now(UTC) - timedelta(days=2 * _DAYS))
        self._folder = folder
        self.ca_file = folder / "ca.crt"

    def context(self, *, ended: bool = False) -> ssl.SSLContext:
        """Return a server's context with a new certificate; `ended`: with one that was valid until a minute ago."""
        until = datetime.now(UTC) + (timedelta(minutes=-1) if ended else timedelta(days=_DAYS))
        pem = self._folder / "server.pem"
        pem.write_bytes(self._authority.issue_server([_HOST], until - timedelta(days=_DAYS), _DAYS))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        return context
