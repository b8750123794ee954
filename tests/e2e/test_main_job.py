"""The main job on a real Mosquitto and a real Kafka: whatever happens on the way, nothing is lost.

The verdict compares the fleet's own record with the ingest store and a Kafka consumer; the bridge has no say in it.
"""

import time
from collections.abc import Callable
from pathlib import Path

import orjson
import paho.mqtt.client as mqtt
import pytest

from edgefleet.embedded import MosquittoProcess
from edgefleet.verify import RunVerdict, verify_run
from edgewire.messages import CONTRACT
from edgewire.run_record import RunRecord
from tests.e2e.stack import Stack, running_stack
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.timeout(180)]

KINDS = set(CONTRACT)


def verify_stack(stack: Stack, record: RunRecord) -> RunVerdict:
    return verify_run(record, ingest=stack.ingest_url, kafka=stack.kafka, wait_s=60)


def assert_nothing_lost(verdict: RunVerdict, record: RunRecord) -> None:
    said = verdict.to_json()
    assert said["sent"] == record.totals["emitted"] - record.totals["dropped"] - record.totals["unsent"] > 0
    for sink in ("http", "kafka"):
        assert said[sink]["lost"] == 0, said[sink]
        assert said[sink]["stored"] >= said["sent"]
        assert said[sink]["out_of_order"] == 0, said[sink]
    assert verdict.ok


def test_every_kind_arrives_in_both_sinks_exactly_once(stack: Stack) -> None:
    record = stack.start_fleet("4s").finish()
    verdict = verify_stack(stack, record)
    assert_nothing_lost(verdict, record)
    said = verdict.to_json()
    assert said["duplicates"] == 0
    assert said["http"]["stored"] == said["kafka"]["stored"] == said["sent"] == record.totals["acknowledged"]
    assert {kind for kind, counts in said["per_kind"].items() if counts["sent"]} == KINDS


def test_single_posts_reach_the_endpoint_of_each_kind(
    tmp_path: Path, kafka: str, mosquitto_factory: Callable[..., MosquittoProcess]
) -> None:
    with running_stack(tmp_path, kafka, mosquitto_factory, mode="single") as stack:
        record = stack.start_fleet("3s").finish()
        verdict = verify_stack(stack, record)
        assert_nothing_lost(verdict, record)
        said = verdict.to_json()
        assert said["duplicates"] == 0
        assert {kind for kind, counts in said["per_kind"].items() if counts["sent"]} == KINDS


def test_a_bridge_killed_in_mid_stream_loses_nothing(stack: Stack) -> None:
    fleet = stack.start_fleet()
    for _ in range(3):
        stack.await_delivery(200)
        stack.bridge.kill()
        time.sleep(0.5)
        stack.bridge.start()
    stack.await_delivery(200)
    record = fleet.stop()
    assert_nothing_lost(verify_stack(stack, record), record)


@pytest.mark.long
def test_http_answering_503_for_a_while_delays_but_loses_nothing(stack: Stack) -> None:
    fleet = stack.start_fleet()
    stack.await_delivery(100)
    stack.gate.closed = True
    until(lambda: stack.gate.refused > 0)
    shut = time.monotonic()
    # Kafka is not held up by the sink that is down.
    stack.await_delivery(300, ["kafka"])
    time.sleep(max(0.0, shut + 3.5 - time.monotonic()))
    stack.gate.closed = False
    stack.await_delivery(300)
    record = fleet.stop()
    verdict = verify_stack(stack, record)
    assert_nothing_lost(verdict, record)
    said = verdict.to_json()
    assert said["duplicates"] == 0
    assert said["http"]["latency_ms"]["p99"] > 2500
    assert said["kafka"]["latency_ms"]["p99"] < said["http"]["latency_ms"]["p99"]


def test_a_restarted_broker_loses_nothing_it_acknowledged(stack: Stack) -> None:
    fleet = stack.start_fleet()
    stack.await_delivery(300)
    stack.broker.restart()
    stack.await_delivery(400)
    record = fleet.stop()
    assert record.totals["dropped"] == record.totals["unsent"] == 0
    assert_nothing_lost(verify_stack(stack, record), record)


def test_a_device_that_dies_is_reported_offline_by_its_will(stack: Stack) -> None:
    statuses: dict[str, str] = {}
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _data, message: statuses.update(
        {message.topic: orjson.loads(message.payload)["state"]}
    )
    client.connect(stack.broker.host, stack.broker.port)
    client.subscribe("edge/+/+/+/status", qos=1)
    client.loop_start()
    try:
        fleet = stack.start_fleet()
        until(lambda: len(statuses) == 68 and set(statuses.values()) == {"online"})
        fleet.kill()
        until(lambda: set(statuses.values()) == {"offline"})
    finally:
        client.loop_stop()
        client.disconnect()


def test_garbage_on_a_bridge_topic_costs_no_neighbour(stack: Stack) -> None:
    garbage = [
        ("edge/riverside/bme280/bme280-0001/telemetry", b"not json"),
        ("edge/riverside/bme280/bme280-0001/telemetry", b'{"device_id": "bme280-0001"}'),
        ("edge/riverside/bme280/bme280-0001/telemetry", b"\xff\xfe\x00"),
        ("edge/riverside/toaster/t1/telemetry", b"{}"),
        ("edge/riverside/people/people-0001/event", b'{"event_type": "levitated"}'),
    ]
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.connect(stack.broker.host, stack.broker.port)
    client.loop_start()
    before = stack.books("dead_lettered")
    fleet = stack.start_fleet()
    stack.await_delivery(100)
    for topic, payload in garbage:
        client.publish(topic, payload, qos=1).wait_for_publish(10)
    client.loop_stop()
    client.disconnect()
    stack.await_delivery(100)
    record = fleet.stop()
    assert_nothing_lost(verify_stack(stack, record), record)
    assert stack.books("dead_lettered") == {sink: count + len(garbage) for sink, count in before.items()}
