"""Everything that can go wrong, one entry each: `FAULTS` is the table of the suite."""

import random
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.chaos.checker import ANY, NONE, Promise
from tests.chaos.inject_bridge import (
    KILL_POINTS,
    aim,
    clock_jump,
    fail_to_write,
    fill_the_disk,
    kill_at,
    kill_at_any_time,
    stop_and_start,
)
from tests.chaos.inject_members import change_members, lose_spool
from tests.chaos.inject_network import Part, certificate_ends, delay, on, one_way, resets, silence, stall, throttle
from tests.chaos.inject_process import (
    any_write,
    clock_moves,
    descriptors_run_out,
    files_fail,
    memory_ends,
    memory_is_held,
    names_fail,
    read_only,
    spool_fails,
)
from tests.chaos.inject_services import (
    fill_kafka,
    freeze,
    kill_postgres,
    misbehave,
    restart_ingest,
    restart_kafka,
    restart_mosquitto,
)
from tests.chaos.proxy_front import Act
from tests.chaos.run import Fault, Injection, Run

HTTP_ONLY = Promise(http=True, kafka=False)

IMPATIENT: dict[str, Any] = {
    "mqtt": {"keep_alive": "1s", "connect_timeout": "700ms", "stuck_after": "1s"},
    "http": {"timeout": "700ms"},
    "kafka": {
        "timeout": "2s",
        "properties": {
            "socket.timeout.ms": 1000,
            "request.timeout.ms": 1000,
            "socket.connection.setup.timeout.ms": 1000,
            "reconnect.backoff.max.ms": 300,
        },
    },
}
"""Settings by which a connection that is dead is found out within a run."""


def _only(part: str) -> dict[str, Any]:
    """Of one neighbour: of another a machine that is busy may need as long for an answer, and has no fault."""
    return {part: IMPATIENT[part]}


def mix(run: Run) -> None:
    """One thing that ends the bridge, and two that happen around it, at the same time."""
    inside = run.rng.choice([kill_at_any_time, kill_at(*KILL_POINTS), kill_at(*KILL_POINTS)])
    chosen = [inside, *run.rng.sample(_AROUND, 2)]
    lock = threading.Lock()

    def inject_one(inject: Injection, seed: float) -> None:
        mine = Run(run.services, run.bridge, run.publishers, random.Random(seed), run.disk)
        inject(mine)
        with lock:
            run.injected += mine.injected

    with ThreadPoolExecutor(len(chosen)) as pool:
        for future in [pool.submit(inject_one, one, run.rng.random()) for one in chosen]:
            future.result()


_NETWORK: dict[str, tuple[str, tuple[Part, ...], dict[str, Promise]]] = {
    "reset": ("connections cut with a RST", (resets,), {"broker": ANY, "http": HTTP_ONLY, "kafka": NONE}),
    "stall": ("connections hang, both ways", (stall,), {"broker": ANY, "http": HTTP_ONLY, "kafka": NONE}),
    "half-open": (
        "accepted and not served, or one direction dead",
        (silence, one_way),
        {"broker": ANY, "http": HTTP_ONLY, "kafka": NONE},
    ),
    "delay": ("20–200 ms on each way", (delay,), {"broker": NONE, "http": NONE, "kafka": NONE}),
    "throttle": ("20–60 KB/s", (throttle,), {"broker": NONE, "http": HTTP_ONLY, "kafka": NONE}),
}
_LINKS = {"broker": "Mosquitto", "http": "the HTTP endpoint", "kafka": "Kafka"}
_SETTINGS = {"broker": "mqtt", "http": "http", "kafka": "kafka"}
_SLOW = {"stall", "half-open"}

_AROUND: list[Injection] = [
    *(on(link, *parts) for _, parts, _ in _NETWORK.values() for link in _LINKS),
    misbehave(Act.REFUSE, statuses=(500, 502, 503, 504, 429)),
    misbehave(Act.STORE_AND_DENY, share=0.5),
    misbehave(Act.STORE_AND_DROP, share=0.5),
    misbehave(Act.STORE_AND_WAIT, share=0.3, wait_s=1.0),
]

