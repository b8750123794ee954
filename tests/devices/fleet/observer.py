"""A paho client that hears everything a fleet says, and tells devices what to do."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, NamedTuple

import orjson
import paho.mqtt.client as mqtt

from devices.fleet.brokers import broker_pool_for
from devices.fleet.connector import probe_all
from devices.fleet.fleet import Fleet
from devices.scenario.scenario import Scenario
from edgefleet.embedded import MosquittoProcess
from edgewire.run_record import RunRecord, count_seqs
from tests.waiting import eventually

CHANNELS = ("telemetry", "event", "status", "result")


class ObservedMessage(NamedTuple):
    """A message."""

    device: str
    channel: str
    payload: bytes
    retain: bool
    at_s: float

    @property
    def fields(self) -> dict[str, Any]:
        """Its JSON."""
        decoded: dict[str, Any] = orjson.loads(self.payload)
        return decoded


class Observer:
    """What was heard, in its order."""

    def __init__(self, client: mqtt.Client) -> None:
        self.heard: list[ObservedMessage] = []
        self._client = client
        client.on_message = self._on_message

    def of(self, device: str, channel: str) -> list[ObservedMessage]:
        """What one device said on one channel."""
        return [one for one in self.heard if (one.device, one.channel) == (device, channel)]

    def states(self, device: str) -> list[str]:
        """Its `state`, again and again."""
        return [one.fields["state"] for one in self.of(device, "status")]

    def seqs(self, device: str) -> dict[int, list[int]]:
        """Boot -> seqs of its readings, in the order in which they came, damaged ones left out."""
        found: dict[int, list[int]] = {}
        for one in self.heard:
            if one.device == device and one.channel in ("telemetry", "event") and b"\xff" not in one.payload:
                found.setdefault(one.fields["boot"], []).append(one.fields["seq"])
        return found

    def send_command(self, topic: str, payload: bytes | dict[str, Any]) -> None:
        """Publish a command to a device's topic."""
        self._client.publish(topic, payload if isinstance(payload, bytes) else orjson.dumps(payload), qos=1)

    async def result(self, device: str, command_id: str, count: int = 1) -> dict[str, Any]:
        """The newest of `count` answers to a command."""

        def answers() -> list[dict[str, Any]]:
            return [one.fields for one in self.of(device, "result") if one.fields["id"] == command_id]

        await eventually(lambda: len(answers()) >= count, f"{device} answers {command_id}")
        return answers()[-1]

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        _, _, _, device, channel = message.topic.split("/")
        self.heard.append(ObservedMessage(device, channel, message.payload, message.retain, monotonic()))


@contextmanager
def observing(broker: MosquittoProcess) -> Iterator[Observer]:
    """Listens to everything while the block runs."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="observer")
    observer = Observer(client)
    subscribed = threading.Event()
    client.on_connect = lambda *_: client.subscribe([(f"edge/+/+/+/{name}", 1) for name in CHANNELS])
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect(broker.host, broker.port)
    client.loop_start()
    try:
        assert subscribed.wait(30)
        yield observer
    finally:
        client.disconnect()
        client.loop_stop()


async def conduct(scenario: Scenario, script: Callable[[Fleet], Awaitable[None]], **options: int) -> RunRecord:
    """A fleet that runs for as long as the script takes."""
    stop = asyncio.Event()
    fleet = Fleet(scenario, name="test", version=await probe_all(broker_pool_for(scenario)), **options)
    running = asyncio.create_task(fleet.run(100, stop))
    try:
        async with asyncio.timeout(80):
            await script(fleet)
    finally:
        stop.set()
        record = await running
    return record


def assert_books_balance(record: RunRecord, observer: Observer) -> None:
    """Every device and boot: what arrived is what was emitted, less what was dropped or is not certain."""
    record.check()
    for device in record.devices:
        ended = count_seqs([*device.dropped, *device.unsent, *device.refused_ranges])
        assert device.emitted == device.acknowledged + device.sent_qos0 + ended
        arrived = set(observer.seqs(device.device_id).get(device.boot, []))
        given_up = {seq for first, last in device.dropped for seq in range(first, last + 1)}
        uncertain = {seq for first, last in device.unsent for seq in range(first, last + 1)}
        emitted = set() if device.first_seq is None else set(range(device.first_seq, (device.last_seq or 0) + 1))
        assert emitted - given_up - uncertain <= arrived <= emitted - given_up
    assert {(device.device_id, device.boot) for device in record.devices} >= {
        (one.device, one.fields["boot"])
        for one in observer.heard
        if one.channel in ("telemetry", "event") and b"\xff" not in one.payload
    }
