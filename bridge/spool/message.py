"""What goes into the spool and what comes out of it."""

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Spooled:
    """One message as it came from the broker, unparsed. Ids are gapless and in order of receipt."""

    id: int
    received_ms: int
    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    properties: bytes | None = None
    """Content type and user properties of MQTT 5, see `bridge.properties`; None where there are none, as mostly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that a sink can never take, kept with the reason."""

    sink: str
    message_id: int
    received_ms: int
    topic: str
    payload: bytes
    reason: str
    attempts: int
    """How often it was offered to the sink; 0 where the bridge itself could not route it."""
    dead_ms: int
    """When it was given up, milliseconds since 1970 UTC."""
    properties: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The progress of one sink: every message up to `cursor` is done with. Counts are those since the last one."""

    sink: str
    cursor: int
    delivered: int
    dropped: int = 0
    """Left out by rule: the route of the message does not name this sink."""
    dead_letters: tuple[DeadLetter, ...] = ()
