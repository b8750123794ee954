"""Runs the work of a command until it is done or a signal ends it, on an event loop or without one."""

import asyncio
import math
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from edgewire.os_support import run_coroutine

# The same signal again within this time (s) is the same one.
SAME_SIGNAL_S = 0.2
_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")

Result = TypeVar("Result")


def run_async(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end, on uvloop where that exists."""
    return run_coroutine(main)


async def until_signal(
    work: Callable[[asyncio.Event], Awaitable[Result]],
    at_once: asyncio.Event | None = None,
    on_reload: Callable[[], None] | None = None,
) -> Result:
    """Run `work` with an event that SIGINT, SIGTERM and SIGHUP set.

    When the same signal comes again it sets `at_once`, where that is given, and the time after that, or else, it ends
    the process. Signals that are ignored, as SIGHUP under nohup, stay so.

    With `on_reload`, SIGHUP calls that, unless it says that the terminal of this process has gone.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    steps = [event for event in (stop, at_once) if event]
    received: dict[signal.Signals, tuple[int, float]] = {}

    def on_signal(number: signal.Signals) -> None:
        count, before_s = received.get(number, (0, -math.inf))
        # A wrapper hands on the Ctrl-C that the terminal has sent to us as well: that is one.
        if loop.time() - before_s < SAME_SIGNAL_S:
            return
        received[number] = (count + 1, loop.time())
        steps[count].set()
        if count + 1 == len(steps):
            # From then on the kernel ends us, even where this loop hangs.
            loop.call_later(SAME_SIGNAL_S, let_kill, number)

    def let_kill(number: signal.Signals) -> None:
        if sys.platform != "win32":
            loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)

    ending = _ending_signals()
    if on_reload and sys.platform != "win32":
        terminal, hangup = _Terminal(), signal.SIGHUP
        ends = hangup in ending

        def on_hangup() -> None:
            if not terminal.has_gone():
                on_reload()
            elif ends:
                on_signal(hangup)

        ending = [number for number in ending if number != hangup]
        loop.add_signal_handler(hangup, on_hangup)
    for number in ending:
        if sys.platform == "win32":
            signal.signal(number, lambda number, _: loop.call_soon_threadsafe(on_signal, signal.Signals(number)))
        else:
            loop.add_signal_handler(number, on_signal, number)
    try:
        return await work(stop)
    finally:
        for number in received:
            let_kill(number)


class _Terminal:
    """Knows the terminal that controls this process, if one does."""

    def __init__(self) -> None:
        self._was_there = self._is_there()

    def has_gone(self) -> bool:
        """Return whether it has gone since the last time that was asked: that is what the signal was for."""
        before, self._was_there = self._was_there, self._is_there()
        return before and not self._was_there

    @staticmethod
    def _is_there() -> bool:
        try:
            os.close(os.open("/dev/tty", os.O_RDWR))
        except OSError:
            return False
        return True


def _ending_signals() -> list[signal.Signals]:
    return [
        number
        for number in (getattr(signal, name) for name in _ENDING if hasattr(signal, name))
        if number.name != "SIGHUP" or signal.getsignal(number) is not signal.SIG_IGN
    ]


class StopFlag:
    """Is set by SIGINT, SIGTERM and SIGHUP, for work that is not on an event loop; calling it says whether it is."""

    def __init__(self) -> None:
        self._stopped = False

    def __call__(self) -> bool:
        return self._stopped

    def set(self) -> None:
        """Ask the work to end."""
        self._stopped = True

    def wait(self, seconds: float) -> bool:
        """Sleep; returns at once, and True, when the work is to end."""
        deadline = time.monotonic() + seconds
        while not self._stopped and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))
        return self._stopped

    @classmethod
    @contextmanager
    def on_signals(cls) -> "Iterator[StopFlag]":
        """Yield a flag for the length of the block; the second signal ends the process at once."""
        flag = cls()

        def on_signal(number: int, _frame: object) -> None:
            flag.set()
            signal.signal(number, before[signal.Signals(number)])

        before = {number: signal.signal(number, on_signal) for number in _ending_signals()}
        try:
            yield flag
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
