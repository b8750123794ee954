"""`python -m benchmarks.bridge_http`: CPU of the bridge a message over HTTP alone, steady and in a backlog, and what is
sent twice after a kill.

Two checkouts can be compared, and Telegraf where it is installed: all get the same messages at the same time, so that
other work on the machine meets all; a backlog they take one after the other. The server takes every batch and says
nothing (`http_taker.py`); the bridge's file is on the disk of TMPDIR, with fsync.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, Self

import uvloop
import yaml

from benchmarks.backlog import publish_messages
from benchmarks.bridge_processes import wait_until
from benchmarks.proc import pid_of, thread_cpu_s
from benchmarks.telegraf import BATCH, FLUSH, HOW_TO_GET, Telegraf, is_installed
from edgefleet.embedded import ManagedProcess, MosquittoProcess, accepts_connections, answers, free_port
from edgewire.link import BrokerUrl, Link, connect_link
from edgewire.mqtt import Event, Session, SessionConfig

HERE = Path(__file__).parents[1]
_DEVICES = 1000
_CONNECTIONS = 30
_TICK_S = 0.001
_WARM_S = 3.0
_ARRIVED_S = 120.0
_STILL_S = 20.0
"""After so long without a message nothing more is to be expected of a bridge that was killed."""
_PAYLOAD = (
    b'{"device_id":"d-%04d","timestamp":"2026-03-02T00:00:00.000Z","boot":1,"seq":%d,"number":%d,"sent_ms":%d,'
    b'"temperature_c":21.37,"humidity":46.2}'
)


class Load:
    """A broker, and what is published there."""

    def __init__(self) -> None:
        self.broker = MosquittoProcess()
        self.sent = 0
        """Messages that were made."""

    def message(self) -> tuple[bytes, bytes]:
        """The next one: topic and payload."""
        self.sent += 1
        seq, device = divmod(self.sent, _DEVICES)
        topic = b"edge/default/bme280/d-%04d/telemetry" % device
        return topic, _PAYLOAD % (device, seq, self.sent, time.time_ns() // 1_000_000)

    def publish_backlog(self, count: int) -> None:
        """Publish as fast as the broker takes it."""
        uvloop.run(publish_messages(self._url, [self.message() for _ in range(count)]))

    def publish_steadily(self, rate: int, seconds: float) -> int:
        """Publish on some connections in turns, at even times; return how many."""
        return uvloop.run(self._publish_steadily(rate, seconds))

    async def _publish_steadily(self, rate: int, seconds: float) -> int:
        names = [f"steady-{number}" for number in range(_CONNECTIONS)]
        links = [await connect_link(self._url, Session(SessionConfig(client_id=name)), _ignore) for name in names]
        begun, sent = time.monotonic(), 0
        while (now_s := time.monotonic() - begun) < seconds:
            while sent < int(now_s * rate) and (link := links[sent % _CONNECTIONS]).session.window_free:
                link.publish(*self.message(), qos=1)
                sent += 1
            await asyncio.sleep(_TICK_S)
        while any(link.session.inflight for link in links):
            await asyncio.sleep(_TICK_S)
        for link in links:
            link.close()
        return sent

    @property
    def _url(self) -> BrokerUrl:
        return BrokerUrl.parse(self.broker.url)


def _ignore(_link: Link, _events: list[Event]) -> None:
    """Acknowledgements are counted by the session."""


Bridge = Callable[[Path, str, str], ManagedProcess]
"""Makes one of a folder for its files, the broker's URL, and the address that it delivers to."""


