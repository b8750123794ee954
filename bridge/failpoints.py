"""Named points at which a test lets the bridge die, its disk fail or its clock jump. Does nothing in production.

Armed by one environment variable, read when the process starts; without it every function here is an empty one:

    EDGEFLEET_FAILPOINT=after-commit:37            the 37th group that was committed is the last
    EDGEFLEET_FAILPOINT=after-accept/kafka:5       the 5th batch that Kafka took is
    EDGEFLEET_FAILPOINT=clock-jump/-3600:10,disk-full:80

An armed bridge says so in its log, as an error, and refuses to start where the variable is misspelt: nobody has it by
accident, and nobody who wants it goes without. docs/reliability.md tells what each point proves.
"""

import asyncio
import os
import re
import signal
import sqlite3
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgewire import logs
from edgewire.clock import Clock
from edgewire.errors import ConfigError

VARIABLE = "EDGEFLEET_FAILPOINT"

POINTS: Mapping[str, str] = {
    "before-commit": "SIGKILL with received messages written to the spool, but not committed",
    "after-commit": "SIGKILL with messages committed, but not acknowledged to the broker",
    "after-puback": "SIGKILL when the acknowledgements have left",
    "after-accept": "SIGKILL when a sink (/NAME, or any) has taken a batch, before the books know",
    "before-cursor": "SIGKILL with the progress of a sink written to the spool, but not committed",
    "after-cursor": "SIGKILL with the progress of a sink committed",
    "write-error": "a commit fails with an error of the disk",
    "disk-full": "a commit fails because the disk is full",
    "clock-jump": "the wall clock is /SECONDS ahead (or behind, if negative) from this reading on",
}
"""Every fail point, and what happens there."""

_FORM = re.compile(r"(?P<name>[a-z-]+)(/(?P<argument>-?[A-Za-z0-9_.]+))?:(?P<at>[1-9][0-9]*)")

log = logs.get("failpoints")


@dataclass(slots=True)
class _Armed:
    """One point: it strikes at the `at`-th passing."""

    name: str
    argument: str
    at: int
    passed: int = 0


def parse(text: str) -> list[_Armed]:
    """Return the points of `NAME[/ARGUMENT]:PASSING[,…]`. Raises `ConfigError`."""
    points: list[_Armed] = []
    for part in text.split(","):
        found = _FORM.fullmatch(part.strip())
        if not found or found["name"] not in POINTS:
            raise ConfigError(
                f"{VARIABLE}: '{part}' is no fail point: write NAME:PASSING, such as after-commit:37, with one of"
                f" {', '.join(POINTS)}; or unset it"
            )
        points.append(_Armed(found["name"], found["argument"] or "", int(found["at"])))
        if found["name"] == "clock-jump" and not re.fullmatch(r"-?\d+", points[-1].argument):
            raise ConfigError(f"{VARIABLE}: '{part}' does not say how far: write clock-jump/SECONDS:PASSING")
    return points


class FailPoints:
    """Holds the armed points of a process. Each is passed in one thread alone, the loop's or the spool writer's."""

    def __init__(self, points: list[_Armed], die: Callable[[], object] | None = None) -> None:
        """Arm `points`; `die` is what those do that kill the process."""
        self._points = points
        self._die = die or _die

    def committing(self, messages: int, updates: int) -> None:
        """Pass the points before a commit."""
        if messages:
            self._at("before-commit", self._die)
        if updates:
            self._at("before-cursor", self._die)
        self._at("write-error", _fail_to_write)
        self._at("disk-full", _fill_the_disk)

    def committed(self, messages: int, updates: int) -> None:
        """Pass the points after a commit: it is on disk."""
        if messages:
            self._at("after-commit", self._die)
        if updates:
            self._at("after-cursor", self._die)

    def acknowledged(self) -> None:
        """Pass the point after PUBACKs went to the transport, which writes them when this turn of the loop ends."""
        self._at("after-puback", lambda: asyncio.get_running_loop().call_soon(self._die))

    def accepted(self, sink: str) -> None:
        """Pass the point after a sink has taken a batch, or part of one."""
        self._at("after-accept", self._die, sink)

    def clock(self, clock: Clock) -> Clock:
        """Return `clock`, or one that will jump."""
        for point in self._points:
            if point.name == "clock-jump":
                clock = _JumpingClock(clock, point)
        return clock

    def announce(self) -> None:
        """Tell the log."""
        for point in self._points:
            argument = f"/{point.argument}" if point.argument else ""
            log.error(f"armed by {VARIABLE}: {POINTS[point.name]}", point=f"{point.name}{argument}:{point.at}")

    def _at(self, name: str, strike: Callable[[], object], argument: str = "") -> None:
        for point in self._points:
            if point.name == name and point.argument in ("", argument):
                point.passed += 1
                if point.passed == point.at:
                    log.error("fail point reached", point=name, passing=point.at)
                    strike()


class _JumpingClock:
    """Wall time that jumps once; durations are not touched."""

    def __init__(self, clock: Clock, point: _Armed) -> None:
        self._clock = clock
        self._point = point
        self._offset_ms = 1000 * int(point.argument)

    def now_ms(self) -> int:
        self._point.passed += 1
        if self._point.passed == self._point.at:
            log.error("fail point reached", point=self._point.name, passing=self._point.at)
        return self._clock.now_ms() + (self._offset_ms if self._point.passed >= self._point.at else 0)

    def monotonic(self) -> float:
        return self._clock.monotonic()


def _die() -> None:
    if sys.platform == "win32":
        os._exit(137)
    os.kill(os.getpid(), signal.SIGKILL)


def _fail_to_write() -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
    raise error


def _fill_the_disk() -> None:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error


def _nothing(*_: object) -> None:
    """Do nothing: every point where none is armed."""


def _unarmed(clock: Clock) -> Clock:
    return clock


committing: Callable[[int, int], None] = _nothing
committed: Callable[[int, int], None] = _nothing
acknowledged: Callable[[], None] = _nothing
accepted: Callable[[str], None] = _nothing
clock_of: Callable[[Clock], Clock] = _unarmed
announce: Callable[[], None] = _nothing
"""Raises `ConfigError` where the variable is misspelt."""


def _misspelt(error: ConfigError) -> Callable[[], None]:
    def announce() -> None:
        raise error

    return announce


if text := os.environ.get(VARIABLE):
    try:
        _armed = FailPoints(parse(text))
    except ConfigError as error:
        announce = _misspelt(error)
    else:
        committing, committed = _armed.committing, _armed.committed
        acknowledged, accepted = _armed.acknowledged, _armed.accepted
        clock_of, announce = _armed.clock, _armed.announce
