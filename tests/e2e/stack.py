"""The whole chain as processes of their own on loopback, each of which a test can kill and start again."""

import asyncio
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import orjson
import yaml
from aiohttp import web

from edgefleet.embedded import ManagedProcess, MosquittoProcess, edgefleet_process, free_port
from edgewire.run_record import RunRecord
from tests.waiting import until

FLEET = {
    "seed": 7,
    "sites": [
        {"name": "riverside", "latitude": 48.8566, "longitude": 2.3522, "timezone": "Europe/Paris"},
        {"name": "harbour", "latitude": 53.5511, "longitude": 9.9937, "timezone": "Europe/Berlin"},
    ],
    "devices": [
        {"kind": "bme280", "count": 20, "interval": "500ms"},
        {"kind": "traffic", "count": 4, "interval": "1s"},
        {"kind": "gps", "count": 20, "interval": "250ms"},
        {"kind": "telematics", "count": 20, "interval": "500ms"},
        {"kind": "people", "count": 4, "interval": "1s"},
    ],
    "reconnect": {"base": "200ms", "cap": "1s"},
}


class Gate:
    """An HTTP proxy before the ingest service that can be told to answer 503 instead."""

    def __init__(self, upstream: str) -> None:
        self.closed = False
        self.refused = 0
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._upstream = upstream
        self._loop = asyncio.new_event_loop()
        self._stopped: asyncio.Event | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), name="gate")

    def __enter__(self) -> "Gate":
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._stopped is not None
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self) -> None:
        self._stopped = asyncio.Event()
        async with aiohttp.ClientSession() as client:

            async def handle(request: web.Request) -> web.Response:
                if self.closed:
                    self.refused += 1
                    return web.Response(status=503, text="closed for the test")
                body = await request.read()
                headers = {key: value for key, value in request.headers.items() if key.lower() != "host"}
                async with client.request(
                    request.method, self._upstream + request.path_qs, data=body, headers=headers
                ) as answer:
                    return web.Response(
                        status=answer.status, body=await answer.read(), content_type=answer.content_type
                    )

            app = web.Application(client_max_size=1 << 26)
            app.router.add_route("*", "/{path:.*}", handle)
            runner = web.AppRunner(app)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
            self._ready.set()
            await self._stopped.wait()
            await runner.cleanup()


@dataclass
class Stack:
    """Addresses, and the processes behind them."""

    folder: Path
    broker: MosquittoProcess
    ingest_url: str
    gate: Gate
    kafka: str
    bridge: ManagedProcess
    bridge_url: str
    _fleets: list["RunningFleet"] = field(default_factory=list)

    def books(self, entry: str) -> dict[str, int]:
        """An entry of the bridge's books, by sink."""
        with urllib.request.urlopen(f"{self.bridge_url}/ledger", timeout=10) as answer:
            ledger = orjson.loads(answer.read())
        return {sink["sink"]: sink[entry] for sink in ledger["sinks"]}

    def await_delivery(self, messages: int, sinks: Sequence[str] = ("http", "kafka")) -> None:
        """Wait until each of these sinks has been delivered so many more."""
        enough = {sink: count + messages for sink, count in self.books("delivered").items() if sink in sinks}

        def delivered() -> bool:
            now = self.books("delivered")
            return all(now[sink] >= count for sink, count in enough.items())

        until(delivered)

    def start_fleet(self, duration: str = "170s", **changes: object) -> "RunningFleet":
        """`edgefleet run` as a process, until `RunningFleet.stop` or for so long."""
        run = self.folder / f"run-{len(self._fleets)}"
        scenario = run.with_suffix(".yaml")
        scenario.write_text(yaml.safe_dump({**FLEET, "broker": self.broker.url, **changes}))
        command = [
            sys.executable,
            "-m",
            "edgefleet",
            "run",
            str(scenario),
            "--duration",
            duration,
            "--record",
            str(run),
        ]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self._fleets.append(RunningFleet(process, run))
        return self._fleets[-1]

    def close(self) -> None:
        """End the fleets that a failed test has left."""
        for fleet in self._fleets:
            if fleet.process.poll() is None:
                fleet.kill()

    def restore(self) -> None:
        """No fleet, and everything else at work."""
        self.close()
        self.gate.closed, self.gate.refused = False, 0
        self.broker.start()
        self.bridge.start()


@dataclass
class RunningFleet:
    """A fleet that is under way."""

    process: "subprocess.Popen[bytes]"
    run: Path

    def stop(self) -> RunRecord:
        """As Ctrl-C does, and its record."""
        self.process.send_signal(signal.SIGINT)
        return self.finish()

    def finish(self, timeout_s: float = 60) -> RunRecord:
        """Wait for its end and read its record."""
        _, stderr = self.process.communicate(timeout=timeout_s)
        assert self.process.returncode == 0, stderr.decode()
        return RunRecord.load(self.run)

    def kill(self) -> None:
        """As a power cut would."""
        self.process.kill()
        self.process.communicate(timeout=10)


@contextmanager
def running_stack(
    folder: Path, kafka: str, mosquitto_factory: Callable[..., MosquittoProcess], mode: str = "batch"
) -> Iterator[Stack]:
    """Broker, ingest behind a gate, and the bridge, which posts in this mode."""
    with ExitStack() as stack:
        broker = mosquitto_factory()
        ingest_port, admin_port = free_port(), free_port()
        ingest_url, bridge_url = f"http://127.0.0.1:{ingest_port}", f"http://127.0.0.1:{admin_port}"
        store = f"sqlite:///{folder / 'ingest.db'}"
        stack.enter_context(
            edgefleet_process(
                "ingest", "ingest", "--port", str(ingest_port), "--store", store, url=f"{ingest_url}/readyz"
            )
        )
        gate = stack.enter_context(Gate(ingest_url))
        config = folder / "bridge.yaml"
        retry = {"base": "100ms", "cap": "1s"}
        settings = {
            "broker": broker.url,
            "client_id": f"bridge-{admin_port}",
            "spool": {"path": str(folder / "spool.db")},
            "http": {"url": gate.url, "mode": mode, "retry": retry},
            "kafka": {"bootstrap_servers": kafka, "retry": retry},
            "admin": {"port": admin_port},
        }
        config.write_text(yaml.safe_dump(settings))
        bridge = edgefleet_process("bridge", "bridge", "run", config, url=f"{bridge_url}/readyz")
        stack.enter_context(bridge)
        running = Stack(folder, broker, ingest_url, gate, kafka, bridge, bridge_url)
        stack.callback(running.close)
        yield running
