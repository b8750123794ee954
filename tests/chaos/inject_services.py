"""Faults of what the bridge talks to: the HTTP endpoint, Kafka, Mosquitto."""

import random
import signal
from collections.abc import Sequence

from tests.chaos.proxy_front import Act, Script
from tests.chaos.run import Injection, Run


def misbehave(act: Act, *, statuses: Sequence[int] = (503,), share: float = 1.0, wait_s: float = 0.0) -> Injection:
    """The HTTP endpoint answers as it should not."""

    def inject(run: Run) -> None:
        run.pause(0.1, 0.8)
        status = run.rng.choice(statuses)
        headers = {"Retry-After": "1"} if status == 429 else {}
        rng = random.Random(run.rng.random())
        script = Script(act=act, status=status, share=share, wait_s=wait_s, headers=headers, rng=rng)
        before = run.services.front.misbehaved
        run.services.front.script = script
        run.pause(0.8, 2.0)
        run.services.front.script = None
        run.injected += run.services.front.misbehaved - before

    return inject


def restart_ingest(run: Run) -> None:
    run.pause(0.1, 0.8)
    run.services.ingest.kill()
    run.injected += 1
    run.pause(0.0, 0.5)
    run.services.ingest.start()


def restart_kafka(run: Run) -> None:
    """SIGTERM or SIGKILL: what Kafka has acknowledged survives both, the machine goes on."""
    run.pause(0.1, 0.8)
    if run.rng.random() < 0.5:
        run.services.kafka.kill()
    else:
        run.services.kafka.terminate()
    run.injected += 1
    run.services.kafka.start()


def restart_mosquitto(run: Run) -> None:
    """SIGTERM: it writes its sessions and queues. After SIGKILL Mosquitto forgets what it did not write yet."""
    run.pause(0.1, 0.8)
    run.services.mosquitto.restart()
    run.injected += 1


def freeze(part: str) -> Injection:
    """SIGSTOP and SIGCONT: a process that hangs."""

    def inject(run: Run) -> None:
        run.pause(0.1, 0.8)
        process = getattr(run.services, part)
        process.signal(signal.SIGSTOP)
        run.injected += 1
        run.pause(0.5, 2.0)
        process.signal(signal.SIGCONT)

    return inject
