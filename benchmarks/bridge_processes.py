"""The two bridges that are compared, as processes on the services of one stack: ours, and a naive one."""

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from benchmarks.proc import pid_of
from benchmarks.stack import Stack
from edgefleet.embedded import ManagedProcess, answers, edgefleet_process

_NAIVE = Path(__file__).with_name("naive_bridge.py")


def ours(stack: Stack) -> ManagedProcess:
    """`edgefleet bridge run`."""
    return edgefleet_process("bridge", "bridge", "run", stack.config, url=f"{stack.bridge_url}/readyz")


def profiled(stack: Stack, profile: Path) -> ManagedProcess:
    """The same, with a profile of its CPU time."""
    command: list[str | Path] = [sys.executable, "-m", "benchmarks.profiled_bridge", stack.config, profile]
    return ManagedProcess("bridge", command, ready=lambda: answers(f"{stack.bridge_url}/readyz"), start_timeout_s=30)


def read_profile(process: ManagedProcess, profile: Path) -> dict[str, dict[str, float]]:
    """What a profiled bridge has spent until now."""
    profile.unlink(missing_ok=True)
    os.kill(pid_of(process), signal.SIGUSR2)
    wait_until(profile.exists, 10, "the profiled bridge has written its profile")
    read: dict[str, dict[str, float]] = json.loads(profile.read_text())
    return read


class AnnouncedProcess(ManagedProcess):
    """A program that is ready when it has said so in its log, once more than before it was started."""

    def __init__(self, name: str, command: Sequence[str | Path], said: bytes, start_timeout_s: float = 20) -> None:
        """`said` is a regular expression of what it says then; nothing runs before `start`."""
        super().__init__(name, command, ready=self._has_announced, start_timeout_s=start_timeout_s)
        self._said = re.compile(said)
        self._before = 0

    def start(self) -> Self:
        """As `ManagedProcess.start`."""
        self._before = self._announcements()
        return super().start()

    def _has_announced(self) -> bool:
        return self._announcements() > self._before

    def _announcements(self) -> int:
        return len(self._said.findall(self.log.read_bytes())) if self.log.exists() else 0


class NaiveBridge(AnnouncedProcess):
    """`naive_bridge.py`, ready when it has subscribed; `persistent` makes the broker keep its session."""

    def __init__(self, stack: Stack, *, persistent: bool = True) -> None:
        address = [stack.broker.host, str(stack.broker.port), stack.ingest_url, stack.kafka.bootstrap_servers]
        command: list[str | Path] = [sys.executable, _NAIVE, *address, *(["--persistent"] if persistent else [])]
        super().__init__("naive bridge", command, b"subscribed\n")


def wait_until(done: Callable[[], bool], at_most_s: float, what: str) -> None:
    """Look every 50 ms; end the benchmarks where it is not so in time."""
    deadline = time.monotonic() + at_most_s
    while not done():
        if time.monotonic() > deadline:
            sys.exit(f"benchmarks: after {at_most_s:g} s it is not so that {what}")
        time.sleep(0.05)
