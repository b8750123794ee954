"""Makes the disk, the wall clock and the names of one process fail, by a library that is loaded before libc."""

import errno
import shutil
import socket
import struct
import subprocess
from enum import IntFlag
from pathlib import Path

from edgewire.errors import ServiceUnavailable

_SOURCE = Path(__file__).with_name("preload.c")
_VARIABLE = "PRELOADED_FAULTS"
_FORM = struct.Struct("=iiqi60s512s")
"""As `struct faults` in preload.c."""

NAME = "edge.test"
"""A host that only the library knows."""


class Calls(IntFlag):
    """Says which calls on files fail."""

    WRITES = 1
    SYNCS = 2
    OPENS = 4
    READS = 8


_READ_ONLY = Calls.WRITES | Calls.OPENS


class Preload:
    """Holds the faults of one process; they change while it runs."""

    def __init__(self, folder: Path) -> None:
        """Compile the library into `folder`. Raises `ServiceUnavailable` where there is no compiler."""
        if shutil.which("gcc") is None:
            raise ServiceUnavailable("faults by a preloaded library need a C compiler: `apt-get install gcc libc6-dev`")
        library, self._file = folder / "preload.so", folder / "faults"
        command = ["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-o", library, _SOURCE, "-ldl"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if result.returncode != 0:
            raise ServiceUnavailable(f"{_SOURCE.name} cannot be compiled: {result.stderr.strip()[-1000:]}")
        self.environment = {"LD_PRELOAD": str(library), _VARIABLE: str(self._file)}
        """Of the process."""
        self._disk = (0, Calls(0), "")
        self._clock_ahead_s = 0
        self._lookup = (0, "127.0.0.1")
        self._write()

    def fail_disk(self, folder: Path, error: int = errno.EIO, calls: Calls = Calls.WRITES | Calls.SYNCS) -> None:
        """Let these calls on what is in `folder` fail."""
        self._disk = (error, calls, str(folder))
        self._write()

    def make_read_only(self, folder: Path) -> None:
        """Let `folder` be as the kernel makes a file system that it has found damaged."""
        self.fail_disk(folder, errno.EROFS, _READ_ONLY)

    def move_clock(self, seconds: int) -> None:
        """Let the wall clock be so far ahead of the machine's, or behind it."""
        self._clock_ahead_s = seconds
        self._write()

    def fail_lookups(self, error: int = socket.EAI_AGAIN) -> None:
        """Let the lookup of `NAME` fail."""
        self._lookup = (error, "")
        self._write()

    def resolve_to(self, address: str) -> None:
        """Let `NAME` lead to this address."""
        self._lookup = (0, address)
        self._write()

    def heal(self) -> None:
        """End every fault; the clock stays where it is."""
        self._disk = (0, Calls(0), "")
        self._lookup = (0, "127.0.0.1")
        self._write()

    def _write(self) -> None:
        (error, calls, folder), (lookup_error, address) = self._disk, self._lookup
        fields = (error, calls, self._clock_ahead_s, lookup_error, address.encode(), folder.encode())
        # In place: the file is mapped by the process.
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(_FORM.pack(*fields))