def bridge_of(tree: Path, sink: Callable[[str], dict[str, Any]], spool: dict[str, Any] | None = None) -> Bridge:
    """Return the bridge of a checkout: `sink` says its section of the configuration; `spool` are settings."""

    def prepare(folder: Path, broker: str, address: str) -> ManagedProcess:
        admin = free_port()
        config = {
            "broker": broker,
            "client_id": f"bridge-{admin}",
            "spool": {"path": str(folder / "spool.db"), **(spool or {})},
            "admin": {"port": admin},
            **sink(address),
        }
        path = folder / "bridge.yaml"
        path.write_text(yaml.safe_dump(config))
        command: list[str | Path] = [sys.executable, "-m", "edgefleet", "bridge", "run", path]
        ready = f"http://127.0.0.1:{admin}/readyz"
        # Its own code, not that of the folder which this benchmark is run in.
        env = {"PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}
        return ManagedProcess("bridge", command, ready=lambda: answers(ready), env=env, start_timeout_s=60)

    return prepare


class Destination(Protocol):
    """Takes what a bridge delivers, and remembers when it had each message; a context in which it runs."""

    address: str
    """As a bridge is told it."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def taken(self, *, reset: bool = True) -> dict[str, Any]:
        """Return what it has, as `http_taker.py` says it; `reset` makes it begin with new times."""


class HttpDestination:
    """Runs `http_taker.py`."""

    def __init__(self) -> None:
        port = free_port()
        taker: list[str | Path] = [sys.executable, Path(__file__).with_name("http_taker.py"), str(port)]
        self._process = ManagedProcess("taker", taker, ready=lambda: accepts_connections("127.0.0.1", port))
        self.address = f"http://127.0.0.1:{port}"

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.close()

    def taken(self, *, reset: bool = True) -> dict[str, Any]:
        """As `Destination.taken`."""
        with urllib.request.urlopen(f"{self.address}/{'reset' if reset else ''}", timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
        return found


class Subject:
    """A bridge, and where it delivers to."""

    def __init__(self, bridge: Bridge, destination: Destination, load: Load) -> None:
        self._exits = ExitStack()
        self._load = load
        folder = Path(self._exits.enter_context(tempfile.TemporaryDirectory(prefix="edgefleet-bench-")))
        self._exits.enter_context(destination)
        self.taken = destination.taken
        self.lost = 0
        """Of all that was sent: what is not waited for any more."""
        self.process = bridge(folder, load.broker.url, destination.address)

    def __enter__(self) -> Self:
        self.process.start()
        self._exits.callback(self.process.close)
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def signal(self, number: int) -> None:
        """Send its process a signal."""
        os.kill(pid_of(self.process), number)

    def wait_taken(self, enough: int | None = None) -> None:
        """Return when so many messages have come for the first time; without a number, all that are not lost."""
        count = self._load.sent - self.lost if enough is None else enough
        wait_until(lambda: self.taken(reset=False)["messages"] >= count, _ARRIVED_S, f"{count:,} messages have come")

    def find_lost(self) -> int:
        """Return how many messages are lost, once all others have come: nothing came for `_STILL_S`."""
        came, since = -1, time.monotonic()
        while came < self._load.sent - self.lost and time.monotonic() - since < _STILL_S:
            if (now := self.taken(reset=False)["messages"]) > came:
                came, since = now, time.monotonic()
            time.sleep(0.1)
        lost: int = self._load.sent - self.lost - came
        self.lost += lost
        return lost

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds: of the event loop's thread, and of all others, most of them the spool's writer."""
        pid = pid_of(self.process)
        found = {"loop": 0.0, "others": 0.0}
        for task, (_, seconds) in thread_cpu_s(pid).items():
            found["loop" if task == pid else "others"] += seconds
        return found


def steady(load: Load, subjects: Sequence[Subject], rate: int, seconds: float) -> list[dict[str, Any]]:
    """CPU and latency of all at the same time, at a steady rate."""
    load.publish_steadily(rate, _WARM_S)
    for one in subjects:
        one.wait_taken()
        one.taken()
    before = [one.cpu_s() for one in subjects]
    sent = load.publish_steadily(rate, seconds)
    found = []
    for one, spent in zip(subjects, before, strict=True):
        one.wait_taken()
        found.append({**_spent(spent, one.cpu_s(), sent), "took_ms": one.taken()["took_ms"]})
    return found


def backlog(load: Load, subjects: Sequence[Subject], count: int) -> list[dict[str, Any]]:
    """CPU and rate of each, one after the other, in a backlog that waits at the broker while they stand still."""
    for one in subjects:
        one.signal(signal.SIGSTOP)
    load.publish_backlog(count)
    found = []
    for one in subjects:
        spent, begun = one.cpu_s(), time.monotonic()
        one.signal(signal.SIGCONT)
        one.wait_taken()
        found.append({"per_s": round(count / (time.monotonic() - begun)), **_spent(spent, one.cpu_s(), count)})
    return found


def killed(load: Load, subject: Subject, count: int, share: float) -> dict[str, Any]:
    """How many messages come twice where the bridge is killed when so much of a backlog has come."""
    # One that is slow is still behind with what was sent for the others.
    subject.wait_taken()
    before = subject.taken()
    subject.signal(signal.SIGSTOP)
    load.publish_backlog(count)
    subject.signal(signal.SIGCONT)
    subject.wait_taken(before["messages"] + int(count * share))
    subject.process.kill()
    delivered = subject.taken()["messages"] - before["messages"]
    subject.process.start()
    lost = subject.find_lost()
    after = subject.taken()
    twice = after["arrivals"] - before["arrivals"] - (after["messages"] - before["messages"])
    return {"delivered": delivered, "lost": lost, "twice": twice}


def _spent(before: dict[str, float], after: dict[str, float], count: int) -> dict[str, Any]:
    threads = {name: (seconds - before.get(name, 0.0)) / count * 1e6 for name, seconds in after.items()}
    return {
        "us_a_message": round(sum(threads.values()), 1),
        "threads": {name: round(us, 1) for name, us in threads.items()},
    }


Figures = dict[tuple[str, str], list[dict[str, Any]]]
"""Of each part (steady, backlog, killed) and each bridge, what the rounds have found."""


def measure(bridges: dict[str, Bridge], destination: Callable[[], Destination], options: argparse.Namespace) -> Figures:
    """Measure all of them in rounds, and print what each finds."""
    found: Figures = {}
    for number in range(options.rounds):
        load = Load()
        with ExitStack() as exits:
            exits.enter_context(load.broker)
            subjects = [exits.enter_context(Subject(bridge, destination(), load)) for bridge in bridges.values()]
            parts: dict[str, list[dict[str, Any]]] = {}
            if options.rate:
                parts["steady"] = steady(load, subjects, options.rate, options.seconds)
            if options.backlog:
                turn = 1 if number % 2 else -1
                parts["backlog"] = backlog(load, subjects[::turn], options.backlog)[::turn]
            if options.kill:
                count = options.backlog or 45_000
                parts["killed"] = [killed(load, one, count, (number % 5 + 1) / 10) for one in subjects]
        for part, all_figures in parts.items():
            for name, figures in zip(bridges, all_figures, strict=True):
                busy = f"{os.getloadavg()[0]:.1f}"
                print(json.dumps({"bridge": name, "part": part, "load": busy, **figures}), file=sys.stderr, flush=True)
                found.setdefault((part, name), []).append(figures)
    return found


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """Return what all comparisons of bridges are asked for."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--beside", type=Path, help="another checkout, whose bridge works beside this one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=int, default=3000, help="messages a second; 0 leaves that part out")
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--backlog", type=int, default=45_000, help="messages; 0 leaves that part out")
    parser.add_argument("--kill", action="store_true", help="kill it in the middle of a backlog, too")
    return parser


def table_of(found: Figures, names: Iterable[str]) -> list[str]:
    """Return a row for each bridge: medians of its rounds."""
    rows = []
    for name in names:
        steady_us, backlog_us, backlog_rate, twice, lost = (
            statistics.median(figures[what] for figures in found[part, name])
            for part, what in (
                ("steady", "us_a_message"),
                ("backlog", "us_a_message"),
                ("backlog", "per_s"),
                ("killed", "twice"),
                ("killed", "lost"),
            )
        )
        p50, p99 = (
            statistics.median(figures["took_ms"][share] for figures in found["steady", name])
            for share in ("0.5", "0.99")
        )
        steadily = f"{steady_us:.1f} µs | {p50:.0f} / {p99:.0f} ms"
        waited = f"{backlog_us:.1f} µs | {backlog_rate:,.0f}/s"
        rows.append(f"| {name} | {steadily} | {waited} | {twice:,.0f} | {lost:,.0f} |")
    return [
        "| bridge | CPU a message | p50 / p99 | CPU in a backlog | rate there | twice after a kill | lost |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *rows,
    ]


def run() -> list[str]:
    """Its table, with Telegraf where that is installed."""
    options = parser_of(__doc__).parse_args(["--kill", "--rounds", "3"])
    bridges = {"edgefleet": bridge_of(HERE, _over_http({}))}
    if is_installed():
        bridges["Telegraf"] = Telegraf
    found = measure(bridges, HttpDestination, options)
    return [
        f"## The bridge over HTTP alone, {options.rate:,} messages a second and a backlog of {options.backlog:,}",
        "",
        f"Medians of {options.rounds} rounds; all bridges get the same messages, a backlog one after the other. Ours "
        "syncs its spool before it acknowledges; Telegraf has all in memory, QoS 1, a persistent session, batches of "
        f"{BATCH:,} each {FLUSH}. A server that takes all is on the same cores.",
        *([] if is_installed() else ["", f"{HOW_TO_GET}."]),
        "",
        *table_of(found, bridges),
    ]


def _over_http(settings: dict[str, Any]) -> Callable[[str], dict[str, Any]]:
    return lambda address: {"http": {"url": address, **settings}}


def main(arguments: Sequence[str]) -> None:
    """Measure, and print every figure and the medians."""
    parser = parser_of(__doc__)
    parser.add_argument("--telegraf", action="store_true", help="beside Telegraf, which has to be in PATH")
    parser.add_argument("--settings", type=yaml.safe_load, default={}, help="of spool and http, as YAML")
    options = parser.parse_args(arguments)
    if options.telegraf and not is_installed():
        sys.exit(f"benchmarks: {HOW_TO_GET}")
    trees = [HERE] if options.beside is None else [options.beside.resolve(), HERE]
    settings = options.settings
    sink = _over_http(settings.get("http", {}))
    bridges = {str(tree): bridge_of(tree, sink, settings.get("spool")) for tree in trees}
    if options.telegraf:
        bridges["Telegraf"] = Telegraf
    print_medians(measure(bridges, HttpDestination, options))


def print_medians(found: Figures) -> None:
    """Print each figure's median, and all of its rounds in order of size."""
    for (part, where), all_figures in sorted(found.items()):
        for name in ("us_a_message", "per_s", "twice", "lost"):
            if values := sorted(figures[name] for figures in all_figures if name in figures):
                print(f"{f'{part} {name}':24} {statistics.median(values):>10,.1f} {values} {where}")


if __name__ == "__main__":
    main(sys.argv[1:])
