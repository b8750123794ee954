"""The two bridges that are compared, as processes on the services of one chain: ours, and one of the usual shape."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from benchmarks.chain import Chain
from benchmarks.proc import pid_of
from edgefleet.embedded import ManagedProcess, answers, edgefleet_process

_USUAL = Path(__file__).with_name("usual_bridge.py")
_SUBSCRIBED = b"subscribed\n"


def ours(chain: Chain) -> ManagedProcess:
    """`edgefleet bridge run`."""
    return edgefleet_process("bridge", "bridge", "run", chain.config, url=f"{chain.bridge_url}/readyz")


def sampled(chain: Chain, book: Path) -> ManagedProcess:
    """The same, with a book of its CPU time."""
    command: list[str | Path] = [sys.executable, "-m", "benchmarks.sampled_bridge", chain.config, book]
    return ManagedProcess("bridge", command, ready=lambda: answers(f"{chain.bridge_url}/readyz"), start_timeout_s=30)


def read_book(process: ManagedProcess, book: Path) -> dict[str, dict[str, float]]:
    """What a sampled bridge has spent until now."""
    book.unlink(missing_ok=True)
    os.kill(pid_of(process), signal.SIGUSR2)
    wait_until(book.exists, 10, "the sampled bridge has written its book")
    read: dict[str, dict[str, float]] = json.loads(book.read_text())
    return read


class UsualBridge(ManagedProcess):
    """`usual_bridge.py`, ready when it has subscribed; `persistent` makes the broker keep its session."""

    def __init__(self, chain: Chain, *, persistent: bool = True) -> None:
        address = [chain.broker.host, str(chain.broker.port), chain.ingest_url, chain.kafka.bootstrap_servers]
        command: list[str | Path] = [sys.executable, _USUAL, *address, *(["--persistent"] if persistent else [])]
        super().__init__("usual bridge", command, ready=lambda: self._subscriptions() > self._before)
        self._before = 0

    def start(self) -> Self:
        """As `ManagedProcess.start`."""
        self._before = self._subscriptions()
        return super().start()

    def _subscriptions(self) -> int:
        return self.log.read_bytes().count(_SUBSCRIBED) if self.log.exists() else 0


def wait_until(done: Callable[[], bool], at_most_s: float, what: str) -> None:
    """Look every 50 ms; end the benchmarks where it is not so in time."""
    deadline = time.monotonic() + at_most_s
    while not done():
        if time.monotonic() > deadline:
            sys.exit(f"benchmarks: after {at_most_s:g} s it is not so that {what}")
        time.sleep(0.05)
