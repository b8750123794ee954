"""What several commands share: the event loop, signals, and the options they have in common."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast, get_args

import typer
import uvloop

from edgewire import logs

Result = TypeVar("Result")

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document on stdout.")]
LogLevel = Annotated[
    str,
    typer.Option(envvar="EDGEFLEET_LOG_LEVEL", help="debug, info, warning or error; logs go to stderr."),
]
LogFormat = Annotated[
    str,
    typer.Option(
        envvar="EDGEFLEET_LOG_FORMAT", help="text, json (one object a line), or auto: text on a terminal, else json."
    ),
]
ScenarioFile = Annotated[Path, typer.Argument(metavar="SCENARIO", help="Scenario file (YAML).", show_default=False)]


def start_logging(level: str, fmt: str = "auto") -> None:
    """Logs of the level and form a user named; raises `typer.BadParameter` for a name that is none."""
    if level.lower() not in ("debug", "info", "warning", "error"):
        raise typer.BadParameter(f"'{level}' is no log level: debug, info, warning or error")
    if fmt not in get_args(logs.LogFormat):
        raise typer.BadParameter(f"'{fmt}' is no log format: {', '.join(get_args(logs.LogFormat))}")
    logs.configure(level, cast("logs.LogFormat", fmt))


def run_async(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end on uvloop."""
    return uvloop.run(main)


async def until_signal(work: Callable[[asyncio.Event], Awaitable[Result]]) -> Result:
    """Run `work` with an event that SIGINT and SIGTERM set; the second such signal ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)
    return await work(stop)


class StopFlag:
    """Set by SIGINT and SIGTERM, for work that is not on an event loop; calling it says whether it is set."""

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
        """A flag for the length of the block; the second signal ends the process at once."""
        flag = cls()

        def on_signal(number: int, _frame: object) -> None:
            flag.set()
            signal.signal(number, before[signal.Signals(number)])

        before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield flag
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
