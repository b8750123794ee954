"""Edge nodes of Sparkplug and their devices on a real Mosquitto, in both versions of MQTT, as paho hears them."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from devices.fleet.fleet import Fleet
from devices.fleet.session_factory import last_will
from devices.scenario.scenario import Scenario
from edgefleet.embedded import MosquittoProcess
from edgewire.dialects.sparkplug import REBIRTH
from edgewire.dialects.sparkplug_payload import SparkplugType, write_metric, write_payload
from edgewire.dialects.sparkplug_session import NOT_BORN, READ_ONLY, UNREADABLE, WRONG_TYPE
from edgewire.mqtt import Version
from tests.dialects.tahu_schema import Payload
from tests.waiting import eventually

pytestmark = [pytest.mark.services, pytest.mark.slow]

T = SparkplugType
VERSIONS = [Version.V5, Version.V311]
HOST = "spBv1.0/STATE/scada"


class Said(NamedTuple):
    """A message of a node."""

    what: str
    """Its topic without the namespace and the group: `NDATA/n1`."""
    payload: Any
    qos: int
    retain: bool

    @property
    def bd_seq(self) -> int:
        found: int = next(one.long_value for one in self.payload.metrics if one.name == "bdSeq")
        return found


class Host:
    """A host application, and all that it has heard."""

    def __init__(self, broker: MosquittoProcess) -> None:
        self.heard: list[Said] = []
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="host", protocol=mqtt.MQTTv5)
        self._client.on_message = self._on_message
        subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect(broker.host, broker.port, properties=Properties(PacketTypes.CONNECT))
        self._client.loop_start()
        options = SubscribeOptions(qos=1, retainAsPublished=True)
        self._client.subscribe("spBv1.0/plant/#", options=options)
        assert subscribed.wait(30)

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        what = message.topic.split("/", 2)[2]
        if "CMD/" not in what:
            self.heard.append(Said(what, Payload.FromString(message.payload), message.qos, message.retain))

    def of(self, *kinds: str) -> list[Said]:
        return [one for one in self.heard if one.what.split("/")[0] in kinds]

    @property
    def names(self) -> list[str]:
        return [one.what for one in self.heard]

    def order(self, topic: str, *metrics: bytes, payload: bytes | None = None) -> None:
        self._client.publish(
            f"spBv1.0/plant/{topic}", write_payload(1, None, metrics) if payload is None else payload, qos=0
        )

    def tell_state(self, payload: bytes, topic: str = HOST) -> None:
        self._client.publish(topic, payload, qos=1, retain=True).wait_for_publish(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def hosting(broker: MosquittoProcess) -> Iterator[Host]:
    host = Host(broker)
    try:
        yield host
    finally:
        host.close()


def scenario_of(*brokers: MosquittoProcess, **group: Any) -> Scenario:
    dialect = {"dialect": "sparkplug", "group": "plant"} | group.pop("options", {})
    reconnect = group.pop("reconnect", {})
    devices = [{"kind": "bme280", "id": "n{n}", "interval": "100ms", "dialect": dialect} | group]
    urls = [one.url for one in brokers]
    several = {"broker_list": "in_order"} if len(urls) > 1 else {}
    return Scenario.model_validate(
        {"broker": urls if several else urls[0], "devices": devices,
         "reconnect": {"base": "50ms", "cap": "100ms"} | reconnect, **several}
    )  # fmt: skip


@contextmanager
def no_gap(host: Host) -> Iterator[None]:
    """What the node and its devices say has each number once, from a birth of the node to the next."""
    yield
    expected = 0
    for one in host.heard:
        if one.what.startswith("NDEATH"):
            assert not one.payload.HasField("seq")
            continue
        expected = 0 if one.what.startswith("NBIRTH") else expected
        assert one.payload.seq == expected, host.names
        expected = (expected + 1) % 256


async def run(scenario: Scenario, version: Version, script: Callable[[Fleet], Any]) -> Any:
    stop = asyncio.Event()
    fleet = Fleet(scenario, name="test", version=version)
    running = asyncio.create_task(fleet.run(100, stop))
    try:
        async with asyncio.timeout(40):
            await script(fleet)
    finally:
        stop.set()
        record = await running
    return record


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_node_is_born_first_and_says_its_death_as_it_goes(
    mosquitto_factory: Callable[[], MosquittoProcess], version: Version
) -> None:
    broker = mosquitto_factory()
    with hosting(broker) as host:

        async def script(fleet: Fleet) -> None:
            await eventually(lambda: len(host.of("NDATA")) >= 3)
            (client,) = fleet.clients
            config = client.session.config
            assert (config.clean_start, config.session_expiry_s) == (True, 0)
            will = last_will(client.device, client.firmware, client.wire_format)
            assert will is not None
            assert (will.topic, will.qos, will.retain) == ("spBv1.0/plant/NDEATH/n1", 1, False)

        with no_gap(host):
            record = await run(scenario_of(broker), version, script)
            # On MQTT 5 the broker says the will as well.
            await eventually(lambda: len(host.of("NDEATH")) == (2 if version is Version.V5 else 1))
    assert host.names[0] == "NBIRTH/n1"
    assert set(host.names[1:]) == {"NDATA/n1", "NDEATH/n1"}
    assert {(one.qos, one.retain) for one in host.of("NBIRTH", "NDATA")} == {(0, False)}
    assert {(one.qos, one.retain, one.bd_seq) for one in host.of("NDEATH")} == {(1, False, 0)}
    assert len(host.of("NDATA")) == record.totals["emitted"] == record.totals["sent_qos0"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_after_a_loss_it_is_born_again_and_forwards_what_it_has_kept(
    mosquitto_factory: Callable[[], MosquittoProcess], version: Version
) -> None:
    broker = mosquitto_factory()
    with hosting(broker) as host:

        async def script(fleet: Fleet) -> None:
            await eventually(lambda: len(host.of("NDATA")) >= 3)
            (client,) = fleet.clients
            client.drop_connection()
            await eventually(lambda: len(host.of("NBIRTH")) == 2)
            later = len(host.heard)
            await eventually(lambda: any(one.what == "NDATA/n1" for one in host.heard[later + 2 :]))

        with no_gap(host):
            record = await run(scenario_of(broker, reconnect={"policy": "fixed", "interval": "600ms"}), version, script)
    first, second = host.of("NBIRTH")
    will = host.of("NDEATH")[0]
    assert (first.bd_seq, will.bd_seq, second.bd_seq) == (0, 0, 1)
    told = {one.name: one.double_value for one in second.payload.metrics if one.name and not one.is_null}
    assert "temperature_c" in told, "what was told last is told again"
    data = host.of("NDATA")
    kept = [one for one in data if one.payload.metrics[0].is_historical]
    assert len(kept) >= 2, "the newest of what was kept is how it is now"
    times = [one.payload.metrics[0].timestamp for one in data]
    assert times == sorted(set(times))
    assert len(data) == record.totals["emitted"]


async def test_a_gateway_is_a_node_whose_devices_are_born_and_die(
    mosquitto_factory: Callable[[], MosquittoProcess],
) -> None:
    broker = mosquitto_factory()
    with hosting(broker) as host:

        async def script(fleet: Fleet) -> None:
            await eventually(lambda: len(host.of("DDATA")) >= 4)
            host.order("NCMD/g1", write_metric(REBIRTH, T.BOOLEAN, True))
            await eventually(lambda: len(host.of("DBIRTH")) == 4)
            host.order("DCMD/g1/n2", write_metric("Device Control/Reboot", T.BOOLEAN, True))
            await eventually(lambda: len(host.of("DDEATH")) == 1)
            await eventually(lambda: len(host.of("DBIRTH")) == 5)
            host.order("NCMD/g1", write_metric("Node Control/Reboot", T.BOOLEAN, True))
            await eventually(lambda: len(host.of("DBIRTH")) == 7)

        with no_gap(host):
            gateway = {"gateway": {"id": "g{n}", "devices": 2}, "count": 2, "firmware": {"boot_time": "1s"}}
            record = await run(scenario_of(broker, **gateway), Version.V5, script)
            await eventually(lambda: len(host.of("DDEATH")) == 3)
    births = [one.what for one in host.of("NBIRTH", "DBIRTH", "DDEATH")]
    both = ["NBIRTH/g1", "DBIRTH/g1/n1", "DBIRTH/g1/n2"]
    assert births[:8] == [*both, *both, "DDEATH/g1/n2", "DBIRTH/g1/n2"]
    assert births[8:11] == both
    at = [place for place, one in enumerate(host.names) if one == "NBIRTH/g1"]
    assert all(host.names[place : place + 3] == both for place in at), "nothing comes between the births"
    assert [one.bd_seq for one in host.of("NBIRTH")] == [0, 0, 1], "a rebirth is of the same session"
    assert {(one.qos, one.retain) for one in host.of("DBIRTH", "DDATA", "DDEATH")} == {(0, False)}
    assert len(host.of("DDATA")) == record.totals["sent_qos0"]
    assert record.problems == {}


async def test_commands_are_done_and_those_that_are_none_are_counted(
    mosquitto_factory: Callable[[], MosquittoProcess],
) -> None:
    broker = mosquitto_factory()
    rate = "Node Control/Scan Rate"
    ignored: Counter[str] = Counter()
    with hosting(broker) as host:

        def rates() -> list[int]:
            said = (one.payload.metrics for one in host.of("NDATA"))
            return [metrics[0].long_value for metrics in said if len(metrics) == 1]

        async def script(fleet: Fleet) -> None:
            await eventually(lambda: len(host.of("NDATA")) >= 2)
            (birth,) = host.of("NBIRTH")
            alias = next(one.alias for one in birth.payload.metrics if one.name == rate)
            host.order("NCMD/n1", write_metric(None, T.INT64, 50, alias=alias, says_datatype=False))
            await eventually(lambda: rates() == [50])
            host.order("NCMD/n1", write_metric(rate, T.INT64, 1))
            await eventually(lambda: rates() == [50, 50], "it is told that nothing has changed")
            host.order("NCMD/n1", payload=b"\xff\xff")
            host.order("NCMD/n1", write_metric("speed", T.INT64, 1), write_metric("humidity", T.DOUBLE, 1.0))
            host.order("NCMD/n1", write_metric(rate, T.STRING, "x" * 60_000))
            host.order("NCMD/n1", payload=b"\x12" * 70_000)  # more than the device takes: the broker keeps it back
            host.order("NCMD/n1", write_metric("Node Control/Reboot", T.BOOLEAN, True))
            await eventually(lambda: len(host.of("NBIRTH")) == 2)
            ignored.update(fleet.incidents.incidents.ignored)

        with no_gap(host):
            record = await run(scenario_of(broker, firmware={"boot_time": "1s"}), Version.V5, script)
    assert ignored == {UNREADABLE: 1, NOT_BORN: 1, READ_ONLY: 1, WRONG_TYPE: 1}
    again = {one.name: one.long_value for one in host.of("NBIRTH")[1].payload.metrics}
    assert again[rate] == 50
    assert record.totals["emitted"] == record.totals["sent_qos0"] + record.totals["dropped"]


@pytest.mark.parametrize("states", [
    [(HOST, b'{"online":%s,"timestamp":%d}')], [("STATE/scada", b"")],
], ids=["3.0", "2.2"])  # fmt: skip
async def test_it_waits_for_its_primary_host_and_leaves_with_it(
    mosquitto_factory: Callable[[], MosquittoProcess], states: list[tuple[str, bytes]]
) -> None:
    broker = mosquitto_factory()
    ((topic, form),) = states

    def state(host: Host, at: int, *, online: bool) -> None:
        if form:
            host.tell_state(form % (b"true" if online else b"false", at))
        else:
            host.tell_state(b"ONLINE" if online else b"OFFLINE", topic)

    with hosting(broker) as host:

        async def script(fleet: Fleet) -> None:
            await eventually(lambda: fleet.snapshot().emitted >= 3)
            assert host.heard == []
            state(host, 10, online=True)
            await eventually(lambda: len(host.of("NDATA")) >= 5)
            state(host, 10, online=False)
            await eventually(lambda: bool(host.of("NDEATH")))
            (client,) = fleet.clients
            await eventually(lambda: client.reconnects == 1 and client.is_online, "it waits for the host to return")
            before, emitted = len(host.heard), fleet.snapshot().emitted
            await eventually(lambda: fleet.snapshot().emitted >= emitted + 3)
            assert len(host.heard) == before, "it says nothing to a host that is not there"
            state(host, 11, online=True)
            await eventually(lambda: len(host.of("NBIRTH")) == 2)
            data = len(host.of("NDATA"))
            await eventually(lambda: len(host.of("NDATA")) >= data + 4)

        with no_gap(host):
            options = {"host_id": "scada"}
            record = await run(scenario_of(broker, options=options), Version.V5, script)
    first, second = host.of("NBIRTH")
    assert second.bd_seq > first.bd_seq
    assert host.of("NDATA")[0].payload.metrics[0].is_historical
    assert len(host.of("NDATA")) == record.totals["emitted"]


async def test_without_its_host_it_goes_on_to_the_next_broker(
    mosquitto_factory: Callable[[], MosquittoProcess],
) -> None:
    one, other = mosquitto_factory(), mosquitto_factory()
    with hosting(one) as first, hosting(other) as second:
        second.tell_state(b'{"online":true,"timestamp":5}')

        async def script(fleet: Fleet) -> None:
            # Nothing is retained at the first, so that it waits there.
            await eventually(lambda: fleet.snapshot().emitted >= 2)
            first.tell_state(b'{"online":false,"timestamp":7}')
            await eventually(lambda: len(second.of("NDATA")) >= 3)
            assert first.heard == []
            first.tell_state(b'{"online":true,"timestamp":8}')
            second.tell_state(b'{"online":false,"timestamp":6}')
            await eventually(lambda: len(first.of("NDATA")) >= 1)

        with no_gap(first), no_gap(second):
            await run(scenario_of(one, other, options={"host_id": "scada"}), Version.V5, script)
    assert second.of("NDEATH")
