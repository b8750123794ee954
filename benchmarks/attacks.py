"""`python -m benchmarks.attacks [ingest] [bridge]`: what hostile requests and answers cost, in memory and time.

Each attack has a process of its own on loopback, for some ten seconds where it is on the bridge; that needs Mosquitto.
"""

import argparse
import asyncio
import gzip
import http.client
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import orjson
import paho.mqtt.client as mqtt
import yaml
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.proc import pid_of
from edgefleet.embedded import ManagedProcess, MosquittoProcess, edgefleet_process, free_port
from edgewire.messages.bme280 import BME280_EXAMPLES

_MIB = 1 << 20
_PATIENCE_S = 120


def peak_mib(process: ManagedProcess) -> int:
    """Return the most resident memory that the process has had."""
    status = Path(f"/proc/{pid_of(process)}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10


# -- the ingest


class Cost(NamedTuple):
    """What an attack on the ingest came to."""

    status: str
    seconds: float
    answer_bytes: int
    blocked_s: float
    """The longest that a request of one small message took meanwhile."""
    stop_s: float
    """How long the service then took to end."""
    before_mib: int
    peak_mib: int


class Request(NamedTuple):
    """One request, sent `times` times at once."""

    body: bytes = b""
    content_type: str = "application/x-ndjson"
    gzipped: bool = True
    path: str = "/ingest/batch"
    times: int = 1

    def send(self, url: str) -> tuple[str, int]:
        """Return the status, and the bytes of the answer, of which none is kept."""
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_PATIENCE_S)
        headers = {"Content-Type": self.content_type} | ({"Content-Encoding": "gzip"} if self.gzipped else {})
        try:
            connection.request("POST" if self.body else "GET", self.path, self.body or None, headers)
            answer = connection.getresponse()
            size = 0
            while part := answer.read(_MIB):
                size += len(part)
        except OSError as error:
            return type(error).__name__, 0
        else:
            return str(answer.status), size
        finally:
            connection.close()


_EMPTY = gzip.compress(b"") * 300_000
_MESSAGE = orjson.dumps(BME280_EXAMPLES[0])
_HUGE = b"\n".join(orjson.dumps({**BME280_EXAMPLES[0], "seq": seq, "note": "x" * 900_000}) for seq in range(1, 9))

