"""Other people's software for platforms, as it comes from the package index, and ours read each other."""

import asyncio
import base64
import contextlib
import time

import orjson
import pytest

from bridge.message.sparkplug_births import SparkplugBirths
from bridge.spool.message import SpooledMessage
from devices.fleet.hub_login import HubLogin
from edgewire.dialects.base import Arrival, DialectMessage
from edgewire.dialects.encoder import HeardCommands
from edgewire.dialects.registry import DIALECTS
from edgewire.dialects.sparkplug import BD_SEQ, REBIRTH
from edgewire.dialects.sparkplug_payload import SparkplugType, metric_value, read_payload
from edgewire.link import BrokerUrl
from tests.devices.fleet.platform_peers import ThingsBoardPeer, serving
from tests.dialects.edge_node import AIR, NOW_MS, Node, born
from tests.dialects.speaking import ONLINE, device_of, format_of, reading_of, said
from tests.dialects.speaking import ask as asked
from tests.judges.sdk import ask, command_of, without_ours
from tests.waiting import eventually

# The first one fetches packages.
pytestmark = [pytest.mark.long, pytest.mark.timeout(450)]

PYSPARKPLUG = "pysparkplug==0.6.1"
MQTT_SPB_WRAPPER = "mqtt-spb-wrapper==2.1.2"
AZURE_IOT_DEVICE = "azure-iot-device==2.14.0"
AWSIOTSDK = "awsiotsdk==1.31.0"
TB_MQTT_CLIENT = "tb-mqtt-client==1.13.14"
WARM = {"temperature_c": -3.25, "humidity": 100.0, "pressure_hpa": 987.0}


def said_by_node(*, aliases: bool = True) -> list[tuple[str, str]]:
    """What a node with two devices says from its birth on."""
    node = born("d1", "d2", aliases=aliases)
    node.tell("d1")
    node.tell("d2", is_past=True, **WARM)
    return [(topic, payload.hex()) for topic, payload in node.said]


@pytest.mark.parametrize("aliases", [True, False])
def test_pysparkplug_reads_births_and_data_of_a_node(aliases: bool) -> None:
    found = ask(PYSPARKPLUG, "pysparkplug_reads", said_by_node(aliases=aliases))
    assert [(what, int(seq)) for what, seq, _ in found] == [
        ("NBIRTH", 0), ("DBIRTH", 1), ("DBIRTH", 2), ("DDATA", 3), ("DDATA", 4),
    ]  # fmt: skip
    births, data = found[:3], found[3:]
    assert births[0][2].items() >= {BD_SEQ: 0, REBIRTH: False}.items()
    assert births[1][2].items() >= dict.fromkeys(AIR).items()
    assert [metrics for *_, metrics in data] == [AIR, WARM]


def test_what_pysparkplug_asks_for_is_heard_and_what_it_measures_is_read() -> None:
    *commands, birth, data = ask(PYSPARKPLUG, "pysparkplug_says")
    rebirth, rate = (heard(born(), *one) for one in commands)
    assert rebirth.introduces
    (command,) = rate.commands
    assert ([*rebirth.ignored, *rate.ignored], b"Scan Rate" in command) == ([], True)
    assert told_by([birth, data]) == [("temperature_c", 20.5), ("count", 4_000_000_000)]


def test_mqtt_spb_wrapper_reads_births_and_numbers_of_a_node() -> None:
    found = ask(MQTT_SPB_WRAPPER, "mqtt_spb_wrapper_reads", said_by_node(aliases=False))
    assert [(what, int(seq)) for what, seq, _ in found] == [
        ("NBIRTH", 0), ("DBIRTH", 1), ("DBIRTH", 2), ("DDATA", 3), ("DDATA", 4),
    ]  # fmt: skip
    assert found[0][2].items() >= {BD_SEQ: 0}.items()
    # It goes by the datatype for where the value is, which data need not repeat (`payloads-metric-datatype-not-req`).
    assert [set(metrics) for *_, metrics in found[3:]] == [set(AIR)] * 2


def test_what_mqtt_spb_wrapper_measures_is_read() -> None:
    node_birth = said_by_node()[0]
    birth, data = ask(MQTT_SPB_WRAPPER, "mqtt_spb_wrapper_says")
    assert told_by([node_birth, birth, data]) == [("temperature_c", 21.0)]


def heard(node: Node, topic: str, payload: str) -> HeardCommands:
    return node.session.hear_command(topic, bytes.fromhex(payload))


def told_by(messages: list[tuple[str, str]]) -> list[tuple[str, object]]:
    """Names and values of what the data among these messages say, by the births of the bridge."""
    births, found = SparkplugBirths(), []
    for topic, payload in messages:
        message = SpooledMessage(1, NOW_MS, topic, bytes.fromhex(payload), 0, retain=False, dup=False)
        for one in births.name_metrics(message, 0.0):
            if "DATA/" in one.topic:
                found += [
                    (metric.name, metric_value(metric, SparkplugType(metric.datatype), metric.name))
                    for metric in read_payload(one.payload).metrics
                    if metric.name is not None
                ]
    return found


