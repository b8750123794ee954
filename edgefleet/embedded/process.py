"""Runs a program for the length of a `with` block: started, waited for, stopped, killed, started again.

It never outlives its parent, however that ends (see parent_watch.py). Starting and stopping block for up to seconds;
in a coroutine, call them through `asyncio.to_thread`.
"""

import contextlib
import http.client
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from edgewire.errors import ServiceUnavailable

LOOPBACK = "127.0.0.1"
_PARENT_WATCH = Path(__file__).with_name("parent_watch.py")
_TAIL_BYTES = 4000
_MOST_HELD = 64
_held: deque[int] = deque()
"""Descriptors of the sockets that hold the ports taken last."""


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody listens on.

    Taken from below the range that outgoing connections use: a client that redials a stopped server whose port lies
    in that range may be given the same port for its own end, and then talks to itself.

    It is held until this process has taken `_MOST_HELD` others or ends: a server that takes seconds to start shall find
    it free, whatever other processes take meanwhile. Whoever listens there sets SO_REUSEADDR, as servers do.
    """
    for _ in range(200):
        port = 20_000 + secrets.randbelow(12_000)
        if _hold(port):
            return port
    raise ServiceUnavailable(f"found no free port between 20000 and 32000 on {LOOPBACK}: stop what listens there")


def accepts_connections(host: str, port: int) -> bool:
    """Return whether something accepts a TCP connection there now."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def answers(url: str) -> bool:
    """Return whether a GET of an `http://` URL is answered with a 2xx status now."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or LOOPBACK, parts.port or 80, timeout=2)
    try:
        connection.request("GET", parts.path or "/")
        return 200 <= connection.getresponse().status < 300
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def temporary_folder(name: str) -> Path:
    """Return a name for a folder of its own among the temporary files; nothing is created."""
    return Path(tempfile.gettempdir()) / f"edgefleet-{name.replace(' ', '-')}-{secrets.token_hex(6)}"


class ManagedProcess:
    """Runs `command`, which is ready when `ready()` says so.

    It has a `folder` from the first `start` until `close`; what it prints goes to a log there, whose tail is in every
    error.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        ready: Callable[[], bool],
        folder: Path | None = None,
        env: Mapping[str, str] | None = None,
        start_timeout_s: float = 20,
    ) -> None:
        """Prepare a process; `env` is added to this one's environment. Nothing runs or is created before `start`."""
        self.name = name
        self._command = [str(part) for part in command]
        self._ready = ready
        self._env = {**os.environ, **(env or {})}
        self._start_timeout_s = start_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = folder or temporary_folder(name)
        self.log = self.folder / "output.log"

    @property
    def running(self) -> bool:
        """Return whether the program has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Return the exit code of a program that has ended; None for one that runs, or was never started."""
        return None if self._process is None else self._process.poll()

    def log_tail(self) -> str:
        """Return the last lines that the program printed."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace").strip()

    def start(self) -> Self:
        """Start the program and wait until it is ready.

        Raises `ServiceUnavailable` if it is not there, ends early, or is not ready in time.
        """
        if self.running:
            return self
        self.folder.mkdir(mode=0o700, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_PARENT_WATCH), *self._command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._env,
                start_new_session=True,
            )
        deadline = time.monotonic() + self._start_timeout_s
        while not self._ready():
            if self._process.poll() is not None:
                raise self._failure(f"{self.name} ended with exit code {self._process.returncode} while starting")
            if time.monotonic() > deadline:
                self.kill()
                raise self._failure(f"{self.name} was not ready {self._start_timeout_s:g} s after its start")
            time.sleep(0.02)
        return self

    def terminate(self, timeout_s: float = 15) -> int:
        """Ask the program to end (SIGTERM) and return its exit code; after `timeout_s` seconds it is killed."""
        if self._process is None:
            return 0
        self.signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        self.kill()
        return self._process.returncode

    def kill(self) -> None:
        """End the program and what it started without a warning, as a crash would (SIGKILL); also when it is frozen."""
        if self._process is None:
            return
        self._let_go()
        if sys.platform != "win32" and self.running:
            # The watch may be frozen with the program; it alone is thawed, and kills.
            os.kill(self._process.pid, signal.SIGCONT)
        self._process.wait()

    def _let_go(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()

    def restart(self) -> Self:
        """End it, then start it with the same address and state."""
        self.terminate()
        return self.start()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program and what it started; SIGSTOP freezes it, SIGCONT thaws it."""
        if self._process is not None and self.running:
            if sys.platform == "win32":
                self._let_go()  # there are no groups of processes: the watch ends what it has started
                return
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def wait(self, timeout_s: float) -> int:
        """Return the exit code of a program that ends by itself; raises `ServiceUnavailable` after `timeout_s`."""
        assert self._process is not None, f"{self.name} was never started"
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise self._failure(f"{self.name} was still running after {timeout_s:g} s") from None

    def close(self) -> None:
        """End the program and delete its folder."""
        self.terminate()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _failure(self, what: str) -> ServiceUnavailable:
        tail = self.log_tail()
        return ServiceUnavailable(f"{what}; it printed:\n{tail}" if tail else f"{what} and printed nothing")


class Server(ManagedProcess):
    """Runs a program that listens on `port` of the loopback interface, and perhaps on others; ready when all accept."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        port: int,
        other_ports: Sequence[int] = (),
        ready: Callable[[], bool] | None = None,
        folder: Path | None = None,
        env: Mapping[str, str] | None = None,
        start_timeout_s: float = 20,
    ) -> None:
        self.host, self.port = LOOPBACK, port
        self._ports = (port, *other_ports)
        super().__init__(
            name,
            command,
            ready=ready or (lambda: all(accepts_connections(LOOPBACK, one) for one in self._ports)),
            folder=folder,
            env=env,
            start_timeout_s=start_timeout_s,
        )

    def start(self) -> Self:
        """Start the program; raises `ServiceUnavailable` too if another program has one of the ports."""
        taken = [] if self.running else [port for port in self._ports if not _can_bind(port)]
        if taken:
            raise ServiceUnavailable(f"{self.name} cannot use port {taken[0]}: another program listens there")
        return super().start()


def edgefleet_process(
    name: str, *arguments: str | Path, url: str, env: Mapping[str, str] | None = None
) -> ManagedProcess:
    """Return the command `edgefleet ARGUMENTS` as a process of its own, ready when `url` answers."""
    return ManagedProcess(
        name, [sys.executable, "-m", "edgefleet", *arguments], ready=lambda: answers(url), env=env, start_timeout_s=90
    )


def _hold(port: int) -> bool:
    """Bind a socket to the port, so that no other process does; return whether that was possible."""
    with socket.socket() as holder:
        try:
            holder.bind((LOOPBACK, port))
        except OSError:
            return False
        # Only now: two that set it before they bind get the same port, and who listens there still may bind beside it.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _held.append(holder.detach())
    if len(_held) > _MOST_HELD:
        os.close(_held.popleft())
    return True


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do: connections of the last run that still linger are no reason to refuse.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
