"""What Linux knows of a running process: its memory and the CPU time of its threads."""

from pathlib import Path

from edgefleet.embedded import ManagedProcess
from tests.waiting import until

_NS = 1e9


def pid_of(process: ManagedProcess) -> int:
    """The program itself: a managed process is a child of the small process that watches us, which takes a moment."""
    assert process._process is not None, f"{process.name} was never started"
    parent = process._process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children")
    until(children.read_text, f"{process.name} runs")
    return int(children.read_text().split()[0])


def memory(pid: int) -> tuple[int, int]:
    """Resident memory in bytes, and how much of it belongs to no file."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    rss, anonymous = (int(lines[name].split()[0]) * 1024 for name in ("VmRSS", "RssAnon"))
    return rss, anonymous


def thread_cpu_s(pid: int) -> dict[int, tuple[str, float]]:
    """Of every thread that lives, by its number: the name the kernel has for it, and its CPU seconds."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text().strip()
        found[int(task.name)] = (name, int((task / "schedstat").read_text().split()[0]) / _NS)
    return found


def descriptors(pid: int) -> int:
    """How many files, sockets and pipes it has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def threads(pid: int) -> int:
    """How many threads it has."""
    return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
