"""Faults of the bridge itself: how it is killed, stopped, or kept from writing."""

import random
import re
import time
from collections.abc import Sequence

from tests.chaos.bridge import KILLED, START_S
from tests.chaos.proxy_front import Act, Script
from tests.chaos.run import Injection, Run
from tests.chaos.small_disk import fill_disk

KILL_POINTS = ("before-commit", "after-commit", "after-puback", "after-accept", "before-cursor", "after-cursor")

_REACH_S = 15.0
"""How long a fail point may take to be reached."""


def kill_at(*points: str) -> Injection:
    """SIGKILL at fail points, twice or three times; lives after the first meet a backlog in few, large pieces."""

    def inject(run: Run) -> None:
        lives = run.rng.randint(2, 3)
        if not run.bridge.armed:
            run.bridge.kill()
            run.bridge.start(aim(run.rng, points, 10))
        for life in range(lives):
            code = run.bridge.wait_end(_REACH_S)
            if code is None:
                return
            assert code == KILLED, f"exit code {code} at {run.bridge.armed}:\n{run.bridge.last_words()}"
            run.bridge.start(aim(run.rng, points, 10) if life + 1 < lives else None)

    return inject


def aim(rng: random.Random, points: Sequence[str], most: int) -> str:
    return f"{rng.choice(points)}:{rng.randint(1, most)}"


def kill_at_any_time(run: Run) -> None:
    """SIGKILL at random moments, also while the bridge is starting."""
    for _ in range(run.rng.randint(2, 4)):
        run.pause(0.1, 1.6)
        run.bridge.kill()
        run.bridge.start()


def stop_and_start(run: Run) -> None:
    """SIGTERM, as an operator would."""
    for _ in range(2):
        run.pause(0.2, 0.8)
        code = run.bridge.stop()
        run.injected += 1
        assert code == 0, f"exit code {code} after SIGTERM:\n{run.bridge.last_words()}"
        run.bridge.start()
        run.bridge.wait_ready()


def fail_to_write(said: str) -> Injection:
    """A commit fails: the bridge must end by itself and say why."""

    def inject(run: Run) -> None:
        point = (run.bridge.armed or "").partition(":")[0]
        for life in range(2):
            ends_with(run, said)
            run.bridge.start(aim(run.rng, [point], 10) if life == 0 else None)

    return inject


def fill_the_disk(run: Run) -> None:
    """The disk of the spool is filled by somebody else, and later freed."""
    run.services.front.script = Script(act=Act.REFUSE)  # so that the spool grows
    run.pause(0.1, 0.5)
    filler = fill_disk(run.disk)
    ends_with(run, "the disk is full")
    filler.unlink()
    run.bridge.start()


def ends_with(run: Run, said: str) -> None:
    """The bridge ends by itself with exit code 1, and this is in its last words."""
    code = run.bridge.wait_end(START_S)
    run.injected += 1
    assert code == 1, f"exit code {code} instead of 1:\n{run.bridge.last_words()}"
    assert said in run.bridge.last_words(), f"does not say '{said}':\n{run.bridge.last_words()}"


def clock_jump(run: Run) -> None:
    """The jump is in the fail point; here is only the time for it."""
    run.pause(0.8, 1.5)
    run.injected += 1
    assert "fail point reached" in run.bridge.last_words() or "clock" not in (run.bridge.armed or "")


def wait_for_words(run: Run, said: re.Pattern[str]) -> None:
    """Wait until the bridge has written such words to its log."""
    deadline = time.monotonic() + START_S
    while not said.search(run.bridge.words()):
        assert run.bridge.running, f"the bridge ended by itself:\n{run.bridge.last_words()}"
        assert time.monotonic() < deadline, f"does not say '{said.pattern}':\n{run.bridge.last_words()}"
        time.sleep(0.05)
