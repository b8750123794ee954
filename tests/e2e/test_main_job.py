"""The main job on a real Mosquitto and a real Kafka: whatever happens on the way, nothing is lost.

The verdict compares the fleet's own record with the ingest store and a Kafka consumer; the bridge has no say in it.
"""

import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import orjson
import paho.mqtt.client as mqtt
import pytest

from edgefleet.embedded import MosquittoProcess
from edgefleet.verify import Verdict, verify_run
from edgewire.messages import CONTRACT
from edgewire.runrecord import RunRecord
from tests.e2e.stack import Stack, running_stack

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.timeout(180)]

KINDS = set(CONTRACT)


def judge(stack: Stack, record: RunRecord) -> Verdict:
    return verify_run(record, ingest=stack.ingest_url, kafka=stack.kafka, wait_s=60)


def assert_nothing_lost(verdict: Verdict, record: RunRecord) -> None:
    said = verdict.to_json()
    assert said["sent"] == record.totals["emitted"] - record.totals["dropped"] - record.totals["unsent"] > 0
    for sink in ("http", "kafka"):
        assert said[sink]["lost"] == 0, said[sink]
        assert said[sink]["stored"] >= said["sent"]
        assert said[sink]["out_of_order"] == 0, said[sink]
    assert verdict.ok


def test_every_kind_arrives_in_both_sinks_exactly_once(stack: Stack) -> None:
    record = stack.start_fleet("8s").finish()
    verdict = judge(stack, record)
    assert_nothing_lost(verdict, record)
    said = verdict.to_json()
    assert said["duplicates"] == 0
    assert said["http"]["stored"] == said["kafka"]["stored"] == said["sent"] == record.totals["acknowledged"]
    assert {kind for kind, counts in said["per_kind"].items() if counts["sent"]} == KINDS


def test_single_posts_reach_the_endpoint_of_each_kind(
    tmp_path: Path, kafka: str, mosquitto_factory: Callable[..., MosquittoProcess]
) -> None:
    with running_stack(tmp_path, kafka, mosquitto_factory) as stack:
        stack.bridge.terminate()
        config = tmp_path / "bridge.yaml"
        config.write_text(config.read_text().replace("http:\n", "http:\n  mode: single\n"))
        stack.bridge.start()
        record = stack.start_fleet("5s").finish()
        verdict = judge(stack, record)
        assert_nothing_lost(verdict, record)
        assert verdict.to_json()["duplicates"] == 0


def test_a_bridge_killed_in_mid_stream_loses_nothing(stack: Stack) -> None:
    fleet = stack.start_fleet("12s")
    for _ in range(3):
        time.sleep(2)
        stack.bridge.kill()
        time.sleep(0.5)
        stack.bridge.start()
    record = fleet.finish()
    assert_nothing_lost(judge(stack, record), record)


def test_http_answering_503_for_a_while_delays_but_loses_nothing(stack: Stack) -> None:
    fleet = stack.start_fleet("10s")
    time.sleep(3)
    stack.gate.closed = True
    time.sleep(4)
    assert stack.gate.refused
    stack.gate.closed = False
    record = fleet.finish()
    verdict = judge(stack, record)
    assert_nothing_lost(verdict, record)
    said = verdict.to_json()
    assert said["duplicates"] == 0
    # Kafka was not held up by the sink that was down.
    assert said["kafka"]["latency_ms"]["p99"] < 2500 < said["http"]["latency_ms"]["p99"]


def test_a_restarted_broker_loses_nothing_it_acknowledged(stack: Stack) -> None:
    fleet = stack.start_fleet("14s")
    time.sleep(4)
    stack.broker.restart()
    record = fleet.finish()
    assert record.totals["dropped"] == record.totals["unsent"] == 0
    assert_nothing_lost(judge(stack, record), record)


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
        fleet = stack.start_fleet("60s")
        wait_until(lambda: len(statuses) == 68 and set(statuses.values()) == {"online"})
        fleet.kill()
        wait_until(lambda: set(statuses.values()) == {"offline"})
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
    fleet = stack.start_fleet("6s")
    time.sleep(2)
    for topic, payload in garbage:
        client.publish(topic, payload, qos=1).wait_for_publish(10)
    client.loop_stop()
    client.disconnect()
    record = fleet.finish()
    assert_nothing_lost(judge(stack, record), record)
    assert dead_letters(stack) == {"http": len(garbage), "kafka": len(garbage)}


def dead_letters(stack: Stack) -> dict[str, int]:
    with urllib.request.urlopen(f"{stack.bridge_url}/ledger", timeout=5) as answer:
        ledger = orjson.loads(answer.read())
    return {sink["sink"]: sink["dead_lettered"] for sink in ledger["sinks"]}


def wait_until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)
