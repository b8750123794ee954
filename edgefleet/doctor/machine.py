"""Reads from the kernel what this machine offers; None where it does not say."""

import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Holds the limits of a machine."""

    open_files: int
    """Of one process, after raising the soft limit to the hard one."""
    ports: tuple[int, int] | None
    """First and last port for outgoing connections."""
    memory_bytes: int | None
    """What new processes can have."""
    cores: float

    @classmethod
    def read(cls) -> "Machine":
        """Return the limits of this machine, now."""
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        return cls(
            open_files=sys.maxsize if hard == resource.RLIM_INFINITY else hard,
            ports=_ports(),
            memory_bytes=_memory(),
            cores=_cores(),
        )


def _ports() -> tuple[int, int] | None:
    numbers = (_read(PROC / "sys/net/ipv4/ip_local_port_range") or "").split()
    return (int(numbers[0]), int(numbers[1])) if len(numbers) == 2 else None


def _memory() -> int | None:
    available = None
    for line in (_read(PROC / "meminfo") or "").splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
    limit, used = _read(CGROUP / "memory.max") or "max", _read(CGROUP / "memory.current")
    if limit.strip() != "max" and used:
        left = int(limit) - int(used)
        return left if available is None else min(available, left)
    return available


def _cores() -> float:
    affinity = getattr(os, "sched_getaffinity", None)
    cores = float(len(affinity(0)) if affinity else os.cpu_count() or 1)
    quota = (_read(CGROUP / "cpu.max") or "max").split()
    return min(cores, int(quota[0]) / int(quota[1])) if len(quota) == 2 and quota[0] != "max" else cores


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return None


def count_oom_kills() -> int:
    """Return how many processes the kernel has killed since it started because memory ran out, in any container."""
    for line in (_read(PROC / "vmstat") or "").splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill":
            return int(value)
    return 0


def open_files_of_listener(port: int) -> tuple[int, int] | None:
    """Return process id and open-file limit of what listens on this TCP port here; None where that is not visible."""
    inodes = set(_listeners(port))
    if not inodes:
        return None
    for process in PROC.iterdir():
        if process.name.isdecimal() and _holds(process, inodes):
            for line in (_read(process / "limits") or "").splitlines():
                if line.startswith("Max open files"):
                    soft = line.split()[3]
                    return int(process.name), sys.maxsize if soft == "unlimited" else int(soft)
    return None


def _listeners(port: int) -> list[str]:
    """Return the inodes of the sockets that listen there."""
    found = []
    for name in ("net/tcp", "net/tcp6"):
        for line in (_read(PROC / name) or "").splitlines()[1:]:
            fields = line.split()
            # Local address and port in hexadecimal; state 0A is LISTEN.
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                found.append(f"socket:[{fields[9]}]")
    return found


def _holds(process: Path, inodes: set[str]) -> bool:
    try:
        return any(os.readlink(file) in inodes for file in (process / "fd").iterdir())
    except OSError:
        return False
