"""The events that a session gives its owner: tuples, as a busy subscriber makes a hundred thousand of them a second."""

from typing import NamedTuple

from edgewire.mqtt.errors import ProtocolError
from edgewire.mqtt.limits import ServerLimits
from edgewire.mqtt.properties import Properties


class Connected(NamedTuple):
    """CONNACK accepted us; publishes that were under way have been queued again."""

    session_present: bool
    reason: str
    """What the server said about it, mostly nothing."""
    limits: ServerLimits


class ConnectRefused(NamedTuple):
    """CONNACK refused us."""

    code: int
    reason: str
    server_reference: str = ""
    """The server to use instead, where this one names any."""


class Message(NamedTuple):
    """A PUBLISH from the server. Keep the very object: `Session.ack` knows it by identity."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    packet_id: int
    """0 for QoS 0."""
    properties: Properties
    epoch: int
    """Which connection of its session it came on."""


class Acknowledged(NamedTuple):
    """The exchange of one of our publishes has ended: the server has it, or from `reason_code` 0x80 on refuses it."""

    packet_id: int
    reason_code: int
    token: object
    """As given to `publish`."""


class StrayAnswer(NamedTuple):
    """The server answered something that is not under way, as some do after a restart; it changes nothing."""

    packet: str
    """What it sent, such as PUBACK."""
    packet_id: int


class Subscribed(NamedTuple):
    """SUBACK: the granted QoS or, from 0x80 on, the refusal of each filter in order."""

    packet_id: int
    codes: tuple[int, ...]


class Unsubscribed(NamedTuple):
    """UNSUBACK: one code a filter in version 5, none in 3.1.1."""

    packet_id: int
    codes: tuple[int, ...]


class ServerDisconnected(NamedTuple):
    """The server said DISCONNECT and why (version 5); `ConnectionLost` follows when the connection has ended."""

    code: int
    reason: str
    server_reference: str = ""
    """The server to use instead, where this one names any."""


class ConnectionLost(NamedTuple):
    """The connection has ended, for whatever reason; nothing of it follows."""

    reason: str
    is_unexplained: bool = False
    """Whether the server or the network ended it without a word."""
    error: Exception | None = None
    """What the transport ended with, if it said so."""


Event = (
    Connected
    | ConnectRefused
    | Message
    | Acknowledged
    | StrayAnswer
    | Subscribed
    | Unsubscribed
    | ServerDisconnected
    | ConnectionLost
)


class PeerFault(ProtocolError):
    """The fault of a server in the midst of a stream.

    `events` are what the same bytes brought before it: they have happened all the same, and were perhaps acknowledged.
    """

    def __init__(self, fault: ProtocolError, events: list[Event]) -> None:
        super().__init__(str(fault), fault.code)
        self.events = events
