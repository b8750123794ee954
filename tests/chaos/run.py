"""One run: a bridge of its own, publishers, a fault injected meanwhile, and the verdict when all is drained."""

import random
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import paho.mqtt.client as mqtt

from tests.chaos.bridge import KILLED, BridgeUnderTest
from tests.chaos.certificates import Certificates
from tests.chaos.checker import ANY, Promise, Verdict, judge, sum_ledgers
from tests.chaos.lag import DrainLag
from tests.chaos.memory_group import MemoryGroup
from tests.chaos.preload import NAME, Preload
from tests.chaos.publishers import KINDS, Publishers, topics
from tests.chaos.records import TopicReader, lines_in
from tests.chaos.services import PARTITIONS, Services
from tests.chaos.small_disk import mounted_disk

Settings = dict[str, Any]
FILES = "files"
"""Folder of the file sink, beside the spool."""


@dataclass(slots=True)
class Run:
    """What a fault gets to work on."""

    services: Services
    bridge: BridgeUnderTest
    publishers: Publishers
    rng: random.Random
    disk: Path
    """Folder of the spool."""
    preload: Preload | None = None
    """Makes the bridge's disk, clock and names fail, where the fault has `preload`."""
    memory: MemoryGroup | None = None
    """Has the bridge in it, where the fault has `memory_group`."""
    certificates: Certificates | None = None
    """Makes those of the link that the fault has as `tls`."""
    members: list[BridgeUnderTest] = field(default_factory=list)
    """Others that share the subscription with `bridge`."""
    add_member: Callable[[], BridgeUnderTest] = field(default=lambda: _nobody())
    """Starts one more of them."""
    taken: set[str] = field(default_factory=set)
    """Ids of what was in spools that were taken away, and need not arrive."""
    taken_ledgers: list[dict[str, Any]] = field(default_factory=list)
    """Of those spools."""
    injected: int = 0
    """Faults that were injected, kills not counted."""
    lag: list[tuple[float, int]] = field(default_factory=list)
    """How the drain at the end got on; see `DrainLag.steps`."""

    @property
    def bridges(self) -> list[BridgeUnderTest]:
        """Return all that there were, those that were drained too."""
        return [self.bridge, *self.members]

    def pause(self, shortest_s: float, longest_s: float) -> None:
        """A random while: the fault is injected at any moment."""
        time.sleep(self.rng.uniform(shortest_s, longest_s))


Injection = Callable[[Run], None]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens while messages are on their way, and what it may cost."""

    name: str
    text: str
    """For the table in docs/reliability.md."""
    inject: Injection
    promise: Promise = ANY
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the bridge, beside those every run has."""
    armed: Callable[[random.Random], str] | None = None
    """Fail points of the first life."""
    disk_bytes: int | None = None
    """Size of a disk of the spool's own; needs root."""
    preload: bool = False
    """Whether the bridge runs under the library of preload.py, and knows its neighbours by a name."""
    files: bool = False
    """Whether messages go to files too."""
    tls: str | None = None
    """The link, of broker, http and kafka, on which the bridge speaks TLS."""
    memory_group: bool = False
    """Whether the bridge runs in a control group of its own."""
    postgres: bool = False
    """Whether the ingest keeps what it gets in PostgreSQL."""
    members: int = 1
    """Bridges that share the subscription; then no order is promised."""
    kafka_disk: bool = False
    """Whether the fault fills the disk of Kafka; needs root."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run."""

    fault: str
    seed: int
    kills: int
    injected: int
    verdict: Verdict
    seconds: float
    folder: Path | None
    """Kept where the run failed."""


