"""Records a whole bridge: what it has acknowledged to the broker has to be in its spool or in its files."""

import asyncio
import random
from contextlib import closing
from pathlib import Path

import orjson
import yaml

from bridge.delivery.ack_tracker import AckTracker
from bridge.sinks.file.folder import Folder
from bridge.spool.reader import SpoolReader
from bridge.spool.store import SpoolStore
from edgefleet.embedded import free_port
from edgewire.errors import EdgefleetError
from edgewire.mqtt import PacketDecoder, Version
from edgewire.mqtt.packets import Puback
from tests.bridge.fakes import ScriptedBroker, payload, scripted_broker
from tests.power_loss.checks import Facts, contents_of, go_on_with_spool
from tests.power_loss.replay import Recording
from tests.power_loss.syscalls import Syscall, read_trace, traced_command
from tests.power_loss.workloads import ROTATION
from tests.waiting import PATIENCE_S, eventually

_TOPIC = "edge/s/bme280/a/telemetry"


def record_bridge(seed: int, messages: int, folder: Path) -> Recording:
    """Let a bridge with a file sink receive so many messages, in bursts, and end it by SIGTERM."""
    root, trace = folder / "recorded", folder / "trace"
    root.mkdir(parents=True)
    asyncio.run(_run_bridge(root, folder, trace, random.Random(seed), messages))
    return Recording("bridge", seed, root, read_trace(trace), _Pubacks(), check_bridge)


async def _run_bridge(root: Path, folder: Path, trace: Path, rng: random.Random, messages: int) -> None:
    async with scripted_broker() as broker:
        settings = {
            "broker": broker.url,
            "client_id": "recorded",
            "subscriptions": ["edge/#"],
            "admin": {"port": free_port()},
            "watch": {"broker_statistics": False},  # the scripted broker serves one connection
            "spool": {"path": str(root / "state" / "spool.db")},
            "file": {"folder": str(root / "messages"), "max_bytes": ROTATION.max_bytes, "compression": "gzip"},
        }
        config = folder / "bridge.yaml"
        config.write_text(yaml.safe_dump(settings), encoding="utf-8")
        command = traced_command(["-m", "edgefleet", "bridge", "run", str(config)], trace)
        with (folder / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
            try:
                await asyncio.wait_for(broker.subscribed.wait(), PATIENCE_S)
                await _publish(broker, rng, messages)
                await eventually(lambda: _delivered(root / "messages") >= messages, "every message is in a file")
                process.terminate()
                await asyncio.wait_for(process.wait(), PATIENCE_S)
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()


async def _publish(broker: ScriptedBroker, rng: random.Random, messages: int) -> None:
    number = 0
    while number < messages:
        burst = range(number + 1, min(number + rng.choice((1, 3, 12)), messages) + 1)
        for number in burst:
            broker.publish(number, _TOPIC, payload("a", number, filler="x" * rng.choice((5, 5, 600))))
        if rng.random() < 0.6:
            await broker.until(lambda last=number: last in broker.acked)
    await broker.until(lambda: len(broker.acked) == messages)


def _delivered(folder: Path) -> int:
    return sum(_size(one) for one in folder.rglob("*.jsonl*")) if folder.exists() else 0


def _size(path: Path) -> int:
    try:
        return contents_of(path).count(b"\n")
    except FileNotFoundError:  # compressed meanwhile
        return 0


class _Pubacks:
    """Reads out of what the bridge sends which messages it has acknowledged; a packet id is a message's number."""

    def __init__(self) -> None:
        self.safe: Facts = {"numbers": []}
        self.asked: Facts = None
        self.count = 0
        self._descriptor = ""
        self._decoder = PacketDecoder(Version.V5)

    def apply(self, call: Syscall) -> None:
        if call.name not in {"write", "writev", "sendto", "sendmsg"} or not call.result or call.result < 0:
            return
        data = b"".join(call.texts)[: call.result]
        if data[:1] == b"\x10" and b"MQTT" in data[:12]:
            self._descriptor, self._decoder = call.numbers[0], PacketDecoder(Version.V5)
        if call.numbers[0] == self._descriptor:
            assert self.safe is not None
            for packet in self._decoder.feed(data):
                if isinstance(packet, Puback):
                    self.safe["numbers"].append(packet.packet_id)
                    self.count += 1


def check_bridge(folder: Path, seed: int, safe: Facts, _asked: Facts) -> list[str]:
    """Open spool and files as the next bridge would; each acknowledged message is in one of them."""
    numbers = set((safe or {})["numbers"])
    files = Folder(folder / "messages", ROTATION, [], lambda: 9e6)
    try:
        files.lock()
        if file := files.append_lines("bme280.jsonl", payload("a", 0) + b"\n"):
            file.clean_up()
        lines = b"".join(map(contents_of, (folder / "messages").glob("*.jsonl*"))).splitlines()
        delivered = {orjson.loads(line)["seq"] for line in lines}
        path = folder / "state" / "spool.db"
        with closing(SpoolStore(path, ["file"])) as store, closing(SpoolReader(path)) as reader:
            tracker = AckTracker("file", store.cursor("file"), store.done_bitmaps("file"))
            there = reader.read_messages(0, limit=1_000_000, max_bytes=1 << 30)
            pending = {orjson.loads(one.payload)["seq"] for one in there if not tracker.is_done(one.id)}
        wrong = go_on_with_spool(path, ["file"], seed)
    except (EdgefleetError, OSError, orjson.JSONDecodeError) as error:
        return [f"it cannot be gone on with: {error}"]
    finally:
        files.close()
    lost = sorted(numbers - delivered - pending)
    if lost:
        wrong.append(f"{len(lost)} acknowledged messages are lost, the first is {lost[0]}")
    return wrong
