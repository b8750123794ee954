"""What another configuration changes in a bridge that runs, and what it may not change."""

from typing import NamedTuple

from bridge.config import BridgeConfig
from edgewire.errors import ConfigError
from edgewire.link import BrokerUrl

_NOT_SINKS = frozenset({"broker", "subscriptions", "mqtt", "watch", "spool", "dead_letters", "drain_timeout"})


class Changes(NamedTuple):
    """Top-level keys that differ, and what follows for the sinks."""

    keys: tuple[str, ...]
    sinks: frozenset[str]
    """Those whose own part differs, or is new or gone."""
    everything: bool
    """The routes, or whatever else all sinks depend on."""


def compare(old: BridgeConfig, new: BridgeConfig, sinks: frozenset[str]) -> Changes:
    """How `new` differs; `sinks` are the names of all that either has. Raises `ConfigError` for what has to stay."""
    fixed = {
        "client_id": old.client_id == new.client_id,
        "broker (its address)": _address(old) == _address(new),
        "spool.path": old.spool.path == new.spool.path,
        "admin": old.admin == new.admin,
        "tracing": old.tracing == new.tracing,
    }
    stuck = [key for key, same in fixed.items() if not same]
    if stuck:
        raise ConfigError(
            f"{', '.join(stuck)} cannot change while the bridge runs: change it back, or stop the bridge and start it"
        )
    keys = tuple(key for key in type(old).model_fields if getattr(old, key) != getattr(new, key))
    concerned = frozenset(keys) - _NOT_SINKS
    return Changes(keys, concerned & sinks, bool(concerned - sinks))


def _address(config: BridgeConfig) -> tuple[str, int]:
    broker = BrokerUrl.parse(config.broker)
    return broker.host, broker.port
