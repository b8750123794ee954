"""`python -m benchmarks.large_spool [MESSAGES]`: a bridge that starts with a backlog of millions, beside a small one.

The messages are put into the spool as the bridge itself would, with the broker away; then a bridge delivers them to an
HTTP server that takes every batch and says nothing. Told are how long it takes to start, how fast it delivers from a
small spool and from a large one, what it takes of memory, and whether the disk is given back. Exit code 1 where a
message did not come.
"""

import argparse
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import orjson
import yaml

from benchmarks.proc import memory, pid_of
from bridge.spool.message import SpooledMessage
from bridge.spool.retention import KEEP_FREE_BYTES
from bridge.spool.store import SpoolStore
from edgefleet.embedded import ManagedProcess, MosquittoProcess, answers, edgefleet_process, free_port

SMALL, LARGE = 200_000, 10_000_000
DEVICES, COMMITTED_AT_ONCE = 1000, 10_000
_PAYLOAD = (
    b'{"device_id":"bme280-%04d","timestamp":"2026-03-02T%02d:%02d:%02d.%03dZ","boot":1,"seq":%d,'
    b'"temperature_c":21.37,"humidity":46.2,"pressure_hpa":1009.41}'
)
_GIVEN_BACK_S = 180
_LOOK_EVERY_S = 1.0
# Takes each batch whole, and counts its lines.
_SERVER = """
import asyncio, sys

class Taker(asyncio.Protocol):
    lines = 0

    def connection_made(self, transport):
        self.transport, self.data = transport, bytearray()

    def data_received(self, data):
        self.data += data
        while (end := self.data.find(b"\\r\\n\\r\\n")) >= 0:
            head = bytes(self.data[:end]).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\\r\\n")[0] or 0)
            if len(self.data) < end + 4 + length:
                return
            body = self.data[end + 4 : end + 4 + length]
            del self.data[: end + 4 + length]
            Taker.lines += body.count(b"\\n") + (length > 0 and not body.endswith(b"\\n"))
            said = str(Taker.lines).encode() if head.startswith(b"get ") else b""
            status = b"200 OK" if said else b"204 No Content"
            extent = b"content-length: %d\\r\\n" % len(said) if said else b""
            self.transport.write(b"HTTP/1.1 " + status + b"\\r\\n" + extent + b"\\r\\n" + said)

async def main():
    server = await asyncio.get_running_loop().create_server(Taker, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()

asyncio.run(main())
"""


class Delivery(NamedTuple):
    """What a bridge made of a backlog."""

    messages: int
    start_s: float
    """From the start of the process until it is ready."""
    per_s: float
    """Messages delivered a second, from the first look after the start until the last."""
    peak_rss_mb: float
    full_mb: float
    """What the spool took at first, in files."""
    empty_mb: float
    """What of the file was left when all was delivered; SQLite's log beside it keeps its 64 MB until the end."""
    lost: int

    @property
    def row(self) -> str:
        """Of the table."""
        return (
            f"| {self.messages:,} | {self.full_mb:,.0f} MB | {self.start_s:.1f} s | {self.per_s:,.0f} msg/s |"
            f" {self.peak_rss_mb:,.0f} MB | {self.empty_mb:,.1f} MB | {self.lost:,} |"
        )


def main(arguments: Sequence[str]) -> int:
    """Run both, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_spool", description=__doc__.partition("\n")[0])
    parser.add_argument("messages", type=int, nargs="?", default=LARGE, help="of the large backlog")
    found = [deliver(count) for count in (SMALL, parser.parse_args(arguments).messages)]
    print("| backlog | spool | ready after | delivered | memory at the most | spool afterwards | lost |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    print("\n".join(one.row for one in found))
    return 1 if any(one.lost for one in found) else 0


def deliver(messages: int) -> Delivery:
    """Fill a spool, and let a bridge deliver it."""
    with tempfile.TemporaryDirectory(prefix="edgefleet-bench-") as name, MosquittoProcess() as broker:
        folder = Path(name)
        spool, config = folder / "spool.db", folder / "bridge.yaml"
        fill(spool, messages)
        full_mb = _megabytes(folder)
        port, admin = free_port(), free_port()
        config.write_text(
            yaml.safe_dump(
                {
                    "broker": broker.url,
                    "spool": {"path": str(spool)},
                    "http": {"url": f"http://127.0.0.1:{port}"},
                    "admin": {"port": admin},
                }
            )
        )
        taker = [sys.executable, "-c", _SERVER, str(port)]
        url = f"http://127.0.0.1:{admin}"
        with ManagedProcess("server", taker, ready=lambda: answers(f"http://127.0.0.1:{port}/")):
            began = time.monotonic()
            with edgefleet_process("bridge", "bridge", "run", config, url=f"{url}/readyz") as bridge:
                start_s = time.monotonic() - began
                per_s, peak = _watch(url, pid_of(bridge))
                empty_mb = _given_back(folder)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                arrived = int(answer.read())
        return Delivery(messages, start_s, per_s, peak / 1e6, full_mb, empty_mb, max(0, messages - arrived))


def fill(spool: Path, messages: int) -> None:
    """Write readings of many devices in turns, committed as the bridge does."""
    store = SpoolStore(spool, ["http"])
    received_ms = round(time.time() * 1000)
    topics = [f"edge/default/bme280/bme280-{number:04d}/telemetry" for number in range(DEVICES)]
    for begin in range(0, messages, COMMITTED_AT_ONCE):
        group = []
        for number in range(begin, min(begin + COMMITTED_AT_ONCE, messages)):
            round_, device = divmod(number, DEVICES)
            second = round_ // 10
            payload = _PAYLOAD % (
                device, second // 3600 % 24, second // 60 % 60, second % 60, round_ % 10 * 100, round_
            )  # fmt: skip
            group.append(SpooledMessage(number + 1, received_ms, topics[device], payload, 1, False, False))
        store.commit(group)
    store.close()


def _watch(url: str, pid: int) -> tuple[float, int]:
    """Return how fast all is delivered, and the most memory on the way."""
    peak, first, began = 0, None, time.monotonic()
    while True:
        with urllib.request.urlopen(f"{url}/ledger", timeout=60) as answer:
            (sink,) = orjson.loads(answer.read())["sinks"]
        now, delivered = time.monotonic(), int(sink["delivered"])
        peak = max(peak, memory(pid)[0])
        if first is None:
            first, began = delivered, now
        if not sink["pending"]:
            return (delivered - first) / max(now - began, 1e-3), peak
        time.sleep(_LOOK_EVERY_S)


def _given_back(folder: Path) -> float:
    """Wait until the file has hardly more than the room it keeps, minutes at the most; return what it takes in MB."""
    deadline, enough = time.monotonic() + _GIVEN_BACK_S, KEEP_FREE_BYTES / 1e6 + 2
    while (left := (folder / "spool.db").stat().st_size / 1e6) > enough and time.monotonic() < deadline:
        time.sleep(_LOOK_EVERY_S)
    return left


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.glob("spool.db*")) / 1e6


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
