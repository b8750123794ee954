"""Every control packet of MQTT 3.1.1 and 5 as a plain value, those that only a server sends among them.

In version 3.1.1 reason codes and properties are not on the wire: they are 0 and empty.
"""

from dataclasses import dataclass, field
from enum import IntEnum

from edgewire.mqtt.properties import NO_PROPERTIES, Properties


def _none() -> Properties:
    return NO_PROPERTIES


class Version(IntEnum):
    """The protocol level in CONNECT."""

    V311 = 4
    V5 = 5


class PacketType(IntEnum):
    """The upper half of the first byte."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Will:
    """A message that the server publishes for us when the connection ends without DISCONNECT.

    `delay_s` (version 5) lets it wait for us to come back first; 3.1.1 has no delay and publishes at once.
    """

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = True
    delay_s: int = 0


@dataclass(frozen=True, slots=True)
class Subscription:
    """One topic filter and how to receive what matches it. 3.1.1 carries `filter` and `qos` alone.

    `retain_handling`: 0 sends retained messages at every SUBSCRIBE, 1 only for a new subscription, 2 never.
    """

    filter: str
    qos: int = 1
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """Opens a connection; from the client."""

    client_id: str
    clean_start: bool = True
    keep_alive_s: int = 0
    will: Will | None = None
    username: str | None = None
    password: bytes | None = field(default=None, repr=False)
    properties: Properties = field(default_factory=_none)
    will_properties: Properties = field(default_factory=_none)
    """Those of the will besides its delay, which is in `will`."""


@dataclass(frozen=True, slots=True)
class Connack:
    """Accepts or refuses a connection; from the server."""

    session_present: bool = False
    code: int = 0
    properties: Properties = field(default_factory=_none)


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Carries a message, either way."""

    topic: str
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int = 0
    """0 for QoS 0, which has none."""
    properties: Properties = field(default_factory=_none)


@dataclass(frozen=True, slots=True)
class Puback:
    """Ends a PUBLISH of QoS 1."""

    packet_id: int
    code: int = 0
    properties: Properties = field(default_factory=_none)


@dataclass(frozen=True, slots=True)
class Pubrec:
    """Answers a PUBLISH of QoS 2."""

    packet_id: int
    code: int = 0
    properties: Properties = field(default_factory=_none)


@dataclass(frozen=True, slots=True)
class Pubrel:
    """Answers PUBREC."""

    packet_id: int
    code: int = 0
    properties: Properties = field(default_factory=_none)


@dataclass(frozen=True, slots=True)
class Pubcomp:
    """Answers PUBREL, which ends a PUBLISH of QoS 2."""

    packet_id: int
    code: int = 0
    properties: Properties = field(default_factory=_none)


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Asks for messages; from the client."""

    packet_id: int
    subscriptions: tuple[Subscription, ...]
    properties: Properties = field(default_factory=_none)


@dataclass(frozen=True, slots=True)
class Suback:
    """Answers SUBSCRIBE."""

    packet_id: int
    codes: tuple[int, ...]
    """One a filter, in the order of SUBSCRIBE."""
    properties: Properties = field(default_factory=_none)


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Ends subscriptions; from the client."""

    packet_id: int
    filters: tuple[str, ...]
    properties: Properties = field(default_factory=_none)


@dataclass(frozen=True, slots=True)
class Unsuback:
    """Answers UNSUBSCRIBE."""

    packet_id: int
    codes: tuple[int, ...] = ()
    """One a filter in version 5, none in 3.1.1."""
    properties: Properties = field(default_factory=_none)


@dataclass(frozen=True, slots=True)
class Pingreq:
    """Asks for a sign of life; from the client."""


@dataclass(frozen=True, slots=True)
class Pingresp:
    """Answers PINGREQ."""


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Ends a connection in order; from a server in version 5 only."""

    code: int = 0
    properties: Properties = field(default_factory=_none)


@dataclass(frozen=True, slots=True)
class Auth:
    """Carries a step of an authentication; version 5 only."""

    code: int = 0
    properties: Properties = field(default_factory=_none)


Packet = (
    Connect
    | Connack
    | Publish
    | Puback
    | Pubrec
    | Pubrel
    | Pubcomp
    | Subscribe
    | Suback
    | Unsubscribe
    | Unsuback
    | Pingreq
    | Pingresp
    | Disconnect
    | Auth
)
