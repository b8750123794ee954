"""A paho subscriber whose session outlives the broker: what it has heard is complete, whoever was away meanwhile."""

import multiprocessing
import queue
import time
from datetime import datetime
from typing import Any, NamedTuple

import orjson
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

# What a message takes at most from the broker to a subscriber that keeps up.
SETTLE_S = 3.0


class Heard(NamedTuple):
    """One message, in the order of arrival."""

    device_id: str
    boot: int
    seq: int
    timestamp_ms: int
    arrived_ms: int


class PersistentSubscriber:
    """Subscribed at QoS 1 in a process of its own, and again connected a second after the broker is back."""

    def __init__(self, host: str, port: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._results: Any = context.Queue()
        self._asked = context.Value("b", 0)
        self._process = context.Process(target=_listen, args=(host, port, self._results, self._asked), daemon=True)
        self._process.start()
        assert self._results.get(timeout=60) == "subscribed"

    def end(self) -> tuple[list[Heard], list[bool]]:
        """What it has heard, once nothing comes any more; and of each connection whether its session was there."""
        self._asked.value = 1
        try:
            messages, sessions = self._results.get(timeout=180)
        except queue.Empty:
            raise SystemExit("the subscriber does not answer") from None
        self._process.join(10)
        return [Heard(*message) for message in messages], sessions


def _listen(host: str, port: int, results: Any, asked: Any) -> None:
    arrivals: list[tuple[int, bytes]] = []
    sessions: list[bool] = []
    last_s = time.monotonic()

    def on_message(_client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        nonlocal last_s
        last_s = time.monotonic()
        arrivals.append((time.time_ns() // 1_000_000, bytes(message.payload)))

    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id="subscriber", protocol=paho.MQTTv311, clean_session=False
    )
    client.max_inflight_messages_set(1000)
    client.reconnect_delay_set(1, 1)
    client.on_message = on_message
    client.on_connect = lambda _client, _data, flags, *_: sessions.append(flags.session_present)
    client.on_subscribe = lambda *_: results.put("subscribed")
    client.connect(host, port)
    # Once only: after the outage it is the broker that must know.
    client.subscribe([("edge/+/+/+/telemetry", 1), ("edge/+/+/+/event", 1)])
    client.loop_start()
    while not asked.value or time.monotonic() - last_s < SETTLE_S:
        time.sleep(0.2)
    client.disconnect()
    client.loop_stop()
    results.put(([tuple(_heard(*arrival)) for arrival in arrivals], sessions))


def _heard(arrived_ms: int, payload: bytes) -> Heard:
    fields = orjson.loads(payload)
    moment = datetime.fromisoformat(fields["timestamp"])
    return Heard(fields["device_id"], fields["boot"], fields["seq"], round(moment.timestamp() * 1000), arrived_ms)
