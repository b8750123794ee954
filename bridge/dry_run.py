"""`bridge route`: what would become of one message, without a broker, a spool or a sink."""

from typing import Any

from bridge.assembly import assemble
from bridge.config import BridgeConfig
from bridge.routed import Dropped, Routed, Unroutable
from bridge.schemas import Check
from bridge.sinks.base import Sink
from bridge.spool import Spooled
from bridge.templates import Unrenderable
from edgewire.errors import ConfigError
from edgewire.mqtt.errors import Unsendable
from edgewire.mqtt.filters import encode_topic, filter_matches


def dry_run(config: BridgeConfig, topic: str, payload: bytes) -> dict[str, Any]:
    """For every sink what it would send where, that a rule leaves the message out, or why it would be a dead letter.

    Raises `ConfigError` for a configuration that contradicts itself, or a topic that is none.
    """
    try:
        encode_topic(topic)
    except Unsendable as error:
        raise ConfigError(f"--topic: {error}") from None
    table, sinks = assemble(config)
    found = table.resolve(Spooled(1, 0, topic, payload, 1, False, False))
    subscribed = any(filter_matches(one, topic) for one in config.subscriptions)
    result: dict[str, Any] = {"topic": topic, "subscribed": subscribed, "route": None, "schema": None}
    if isinstance(found, Routed):
        result |= {"route": found.route.filter, "message_id": found.message_id, "schema": _verdict(found)}
    return result | {"sinks": {sink.name: _fate(sink, found) for sink in sinks}}


def _verdict(routed: Routed) -> dict[str, Any]:
    """What the route's check says, and where it has none what the contract would."""
    check = routed.route.check
    fault = (check or Check("warn")).fault(routed.address.topic.kind, routed.fields)
    against = str(check.schema.path) if check and check.schema else "contract"
    return {"validate": check.level if check else "off", "against": against, "valid": fault is None, "fault": fault}


def _fate(sink: Sink, found: Routed | Unroutable | Dropped) -> dict[str, Any]:
    match found:
        case Unroutable() if found.concerns(sink.name):
            return {"fate": "dead letter", "reason": found.reason}
        case Dropped():
            return {"fate": "dropped", "reason": found.rule}
        case Routed() if sink.lane(found) is not None:
            try:
                return {"fate": "sent", **sink.preview(found)}
            except Unrenderable as error:
                return {"fate": "dead letter", "reason": str(error)}
        case _:
            return {"fate": "dropped", "reason": f"its route does not lead to {sink.name}"}
