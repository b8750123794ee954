"""The records that go into the spool and come out of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(slots=True, eq=False)
class SpooledMessage:
    """One message as it came from the broker, unparsed. Ids are gapless and in order of receipt."""

    id: int
    received_ms: int
    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    properties: bytes | None = None
    """Content type and user properties of MQTT 5, see `bridge.message.user_properties`; mostly None: there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that a sink can never take, kept with the reason."""

    number: int = 0
    """Given by the spool; a letter that comes back from a replay gets a new one."""
    sink: str
    message_id: int
    received_ms: int
    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    reason: str
    attempts: int
    """How often it was offered to the sink; 0 where the bridge itself could not route it."""
    dead_ms: int
    """When it was given up, milliseconds since 1970 UTC."""
    properties: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CursorUpdate:
    """Progress of a sink: counts are those since the last update, everything up to `cursor` is done with."""

    sink: str
    cursor: int
    delivered: int
    dropped: int = 0
    """Left out by rule: the route of the message does not name this sink."""
    dead_letters: tuple[DeadLetter, ...] = ()
    done_bitmaps: Mapping[int, bytes] = field(default_factory=dict)
    """Flags of the blocks in which something beyond the cursor is done and that have changed; see `bitmap`."""
    replayed: tuple[int, ...] = ()
    """Message ids of dead letters that are among the delivered and dropped."""

    def merged_with(self, later: "CursorUpdate") -> "CursorUpdate":
        """Return this and a later one of the same sink as one."""
        return replace(
            later,
            delivered=self.delivered + later.delivered,
            dropped=self.dropped + later.dropped,
            dead_letters=self.dead_letters + later.dead_letters,
            done_bitmaps={**self.done_bitmaps, **later.done_bitmaps},
            replayed=self.replayed + later.replayed,
        )
