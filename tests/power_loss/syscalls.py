"""Runs a program under strace and reads what it asked of the file system and told its peers, in order."""

import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_TRACED = (
    "openat,open,creat,close,lseek,write,pwrite64,writev,pwritev,truncate,ftruncate,fallocate,fsync,fdatasync,"
    "rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,link,linkat,symlink,symlinkat,"
    "sendfile,copy_file_range,sendto,sendmsg"
)
_LINE = re.compile(r"(?P<thread>\d+) +(?P<rest>.*)")
_WHOLE = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+)")
_BEGUN = re.compile(r"(?P<name>\w+)\((?P<arguments>.*) <unfinished \.\.\.>")
_RESUMED = re.compile(r"<\.\.\. (?P<name>\w+) resumed>(?P<arguments>.*)\) += (?P<result>-?\d+)")
_ENDED = re.compile(r"\+\+\+ (exited with \d+|killed by \w+) \+\+\+\n\Z")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(frozen=True, slots=True)
class Syscall:
    """One call that has ended, or, with `result` None, one that has begun and that others may overtake."""

    thread: int
    name: str
    numbers: tuple[str, ...]
    """Arguments that are no texts, as strace writes them."""
    texts: tuple[bytes, ...]
    result: int | None


def traced_command(arguments: Sequence[str], trace: Path) -> list[str]:
    """Return the command that runs Python with `arguments` and writes what it does into `trace`.

    The process that it starts is Python itself; strace is beside it, and ends a little later.
    """
    options = ["-D", "-f", "--seccomp-bpf", "-xx", "-s", str(1 << 24), "-e", f"trace={_TRACED}", "-e", "signal=none"]
    return ["strace", *options, "-o", str(trace), sys.executable, *arguments]


def read_trace(trace: Path) -> list[Syscall]:
    """Return the calls of a program that has ended. Raises `TimeoutError` where strace does not say so."""
    deadline = time.monotonic() + 60
    while not _ENDED.search(text := trace.read_text(encoding="ascii")) or not text.endswith("\n"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"strace has not said in {trace} how the program ended")
        time.sleep(0.02)
    return list(parse_trace(text.splitlines()))


def parse_trace(lines: Iterator[str] | Sequence[str]) -> Iterator[Syscall]:
    """Read lines of `strace -f -xx`. A call that another thread's overtook comes twice: when it begins and ends."""
    begun: dict[int, str] = {}
    for line in lines:
        if not (parts := _LINE.fullmatch(line.rstrip("\n"))):
            raise ValueError(f"this is no line of strace -f: {line[:80]}")
        thread, rest = int(parts["thread"]), parts["rest"]
        if found := _WHOLE.match(rest):
            yield _call(thread, found["name"], found["arguments"], int(found["result"]))
        elif found := _BEGUN.match(rest):
            begun[thread] = found["arguments"]
            yield _call(thread, found["name"], found["arguments"], None)
        elif found := _RESUMED.match(rest):
            yield _call(thread, found["name"], begun.pop(thread) + found["arguments"], int(found["result"]))


def _call(thread: int, name: str, arguments: str, result: int | None) -> Syscall:
    texts = tuple(bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(arguments))
    numbers = tuple(part.strip() for part in _TEXT.sub('""', arguments).split(",") if '"' not in part)
    return Syscall(thread, name, numbers, texts, result)
