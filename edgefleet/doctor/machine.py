"""Reads from the kernel what this machine offers; None where it does not say."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from edgewire.cgroup import ROOT, read_cgroup_limits
from edgewire.os_support import open_files_limit, page_bytes

PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Holds the limits of a machine."""

    open_files: int
    """Of one process, after raising the soft limit to the hard one."""
    ports: tuple[int, int] | None
    """First and last port for outgoing connections."""
    memory_bytes: int | None
    """What a run can have, that of this process included."""
    cores: float
    memory_limit_bytes: int | None = None
    """Of the container, or whatever else has a control group, where it leaves less than the machine has; above it the
    kernel kills."""
    cpu_quota_cores: float | None = None
    """Of the same, where it is less than the cores."""
    tracked_connections: tuple[int, int] | None = None
    """How many connections the firewall tracks now, and how many it can (nf_conntrack); None where it tracks none. What
    is more is dropped without a word, on loopback as well."""
    listen_backlog: int | None = None
    """How many connections may wait for a server of this machine to accept them (somaxconn)."""

    @classmethod
    def read(cls, root: Path = ROOT) -> "Machine":
        """Return the limits of this machine, now; `root` is where `/proc` and `/sys` lie."""
        hard = open_files_limit()[1]
        groups = read_cgroup_limits(root)
        affinity = getattr(os, "sched_getaffinity", None)
        cores = float(len(affinity(0)) if affinity else os.cpu_count() or 1)
        quota = groups.cpu_quota_cores if groups.cpu_quota_cores and groups.cpu_quota_cores < cores else None
        free = [left for left in (groups.memory_left_bytes, _available(root / "proc")) if left is not None]
        return cls(
            open_files=hard,
            ports=_ports(root / "proc"),
            memory_bytes=min(free) + _own_bytes(root / "proc") if free else None,
            cores=quota or cores,
            memory_limit_bytes=groups.memory_limit_bytes if groups.memory_left_bytes == min(free, default=0) else None,
            cpu_quota_cores=quota,
            tracked_connections=_tracked(root / "proc"),
            listen_backlog=_number(root / "proc/sys/net/core/somaxconn"),
        )


def _ports(proc: Path) -> tuple[int, int] | None:
    numbers = (_read(proc / "sys/net/ipv4/ip_local_port_range") or "").split()
    return (int(numbers[0]), int(numbers[1])) if len(numbers) == 2 else None


def _tracked(proc: Path) -> tuple[int, int] | None:
    folder = proc / "sys/net/netfilter"
    now, most = _number(folder / "nf_conntrack_count"), _number(folder / "nf_conntrack_max")
    # Without a rule that asks for it the module is there and tracks nothing.
    return (now, most) if now and most else None


def _number(path: Path) -> int | None:
    text = (_read(path) or "").strip()
    return int(text) if text.isdecimal() else None


def _available(proc: Path) -> int | None:
    for line in (_read(proc / "meminfo") or "").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _own_bytes(proc: Path) -> int:
    """Return the memory that this process alone has: it is one of those that a run needs, and counted with them."""
    fields = (_read(proc / "self/statm") or "").split()
    return (int(fields[1]) - int(fields[2])) * page_bytes() if len(fields) > 2 else 0


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