def test_the_sdk_of_azure_iot_reads_topics_bags_and_tokens_and_is_read() -> None:
    properties = {"plant/line": "A&B 100 %", "é": "ü=?"}
    spoken = format_of("bme280", {"dialect": "azure-iot", "properties": properties})
    device = device_of("bme280")
    key = b"a key of a device"
    login = HubLogin(device.device_id, "hub.azure-devices.net", 60, key)
    resource = f"hub.azure-devices.net/devices/{device.device_id}"
    (reading,) = said("bme280", spoken, reading_of("bme280"))
    report, get = spoken.status(device, ONLINE)
    method = "$iothub/methods/POST/reboot/?$rid=1a"
    _, (answer,) = asked("bme280", spoken, method, b"")
    found = ask(
        AZURE_IOT_DEVICE,
        "azure_iot_device_reads",
        {
            "device": device.device_id, "telemetry": reading.topic, "properties": properties,
            "key": base64.b64encode(key).decode(), "resource": resource,
            "token": login.password(BrokerUrl.parse("mqtts://other"), time.time()), "method": method, "rid": "1a",
        },
    )  # fmt: skip
    assert found["custom"] == properties
    assert found["content"] == ["application/json", "utf-8"]
    assert found["token"] == [True, True]
    assert (found["method"], found["answer"]) == (["reboot", "1a"], answer.topic)
    assert found["twin"] == [get.topic, report.topic]
    assert set(found["filters"]) <= set(spoken.command_topics(device))
    read = DIALECTS["azure-iot"].decoder(None).decode(found["said"], b'{"temperature_c":20.5}', Arrival(NOW_MS))
    assert isinstance(read, DialectMessage)
    assert (read.device_id, read.values, read.extra["properties"]) == (
        device.device_id, {"temperature_c": 20.5}, properties | {"$.ct": "application/json", "$.ce": "utf-8"},
    )  # fmt: skip


def test_the_sdk_of_aws_iot_writes_updates_of_shadows_as_things_do() -> None:
    spoken = format_of("bme280", {"dialect": "aws-iot", "readings": "shadow"})
    shadow = f"$aws/things/{device_of('bme280').device_id}/shadow"
    delta = {"state": {"settings": {"interval_s": 60}}, "version": 15, "timestamp": 1_790_000_000}
    (reading,) = said("bme280", spoken, reading_of("bme280"))
    born_as, _ = spoken.status(device_of("bme280"), ONLINE)
    _, (done,) = asked("bme280", spoken, f"{shadow}/update/delta", orjson.dumps(delta))
    _, (refused,) = asked("bme280", spoken, f"{shadow}/update/delta", orjson.dumps(delta), error="too short")
    updates = [orjson.loads(one.payload) for one in (reading, born_as, done, refused)]
    found = ask(AWSIOTSDK, "awsiotsdk_reads", {"updates": updates, "delta": delta})
    assert found["again"] == updates
    assert found["delta"] == [delta["state"], 15]


async def test_thingsboards_own_client_is_read_and_is_asked_by_our_peer() -> None:
    peer = ThingsBoardPeer({"a-device": "a-device", "a-gateway": "a-gateway"})
    async with serving(peer) as broker:
        command = command_of(TB_MQTT_CLIENT, "tb_mqtt_client_runs", broker.url.host, str(broker.url.port))
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=without_ours()
        )
        try:
            async with asyncio.timeout(90):
                await eventually(lambda: peer.bodies("v1/devices/me/telemetry"), "telemetry")
                (client,) = {whose for whose, topic, _ in peer.published if topic == "v1/devices/me/telemetry"}
                peer.push(client, "v1/devices/me/rpc/request/7", {"method": "identify", "params": {}})
                printed, errors = await process.communicate()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    assert process.returncode == 0, errors.decode()
    assert orjson.loads(printed.splitlines()[-1]) == [{"method": "identify", "params": {}}]
    assert peer.bodies("v1/devices/me/rpc/response/7") == [{"done": True}]
    decoder = DIALECTS["thingsboard"].decoder(None)
    read = [
        decoder.decode(f"x7/{topic}" if "/me/" in topic else topic, payload, Arrival(NOW_MS))
        for _, topic, payload in peer.published
        if topic.endswith(("telemetry", "attributes", "connect"))
    ]
    values = [(one.device_id, dict(one.values)) for one in read if isinstance(one, DialectMessage) and one.values]
    assert ("x7", {"temperature_c": 20.5}) in values
    assert ("d1", {"temperature_c": 21.5}) in values
    assert (peer.cuts, peer.refused) == ({}, 0)
