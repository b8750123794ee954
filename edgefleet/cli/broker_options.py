"""The options by which a command that listens reaches a broker: TLS, and the handshake of WebSockets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgefleet.report.broker_messages import BrokerAccess


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """Holds them as they were given."""

    ca_file: Annotated[
        Path | None,
        typer.Option(help="Certificates to trust for TLS instead of the system's."),
    ] = None
    insecure: Annotated[
        bool,
        typer.Option("--insecure", help="Take any certificate, unchecked: for tests."),
    ] = False
    alpn: Annotated[
        list[str] | None, typer.Option(help="Protocol to offer in the TLS handshake of mqtts://; repeatable.")
    ] = None
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="'NAME: VALUE'", help="Header of the handshake of ws:// and wss://; repeatable."),
    ] = field(default=None, repr=False)
    headers_file: Annotated[
        Path | None, typer.Option(help="File with such headers, a line each: it shows none in the list of processes.")
    ] = None
    subprotocol: Annotated[str, typer.Option(help="Subprotocol of ws:// and wss://.")] = "mqtt"

    @property
    def are_given(self) -> bool:
        """Return whether any of them is."""
        given = (self.ca_file, self.insecure, self.alpn, self.header, self.headers_file)
        return any(given) or self.subprotocol != "mqtt"

    def access(self, broker: str, command: str) -> "BrokerAccess":
        """Return how a command reaches the broker of a URL; raises `ConfigError` for what contradicts it."""
        from edgefleet.report.broker_messages import BrokerAccess
        from edgewire.config import check_options
        from edgewire.errors import ConfigError
        from edgewire.link import BrokerUrl
        from edgewire.link.websocket_config import WEBSOCKET_UNUSED, WebSocketConfig
        from edgewire.pem import explain_certificates
        from edgewire.tls import check_tls_keys, client_context

        url = BrokerUrl.parse(broker)
        offered = tuple(self.alpn or ())
        contradiction = check_tls_keys(
            uses_tls=url.uses_tls,
            takes_alpn=url.kind.takes_alpn,
            alpn=offered,
            insecure=self.insecure,
            ca_file=self.ca_file,
        )
        if self.ca_file is not None and not url.uses_tls:
            contradiction = f"ca_file: broker {url} is not dialled with TLS; write mqtts:// or leave it out"
        headers = parse_headers(self.header or ())
        given = {"headers": headers, "headers_file": self.headers_file, "subprotocol": self.subprotocol}
        at: dict[tuple[str | int, ...], str] = {("headers",): "--header", ("headers_file",): "--headers-file"}
        web = check_options(given, WebSocketConfig, at | {("subprotocol",): "--subprotocol"})
        if web != WebSocketConfig() and not url.kind.takes_headers:
            contradiction = WEBSOCKET_UNUSED
        if contradiction:
            raise ConfigError(f"{command}: {contradiction}")
        try:
            tls = client_context(self.ca_file, alpn=offered, insecure=self.insecure) if url.uses_tls else None
        except OSError as error:
            why = str(error) if self.ca_file is None else explain_certificates(self.ca_file, error)
            raise ConfigError(f"--ca-file: {self.ca_file} cannot be read: {why}") from None
        return BrokerAccess(url, tls, offered, web.handshake)


def parse_headers(lines: Sequence[str]) -> dict[str, str]:
    """Return the headers that `--header` gives; raises `ConfigError`, which does not show their values."""
    from edgewire.errors import ConfigError
    from edgewire.link.websocket_config import parse_header

    try:
        found = [parse_header(line) for line in lines]
    except ValueError as error:
        raise ConfigError(f"--header: {error}") from None
    return dict(found)
