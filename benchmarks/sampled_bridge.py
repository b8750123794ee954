"""`edgefleet bridge run CONFIG` that keeps a book of where its CPU time goes: `sampled_bridge.py CONFIG BOOK`.

How it measures: a timer of the kernel (ITIMER_PROF) interrupts after every 2 ms of the process's CPU time. In the
event loop's thread the handler adds the CPU time that this thread has used since the last time to the stage of the
innermost function on the stack that belongs to one. The spool's writer and librdkafka's threads have clocks of their
own in the kernel. SIGUSR2 writes the book; two books, before and after, give what was spent in between.
"""

import json
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from types import FrameType

from benchmarks.proc import thread_cpu_s

_EVERY_S = 0.002
_ROOT = str(Path(__file__).parents[1]) + os.sep
_TOP = "/site-packages/"

RECEIVE, SPOOL, ROUTE, HTTP, KAFKA, SETTLE, OTHER = STAGES = (
    "receive, decode, acknowledge",
    "spool: commit and read again",
    "route",
    "HTTP",
    "Kafka",
    "deliver and settle: order, breakers, cursors",
    "event loop and the rest",
)
_FILES = {
    "edgewire/mqtt/": RECEIVE,
    "edgewire/link.py": RECEIVE,
    "bridge/connection.py": RECEIVE,
    "bridge/intake.py": RECEIVE,
    "bridge/properties.py": RECEIVE,
    "bridge/spool/": SPOOL,
    "bridge/crew.py": ROUTE,
    "bridge/routing.py": ROUTE,
    "bridge/routing_rules.py": ROUTE,
    "bridge/routed.py": ROUTE,
    "bridge/schemas.py": ROUTE,
    "bridge/sequence_watch.py": ROUTE,
    "bridge/sequences.py": ROUTE,
    "bridge/sinks/http/": HTTP,
    "bridge/sinks/kafka/": KAFKA,
    "bridge/delivery/": SETTLE,
    "edgewire/messages/topics.py": ROUTE,
}
"""Path, or the beginning of one, of the files of a stage. Helpers that are in none count for who called them."""
_PACKAGES = {"aiohttp": HTTP, "confluent_kafka": KAFKA}


class Book:
    """CPU seconds of the event loop's thread, by stage."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._before_s = time.thread_time()
        self._stages: dict[str, str | None] = {}

    def sample(self, _number: int, frame: FrameType | None) -> None:
        """What was spent since the last sample, to the stage that is being worked at now."""
        now_s = time.thread_time()
        self._spent[self._stage(frame)] += now_s - self._before_s
        self._before_s = now_s

    def write(self, number: int, frame: FrameType | None) -> None:
        """The whole book, so far."""
        self.sample(number, frame)
        threads = thread_cpu_s(os.getpid())
        del threads[os.getpid()]  # the event loop's: that is what the stages are of
        ours = {thread.native_id: thread.name for thread in threading.enumerate()}
        spent: defaultdict[str, float] = defaultdict(float)
        for task, (name, seconds) in threads.items():
            spent[ours.get(task, name)] += seconds
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps({"loop": self._spent, "threads": spent}))
        partial.replace(self._path)

    def _stage(self, frame: FrameType | None) -> str:
        while frame is not None:
            name = frame.f_code.co_filename
            if name not in self._stages:
                self._stages[name] = _stage_of(name)
            if stage := self._stages[name]:
                return stage
            frame = frame.f_back
        return OTHER


def _stage_of(filename: str) -> str | None:
    if _TOP in filename:
        return _PACKAGES.get(filename.rpartition(_TOP)[2].split("/")[0])
    path = filename.removeprefix(_ROOT)
    return next((stage for start, stage in _FILES.items() if path.startswith(start)), None)


def main() -> None:
    """Run the bridge."""
    from edgefleet.cli import main as edgefleet

    config, path = sys.argv[1:3]
    book = Book(Path(path))
    signal.signal(signal.SIGPROF, book.sample)
    signal.signal(signal.SIGUSR2, book.write)
    signal.setitimer(signal.ITIMER_PROF, _EVERY_S, _EVERY_S)
    sys.argv = ["edgefleet", "bridge", "run", config]
    edgefleet()


if __name__ == "__main__":
    main()
