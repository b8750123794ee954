"""The keys `mqtt` of the configuration."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from edgewire.config import Config, DurationMs, SizeBytes
from edgewire.link.websocket_config import WebSocketConfig


class MqttConfig(Config):
    """The session with the broker."""

    qos: Literal[1, 2] = 1
    """Of the subscriptions. 2 lets a publisher's QoS 2 reach the bridge, which still promises at least once."""
    session_expiry: Annotated[DurationMs, Field(ge=1000, le=0xFFFF_FFFE * 1000)] = 7 * 24 * 3_600_000
    """How long the broker keeps queueing for a bridge that is away."""
    receive_maximum: Annotated[int, Field(ge=1, le=65535)] = 2000
    """Messages the broker may send before the first of them is acknowledged; Mosquitto's own default is 20."""
    maximum_packet_size: Annotated[SizeBytes, Field(ge=1024, le=0x0FFF_FFFF)] = 1 << 20
    """The broker does not send us larger messages."""
    keep_alive: Annotated[DurationMs, Field(ge=1000, le=65535_000)] = 30_000
    connect_timeout: Annotated[DurationMs, Field(ge=1)] = 10_000
    retained: Literal["new", "always", "never"] = "new"
    """When the broker sends messages it has retained: for a new subscription, at every connection, or never.

    To a shared subscription it never does."""
    stuck_after: Annotated[DurationMs, Field(ge=1000)] = 60_000
    """The connection is renewed when a message has been waiting for its acknowledgement this long."""
    password_file: Path | None = None
    """File with the password of the user in `broker`, instead of one in the URL. Read again by a reload."""
    ca_file: Path | None = None
    """Certificates to trust for mqtts:// instead of the system's."""
    insecure: bool = False
    """Take any certificate of the broker, of anybody, unchecked: for tests alone. The log says so."""
    allow_plain_password: bool = False
    """Say nothing where user name and password go unencrypted to another machine: its network is trusted."""
    alpn: tuple[str, ...] = ()
    """Protocols to offer in the TLS handshake of mqtts://, of which the broker has to choose one: `[x-amzn-mqtt-ca]`
    for AWS IoT on port 443. Empty: none."""
    websocket: WebSocketConfig = WebSocketConfig()
    """Headers and subprotocol of ws:// and wss://."""
    certificate: Path | None = None
    """The bridge's own certificate, where the broker asks for one (PEM); its key may be in the same file."""
    key: Path | None = None
    """The key of `certificate`, where it is in a file of its own."""
