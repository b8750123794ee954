"""Holds processes to an amount of memory, as a container is held: by a control group of the kernel, version 1 or 2."""

import errno
import time
from pathlib import Path
from typing import Self

from edgewire.errors import ServiceUnavailable

_ROOTS = (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))
"""Of version 1, and of version 2."""
_LIMITS = {"memory.limit_in_bytes": "-1", "memory.max": "max"}
"""Name of the file with the limit, and what it says where there is none."""
_USES = ("memory.usage_in_bytes", "memory.current")
_STEP_BYTES = 1 << 20
_PATIENCE_S = 10.0


class MemoryGroup:
    """A group for the length of a `with` block; whoever is started with `launcher` before its command is in it."""

    def __init__(self, name: str) -> None:
        """Prepare a group of this name."""
        self._name = name

    def __enter__(self) -> Self:
        """Make the group. Raises `ServiceUnavailable` where only somebody else may make one."""
        for root in _ROOTS:
            folder = root / self._name
            try:
                folder.mkdir()
            except OSError:
                continue
            found = [folder / limit for limit in _LIMITS if (folder / limit).exists()]
            if found:
                self._folder, self._limit = folder, found[0]
                self.launcher = ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(folder)]
                return self
            folder.rmdir()
        raise ServiceUnavailable(
            "a limit of memory needs a control group, which root may make where /sys/fs/cgroup is writable and the "
            "memory controller is on"
        )

    def __exit__(self, *_: object) -> None:
        # A process that was killed is in its group until somebody has reaped it.
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                self._folder.rmdir()
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    @property
    def used_bytes(self) -> int:
        """Return what its processes have, with the pages of files that the kernel keeps for them."""
        (use,) = [self._folder / name for name in _USES if (self._folder / name).exists()]
        return int(use.read_text(encoding="ascii"))

    def limit(self, most_bytes: int) -> None:
        """Let it have no more than this from now on: who asks for more is killed.

        Where what it has already cannot be taken back so far, as version 1 says, the limit is the least that can be.
        """
        for allowed in range(most_bytes, max(most_bytes, self.used_bytes) + 2 * _STEP_BYTES, _STEP_BYTES):
            try:
                self._limit.write_text(str(allowed), encoding="ascii")
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
            else:
                return

    def lift(self) -> None:
        """Let it have what it wants."""
        self._limit.write_text(_LIMITS[self._limit.name], encoding="ascii")
