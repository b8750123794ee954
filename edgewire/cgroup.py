"""Reads what the control groups of this process let it have: memory and processor, in version 1, 2, or both at once.

A group is bound by all groups above it as well, so each limit is the tightest on the way up, as far as this process can
see: a container sees its own group as the top. `root` is where `/proc` and `/sys` lie; tests put their own there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
# Version 1 says "no limit" by the largest number of pages, which depends on their size.
_UNLIMITED = 1 << 60
_LONGEST = 1 << 18
_DEEPEST = 64


@dataclass(frozen=True, slots=True)
class CpuThrottling:
    """Tells how often the quota of a group was used up, since the group was made."""

    periods: int = 0
    """Periods in which the group wanted the processor."""
    throttled: int = 0
    """Of those: in which it had to wait for the next one (`nr_throttled`)."""
    throttled_s: float = 0.0
    """How long its processes waited."""

    def since(self, before: "CpuThrottling") -> "CpuThrottling":
        """Return what was counted after `before`."""
        return CpuThrottling(
            max(0, self.periods - before.periods),
            max(0, self.throttled - before.throttled),
            max(0.0, self.throttled_s - before.throttled_s),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupLimits:
    """Holds the limits of this process's groups; None where there is none."""

    memory_limit_bytes: int | None = None
    """Above which something is killed."""
    memory_left_bytes: int | None = None
    """What may still be allocated; file cache that the kernel gives back counts as free."""
    cpu_quota_cores: float | None = None


def read_cgroup_limits(root: Path = ROOT) -> CgroupLimits:
    """Return the limits now."""
    limits: list[int] = []
    left: list[int] = []
    for group in _groups(root, "memory"):
        stat = _numbers(group / "memory.stat")
        # Version 1 also tells the tightest limit of the groups that this process does not see.
        said = (
            _number(group / "memory.max"),
            _number(group / "memory.limit_in_bytes"),
            stat.get("hierarchical_memory_limit"),
        )
        limit = min((one for one in said if one is not None and one < _UNLIMITED), default=None)
        if limit is None:
            continue
        used = _number(group / "memory.current") or _number(group / "memory.usage_in_bytes") or 0
        cache = stat.get("total_inactive_file", stat.get("inactive_file", 0))
        limits.append(limit)
        left.append(max(0, limit - max(0, used - cache)))
    return CgroupLimits(
        memory_limit_bytes=min(limits, default=None),
        memory_left_bytes=min(left, default=None),
        cpu_quota_cores=min(filter(None, map(_quota, _groups(root, "cpu"))), default=None),
    )


def read_cpu_throttling(root: Path = ROOT) -> CpuThrottling:
    """Return how often the processor was taken away for a quota, of the group on the way up that it met the most."""
    found = [CpuThrottling()]
    for group in _groups(root, "cpu"):
        stat = _numbers(group / "cpu.stat")
        waited_s = stat.get("throttled_usec", 0) / 1e6 or stat.get("throttled_time", 0) / 1e9
        found.append(CpuThrottling(stat.get("nr_periods", 0), stat.get("nr_throttled", 0), waited_s))
    return max(found, key=lambda one: one.throttled)


def _quota(group: Path) -> float | None:
    """Return how many cores a group may use."""
    words = (_read(group / "cpu.max") or "").split()
    quota, period = (
        words if len(words) == 2 else (_read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us"))
    )
    try:
        cores = int(quota or "") / int(period or "")
    except (ValueError, ZeroDivisionError):
        return None
    return cores if cores > 0 else None


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the group that holds this process, and of those above it that can be seen."""
    version_1 = version_2 = None
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3 and controller in fields[1].split(","):
            version_1 = fields[2]
        elif len(fields) == 3 and not fields[1]:
            version_2 = fields[2]
    for mount_root, mount, options in _mounts(root):
        path = version_2 if options is None else version_1 if controller in options else None
        # Where both are mounted, a controller belongs to one of them.
        if path is None or (options is None and version_1 is not None):
            continue
        top = root / mount.lstrip("/")
        below = _below(mount_root, path)
        for depth in range(min(len(below), _DEEPEST), -1, -1):
            yield top.joinpath(*below[:depth])
        return


def _below(mount_root: str, path: str) -> tuple[str, ...]:
    """Return the way from what is mounted down to the group; the top where the group lies beyond it."""
    if mount_root != "/":
        if path != mount_root and not path.startswith(mount_root + "/"):
            return ()
        path = path[len(mount_root) :]
    parts = tuple(part for part in path.split("/") if part)
    return () if ".." in parts else parts


def _mounts(root: Path) -> Iterator[tuple[str, str, list[str] | None]]:
    """Yield what of a hierarchy is mounted, where, and the controllers of version 1; None for version 2."""
    for line in (_read(root / "proc/self/mountinfo") or "").splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) > 4 and len(kind) > 2 and kind[0] in ("cgroup", "cgroup2"):
            mount_root, mount = (text.replace(r"\040", " ") for text in fields[3:5])
            yield mount_root, mount, None if kind[0] == "cgroup2" else kind[2].split(",")


def _numbers(path: Path) -> dict[str, int]:
    """Return a file of a name and a number a line."""
    pairs = (line.split() for line in (_read(path) or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def _number(path: Path) -> int | None:
    text = (_read(path) or "").strip()
    return int(text) if text.isdecimal() else None


def _read(path: Path) -> str | None:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_LONGEST)
    except OSError:
        return None
