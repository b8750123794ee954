"""Giving a message up: the only way, besides delivery and a rule, that one leaves the books of a sink."""

from bridge.routed import Unroutable
from bridge.sinks.base import Rejected
from bridge.spool import DeadLetter, Spooled


def unroutable(sink: str, message: Unroutable, now_ms: int) -> DeadLetter:
    """A message that the bridge itself could not route, so no sink was asked."""
    return _dead(sink, message.message, message.reason, 0, now_ms)


def rejected(sink: str, message: Spooled, verdict: Rejected, attempts: int, now_ms: int) -> DeadLetter:
    """A message that the sink will never take; `attempts` includes the one that said so."""
    return _dead(sink, message, verdict.reason, attempts, now_ms)


def _dead(sink: str, message: Spooled, reason: str, attempts: int, now_ms: int) -> DeadLetter:
    return DeadLetter(
        sink=sink,
        message_id=message.id,
        received_ms=message.received_ms,
        topic=message.topic,
        payload=message.payload,
        qos=message.qos,
        retain=message.retain,
        reason=reason,
        attempts=attempts,
        dead_ms=now_ms,
        properties=message.properties,
    )
