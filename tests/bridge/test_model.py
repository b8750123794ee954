"""A whole bridge beside a model of it in memory, through any order of messages, failures and restarts.

The broker and the HTTP service are the tests' own, over loopback; everything between is the bridge as it runs. The
model knows what was published, and what has to have become of it in the end: it shares no code with the bridge.
"""

import asyncio
import os
import tempfile
from collections import Counter
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import orjson
import pytest
from aiohttp import web
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from bridge.config import BridgeConfig
from bridge.service import run_bridge
from bridge.spool.accounting import count_messages
from edgewire.mqtt.packets import Publish
from tests.bridge.fakes import in_order, ingest_stub, payload, scripted_broker
from tests.waiting import eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(500)]

DEVICES = st.sampled_from(["a", "b", "c"])
RETRY = {"base": "1ms", "cap": "5ms", "pause": "5ms"}
WAIT_S = 30.0
ROOM = "/dev/shm" if os.path.isdir("/dev/shm") else None
"""In memory: a machine that loses its power is the matter of tests/power_loss."""


class BridgeModel(RuleBasedStateMachine):
    """Publishes, fails, kills and restarts; `settle` compares."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.around = AsyncExitStack()
        self.seqs = Counter[str]()
        self.packets = 0
        self.waiting: dict[int, Publish] = {}
        """Packet id -> what the bridge has not acknowledged: the broker sends it again on the next connection."""
        self.settled_packets = 0
        self.good: list[str] = []
        """Ids that both sinks have to have."""
        self.refused: set[str] = set()
        """Ids that HTTP takes never."""
        self.unreadable = 0

    @initialize()
    def begin(self) -> None:
        self.loop.run_until_complete(self._begin())

    async def _begin(self) -> None:
        self.folder = Path(self.around.enter_context(tempfile.TemporaryDirectory(dir=ROOM)))
        self.http = await self.around.enter_async_context(ingest_stub())
        self.broker = await self.around.enter_async_context(scripted_broker())
        self.config = BridgeConfig.model_validate(
            {
                "broker": self.broker.url,
                "http": {"url": self.http.url, "retry": RETRY},
                "file": {"folder": self.folder / "files", "retry": RETRY},
                "spool": {"path": self.folder / "spool.db"},
                "admin": {"port": 0},
                "watch": {"broker_statistics": False},
                "shutdown_timeout": "1s",
            }
        )
        await self._start()

    async def _start(self) -> None:
        self.stop = asyncio.Event()
        self.running = asyncio.create_task(run_bridge(self.config, self.stop))
        await self._subscribed()

    async def _subscribed(self) -> None:
        """Wait for the subscription, and send again what was not acknowledged, as a broker does."""
        connected = asyncio.create_task(self.broker.subscribed.wait())
        await asyncio.wait([connected, self.running], return_when="FIRST_COMPLETED", timeout=WAIT_S)
        if self.running.done():
            self.running.result()
        assert connected.done(), "the bridge does not subscribe"
        self.broker.session_present = True
        self._note_acknowledged()
        self.broker.send(*(publish for publish in self.waiting.values()))

    def _note_acknowledged(self) -> None:
        for packet in self.broker.acked:
            self.waiting.pop(packet, None)
        self.broker.acked.clear()

    def _publish(self, topic: str, body: bytes) -> None:
        self.packets += 1
        packet = Publish(topic=topic, payload=body, qos=1, packet_id=self.packets)
        self.waiting[self.packets] = packet
        self.broker.send(packet)

    @rule(device=DEVICES, count=st.integers(1, 20), refused=st.booleans())
    def publish(self, device: str, count: int, refused: bool) -> None:
        """Messages of a device; of some the last is one that HTTP will never take."""
        for number in range(count):
            self.seqs[device] += 1
            seq = self.seqs[device]
            message = f"{device}:1:{seq}"
            self.good.append(message)
            if refused and number == count - 1:
                self.refused.add(message)
                self.http.poison[message] = 422
            self._publish(f"edge/site/bme280/{device}/telemetry", payload(device, seq))
        self._let_run()

    @rule(body=st.sampled_from([b"", b"\xff\x00", b"[1]", b'{"device_id":"a"}', b'{"device_id":"z","boot":1,"seq":1}']))
    def publish_what_nobody_can_read(self, body: bytes) -> None:
        self.unreadable += 1
        self._publish("edge/site/bme280/a/telemetry", body)
        self._let_run()

    @rule(statuses=st.lists(st.sampled_from([500, 503, 429, 408, 404, 401]), min_size=1, max_size=5))
    def fail_http(self, statuses: list[int]) -> None:
        """The next requests are answered so: none of it is the fault of a message."""
        self.http.answers += [web.json_response({"error": "not now"}, status=status) for status in statuses]
        self._let_run()

    @rule()
    def cut_the_connection(self) -> None:
        async def cut() -> None:
            self.broker.hang_up()
            await self._subscribed()

        self.loop.run_until_complete(cut())

    @rule(in_order=st.booleans())
    def restart(self, in_order: bool) -> None:
        """The bridge ends in order, or is cancelled wherever it is; another begins with its spool."""

        async def again() -> None:
            self.broker.subscribed.clear()
            if in_order:
                self.stop.set()
                await self.running
            else:
                self.running.cancel()
                with suppress(asyncio.CancelledError):
                    await self.running
            self.broker.subscribed.clear()
            await self._start()

        self.loop.run_until_complete(again())

    @precondition(lambda self: self.packets > self.settled_packets)
    @rule()
    def settle(self) -> None:
        self.loop.run_until_complete(self._settle())

    def _let_run(self) -> None:
        self.loop.run_until_complete(asyncio.sleep(0.002))

    async def _settle(self) -> None:
        """All is acknowledged and delivered in the end, and the books say what the model says."""
        self.settled_packets = self.packets

        def is_acknowledged() -> bool:
            self._note_acknowledged()
            return not self.waiting

        await eventually(is_acknowledged, timeout_s=WAIT_S)
        path = self.config.spool.path
        await eventually(lambda: not any(one.pending for one in count_messages(path)), timeout_s=WAIT_S)
        taken = [message for message in self.good if message not in self.refused]
        stored = list(dict.fromkeys(self.http.stored))
        assert sorted(stored) == sorted(taken)
        assert in_order(stored)
        lines = [orjson.loads(line) for file in self.folder.glob("files/*") for line in file.read_bytes().splitlines()]
        written = list(dict.fromkeys("{device_id}:{boot}:{seq}".format(**one) for one in lines))
        assert sorted(written) == sorted(self.good)
        assert in_order(written)
        for counts in count_messages(path):
            assert counts.balanced, counts
            assert counts.received >= self.packets, "what was acknowledged is in no book"
            # What was sent twice, as its acknowledgement was lost, is received twice.
            twice = counts.received - self.packets
            dead = self.unreadable + (len(self.refused) if counts.sink == "http" else 0)
            assert dead <= counts.dead_lettered <= dead + twice, counts

    def teardown(self) -> None:
        async def end() -> None:
            if not hasattr(self, "running"):
                return
            try:
                await self._settle()
            finally:
                self.stop.set()
                with suppress(Exception):
                    await self.running
                await self.around.aclose()

        try:
            self.loop.run_until_complete(end())
        finally:
            self.loop.close()


TestBridgeModel = BridgeModel.TestCase
TestBridgeModel.settings = settings(
    max_examples=8, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
