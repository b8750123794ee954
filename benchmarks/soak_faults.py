"""What fails around a bridge that is soaked: one after the other, again and again, and never the bridge itself.

A bridge that is killed begins anew, with new memory; that it loses nothing then is what `make chaos` is for.
"""

import json
import random
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import yaml

from benchmarks.stack import Stack
from edgefleet.embedded import ManagedProcess
from edgewire.errors import ConfigError

AWAY_SHARE = 0.1
"""How long a part is away, of the time between two faults: always the same, as what waits for longer takes more memory,
which would look like growth where it only comes late."""

SETTLING_STEP = 0.25
"""Of that time, between two faults in the part that is not judged."""

_NONE_REFUSED = 'edgefleet_bridge_reloads_total{outcome="refused"} 0.0'

Injection = Callable[[Stack, float], None]
"""Has something fail, for so many seconds, and mends it."""


class Injected(NamedTuple):
    """A fault that was, in seconds since the soak began."""

    fault: str
    begun_s: float
    ended_s: float


class FaultCycle:
    """Goes through all faults in a random order, then in another."""

    def __init__(self, stack: Stack, every_s: float, settled_s: float, seed: int) -> None:
        self.injected: list[Injected] = []
        self.failure: BaseException | None = None
        """What could not be mended; no fault comes after it."""
        self._stack, self._every_s, self._settled_s = stack, every_s, settled_s
        self._rng = random.Random(seed)
        self._order: list[str] = []
        self._stop = threading.Event()
        self._begun = time.monotonic()
        self._thread = threading.Thread(target=self._inject_all, name="faults", daemon=True)

    def start(self) -> None:
        """Let the first come after one interval, in which the fleet connects."""
        self._begun = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """Let the one under way end, and no other come."""
        self._stop.set()
        self._thread.join()

    def next_fault(self) -> str:
        """Return the name of one of `FAULTS`."""
        if not self._order:
            self._order = self._rng.sample(sorted(FAULTS), len(FAULTS))
        return self._order.pop()

    def _inject_all(self) -> None:
        due_s = self._every_s
        while not self._stop.wait(max(0.0, self._begun + due_s - time.monotonic())):
            name, begun_s = self.next_fault(), time.monotonic() - self._begun
            try:
                FAULTS[name](self._stack, AWAY_SHARE * self._every_s)
            except BaseException as error:
                self.failure = error
                return
            ended_s = time.monotonic() - self._begun
            self.injected.append(Injected(name, round(begun_s, 1), round(ended_s, 1)))
            due_s = next_due_s(ended_s, self._every_s, self._settled_s)


def next_due_s(now_s: float, every_s: float, settled_s: float) -> float:
    """Return when a fault comes after this moment: each interval has one, and each before `settled_s` has several.

    Their backlogs need different memory, by chance. After many of them there are few that need more than any before,
    which a judge of memory would take for growth.
    """
    step_s = SETTLING_STEP * every_s
    early_s = (now_s // step_s + 1) * step_s
    return early_s if early_s < settled_s else (now_s // every_s + 1) * every_s


@contextmanager
def faults_every(seconds: float, settled_s: float, stack: Stack, seed: int) -> Iterator[FaultCycle]:
    """Have a fault every so many seconds until left, and more often at first. Raises what a fault could not mend."""
    cycle = FaultCycle(stack, seconds, settled_s, seed)
    cycle.start()
    try:
        yield cycle
    finally:
        cycle.stop()
    if cycle.failure:
        raise cycle.failure


def _hang(part: Callable[[Stack], ManagedProcess]) -> Injection:
    def inject(stack: Stack, seconds: float) -> None:
        part(stack).signal(signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            part(stack).signal(signal.SIGCONT)

    return inject


def _kill(part: Callable[[Stack], ManagedProcess]) -> Injection:
    def inject(stack: Stack, seconds: float) -> None:
        part(stack).kill()
        time.sleep(seconds)
        part(stack).start()

    return inject


def _restart_broker(stack: Stack, seconds: float) -> None:
    """In order: a Mosquitto that is killed forgets what it has not written yet."""
    stack.broker.terminate()
    time.sleep(seconds)
    stack.broker.start()


def _reload(stack: Stack, seconds: float) -> None:
    """Another timeout of each sink, and the former again: both are closed and opened twice.

    Raises `ConfigError` where the bridge goes on with what it had.
    """
    former = stack.config.read_text()
    config = yaml.safe_load(former)
    for sink in ("http", "kafka"):
        config[sink]["timeout"] = "11s"
    for text in (yaml.safe_dump(config), former):
        stack.config.write_text(text)
        stack.bridge.signal(signal.SIGHUP)
        time.sleep(seconds / 2)
        with urllib.request.urlopen(f"{stack.bridge_url}/metrics", timeout=60) as answer:
            if _NONE_REFUSED not in answer.read().decode():
                raise ConfigError(f"the bridge did not reload {stack.config}: {stack.bridge.log_tail()}")


def _pause(stack: Stack, seconds: float) -> None:
    _ask(stack, "pause", {})
    try:
        time.sleep(seconds)
    finally:
        _ask(stack, "resume", {})


def _ask(stack: Stack, what: str, body: Mapping[str, Any]) -> None:
    request = urllib.request.Request(
        f"{stack.bridge_url}/v1/{what}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60):
        pass


FAULTS: Mapping[str, Injection] = {
    "ingest-killed": _kill(lambda stack: stack.ingest),
    "ingest-hangs": _hang(lambda stack: stack.ingest),
    "kafka-killed": _kill(lambda stack: stack.kafka),
    "kafka-hangs": _hang(lambda stack: stack.kafka),
    "mosquitto-restarted": _restart_broker,
    "mosquitto-hangs": _hang(lambda stack: stack.broker),
    "bridge-hangs": _hang(lambda stack: stack.bridge),
    "bridge-reloads": _reload,
    "sinks-paused": _pause,
}
"""By name."""
