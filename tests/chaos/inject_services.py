"""Faults of what the bridge talks to: the HTTP endpoint, Kafka, Mosquitto."""

import random
import signal
import time
from collections.abc import Sequence

from tests.chaos.bridge import START_S
from tests.chaos.proxy_front import Act, Script
from tests.chaos.run import Injection, Run
from tests.chaos.small_disk import fill_disk


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


def kill_postgres(run: Run) -> None:
    """SIGKILL to the postmaster alone: the ingest says 503 until it is back."""
    postgres = run.services.postgres
    assert postgres is not None, "the fault needs postgres=True"
    for _ in range(run.rng.randint(1, 3)):
        run.pause(0.1, 0.8)
        postgres.kill_postmaster()
        run.injected += 1
        run.pause(0.0, 0.5)
        postgres.recover()


def fill_kafka(run: Run) -> None:
    """The disk of Kafka is filled: it ends by itself, and is started again when there is room."""
    run.pause(0.1, 0.8)
    filler = fill_disk(run.services.kafka_disk)
    run.injected += 1
    try:
        deadline = time.monotonic() + START_S
        while run.services.kafka.running:
            assert time.monotonic() < deadline, "Kafka goes on with a disk that is full"
            time.sleep(0.05)
        run.pause(0.0, 1.0)
    finally:
        filler.unlink()
    run.services.kafka.kill()  # lets go of its pipe
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
