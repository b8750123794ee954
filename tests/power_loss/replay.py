"""Records a workload, and lets the power fail after each of its calls."""

import hashlib
import random
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import orjson

from tests.power_loss.checks import CHECKS, Check, Facts
from tests.power_loss.disk import RecordedDisk, Survival, write_state
from tests.power_loss.syscalls import Syscall, read_trace, traced_command
from tests.processes import not_outliving


@dataclass(slots=True)
class Outcome:
    """What a replay looked at, and a sentence for each state that broke a promise."""

    workload: str
    seed: int
    calls: int = 0
    """Those that touched the folder: after each of them the power failed."""
    states: int = 0
    """Different ones, each opened and compared."""
    complaints: list[str] = field(default_factory=list)


class Notes(Protocol):
    """What a recorded program had been told is safe, and had asked for, at a moment of the recording."""

    safe: Facts
    asked: Facts
    count: int

    def apply(self, call: Syscall) -> None: ...


@dataclass(frozen=True, slots=True)
class Recording:
    """A program's calls, and how to judge what a power loss leaves of its folder."""

    workload: str
    seed: int
    root: Path
    """The folder, empty when the program began."""
    calls: Sequence[Syscall]
    notes: Notes
    check: Check


def record_workload(workload: str, seed: int, steps: int, folder: Path) -> Recording:
    """Run one of `workloads` for so many steps. Raises `CalledProcessError` where it fails."""
    root, marks, trace = folder / "recorded", folder / "marks", folder / "trace"
    root.mkdir(parents=True)
    program = ["-m", "tests.power_loss.workloads", workload, str(root), str(marks), str(seed), str(steps)]
    with subprocess.Popen(traced_command(program, trace)) as process, not_outliving(process):
        code = process.wait(300)
    if code:
        raise subprocess.CalledProcessError(code, program)
    return Recording(workload, seed, root, read_trace(trace), _Marks(marks), CHECKS[workload])


def replay(recording: Recording, folder: Path, *, some: int = 2) -> Outcome:
    """Check each state that a power loss after each call can leave, `some` of them drawn a call.

    Raises `UnknownCall`.
    """
    outcome = Outcome(recording.workload, recording.seed)
    seen: set[bytes] = set()
    disk, notes, rng = RecordedDisk(recording.root), recording.notes, random.Random(recording.seed)
    for call in recording.calls:
        notes.apply(call)
        if not disk.apply(call):
            continue
        outcome.calls += 1
        for survival in [*(one for one in Survival if one is not Survival.SOME), *[Survival.SOME] * some]:
            state = disk.lose_power(survival, rng)
            digest = _digest(state, notes.count)
            if digest in seen:
                continue
            seen.add(digest)
            outcome.states += 1
            wrong = _check(recording, state, folder / "left")
            moment = f"power lost after call {outcome.calls}, of the rest {survival.value}"
            outcome.complaints += [f"{moment}: {one}" for one in wrong]
    return outcome


class _Marks:
    """Reads the marks of a workload as it writes them."""

    def __init__(self, path: Path) -> None:
        self._path = str(path).encode()
        self._descriptor = ""
        self.safe: Facts = None
        self.asked: Facts = None
        self.count = 0

    def apply(self, call: Syscall) -> None:
        if call.name == "openat" and call.texts[-1] == self._path:
            self._descriptor = str(call.result)
        if call.name == "write" and call.result is not None and call.numbers[0] == self._descriptor:
            for line in b"".join(call.texts).splitlines():
                found = orjson.loads(line)
                self.safe, self.asked = found.get("safe", self.safe), found.get("asked", self.asked)
                self.count += 1


def _check(recording: Recording, state: dict[str, bytes | None], left: Path) -> list[str]:
    shutil.rmtree(left, ignore_errors=True)
    left.mkdir()
    write_state(state, left)
    return recording.check(left, recording.seed, recording.notes.safe, recording.notes.asked)


def _digest(state: dict[str, bytes | None], marks: int) -> bytes:
    digest = hashlib.blake2b(str(marks).encode(), digest_size=16)
    for place, content in state.items():
        digest.update(f"\0{place}\0{-1 if content is None else len(content)}\0".encode())
        digest.update(content or b"")
    return digest.digest()


def complaints_of(outcomes: Sequence[Outcome]) -> list[str]:
    """Return what is wrong in all of them, each with how to repeat it."""
    return [
        f"{outcome.workload}, seed {outcome.seed}: {complaint}"
        for outcome in outcomes
        for complaint in outcome.complaints
    ]
