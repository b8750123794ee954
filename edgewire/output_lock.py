"""Keeps two processes from writing one output at once: the lock of a file is `.NAME.lock` beside it.

The operating system lets go of the lock when its process ends, however it ends; the file that is left then is taken
over by the next. Where a file system knows no locks, the name of the owner in it is all there is: who writes last owns
it, and the other is told before its output gets its name.
"""

import errno
import os
import socket
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import orjson

from edgewire.errors import ConfigError
from edgewire.os_support import OPEN_FLAGS, lock_file

_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_LONGEST_OWNER = 4096
_ATTEMPTS = 100


class OutputBusyError(ConfigError):
    """Another process writes the same output; names it, and who that is."""


class OutputLock:
    """Owns an output from `acquire` to `release`."""

    def __init__(self, output: Path, shown: Path | None = None) -> None:
        """Own `output`, which a user knows as `shown`."""
        self.path = output.with_name(f".{output.name}.lock")
        self._output = shown or output
        self._token = uuid4().hex
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Own the output; raises `OutputBusyError` where another does, `OSError` where no lock can be beside it."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | OPEN_FLAGS
        for _ in range(_ATTEMPTS):
            descriptor = os.open(self.path, flags, 0o666)
            try:
                lock_file(descriptor)
            except BlockingIOError:
                said = _owner(descriptor)
                os.close(descriptor)
                raise OutputBusyError(
                    f"{self._output} is being written by another process{said}: wait until it has ended, "
                    "or write to another place"
                ) from None
            except OSError as error:
                if error.errno not in _WITHOUT_LOCKS:
                    os.close(descriptor)
                    raise
            if self._is_named(descriptor):
                self._descriptor = descriptor
                self._sign(descriptor)
                return
            # Its owner has removed it in this moment.
            os.close(descriptor)
        raise OSError(errno.EAGAIN, "its lock is made and removed all the time by others", str(self.path))

    def check(self) -> None:
        """Raise `OutputBusyError` where the output is no longer ours, so that it may not be given its name."""
        if self._descriptor is None:
            return
        found = os.pread(self._descriptor, _LONGEST_OWNER, 0) if hasattr(os, "pread") else self._token.encode()
        if not self._is_named(self._descriptor) or self._token.encode() not in found:
            raise OutputBusyError(
                f"{self._output}: another process has begun to write it meanwhile, so what this one wrote is not "
                "given its name: begin anew, one after the other"
            )

    def release(self) -> None:
        """Let others have the output; nothing where it is not ours."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        with suppress(OSError):
            if self._is_named(descriptor) and os.name != "nt":
                self.path.unlink()
        os.close(descriptor)
        if os.name == "nt":
            # An open file has no name to lose there; where another has it open by now, it stays with that one.
            with suppress(OSError):
                self.path.unlink()

    def _is_named(self, descriptor: int) -> bool:
        try:
            found = self.path.lstat()
        except OSError:
            return False
        return os.path.samestat(found, os.fstat(descriptor))

    def _sign(self, descriptor: int) -> None:
        said = {
            "process": os.getpid(),
            "host": socket.gethostname(),
            "since": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "token": self._token,
        }
        with suppress(OSError):  # of a full disk: the lock holds without its owner's name
            os.ftruncate(descriptor, 0)
            os.write(descriptor, orjson.dumps(said))


def _owner(descriptor: int) -> str:
    with suppress(OSError, ValueError, KeyError, TypeError):
        os.lseek(descriptor, 0, os.SEEK_SET)
        said = orjson.loads(os.read(descriptor, _LONGEST_OWNER))
        return f" ({int(said['process'])} on {str(said['host'])[:255]!r} since {str(said['since'])[:30]})"
    return ""
