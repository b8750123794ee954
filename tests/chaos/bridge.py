"""The bridge under test: one configuration, one spool, and as many lives as a run takes from it."""

import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import orjson
import psutil
import yaml
from typer.testing import CliRunner

from bridge.failpoints import VARIABLE
from edgefleet.cli.bridge import app
from edgefleet.embedded import ManagedProcess, answers, free_port

KILLED = 128 + signal.SIGKILL
"""Exit code that the parent watch gives a program ended by SIGKILL."""

START_S = 150.0
"""Of a start (s): it needs 1.5 s of a core, of which a process of low priority gets little where all are busy."""


class BridgeUnderTest:
    """Started, killed and started again on the same spool."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
        launcher: Sequence[str] = (),
    ) -> None:
        """Write the configuration; `environment` is added to that of each life, which `launcher` becomes."""
        self.kills = 0
        """Ends by SIGKILL, by ourselves or at a fail point."""
        self.starts = 0
        self._buried = 0
        self.armed: str | None = None
        """The fail points of this life."""
        self.drained = False
        """Whether it has left for good."""
        self.folder = folder
        self.spool = Path(settings["spool"]["path"])
        self._environment = environment or {}
        self._launcher = launcher
        self._port = free_port()
        self.config = folder / "bridge.yaml"
        self.config.write_text(yaml.safe_dump({**settings, "admin": {"port": self._port}}), encoding="utf-8")
        self._process: ManagedProcess | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    @property
    def ready(self) -> bool:
        """Whether it says that it receives and keeps messages."""
        return self.running and answers(f"http://127.0.0.1:{self._port}/readyz")

    def start(self, armed: str | None = None) -> Self:
        """Begin a life; `armed` as in the environment variable of the fail points."""
        assert not self.running
        if self._process is not None:
            self._bury()
        self.starts += 1
        self.armed = armed
        command = [*self._launcher, sys.executable, "-m", "edgefleet", "bridge", "run", self.config]
        self._process = ManagedProcess(
            "bridge",
            [str(part) for part in command],
            ready=lambda: True,  # a fail point may end it before it is ready
            folder=self.folder / f"life-{self.starts}",
            env={**self._environment, VARIABLE: armed or ""},
        ).start()
        return self

    @property
    def pid(self) -> int:
        """Of the bridge itself, a child of the one that ends it with its parent."""
        found = [
            one.pid
            for one in psutil.Process().children(recursive=True)
            if str(self.config) in one.cmdline() and "parent_watch.py" not in " ".join(one.cmdline())
        ]
        assert len(found) == 1, f"{len(found)} processes run {self.config}"
        return found[0]

    def wait_ready(self, timeout_s: float = START_S) -> None:
        """Until it receives. Raises `AssertionError` where it does not, or has ended."""
        deadline = time.monotonic() + timeout_s
        while not self.ready:
            assert self.running, f"the bridge ended by itself:\n{self.last_words()}"
            assert time.monotonic() < deadline, f"the bridge was not ready in {timeout_s:g} s:\n{self.last_words()}"
            time.sleep(0.02)

    def wait_end(self, timeout_s: float) -> int | None:
        """Its exit code once it has ended by itself; None if it has not within `timeout_s`."""
        assert self._process is not None
        deadline = time.monotonic() + timeout_s
        while self._process.running:
            if time.monotonic() > deadline:
                return None
            time.sleep(0.01)
        return self._bury()

    def kill(self) -> None:
        """SIGKILL, whatever it is doing."""
        assert self._process is not None
        self._process.kill()
        self._bury()

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        assert self._process is not None
        return self._process.terminate(timeout_s=60)

    def drain(self) -> None:
        """Let it deliver what it has, give its session back, and end for good."""
        command = [sys.executable, "-m", "edgefleet", "bridge", "drain", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, done.stdout + done.stderr
        assert self.wait_end(60) == 0
        self.drained = True

    def _bury(self) -> int:
        """The exit code of a life that has ended; a SIGKILL is counted once."""
        assert self._process is not None
        code = self._process.wait(5)
        self._process.kill()  # lets go of its pipe
        if code == -signal.SIGKILL:  # by ourselves: the watch ends with it
            code = KILLED
        if code == KILLED and self._buried < self.starts:
            self.kills += 1
        self._buried = self.starts
        return code

    def kill_quietly(self) -> None:
        """For the end of a run that failed half way."""
        if self._process is not None:
            self._process.kill()

    def pending(self) -> int | None:
        """Messages that some sink is not done with, as the running bridge says; None where it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/ledger", timeout=2) as answer:
                return sum(sink["pending"] for sink in orjson.loads(answer.read())["sinks"])
        except (OSError, ValueError):
            return None

    def post(self, path: str) -> None:
        """Ask the running bridge for a change, at its admin port."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{path}", data=b"{}", headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200

    def last_words(self) -> str:
        """The end of its log."""
        return self._process.log_tail() if self._process else ""

    def words(self) -> str:
        """The whole log of this life."""
        return self._process.log.read_text(encoding="utf-8", errors="replace") if self._process else ""

    def ledger(self) -> dict[str, Any]:
        """What `edgefleet bridge status --json` prints."""
        result = CliRunner().invoke(app, ["status", str(self.config), "--json"])
        try:
            document: dict[str, Any] = orjson.loads(result.output)
        except orjson.JSONDecodeError:
            raise AssertionError(f"bridge status printed no ledger: {result.output} {result.exception}") from None
        return document
