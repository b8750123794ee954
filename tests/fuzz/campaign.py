"""Fuzzes targets one after the other, each in a process of its own that is bounded in time and memory."""

import os
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path

from tests.fuzz.targets import TARGETS

MEMORY_MB = 1024
"""Of a whole process; the modules alone take some 150."""
_START_S = 600
"""To import and instrument, and to read the seeds, on a machine that others use too."""

_NOT_ENDED = -1
_FAULTS = {77: "raised", 70: "hung", 71: "out of memory", _NOT_ENDED: "not ended"}
"""Exit codes of libFuzzer, and what stands for one that had to be ended from outside."""


@dataclass(frozen=True, slots=True)
class FuzzOutcome:
    """Tells how it went with one target."""

    target: str
    seed: int
    runs: int
    branches: int
    corpus: int
    peak_mb: int
    cpu_s: float
    """User and system, with what it took to import and to read what there was."""
    fault: str = ""
    """What was found; empty for nothing."""
    input: Path | None = None
    """The input with which it was found."""

    def __str__(self) -> str:
        said = f"{self.target}: {self.runs:,} runs, {self.branches:,} branches, {self.corpus:,} inputs kept"
        said += f", {self.cpu_s:.0f} s of CPU, {self.peak_mb} MB, seed {self.seed}"
        return f"{said}\n  FOUND {self.fault}\n  {self.input}" if self.fault else said


def fuzz(name: str, seconds: int, seed: int, folder: Path) -> FuzzOutcome:
    """Fuzz a target for so long; go on with what `folder` has kept. An input that is found stays there."""
    corpus, found = folder / "corpus" / name, folder / "found" / name
    corpus.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(found, ignore_errors=True)
    found.mkdir(parents=True)
    target = TARGETS[name]
    for one in target.seeds():
        (corpus / sha1(one, usedforsecurity=False).hexdigest()).write_bytes(one)
    options = {
        "max_total_time": seconds,
        "timeout": target.case_s,
        "rss_limit_mb": MEMORY_MB,
        "max_len": target.most_bytes,
        # libFuzzer takes 0 for any.
        "seed": seed or 1,
        "artifact_prefix": f"{found}/",
        "print_final_stats": 1,
        "verbosity": 1,
    }
    said = [f"-{key}={value}" for key, value in options.items()]
    command = [sys.executable, "-m", "tests.fuzz.worker", name, str(corpus), *said]
    log = folder / f"{name}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env={**os.environ, "TZ": "UTC"})
        code, cpu_s = _wait(process, seconds + _START_S)
    text = log.read_text(errors="replace")
    inputs = sorted(found.iterdir(), key=lambda path: path.stat().st_size)
    fault = "" if code == 0 else f"{_FAULTS.get(code, f'ended with {code}')}: {_reason(text)}"
    return FuzzOutcome(
        name,
        seed,
        _number(text, r"stat::number_of_executed_units:\s*(\d+)"),
        _number(text, r"\bcov: (\d+)"),
        sum(1 for _ in corpus.iterdir()),
        _number(text, r"stat::peak_rss_mb:\s*(\d+)"),
        cpu_s,
        fault,
        inputs[0] if inputs else None,
    )


def _wait(process: subprocess.Popen[bytes], limit_s: float) -> tuple[int, float]:
    """Return with what code a process has ended, or was ended at the limit, and the CPU seconds that it took."""
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        process.kill()

    timer = threading.Timer(limit_s, end)
    timer.start()
    try:
        # `Popen.wait` does not tell what this process alone took, and others may run beside it.
        _, status, usage = os.wait4(process.pid, 0)
    finally:
        timer.cancel()
    process.returncode = _NOT_ENDED if is_late.is_set() else os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_utime + usage.ru_stime


def _number(text: str, pattern: str) -> int:
    """Return the last one."""
    found = re.findall(pattern, text)
    return int(found[-1]) if found else 0


def _reason(text: str) -> str:
    """Return the last line of a traceback, else what libFuzzer says."""
    errors = re.findall(
        r"^(?:[\w.]+(?:Error|Exception|Interrupt)\b.*|==\d+== ?ERROR: .*|.*Error: .*)$", text, re.MULTILINE
    )
    return (errors[0] if errors else text[-500:]).strip()[:500]
