"""An edge node of Sparkplug without a network: all that a broker gets of it, in its order."""

from collections.abc import Sequence
from typing import Any

from edgewire.dialects.sparkplug import SparkplugOptions
from edgewire.dialects.sparkplug_encoder import SparkplugDeviceEncoder, SparkplugNodeEncoder
from edgewire.dialects.sparkplug_payload import SparkplugType, write_metric, write_payload
from edgewire.dialects.sparkplug_session import SparkplugSession
from tests.dialects.speaking import ONLINE
from tests.dialects.tahu_schema import Payload

T = SparkplugType
NOW_MS = 1_790_000_000_000
AIR = {"temperature_c": 21.43, "humidity": 44.1, "pressure_hpa": 1013.25}


class Node:
    """A node with what a broker gets of it: an edge node with values of its own, or a gateway with devices."""

    def __init__(self, devices: Sequence[str] = (), **options: Any) -> None:
        given = SparkplugOptions.model_validate({"group": "plant"} | options)
        self.devices = devices
        self.encoder = (SparkplugDeviceEncoder if devices else SparkplugNodeEncoder)(given, "bme280")
        self.names = {"gateway": "n1", "id": "n1", "site": "home"}
        session = self.encoder.open_session(self.names)
        assert isinstance(session, SparkplugSession)
        self.session = session
        self.said: list[tuple[str, bytes]] = []
        self.now_ms = NOW_MS
        self.connects = 0

    def connect(self, broker: str = "mqtt://a") -> None:
        self.session.begin_connect(self.connects, broker)
        self.connects += 1

    def be_born(self) -> None:
        status = ONLINE | {"interval_s": 10.0}
        if isinstance(self.encoder, SparkplugDeviceEncoder):
            births = [*self.encoder.gateway_state(self.names, [], status)]
        else:
            births = []
        for device in self.devices or ("n1",):
            births += self.encoder.state(self.names | {"id": device}, status)
        for one in births:
            self.send(one.topic, one.payload)

    def tell(self, device: str = "", *, is_past: bool = False, is_damaged: bool = False, **values: Any) -> None:
        (template,) = self.encoder.messages
        topic = template.topic.format_map({"site": "home", "id": device or "n1", "gateway": "n1"})
        metrics = [
            write_metric(name, T.DOUBLE, value, timestamp=self.now_ms - 50) for name, value in (AIR | values).items()
        ]
        payload = write_payload(self.now_ms - 50, None, metrics)
        self.send(topic, payload, is_past=is_past, is_damaged=is_damaged)

    def send(self, topic: str, payload: bytes, *, is_past: bool = False, is_damaged: bool = False) -> None:
        written = self.session.write(topic, payload, self.now_ms, is_past=is_past, is_damaged=is_damaged)
        self.session.on_sent()
        self.said.append((topic, written))
        self.now_ms += 1000

    def read(self) -> list[tuple[str, Any]]:
        """What was said since the last time, by protobuf's own parser."""
        said, self.said = self.said, []
        return [(topic.split("/", 2)[2], Payload.FromString(payload)) for topic, payload in said]


def born(*devices: str, **options: Any) -> Node:
    node = Node(devices, **options)
    node.connect()
    node.be_born()
    return node