def execute(fault: Fault, seed: int, services: Services, folder: Path) -> Result:
    """One run. Whatever it depends on by chance is drawn from the name of the fault and `seed`."""
    started = time.monotonic()
    rng = random.Random(f"{fault.name}:{seed}")
    site = f"c{random.SystemRandom().getrandbits(40):010x}"
    # Whole: the bridge takes a path of its configuration for one beside that file.
    folder = folder.resolve() / f"{fault.name}-{seed}-{site}"
    folder.mkdir(parents=True)
    names = [f"{site}-{kind}" for kind in KINDS]
    services.front.log.clear()
    services.create_topics(names)
    services.choose_store(postgres=fault.postgres)
    with ExitStack() as stack:
        disk = stack.enter_context(_disk(folder, fault.disk_bytes))
        preload = Preload(folder) if fault.preload else None
        memory = stack.enter_context(MemoryGroup(f"edgefleet-{site}")) if fault.memory_group else None
        chosen = settings(services, site, disk, rng, NAME if preload else "127.0.0.1", files=fault.files)
        chosen = merge(chosen, fault.settings)
        if fault.members > 1:
            chosen["subscriptions"] = [f"$share/{site}/{topic}" for topic in topics(site)]
        certificates = None
        if fault.tls:
            certificates = Certificates(folder)
            chosen = merge(chosen, secured(fault.tls, services, certificates.ca_file))
            services.listen(fault.tls, certificates.context())
            stack.callback(services.listen, fault.tls, None)
        bridge = BridgeUnderTest(
            folder, chosen, preload.environment if preload else {}, memory.launcher if memory else ()
        )
        stack.callback(bridge.kill_quietly)
        members: list[BridgeUnderTest] = []

        def add_member() -> BridgeUnderTest:
            name = f"{site}-{len(members) + 1}"
            (disk / name).mkdir()
            own = {"client_id": name, "spool": {"path": str(disk / name / "spool.db")}}
            member = BridgeUnderTest(disk / name, merge(chosen, own))
            stack.callback(member.kill_quietly)
            members.append(member)
            return member.start()

        bridge.start(fault.armed(rng) if fault.armed else None)
        for _ in range(fault.members - 1):
            add_member()
        reader = TopicReader(services.kafka.bootstrap_servers, names, PARTITIONS)
        stack.callback(reader.close)
        for one in (bridge, *members):
            one.wait_ready()
        publishers = Publishers(
            services.mosquitto.port, site, rng, devices=8, rate=rng.choice((300, 500, 700)), at_most=3000
        )
        stack.callback(publishers.close)
        run = Run(services, bridge, publishers, rng, disk, preload, memory, certificates, members, add_member)
        publishers.start()
        problems = _inject(fault, run)
        publishers.finish(at_least=rng.randint(400, 800))
        problems += _drain(run, reader)
        verdict = _verdict(run, reader, site, fault)
    verdict.complaints[:0] = problems
    if verdict.ok:
        shutil.rmtree(folder)
    else:
        _keep(folder, run, reader, verdict)
    services.delete_topics(names)
    for number in range(len(run.bridges)):
        _forget_session(services, f"{site}-{number}" if number else site)
    return Result(
        fault.name,
        seed,
        sum(one.kills for one in run.bridges),
        run.injected,
        verdict,
        time.monotonic() - started,
        None if verdict.ok else folder,
    )


def settings(
    services: Services, site: str, disk: Path, rng: random.Random, host: str = "127.0.0.1", *, files: bool = False
) -> Settings:
    """A configuration; what users may choose freely is drawn. `host` is where the neighbours are."""
    proxies = services.proxies
    retry = {"base": "50ms", "cap": "300ms", "pause": "300ms"}
    sinks: Settings = {"file": {"folder": str(disk / FILES), "retry": retry}} if files else {}
    return {
        **sinks,
        "broker": f"mqtt://{host}:{proxies['broker'].port}",
        "client_id": site,
        "subscriptions": list(topics(site)),
        "mqtt": {"receive_maximum": rng.choice((20, 200, 2000))},
        "spool": {
            "path": str(disk / "spool.db"),
            "commit_messages": rng.choice((10, 100, 500)),
            "commit_interval": rng.choice(("0ms", "5ms", "20ms")),
        },
        "http": {
            "url": f"http://{host}:{proxies['http'].port}",
            "mode": rng.choice(("batch", "batch", "batch", "single")),
            "batch_messages": rng.choice((20, 100, 500)),
            "retry": retry,
        },
        "kafka": {"bootstrap_servers": f"{host}:{proxies['kafka'].port}", "retry": retry},
        "routes": [
            {
                "topic": f"edge/+/{kind}/+/telemetry",
                "http": path,
                "kafka": {"topic": f"{site}-{kind}"},
                **({"file": f"{kind}.jsonl"} if files else {}),
            }
            for kind, path in zip(KINDS, ("/api/v1/sensors/bme280", "/ingest/gps"), strict=True)
        ],
        "shutdown_timeout": "3s",
    }


def secured(link: str, services: Services, ca_file: Path) -> Settings:
    """Return the changes by which the bridge speaks TLS on one of its links."""
    ca, address = str(ca_file), f"127.0.0.1:{services.proxies[link].port}"
    changes: dict[str, Settings] = {
        "broker": {"broker": f"mqtts://{address}", "mqtt": {"ca_file": ca}},
        "http": {"http": {"url": f"https://{address}", "ca_file": ca}},
        "kafka": {"kafka": {"properties": {"security.protocol": "ssl", "ssl.ca.location": ca}}},
    }
    return changes[link]


