"""The limits that a server sets in its CONNACK; without a word from it, those of the protocol itself."""

from dataclasses import dataclass
from functools import lru_cache

from edgewire.mqtt.codec import VARINT_MAX
from edgewire.mqtt.errors import PACKET_TOO_LARGE
from edgewire.mqtt.packets import Connack
from edgewire.mqtt.reasons import QOS_NOT_SUPPORTED, RETAIN_NOT_SUPPORTED


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """The limits of one connection. In 3.1.1 a server cannot state any."""

    receive_maximum: int = 65535
    """How many publishes of QoS 1 and 2 may be unacknowledged at a time."""
    maximum_packet_size: int = VARINT_MAX + 5
    maximum_qos: int = 2
    retain_available: bool = True
    keep_alive_s: int = 0
    """The keep alive in force: the server's if it set one, else ours; 0 is off."""
    session_expiry_s: int = 0
    topic_alias_maximum: int = 0
    """Never used: we send no aliases."""
    assigned_client_id: str | None = None
    wildcard_available: bool = True
    shared_available: bool = True

    def refusal(self, qos: int, retain: bool, size: int) -> int:
        """Return the reason code why a PUBLISH of `size` bytes cannot be sent, 0 if it can."""
        if qos > self.maximum_qos:
            return QOS_NOT_SUPPORTED
        if retain and not self.retain_available:
            return RETAIN_NOT_SUPPORTED
        if size > self.maximum_packet_size:
            return PACKET_TOO_LARGE
        return 0


@lru_cache(maxsize=64)
def _shared(limits: ServerLimits) -> ServerLimits:
    """Return the one object for limits that are equal: all clients of a server have them, some 200 bytes each."""
    return limits


def server_limits(connack: Connack, keep_alive_s: int, session_expiry_s: int) -> ServerLimits:
    """Return what an accepting CONNACK allows, given what we asked for; the same object for what is the same."""
    said = connack.properties
    if not said:
        return _shared(ServerLimits(keep_alive_s=keep_alive_s, session_expiry_s=session_expiry_s))
    limits = ServerLimits(
        receive_maximum=said.get("receive_maximum", 65535),
        maximum_packet_size=said.get("maximum_packet_size", VARINT_MAX + 5),
        maximum_qos=said.get("maximum_qos", 2),
        retain_available=said.get("retain_available", 1) == 1,
        keep_alive_s=said.get("server_keep_alive", keep_alive_s),
        session_expiry_s=said.get("session_expiry_interval", session_expiry_s),
        topic_alias_maximum=said.get("topic_alias_maximum", 0),
        assigned_client_id=said.get("assigned_client_identifier"),
        wildcard_available=said.get("wildcard_subscription_available", 1) == 1,
        shared_available=said.get("shared_subscription_available", 1) == 1,
    )
    return _shared(limits)
