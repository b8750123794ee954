"""A broker that speaks MQTT 3.1.1 alone: the bridge works, and says what that costs."""

import asyncio
from pathlib import Path
from typing import Any

from edgewire.mqtt import PacketDecoder, Version, encode
from edgewire.mqtt.packets import Connack, Connect, Puback, Publish, Suback, Subscribe
from tests.bridge.fakes import ingest_stub, payload
from tests.bridge.live import staged
from tests.tcp import tcp_server
from tests.waiting import eventually


class OldBroker:
    """Refuses version 5 as the standard says, and sends one message to whoever subscribes."""

    def __init__(self) -> None:
        self.acked: list[int] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(4096)
        if b"\x00\x04MQTT\x05" in first:
            writer.write(b"\x20\x02\x00\x01")  # CONNACK: unacceptable protocol version
            writer.close()
            return
        decoder, data = PacketDecoder(Version.V311), first
        while data:
            for packet in decoder.feed(data):
                self._answer(packet, writer)
            data = await reader.read(4096)
        writer.close()

    def _answer(self, packet: Any, writer: asyncio.StreamWriter) -> None:
        answers: list[Any] = []
        match packet:
            case Connect():
                answers = [Connack()]
            case Subscribe(packet_id=packet_id, subscriptions=subscriptions):
                message = Publish(topic="edge/s/bme280/a/telemetry", payload=payload("a", 1), qos=1, packet_id=9)
                answers = [Suback(packet_id, (1,) * len(subscriptions)), message]
            case Puback(packet_id=packet_id):
                self.acked.append(packet_id)
        writer.write(b"".join(encode(one, Version.V311) for one in answers))


async def test_the_fallback_says_that_its_window_is_20(tmp_path: Path) -> None:
    broker = OldBroker()
    async with (
        tcp_server(broker.serve) as port,
        ingest_stub() as ingest,
        staged(f"mqtt://127.0.0.1:{port}", tmp_path, ingest) as stage,
    ):
        await eventually(lambda: ingest.stored == ["a:1:1"])
        await eventually(lambda: broker.acked == [9])
        readiness = stage.bridge.readiness()
        assert readiness.reasons == []
        (warning,) = readiness.warnings
        assert "MQTT 3.1.1" in warning
        assert "20 mostly" in warning
        value = stage.metrics.registry.get_sample_value
        assert value("edgefleet_bridge_mqtt_version") == 4
        assert value("edgefleet_bridge_receive_window") == 20