def merge(base: Settings, changes: Mapping[str, Any]) -> Settings:
    """`base` with the keys of `changes`, however deep they are."""
    merged = dict(base)
    for key, value in changes.items():
        merged[key] = merge(merged.get(key, {}), value) if isinstance(value, Mapping) else value
    return merged


def _inject(fault: Fault, run: Run) -> list[str]:
    """Let the fault happen; afterwards everything runs again."""
    problems: list[str] = []
    try:
        fault.inject(run)
    except AssertionError as error:
        problems.append(str(error))
    run.services.heal()
    if run.preload:
        run.preload.heal()
    for bridge in run.bridges:
        if bridge.running and bridge.armed and "clock-jump" not in bridge.armed:
            # The point was not reached; it must not be while the books are looked at.
            bridge.kill()
        if not bridge.running and not bridge.drained:
            code = bridge.wait_end(0)
            if code != KILLED and not problems:
                problems.append(f"the bridge ended by itself with exit code {code}:\n{bridge.last_words()}")
            bridge.start()
    return problems


def _drain(run: Run, reader: TopicReader) -> list[str]:
    """Until everything acknowledged has arrived and no sink has anything pending; then SIGTERM."""
    must = run.publishers.published().acknowledged - run.taken
    left_over = [bridge for bridge in run.bridges if not bridge.drained]
    # What it has not begun yet is not late: a life that was killed while it started has said nothing so far.
    try:
        for bridge in left_over:
            bridge.wait_ready()
    except AssertionError as error:
        return [str(error)]
    lag = DrainLag(time.monotonic(), run.lag)
    in_kafka: set[str] = set()
    looked = 0
    while (problem := lag.problem(time.monotonic())) is None:
        reader.poll()
        in_kafka.update(arrival.id for arrival in reader.arrivals[looked:])
        looked = len(reader.arrivals)
        if ended := [bridge for bridge in left_over if not bridge.running]:
            return [f"the bridge ended by itself:\n{ended[0].last_words()}"]
        in_http = {one.id for one in list(run.services.front.log)}
        pending = [bridge.pending() for bridge in left_over]
        if None in pending:
            continue
        left = len(must - in_kafka) + len(must - in_http) + sum(one or 0 for one in pending)
        lag.record(left, time.monotonic())
        if not left:
            return _end(left_over)
    return [f"{problem}: {run.bridge.last_words()[-1500:]}", *_end(left_over)]


def _end(bridges: Sequence[BridgeUnderTest]) -> list[str]:
    codes = [bridge.stop() for bridge in bridges]
    return [
        f"the bridge ended with exit code {code}:\n{bridge.last_words()}"
        for bridge, code in zip(bridges, codes, strict=True)
        if code != 0
    ]


def _verdict(run: Run, reader: TopicReader, site: str, fault: Fault) -> Verdict:
    reader.read_to_the_end()
    return judge(
        run.publishers.published(),
        list(run.services.front.log),
        run.services.stored(site),
        reader.arrivals,
        sum_ledgers([bridge.ledger() for bridge in run.bridges], run.taken_ledgers),
        fault.promise,
        lines_in(run.disk / FILES) if fault.files else None,
        taken=run.taken,
        is_ordered=fault.members == 1,
    )


def _nobody() -> BridgeUnderTest:
    raise AssertionError("the fault needs members")


@contextmanager
def _disk(folder: Path, size_bytes: int | None) -> Iterator[Path]:
    """Where the spool lies: in the folder, or on a disk so small that it can be filled."""
    disk = folder / "disk"
    disk.mkdir()
    if size_bytes is None:
        yield disk
        return
    with mounted_disk(disk, size_bytes):
        try:
            yield disk
        finally:
            shutil.copytree(disk, folder / "spool")


def _keep(folder: Path, run: Run, reader: TopicReader, verdict: Verdict) -> None:
    """Write down what the verdict is made of."""
    published = run.publishers.published()
    records = {
        "complaints": verdict.complaints,
        "published": {one: one in published.acknowledged for one in published.payloads},
        "taken": sorted(run.taken),
        "lag": run.lag,
        "http": [arrival.id for arrival in run.services.front.log],
        "kafka": [f"{one.where}/{one.partition} {one.id}" for one in reader.arrivals],
    }
    (folder / "records.json").write_bytes(orjson.dumps(records, option=orjson.OPT_INDENT_2))


def _forget_session(services: Services, client_id: str) -> None:
    """Or the broker would keep one of every run."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=True)
    client.connect("127.0.0.1", services.mosquitto.port)
    client.loop()
    client.disconnect()
