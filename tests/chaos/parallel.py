"""Makes runs of the suite, some at a time: each process has services of its own, so that no fault meets two runs."""

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from multiprocessing import get_context, util
from pathlib import Path

from tests.chaos.faults import FAULTS
from tests.chaos.run import Result, execute
from tests.chaos.services import Services

_BY_NAME = {fault.name: fault for fault in FAULTS}
_services: Services | None = None
"""Of this process, for as long as it lives."""


def execute_all(
    chosen: Iterable[tuple[str, int]], folder: Path, *, jobs: int = 1, minutes: float | None = None
) -> Iterator[Result]:
    """Make a run of each fault and seed, and yield them as they end; none begins after so many minutes."""
    deadline = None if minutes is None else time.monotonic() + minutes * 60
    left = iter(chosen)
    running: set[Future[Result]] = set()
    with ProcessPoolExecutor(jobs, get_context("spawn"), _begin) as pool:
        while True:
            if deadline is None or time.monotonic() < deadline:
                running |= {pool.submit(_run, *one, folder) for one in islice(left, jobs - len(running))}
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (one.result() for one in done)


def _begin() -> None:
    global _services
    _services = Services().__enter__()
    util.Finalize(None, _services.__exit__, exitpriority=1)


def _run(name: str, seed: int, folder: Path) -> Result:
    assert _services is not None
    return execute(_BY_NAME[name], seed, _services, folder)