REQUESTS: dict[str, Sequence[Request]] = {
    "none: a batch of 20,000 messages": (
        Request(b"\n".join(orjson.dumps({**BME280_EXAMPLES[0], "seq": seq}) for seq in range(20_000)), gzipped=False),
    ),
    "gzip of 300,000 empty members": (Request(_EMPTY),),
    "eight of these at once": (Request(_EMPTY, times=8),),
    "2.4 MiB of lines that are no JSON": (Request(gzip.compress(b"!\n" * (6 * _MIB // 5), 9)),),
    "8 MiB of lines that are no JSON": (Request(gzip.compress(b"!\n" * (4 * _MIB), 9)),),
    "8 MiB of empty lines": (Request(gzip.compress(b"\n" * (8 * _MIB), 9)),),
    "an array of 4 million numbers": (
        Request(gzip.compress(b"[" + b"1," * (4 * _MIB - 2) + b"1]", 9), "application/json"),
    ),
    "an array of 2.7 million arrays": (
        Request(gzip.compress(b"[" + b"[]," * (8 * _MIB // 3 - 2) + b"1]", 9), "application/json"),
    ),
    "eight of these at once, too": (
        Request(gzip.compress(b"[" + b"[]," * (8 * _MIB // 3 - 2) + b"1]", 9), "application/json", times=8),
    ),
    "gzip of a gigabyte": (Request(gzip.compress(bytes(16 * _MIB), 9) * 64),),
    "100,000 levels": (Request(gzip.compress(b"[" * 100_000 + b"]" * 100_000), "application/json"),),
    "all of 80 messages of 0.9 MB": (
        *(Request(_HUGE.replace(b'"boot":', b'"boot":%d' % (boot + 1)), gzipped=False) for boot in range(10)),
        Request(path="/messages?limit=50000", gzipped=False),
    ),
}  # fmt: skip


def attack_ingest(requests: Sequence[Request]) -> Cost:
    """Send them to a service of their own; a sender of small messages looks at how long it waits."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        store = f"sqlite:///{folder}/ingest.db"
        process = edgefleet_process("ingest", "ingest", "--port", str(port), "--store", store, url=f"{url}/readyz")
        with process, ThreadPoolExecutor(16) as pool:
            before = peak_mib(process)
            over, waits = threading.Event(), [0.0]

            def look() -> None:
                small = Request(_MESSAGE, "application/json", gzipped=False, path="/api/v1/sensors/bme280")
                while not over.wait(0.05):
                    begun = time.monotonic()
                    small.send(url)
                    waits.append(time.monotonic() - begun)

            looking = pool.submit(look)
            begun = time.monotonic()
            answers = [
                answer for one in requests for answer in pool.map(Request.send, [one] * one.times, [url] * one.times)
            ]
            seconds = time.monotonic() - begun
            over.set()
            looking.result()
            peak = peak_mib(process)
            begun = time.monotonic()
            process.terminate()
            status, size = answers[-1]
            return Cost(status, seconds, size, max(waits), time.monotonic() - begun, before, peak)


def run_ingest() -> Iterator[str]:
    """Yield the table."""
    yield "| attack on the ingest | sent | answer | took | small post waited | stop | memory before | peak |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for name, requests in REQUESTS.items():
        cost = attack_ingest(requests)
        sent = sum(len(one.body) * one.times for one in requests)
        yield (
            f"| {name} | {sent / 1000:,.1f} kB | {cost.status}, {cost.answer_bytes / 1000:,.1f} kB"
            f" | {cost.seconds:.2f} s | {cost.blocked_s:.2f} s | {cost.stop_s:.2f} s"
            f" | {cost.before_mib} MiB | {cost.peak_mib} MiB |"
        )


# -- the bridge

_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"
_BOMB = gzip.compress(bytes(16 * _MIB), 9) * 64
_ZIPPED = _OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(_BOMB)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def _says(status: bytes, body: bytes, content_type: bytes = b"text/html") -> bytes:
    head = b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
    return head % (status, content_type, len(body)) + body


ANSWERS: dict[str, tuple[bytes, bytes]] = {
    # what it says, and what it goes on with for ever
    "none": (_says(b"204 No Content", b""), b""),
    "endless chunks": (_CHUNKED, b"10000\r\n" + bytes(1 << 16) + b"\r\n"),
    "endless body": (_OK + b"\r\n", bytes(1 << 16)),
    "gzip of a gigabyte": (_ZIPPED + _BOMB, b""),
    "endless headers": (_OK, b"X-More: " + b"x" * 4000 + b"\r\n"),
    "100 Continue for ever": (_CONTINUE, _CONTINUE * 100),
    "a page of HTML": (_says(b"200 OK", b"<!doctype html>" + b"x" * 10_000), b""),
    "errors: true": (_says(b"200 OK", b'{"errors":true}', b"application/json"), b""),
    "409": (_says(b"409 Conflict", b"known"), b""),
    "414": (_says(b"414 URI Too Long", b"no"), b""),
    "500 with 100 MB": (_says(b"500 No", b"x" * 100_000_000), b""),
}


@contextmanager
def hostile_server(said: bytes, again: bytes) -> Iterator[int]:
    """Answer every request so, until the block ends; yield the port."""
    loop = asyncio.new_event_loop()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.partition(b"content-length:")[2].split()[0]))
                writer.write(said)
                await writer.drain()
                while again:
                    writer.write(again)
                    await writer.drain()
        writer.close()

    listener = socket.create_server(("127.0.0.1", 0))
    loop.run_until_complete(asyncio.start_server(answer, sock=listener))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def attack_bridge(broker: MosquittoProcess, said: bytes, again: bytes, seconds: float) -> tuple[int, int, str]:
    """Let a bridge deliver to such a server; return its memory before and its peak, and its books."""
    with tempfile.TemporaryDirectory() as folder, hostile_server(said, again) as port:
        admin = free_port()
        config = Path(folder) / "bridge.yaml"
        settings = {
            "broker": broker.url,
            "client_id": f"attacked-{admin}",
            "spool": {"path": f"{folder}/spool.db"},
            "http": {"url": f"http://127.0.0.1:{port}", "timeout": "2s", "retry": {"base": "100ms", "cap": "500ms"}},
            "routes": [{"topic": "#", "http": "/x"}],
            "subscriptions": [f"edge/{admin}/#"],
            "admin": {"port": admin},
        }
        config.write_text(yaml.safe_dump(settings))
        url = f"http://127.0.0.1:{admin}"
        with edgefleet_process("bridge", "bridge", "run", config, url=f"{url}/readyz") as process:
            before = peak_mib(process)
            client = mqtt.Client(CallbackAPIVersion.VERSION2)
            client.connect("127.0.0.1", broker.port)
            client.loop_start()
            for seq in range(200):
                payload = orjson.dumps({**BME280_EXAMPLES[0], "seq": seq})
                client.publish(f"edge/{admin}/bme280/{BME280_EXAMPLES[0]['device_id']}/telemetry", payload, 1)
            time.sleep(seconds)
            client.loop_stop()
            connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=10)
            connection.request("GET", "/ledger")
            (books,) = orjson.loads(connection.getresponse().read())["sinks"]
            names = ("received", "delivered", "dead_lettered", "pending")
            return before, peak_mib(process), ", ".join(f"{books[name]} {name}" for name in names)


def run_bridge(seconds: float = 8) -> Iterator[str]:
    """Yield the table."""
    yield f"| answer to the bridge, {seconds:g} s | memory before | peak | its books |"
    yield "|---|---:|---:|---|"
    with MosquittoProcess() as broker:
        for name, (said, again) in ANSWERS.items():
            before, peak, books = attack_bridge(broker, said, again, seconds)
            yield f"| {name} | {before} MiB | {peak} MiB | {books} |"


def main(arguments: Sequence[str]) -> int:
    """Print both tables, or the one that is named."""
    parts: dict[str, Callable[[], Iterator[str]]] = {"ingest": run_ingest, "bridge": run_bridge}
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.attacks", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("part", nargs="*", choices=[*parts, []], help="which of the two; both by default")
    for name in parser.parse_args(arguments).part or parts:
        for line in parts[name]():
            print(line, flush=True)
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
