"""Where the CPU time of an event loop's thread goes, by stage.

A timer of the kernel (ITIMER_PROF) interrupts after every 2 ms of the process's CPU time. The handler adds the CPU time
that the thread has used since the last time to the stage of the innermost function on the stack that belongs to one.
Other threads have clocks of their own in the kernel.
"""

import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from benchmarks.proc import thread_cpu_s

_EVERY_S = 0.002
_ROOT = str(Path(__file__).parents[1]) + os.sep
_TOP = "/site-packages/"


class Profile:
    """CPU seconds by stage. Make it in the thread of the loop."""

    def __init__(self, places: Mapping[str, str], packages: Mapping[str, str], other: str) -> None:
        """`places` are the beginnings of `FILE:FUNCTION`, the more special first; helpers that are in none count for
        who called them. What is in no stage is `other`.

        Raises `ValueError` for a place that there is not, as its time would go to another stage without a word.
        """
        for place in places:
            _require_place(place)
        self._places, self._packages, self._other = places, packages, other
        self.spent: defaultdict[str, float] = defaultdict(float)
        self._before_s = 0.0
        self._stages: dict[tuple[str, str], str | None] = {}

    def begin(self) -> None:
        """Sample from now on."""
        self._before_s = time.thread_time()
        signal.signal(signal.SIGPROF, self.sample)
        signal.setitimer(signal.ITIMER_PROF, _EVERY_S, _EVERY_S)

    def end(self) -> None:
        """Sample no more: a timer that fires while Python ends would end it with a signal."""
        signal.setitimer(signal.ITIMER_PROF, 0)

    def sample(self, _number: int, frame: FrameType | None) -> None:
        """What was spent since the last sample, to the stage that is being worked at now."""
        now_s = time.thread_time()
        self.spent[self._stage(frame)] += now_s - self._before_s
        self._before_s = now_s

    def threads(self) -> dict[str, float]:
        """CPU seconds of the other threads, by name."""
        threads = thread_cpu_s(os.getpid())
        del threads[os.getpid()]  # the event loop's: that is what the stages are of
        ours = {thread.native_id: thread.name for thread in threading.enumerate()}
        spent: defaultdict[str, float] = defaultdict(float)
        for task, (name, seconds) in threads.items():
            spent[ours.get(task, name)] += seconds
        return dict(spent)

    def _stage(self, frame: FrameType | None) -> str:
        while frame is not None:
            key = frame.f_code.co_filename, frame.f_code.co_name
            if key not in self._stages:
                self._stages[key] = self._stage_of(*key)
            if stage := self._stages[key]:
                return stage
            frame = frame.f_back
        return self._other

    def _stage_of(self, filename: str, function: str) -> str | None:
        if _TOP in filename:
            return self._packages.get(filename.rpartition(_TOP)[2].split("/")[0])
        place = f"{filename.removeprefix(_ROOT)}:{function}"
        return next((stage for start, stage in self._places.items() if place.startswith(start)), None)


def _require_place(place: str) -> None:
    file, _, function = place.partition(":")
    path = Path(_ROOT, file)
    if not path.exists() or (function and f"def {function}" not in path.read_text(encoding="utf-8")):
        raise ValueError(f"there is no {place} whose time could be taken")


def table(stages: Mapping[str, float], messages: int) -> list[str]:
    """CPU seconds by stage as a table of microseconds a message."""
    total = sum(stages.values())
    rows = [f"| {stage} | {spent / messages * 1e6:.1f} µs | {spent / total:.0%} |" for stage, spent in stages.items()]
    return [
        "| stage | CPU a message | share |",
        "|---|---:|---:|",
        *rows,
        f"| all | {total / messages * 1e6:.1f} µs | 100% |",
    ]