FAULTS: Sequence[Fault] = (
    *(
        Fault(
            name=point,
            text=f"SIGKILL at the fail point {point}",
            inject=kill_at(point),
            armed=lambda rng, point=point: aim(rng, [point], 40),
        )
        for point in KILL_POINTS
    ),
    Fault(name="kill", text="SIGKILL at any time, also while starting", inject=kill_at_any_time),
    Fault(name="stop", text="SIGTERM and a new start", inject=stop_and_start, promise=NONE),
    Fault(
        name="write-error",
        text="a commit fails with an I/O error",
        inject=fail_to_write("disk I/O error"),
        armed=lambda rng: aim(rng, ["write-error"], 40),
    ),
    Fault(
        name="disk-full",
        text="a commit fails for want of space",
        inject=fail_to_write("the disk is full"),
        armed=lambda rng: aim(rng, ["disk-full"], 40),
    ),
    Fault(
        name="disk-really-full",
        text="the spool's disk (a tmpfs) is filled to the last byte",
        inject=fill_the_disk,
        disk_bytes=8 << 20,
    ),
    Fault(
        name="spool-io-error",
        text="every write, or sync, on the spool's disk fails with EIO, also at the next start",
        inject=spool_fails(any_write, "the disk does not take or give data"),
        preload=True,
    ),
    Fault(
        name="spool-read-only",
        text="the spool's disk becomes read-only",
        inject=spool_fails(read_only, "the disk"),
        preload=True,
    ),
    Fault(
        name="files-fail",
        text="the file sink's disk alone fails with EIO, is read-only, full, or opens no more files",
        inject=files_fail,
        preload=True,
        files=True,
    ),
    Fault(
        name="no-descriptors",
        text="the bridge may open no more files while its connections are cut",
        inject=descriptors_run_out,
        files=True,
    ),
    Fault(
        name="no-memory",
        text="the bridge gets no more memory while its connections are cut",
        inject=memory_ends,
    ),
    Fault(
        name="memory-limit",
        text="a control group has no more memory for the bridge, or too little for a start: the kernel kills it",
        inject=memory_is_held,
        memory_group=True,
    ),
    Fault(
        name="names-fail",
        text="the names of broker, HTTP endpoint and Kafka cannot be looked up, or lead elsewhere",
        inject=names_fail,
        settings=IMPATIENT,
        preload=True,
    ),
    Fault(
        name="clock-set",
        text="the wall clock of the whole process is set by up to 36 hours, forward and back",
        inject=clock_moves,
        promise=NONE,
        preload=True,
    ),
    Fault(
        name="clock-jump",
        text="the bridge's wall clock jumps by up to 30 days, forward or back",
        inject=clock_jump,
        armed=lambda rng: f"clock-jump/{rng.choice((-1, 1)) * rng.randint(60, 30 * 86400)}:{rng.randint(1, 100)}",
        promise=NONE,
    ),
    *(
        Fault(
            name=f"{name}-{link}",
            text=f"{text}, to {destination}",
            inject=on(link, *parts),
            promise=promises[link],
            settings=_only(_SETTINGS[link]) if name in _SLOW else {},
        )
        for name, (text, parts, promises) in _NETWORK.items()
        for link, destination in _LINKS.items()
    ),
    *(
        Fault(
            name=f"certificate-ends-{link}",
            text=f"the certificate has ended, and is renewed later, of {destination}",
            inject=certificate_ends(link),
            tls=link,
        )
        for link, destination in _LINKS.items()
    ),
    Fault(
        name="http-refuses",
        text="a storm of 500, 502, 503, 504 or 429 answers",
        inject=misbehave(Act.REFUSE, statuses=(500, 502, 503, 504, 429)),
        promise=NONE,
    ),
    Fault(
        name="http-denies",
        text="half of the requests are stored and answered 503",
        inject=misbehave(Act.STORE_AND_DENY, share=0.5),
        promise=HTTP_ONLY,
    ),
    Fault(
        name="http-drops",
        text="half of the requests are stored and never answered",
        inject=misbehave(Act.STORE_AND_DROP, share=0.5),
        promise=HTTP_ONLY,
    ),
    Fault(
        name="http-slow-answer",
        text="some answers come after the timeout",
        inject=misbehave(Act.STORE_AND_WAIT, share=0.3, wait_s=1.0),
        promise=HTTP_ONLY,
        settings={"http": IMPATIENT["http"]},
    ),
    Fault(
        name="http-slow-store",
        text="some requests are stored after the timeout",
        inject=misbehave(Act.WAIT_AND_STORE, share=0.3, wait_s=1.0),
        promise=HTTP_ONLY,
        settings={"http": IMPATIENT["http"]},
    ),
    Fault(
        name="http-conflict",
        text="some requests are stored and not answered, and 409 is the answer to their resends",
        inject=misbehave(Act.STORE_AND_CONFLICT, share=0.4),
        promise=HTTP_ONLY,
    ),
    Fault(
        name="http-too-long",
        text="413, 414 or 431 to batches, which are halved until every message is alone",
        inject=misbehave(Act.REFUSE_BATCH, statuses=(413, 414, 431)),
        promise=NONE,
        settings={"http": {"mode": "batch"}},
    ),
    Fault(
        name="http-endless",
        text="some answers never end",
        inject=misbehave(Act.STORE_AND_FLOOD, share=0.3),
        promise=HTTP_ONLY,
        settings={"http": {"timeout": "2s"}},
    ),
    Fault(
        name="http-bomb",
        text="some answers are a gigabyte, in gzip",
        inject=misbehave(Act.STORE_AND_BOMB, share=0.3),
        promise=HTTP_ONLY,
        settings={"http": {"timeout": "2s"}},
    ),
    Fault(
        name="http-login-page",
        text="200 with a login page, where http.success wants JSON",
        inject=misbehave(Act.LIE_HTML, share=0.5),
        promise=NONE,
        settings={"http": {"success": {"content_type": "application/json"}}},
    ),
    Fault(
        name="http-errors-true",
        text="200 with errors: true, where http.success wants none",
        inject=misbehave(Act.LIE_ERRORS, share=0.5),
        promise=NONE,
        settings={"http": {"success": {"json": {"errors": None}}}},
    ),
    Fault(name="ingest-killed", text="the HTTP service is killed", inject=restart_ingest, promise=HTTP_ONLY),
    Fault(
        name="postgres-killed",
        text="the postmaster of the ingest's PostgreSQL is killed",
        inject=kill_postgres,
        promise=HTTP_ONLY,
        postgres=True,
    ),
    Fault(name="mosquitto-restart", text="Mosquitto is restarted", inject=restart_mosquitto),
    Fault(
        name="mosquitto-hangs", text="Mosquitto hangs", inject=freeze("mosquitto"), settings={"mqtt": IMPATIENT["mqtt"]}
    ),
    Fault(name="kafka-restart", text="Kafka is restarted or killed", inject=restart_kafka, promise=NONE),
    Fault(
        name="kafka-disk-full",
        text="Kafka's disk (a tmpfs) is filled to the last byte, and Kafka ends",
        inject=fill_kafka,
        promise=NONE,
        kafka_disk=True,
    ),
    Fault(
        name="kafka-hangs",
        text="Kafka hangs",
        inject=freeze("kafka"),
        promise=NONE,
        settings={"kafka": IMPATIENT["kafka"]},
    ),
    Fault(
        name="members-change",
        text="of bridges with a shared subscription some are killed or stopped, one is added and one drained",
        inject=change_members,
        members=3,
    ),
    Fault(
        name="member-spool-lost",
        text="of three bridges with a shared subscription one is killed, and its spool taken away",
        inject=lose_spool,
        members=3,
    ),
    Fault(
        name="mix",
        text="the bridge is killed while two other faults go on",
        inject=mix,
        settings=IMPATIENT,
        armed=lambda rng: aim(rng, KILL_POINTS, 40) if rng.random() < 0.7 else "",
    ),
)
