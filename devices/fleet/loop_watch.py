"""Tells how long what is read now may have waited for our own event loop, so that nobody else is blamed for that.

A loop hears of a socket once in each of its rounds. Where a round is long, because there is much to do or no processor,
an answer that came at its begin is read at its end, as late as one that came just now. What is known of it: it was not
there yet when the loop looked before.
"""

import asyncio
from collections import deque
from collections.abc import Callable

BEAT_S = 0.02
"""How often the moment is written down in a loop that has nothing else to do; in one that has, once a round."""
# An answer is read in the round that hears of it. That a connection is open, with TLS among it, is heard of in one and
# handed on, step by step, in those after it.
ANSWER_BEATS, OPEN_BEATS = 2, 6


class LoopWatch:
    """Writes down, by `clock` (s), when its event loop came round while somebody is within its `with` block."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._within = 0
        self._beats: deque[float] = deque(maxlen=OPEN_BEATS)
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> "LoopWatch":
        self._within += 1
        if self._timer is None:
            # Of what was before nothing is known.
            self._beats.extend([self._clock()] * OPEN_BEATS)
            self._timer = asyncio.get_running_loop().call_later(BEAT_S, self._beat)
        return self

    def __exit__(self, *_: object) -> None:
        self._within -= 1
        if not self._within and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def looked_s(self, beats: int) -> float:
        """Return the moment of one of the last beats, counted from the last, which is 1; `OPEN_BEATS` at the most.

        Between two beats the loop looks for what has come at least once.
        """
        return self._beats[-beats]

    def _beat(self) -> None:
        self._beats.append(self._clock())
        self._timer = asyncio.get_running_loop().call_later(BEAT_S, self._beat)


class AnswerTime:
    """Adds up what a broker has taken for one connection at the least: what it cannot have been our loop that took."""

    def __init__(self, watch: LoopWatch, clock: Callable[[], float]) -> None:
        """Begin with a dial, within the block of `watch`."""
        self._watch = watch
        self._clock = clock
        self._asked_s: float | None = clock()
        self._beats = OPEN_BEATS
        self.least_s = 0.0
        """So far."""

    def on_open(self) -> None:
        """Count the time until the connection was open, and CONNECT left."""
        if self._asked_s is not None:
            self._count(self._asked_s)
            self._asked_s, self._beats = self._clock(), ANSWER_BEATS

    def on_answer(self) -> None:
        """Count the time until CONNACK was there, which ends it."""
        if self._asked_s is not None:
            self._count(self._asked_s)
            self._asked_s = None

    def _count(self, asked_s: float) -> None:
        self.least_s += max(0.0, self._watch.looked_s(self._beats) - asked_s)
