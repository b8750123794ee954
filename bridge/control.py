"""Carries what a person, a supervisor or a signal asks of a running bridge: to stop, to reload, to drain.

Also what a reload may change, and how another process asks a bridge to drain.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bridge.config import BridgeConfig
from bridge.source.subscriptions import record_keys
from bridge.spool.accounting import read_lag
from bridge.spool.reader import read_metadata
from bridge.spool.sqlite import lock_owner
from edgewire.errors import ConfigError, EdgefleetError

_NOT_SINKS = frozenset(
    {"broker", "broker_list", "subscriptions", "mqtt", "watch", "spool", "dead_letters", "drain_timeout"}
)
"""Keys that no sink depends on."""

_LOOK_EVERY_S = 0.2

_PATIENCE_S = 30.0
"""For the end of the process, after the drain itself."""


class ControlSignals:
    """Holds events to set. `reread_config` gives the configuration of a reload; it raises `ConfigError`."""

    def __init__(self, stop: asyncio.Event, reread_config: Callable[[], BridgeConfig] | None = None) -> None:
        self.stop = stop
        """End in order: the broker keeps the session, and queues."""
        self.reload = asyncio.Event()
        """Go on with the configuration as it is in its file now."""
        self.drain = asyncio.Event()
        """Deliver everything, end the session, and end."""
        self.reread_config = reread_config

    async def wait_next(self) -> str:
        """Return the next one but `stop`: "drain" or "reload"."""
        waiting = {asyncio.create_task(event.wait()) for event in (self.reload, self.drain)}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        if self.drain.is_set():
            return "drain"
        self.reload.clear()
        return "reload"


class ConfigChanges(NamedTuple):
    """Says which top-level keys differ, and what follows for the sinks."""

    keys: tuple[str, ...]
    sinks: frozenset[str]
    """Those whose own part differs, or is new or gone."""
    everything: bool
    """The routes, or whatever else all sinks depend on."""


def compare_configs(old: BridgeConfig, new: BridgeConfig, sinks: frozenset[str]) -> ConfigChanges:
    """Say how `new` differs; `sinks` are the names of all that either has. Raises `ConfigError` for what must stay."""
    fixed = {
        "client_id": old.client_id == new.client_id,
        "broker (its address)": _address(old) == _address(new),
        "broker_list": old.broker_list == new.broker_list,
        "spool.path": old.spool.path == new.spool.path,
        "admin (its address)": (old.admin.host, old.admin.port) == (new.admin.host, new.admin.port),
        "tracing": old.tracing == new.tracing,
    }
    stuck = [key for key, same in fixed.items() if not same]
    if stuck:
        raise ConfigError(
            f"{', '.join(stuck)} cannot change while the bridge runs: change it back, or stop the bridge and start it"
        )
    keys = tuple(key for key in type(old).model_fields if getattr(old, key) != getattr(new, key))
    concerned = frozenset(keys) - _NOT_SINKS
    everything = bool(concerned - sinks) or old.formats != new.formats
    return ConfigChanges(keys, concerned & sinks, everything)


def _address(config: BridgeConfig) -> list[str]:
    return [url.place for url in config.brokers]


class NotDrained(EdgefleetError):
    """A drain has not come to its end; says what is pending, and where."""


def describe_pending(path: Path) -> str:
    """Say what every sink still has to deliver."""
    left = ", ".join(f"{name} has {pending} messages pending" for name, pending, _ in read_lag(path) if pending)
    return left or "the broker may hold messages"


def drain_running_bridge(config: BridgeConfig, pid: int) -> None:
    """Ask the bridge of this spool to drain, and wait until it has ended. Raises `NotDrained`."""
    path = config.spool.path
    if sys.platform == "win32":
        raise NotDrained(f"process {pid} uses {path}: stop it first, as nothing can tell it to drain on Windows")
    try:
        os.kill(pid, signal.SIGUSR1)
    except OSError as error:
        raise NotDrained(f"process {pid}, which uses {path}, cannot be told to drain: {error.strerror}") from None
    deadline = time.monotonic() + config.drain_timeout / 1000 + _PATIENCE_S
    while lock_owner(path) == pid:
        if time.monotonic() > deadline:
            raise NotDrained(f"process {pid} does not end: {describe_pending(path)} in {path}")
        time.sleep(_LOOK_EVERY_S)
    held = [read_metadata(path, key) for key, *_ in record_keys(config)]
    # A broker of the list that was never dialled holds nothing.
    ended = "[]" in held and all(one in ("[]", None) for one in held)
    if any(pending for _, pending, _ in read_lag(path)) or not ended:
        raise NotDrained(f"process {pid} ended before it was drained: {describe_pending(path)}; its log says why")
