"""Draining a bridge that is to go for good: what it means for one to be left with something, and how to ask another."""

import os
import signal
import time
from pathlib import Path

from bridge.config import BridgeConfig
from bridge.spool import holder, read_lag, read_note
from bridge.subscriptions import NOTE
from edgewire.errors import EdgefleetError

_ASK_EVERY_S = 0.2
_PATIENCE_S = 30.0
"""For the end of the process, after the drain itself."""


class NotDrained(EdgefleetError):
    """A drain has not come to its end; says what is pending, and where."""


def pending_text(path: Path) -> str:
    """What every sink still has to deliver."""
    left = ", ".join(f"{name} has {pending} messages pending" for name, pending, _ in read_lag(path) if pending)
    return left or "the broker may hold messages"


def drain_running(config: BridgeConfig, pid: int) -> None:
    """Ask the bridge of this spool to drain, and wait until it has ended. Raises `NotDrained`."""
    path = config.spool.path
    try:
        os.kill(pid, signal.SIGUSR1)
    except OSError as error:
        raise NotDrained(f"process {pid}, which uses {path}, cannot be told to drain: {error.strerror}") from None
    deadline = time.monotonic() + config.drain_timeout / 1000 + _PATIENCE_S
    while holder(path) == pid:
        if time.monotonic() > deadline:
            raise NotDrained(f"process {pid} does not end: {pending_text(path)} in {path}")
        time.sleep(_ASK_EVERY_S)
    if any(pending for _, pending, _ in read_lag(path)) or read_note(path, NOTE) != "[]":
        raise NotDrained(f"process {pid} ended before it was drained: {pending_text(path)}; its log says why")
