"""A real PostgreSQL as a process, with a database of its own."""

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import psycopg

from edgefleet.embedded import Server, free_port, temporary_folder
from edgewire.errors import ServiceUnavailable

_DEBIAN = Path("/usr/lib/postgresql")
_ACCOUNT = "postgres"


class PostgresProcess(Server):
    """One PostgreSQL on loopback, quick rather than crash-safe. Its data survives `restart` and `kill`, not `close`."""

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        """`options` replace its settings or are added to them, such as `{"fsync": "on"}`.

        Raises `ServiceUnavailable` where PostgreSQL is not installed.
        """
        programs = _programs()
        self._initdb, folder, port = programs / "initdb", temporary_folder("postgres"), free_port()
        self._data = folder / "data"
        # PostgreSQL does not run as root: there it gets the account that its package made.
        self._as_account = _as_account()
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": "20",
            **(options or {}),
        }
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command: list[str | Path] = [
            *self._as_account,
            programs / "postgres",
            "-D",
            self._data,
            "-p",
            str(port),
            *arguments,
        ]
        super().__init__("postgres", command, port=port, ready=self._serves, folder=folder, start_timeout_s=60)

    @property
    def url(self) -> str:
        """`postgresql://edgefleet@127.0.0.1:PORT/postgres`."""
        return f"postgresql://edgefleet@{self.host}:{self.port}/postgres"

    def start(self) -> Self:
        """As `Server.start`; makes the database before the first one."""
        if not self.folder.exists():
            self.folder.mkdir(mode=0o700)
            if self._as_account:
                shutil.chown(self.folder, _ACCOUNT)
            command: list[str | Path] = [
                *self._as_account,
                self._initdb,
                "-D",
                self._data,
                "-U",
                "edgefleet",
                "-A",
                "trust",
                "-N",
            ]
            made = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd="/")
            if made.returncode != 0:
                raise ServiceUnavailable(f"PostgreSQL could not make its database: {made.stderr.strip()[-1000:]}")
        return super().start()

    def kill_postmaster(self) -> None:
        """SIGKILL the first of its processes alone: the others find out by themselves, and end."""
        pid = int((self._data / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
        os.kill(pid, signal.SIGKILL)
        self.wait(30)
        self.kill()  # lets go of its pipe

    def recover(self, timeout_s: float = 120) -> None:
        """Start it again where it was killed: it refuses while a process of its earlier life has its memory.

        Raises `ServiceUnavailable` where it still refuses after so long.
        """
        deadline = time.monotonic() + timeout_s
        while not self.running:
            try:
                self.start()
            except ServiceUnavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def _serves(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def _programs() -> Path:
    """The folder of `initdb` and `postgres`, of the newest version that Debian has installed or the one on the PATH."""
    versions = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = str(versions[-1]) if versions else shutil.which("initdb")
    if not found:
        raise ServiceUnavailable(
            "a PostgreSQL for the tests needs `initdb`: `apt-get install postgresql`, "
            "or name a running one in POSTGRES_URL"
        )
    return Path(found).parent


def _as_account() -> list[str]:
    if os.geteuid() != 0:
        return []
    try:
        account = pwd.getpwnam(_ACCOUNT)
    except KeyError:
        raise ServiceUnavailable(f"PostgreSQL does not run as root, and there is no account '{_ACCOUNT}'") from None
    return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
