"""A Sparkplug node on a real broker: its values arrive by name, over a restart, and it is asked for its births."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import paho.mqtt.client as paho
import pytest
from paho.mqtt.subscribeoptions import SubscribeOptions
from pydantic import ValidationError

from bridge.check import preview_route
from bridge.config import BridgeConfig
from bridge.message.config import SubscriptionConfig
from bridge.source.sparkplug_host import BIRTH_PREFIX
from bridge.spool.dead_letters import read_dead_letters
from bridge.spool.store import SpoolStore
from edgefleet.embedded import ManagedProcess
from edgewire.dialects.sparkplug import REBIRTH
from edgewire.dialects.sparkplug_payload import SparkplugType, read_payload, write_metric, write_payload
from tests.bridge.fakes import IngestStub, ingest_stub
from tests.bridge.live import Stage, staged
from tests.waiting import eventually

T = SparkplugType
NAMES = ("temperature_c", "humidity", "pressure_hpa")


class PahoNode:
    """An edge node as its firmware would be: born at connect and when asked, and then telling numbers by alias."""

    def __init__(self, group: str, url: str) -> None:
        self.group = group
        self.seq = 0
        self.births = 0
        self.told_ms = 0
        self.answers = True
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=f"node-{group}")
        self._client.on_message = self._on_command
        self._client.will_set(f"spBv1.0/{group}/NDEATH/N", self._session(), qos=1)
        host, _, port = url.removeprefix("mqtt://").rpartition(":")
        self._client.connect(host, int(port))
        self._client.subscribe(f"spBv1.0/{group}/NCMD/N", qos=1)
        self._client.loop_start()

    def _session(self) -> bytes:
        return write_payload(_now_ms(), None, [write_metric("bdSeq", T.INT64, 0)])

    def _on_command(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        (metric,) = read_payload(message.payload).metrics
        if metric.name == REBIRTH and metric.value is True and self.answers:
            self.be_born()

    def be_born(self) -> None:
        now = _now_ms()
        self.seq = 0
        session = write_metric("bdSeq", T.INT64, 0, timestamp=now)
        self._publish("NBIRTH", [session, write_metric(REBIRTH, T.BOOLEAN, False, timestamp=now)])
        metrics = [
            write_metric(name, T.DOUBLE, None, alias=number, timestamp=now) for number, name in enumerate(NAMES, 1)
        ]
        self._publish("DBIRTH", metrics, "/D")
        self.births += 1

    def tell(self, temperature: float, at_ms: int | None = None, *, is_historical: bool = False) -> None:
        at_ms = at_ms or _now_ms()
        self.told_ms = max(self.told_ms, at_ms)
        values = (temperature, 40.0, 1013.0)
        self._publish("DDATA", [
            write_metric(None, T.DOUBLE, value, alias=number, timestamp=at_ms, says_datatype=False,
                         is_historical=is_historical)
            for number, value in enumerate(values, 1)
        ], "/D").wait_for_publish(10)  # fmt: skip

    def lose_one(self) -> None:
        self.seq = (self.seq + 1) % 256

    def _publish(self, kind: str, metrics: list[bytes], device: str = "") -> paho.MQTTMessageInfo:
        """Hand a message to paho, whose thread sends it: a birth that is asked for is said in that thread, and waits
        for nothing there."""
        payload = write_payload(_now_ms(), self.seq, metrics)
        self.seq = (self.seq + 1) % 256
        return self._client.publish(f"spBv1.0/{self.group}/{kind}/N{device}", payload)

    def close(self) -> None:
        self._client.publish(f"spBv1.0/{self.group}/NDEATH/N", self._session(), qos=1).wait_for_publish(10)
        self._client.disconnect()
        self._client.loop_stop()


def _now_ms() -> int:
    return int(time.time() * 1000)


@contextmanager
def node_of(group: str, url: str) -> Iterator[PahoNode]:
    node = PahoNode(group, url)
    try:
        yield node
    finally:
        node.close()


def temperatures(ingest: IngestStub) -> list[float]:
    said = [orjson.loads(line) for _, _, body in ingest.requests for line in body.splitlines()]
    return [one["temperature_c"] for one in said if "temperature_c" in one]


def dead_letters(stage: Stage) -> list[str]:
    return [one.reason for one in read_dead_letters(stage.path)]


@pytest.mark.services
@pytest.mark.slow
async def test_a_node_is_read_by_name_over_a_restart_and_asked_for_its_births(
    mosquitto: ManagedProcess, tmp_path: Path
) -> None:
    group = f"g{secrets.token_hex(4)}"
    settings: dict[str, Any] = {"subscriptions": [{"filter": f"spBv1.0/{group}/#", "decode": "sparkplug"}],
                                "watch": {"broker_statistics": False, "grace": "1s"}}  # fmt: skip
    async with ingest_stub() as ingest:
        with node_of(group, mosquitto.url) as node:
            async with staged(mosquitto.url, tmp_path, ingest, site=group, **settings) as stage:
                node.tell(1.0)  # nobody has heard a birth
                await eventually(lambda: node.births == 1, "the node was asked for its births")
                node.tell(2.0)
                node.tell(3.0, _now_ms() - 60_000, is_historical=True)
                await eventually(lambda: temperatures(ingest) == [2.0, 3.0])
                await eventually(lambda: len(dead_letters(stage)) == 1)
                assert "alias 1 and no name: no birth of " in dead_letters(stage)[0]
            async with staged(mosquitto.url, tmp_path, ingest, site=group, **settings) as stage:
                node.answers = False
                node.tell(4.0)
                await eventually(lambda: temperatures(ingest) == [2.0, 3.0, 4.0])
                node.lose_one()
                node.tell(5.0)
                await eventually(lambda: temperatures(ingest) == [2.0, 3.0, 4.0, 5.0])
                missing = stage.metrics.registry.get_sample_value
                await eventually(lambda: (missing("edgefleet_bridge_missing_total") or 0) == 1, "the gap is counted")
                await stage.settled()
                assert len(dead_letters(stage)) == 1
    store = SpoolStore(stage.path, ["http"])
    (kept,) = store.list_metadata(BIRTH_PREFIX).values()
    store.close()
    assert orjson.loads(kept)["told"] == node.told_ms, "so that a birth which tells it again is no reading"
    bodies = [orjson.loads(line) for _, _, body in ingest.requests for line in body.splitlines()]
    assert [one.get("other") for one in bodies] == [None, {"historical": True}, None, None]
    assert {one["source"]["name"] for one in bodies} == {f"{group}/N/D"}


@pytest.mark.services
@pytest.mark.slow
async def test_the_bridge_tells_nodes_that_it_is_there_and_contradicts_a_will_that_comes_late(
    mosquitto: ManagedProcess, tmp_path: Path
) -> None:
    host = f"h{secrets.token_hex(4)}"
    topic = f"spBv1.0/STATE/{host}"
    decode = {"dialect": "sparkplug", "host_id": host}
    settings: dict[str, Any] = {"subscriptions": [{"filter": f"spBv1.0/{host}/#", "decode": "sparkplug"},
                                                  {"filter": topic, "decode": decode}]}  # fmt: skip
    heard: list[tuple[dict[str, Any], int, bool]] = []
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.on_message = lambda _client, _data, one: heard.append((orjson.loads(one.payload), one.qos, one.retain))
    address, _, port = mosquitto.url.removeprefix("mqtt://").rpartition(":")
    client.connect(address, int(port))
    client.loop_start()
    client.subscribe(topic, options=SubscribeOptions(qos=1, retainAsPublished=True))
    try:
        async with ingest_stub() as ingest:
            async with staged(mosquitto.url, tmp_path, ingest, site=host, **settings) as stage:
                await eventually(lambda: len(heard) == 1, "its birth")
                born = heard[0][0]["timestamp"]
                client.publish(topic, orjson.dumps({"online": False, "timestamp": born}), qos=1, retain=True)
                await eventually(lambda: len(heard) == 3, "it says again that it is there")
            await eventually(lambda: len(heard) == 4, "its death")
            assert [one["online"] for one, _, _ in heard] == [True, False, True, False]
            assert [one["timestamp"] for one, _, _ in heard[:3]] == [born] * 3
            assert heard[3][0]["timestamp"] > born
            assert {(qos, retain) for _, qos, retain in heard} == {(1, True)}
            assert dead_letters(stage) == []
            async with staged(mosquitto.url, tmp_path, ingest, site=host, **settings) as stage:
                # What is retained of the time before is nothing to contradict, or only once.
                await eventually(lambda: len(heard) >= 5, "its birth")
                assert heard[4][0]["online"] is True
                assert heard[4][0]["timestamp"] > born
                count = len(heard)
                assert stage.source._link is not None
                stage.source._link.drop()
                await eventually(lambda: len(heard) >= count + 2, "the will, and the birth on the next connection")
                will, again = heard[-2][0], heard[-1][0]
                assert (will["online"], again["online"]) == (False, True)
                assert will["timestamp"] == heard[4][0]["timestamp"] <= again["timestamp"]
    finally:
        client.disconnect()
        client.loop_stop()


def test_a_host_that_would_not_hear_of_itself_is_refused_and_so_are_two() -> None:
    decode = {"dialect": "sparkplug", "host_id": "scada"}
    with pytest.raises(ValidationError, match=r"does not bring 'spBv1\.0/STATE/scada': write spBv1\.0/#"):
        SubscriptionConfig(filter="spBv1.0/plant/#", decode=decode)
    both = [{"filter": f"spBv1.0/STATE/{one}", "decode": {"dialect": "sparkplug", "host_id": one}} for one in "ab"]
    with pytest.raises(ValidationError, match="host_id 'b' is another than 'a', and the bridge is one host"):
        BridgeConfig.model_validate({"subscriptions": both, "http": {"url": "http://ingest"}})


def test_a_share_of_a_subscription_is_refused() -> None:
    with pytest.raises(ValidationError, match="is shared, and of it each member gets a part"):
        SubscriptionConfig(filter="$share/g/spBv1.0/#", decode="sparkplug")


def test_the_preview_knows_the_births_that_a_bridge_has_kept_and_takes_apart(tmp_path: Path) -> None:
    config = BridgeConfig.model_validate({
        "subscriptions": [{"filter": "spBv1.0/#", "decode": "sparkplug"}], "http": {"url": "http://ingest"},
        "spool": {"path": str(tmp_path / "spool.db")},
    })  # fmt: skip
    values = [
        write_metric(None, T.DOUBLE, at / 10, alias=1, timestamp=1_790_000_000_000 + at, says_datatype=False)
        for at in (215, 220)
    ]
    data = write_payload(1_790_000_000_000, 1, values)
    found = preview_route(config, "spBv1.0/G/NDATA/N", data)
    assert "no birth of G/N" in found["sinks"]["http"]["reason"] or "2 times" in found["sinks"]["http"]["reason"]
    store = SpoolStore(config.spool.path, ["http"])
    store.replace_metadata(
        {"sparkplug G/N": '{"bdSeq":0,"births":{"":[["temperature_c",10,1]]}}', "sparkplug G/O": None}
    )
    store.close()
    found = preview_route(config, "spBv1.0/G/NDATA/N", data)
    assert [one["decoded"]["fields"]["temperature_c"] for one in found["readings"]] == [21.5, 22.0]
