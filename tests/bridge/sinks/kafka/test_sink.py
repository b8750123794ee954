"""The Kafka sink against a mock cluster and a real Kafka: records, refusals, topics, fatal errors, credentials."""

import asyncio
import ctypes
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest
import structlog
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.cimpl import NewTopic

from bridge.routing.config import RouteConfig
from bridge.routing.routed import RoutedEvent
from bridge.routing.table import RouteTable
from bridge.sinks.base import NotConnected, Rejected, Retry, Scope
from bridge.sinks.kafka.admin import ErrorClass, classify_error, refusal_of
from bridge.sinks.kafka.config import KafkaSinkConfig, KafkaTarget
from bridge.sinks.kafka.sink import KafkaSink
from edgefleet.provision.authority import Authority
from edgewire.errors import ConfigError, ServiceUnavailable
from tests.bridge.delivery.test_runner import staged
from tests.bridge.fakes import FAST, in_order, routed, spooled
from tests.chaos.certificates import Certificates
from tests.services.kafka import SASL_PASSWORD, SASL_USER, KafkaProcess
from tests.waiting import eventually

TARGET = KafkaTarget(topic="test.kafka.sink")
TABLE = RouteTable([RouteConfig(topic="#", kafka=TARGET)])
TOPIC = "test.kafka.sink"


def sink(cluster: str, **settings: object) -> KafkaSink:
    return KafkaSink(KafkaSinkConfig(bootstrap_servers=cluster, **settings), [TARGET], "bridge-1")  # type: ignore[arg-type]


@pytest.mark.slow
async def test_a_message_carries_its_cloud_event_and_its_key(cluster: str) -> None:
    tried = sink(cluster)
    await tried.connect()
    message = spooled(5, "dev-1")
    message.qos, message.retain = 0, True
    found = TABLE.resolve(message)
    assert isinstance(found, RoutedEvent)
    assert not await tried.write(TOPIC, [found])
    await tried.close()

    def read() -> tuple[bytes, bytes, dict[str, bytes]]:
        consumer = Consumer({"bootstrap.servers": cluster, "group.id": "t", "log_level": 0})
        partitions = consumer.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions
        consumer.assign([TopicPartition(TOPIC, number, 0) for number in partitions])
        got = consumer.poll(10)
        consumer.close()
        assert got is not None
        return got.key(), got.value(), dict(got.headers())

    key, value, headers = await asyncio.to_thread(read)
    assert key == b"dev-1"
    assert value == message.payload
    assert headers == {
        "content-type": b"application/json",
        "ce_specversion": b"1.0",
        "ce_type": b"edge.bme280.telemetry",
        "ce_source": b"/edge/site/bme280/dev-1",
        "ce_id": b"dev-1:1:5",
        "ce_time": b"2026-03-01T12:00:00.000Z",
        "mqtt_qos": b"0",
        "mqtt_retain": b"1",
    }


@pytest.mark.slow
async def test_a_message_that_is_too_large_costs_itself_alone(cluster: str) -> None:
    tried = sink(cluster, properties={"message.max.bytes": 2000})
    await tried.connect()
    batch = [routed(1, table=TABLE), routed(2, table=TABLE, text="x" * 5000), routed(3, table=TABLE)]
    failures = await tried.write(TOPIC, batch)
    assert list(failures) == [1]
    assert isinstance(failures[1], Rejected)
    assert "too large" in failures[1].reason
    await tried.close()


async def test_closing_ends_what_was_being_written(cluster: str) -> None:
    tried = sink("127.0.0.1:1")  # nobody is there, so nothing is ever reported
    tried._producers.open()
    writing = asyncio.create_task(tried.write(TOPIC, [routed(1, table=TABLE)]))
    await eventually(lambda: bool(tried._producers._reports))
    await eventually(lambda: "Kafka: " in (tried.last_error or ""))
    await tried.close()
    with pytest.raises(NotConnected):
        await writing


async def test_a_broker_whose_certificate_has_ended_is_named_and_not_only_that_all_are_down(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=certificates.context(ended=True))
    ended = "look whether the certificates have ended"
    properties = {"security.protocol": "ssl", "ssl.ca.location": str(certificates.ca_file)}
    tried = sink(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", properties=properties)
    with structlog.testing.capture_logs() as logged:
        tried._producers.open()
        writing = asyncio.create_task(tried.write(TOPIC, [routed(1, table=TABLE)]))
        # It says both again and again: the reason is logged once, and stays.
        await eventually(lambda: any("brokers are down" in line.get("fault", "") for line in logged))
        await asyncio.sleep(1)
    assert [ended in line.get("fault", "") for line in logged].count(True) == 1
    assert ended in (tried.last_error or "")
    await tried.close()
    with pytest.raises(NotConnected):
        await writing
    server.close()


async def test_an_error_of_tls_is_logged_once_whatever_its_code(cluster: str) -> None:
    tried = sink(cluster)
    said = "ssl://127.0.0.1:1/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed"
    errors = [KafkaError(code, f"{said} (after {code}ms in state SSL_HANDSHAKE)") for code in (-181, -195, -181)]
    with structlog.testing.capture_logs() as logged:
        for error in errors:
            tried._on_error(error)
    assert [line["fault"].startswith(said) for line in logged] == [True]
    await tried.close()


async def test_a_client_that_lacks_a_thread_is_closed_and_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Producer] = []
    tell: list[Callable[[KafkaError], None]] = []

    def make(properties: dict[str, Any]) -> Producer:
        tell.append(properties["error_cb"])
        made.append(Producer(properties))
        return made[-1]

    monkeypatch.setattr("bridge.sinks.kafka.producer.Producer", make)
    monkeypatch.setattr("bridge.sinks.kafka.sink.create_missing_topics", lambda *_: None)
    tried = sink("127.0.0.1:1")
    await tried.connect()
    writing = asyncio.create_task(tried.write(TOPIC, [routed(1, table=TABLE)]))
    await eventually(lambda: len(made[0]) == 1)
    tell[0](KafkaError(KafkaError._CRIT_SYS_RESOURCE, "Unable to create broker thread"))
    with pytest.raises(NotConnected, match="lacks memory or a thread: Unable to create broker thread"):
        await writing
    with pytest.raises(NotConnected, match="lacks memory"):
        await tried.write(TOPIC, [routed(1, table=TABLE)])
    await tried.close()
    await tried.connect()
    again = asyncio.create_task(tried.write(TOPIC, [routed(1, table=TABLE)]))
    await eventually(lambda: len(made[1]) == 1)
    await tried.close()
    with pytest.raises(NotConnected, match="was closed"):
        await again


@pytest.mark.parametrize(
    ("code", "said", "kind"),
    [
        (KafkaError._CRIT_SYS_RESOURCE, "Failed to create thread: Cannot allocate memory", ServiceUnavailable),
        (KafkaError.NO_ERROR, "Failed to create background thread: Cannot allocate memory", ServiceUnavailable),
        (KafkaError._INVALID_ARG, "No such configuration property", ConfigError),
    ],
)
def test_want_of_memory_is_no_matter_of_configuration(code: int, said: str, kind: type[Exception]) -> None:
    refusal = refusal_of(KafkaError(code, said))
    assert type(refusal) is kind
    assert said in str(refusal)


async def test_a_cluster_that_is_not_there_is_for_later() -> None:
    tried = sink("127.0.0.1:1", timeout="200ms")
    with pytest.raises(ServiceUnavailable, match=r"Kafka at 127.0.0.1:1 cannot be reached"):
        await tried.connect()
    with pytest.raises(ServiceUnavailable, match="bootstrap_servers"):
        await tried.probe()
    await tried.close()


async def test_a_property_that_librdkafka_does_not_know_is_a_matter_of_configuration() -> None:
    tried = sink("127.0.0.1:1", properties={"no.such.thing": 1})
    with pytest.raises(ConfigError, match=r"kafka.properties.*no.such.thing"):
        await tried.connect()


@pytest.mark.parametrize(
    ("code", "configuration"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, True),
        (KafkaError.INVALID_TIMESTAMP, True),
        (KafkaError._UNKNOWN_TOPIC, True),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, True),
        (KafkaError._PURGE_QUEUE, False),
        (KafkaError.NOT_ENOUGH_REPLICAS, False),
        (KafkaError._MSG_TIMED_OUT, False),
    ],
)
def test_what_may_pass_is_tried_again(code: int, configuration: bool) -> None:
    verdict = classify_error(KafkaError(code), "t")
    assert isinstance(verdict, Retry)
    assert verdict.needs_operator is configuration
    assert "Kafka topic 't'" in verdict.reason


def test_what_is_for_good() -> None:
    assert isinstance(classify_error(KafkaError(KafkaError.INVALID_RECORD), "t"), Rejected)
    assert classify_error(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), "t") is ErrorClass.TOO_LARGE
    assert classify_error(KafkaError(KafkaError._FATAL), "t") is ErrorClass.FATAL
    assert classify_error(KafkaError(KafkaError.NETWORK_EXCEPTION, fatal=True), "t") is ErrorClass.FATAL


@pytest.mark.services
async def test_what_a_broker_refuses_for_its_size_costs_itself_alone_and_nothing_overtakes(
    kafka_process: KafkaProcess,
) -> None:
    """A refused record batch has small messages in it, and behind it others are under way."""
    cluster, table = kafka_process.bootstrap_servers, made_of(topic="refused")
    admin = AdminClient({"bootstrap.servers": cluster})
    created = admin.create_topics([NewTopic("refused", 1, 1, config={"max.message.bytes": "20000"})])
    await asyncio.to_thread(created["refused"].result, 10)
    properties = {"batch.num.messages": 10, "max.in.flight.requests.per.connection": 5}
    config = KafkaSinkConfig(bootstrap_servers=cluster, compression="none", properties=properties)
    tried = KafkaSink(config, table.targets_in("kafka"), "b")  # type: ignore[arg-type]
    await tried.connect()
    large = {25, 137}

    def message(number: int) -> RoutedEvent:
        return routed(number, f"d{number % 3}", table=table, text="x" * (30_000 if number in large else 10))

    for start in (0, 100, 200):
        batch = [message(number) for number in range(start, start + 100)]
        failures = await tried.write("refused", batch)
        assert {start + position for position in failures} == large & set(range(start, start + 100))
        assert all("too large" in failure.reason for failure in failures.values() if isinstance(failure, Rejected))
    assert tried._refused == set()
    await tried.close()
    found = await asyncio.to_thread(read_all, cluster, ["refused"])
    ids = [headers["ce_id"].decode() for *_, headers in found]
    assert len(ids) == 298
    assert in_order(ids)


# -- templates


def made_of(**target: object) -> RouteTable:
    return RouteTable([RouteConfig(topic="#", kafka=KafkaTarget(**target))])  # type: ignore[arg-type]


def read_all(cluster: str, topics: list[str]) -> list[tuple[str, int, bytes, dict[str, bytes]]]:
    """Topic, partition, key and headers of every message."""
    consumer = Consumer({"bootstrap.servers": cluster, "group.id": "t", "log_level": 0, "enable.partition.eof": True})
    try:
        parts = [
            TopicPartition(topic, number, 0)
            for topic in topics
            for number in consumer.list_topics(topic, timeout=10).topics[topic].partitions
        ]
        consumer.assign(parts)
        found, ended = [], 0
        while ended < len(parts):
            got = consumer.poll(10)
            assert got is not None
            if got.error():
                ended += 1
            else:
                found.append((got.topic(), got.partition(), got.key(), dict(got.headers())))
        return found
    finally:
        consumer.close()


@pytest.mark.slow
async def test_topic_key_partition_and_headers_are_made_of_the_message(cluster: str) -> None:
    table = made_of(
        topic="tpl.{site}.{payload.vehicle_id}",
        key="{kind}/{device_id}",
        partition="{payload.shard|1}",
        headers={"zone": "{payload.vehicle_id}"},
    )
    tried = KafkaSink(KafkaSinkConfig(bootstrap_servers=cluster), table.targets_in("kafka"), "b")  # type: ignore[arg-type]
    await tried.connect()
    batch = [
        routed(1, table=table, vehicle_id="n", shard=0),
        routed(2, table=table, vehicle_id="s"),
        routed(3, table=table),
    ]
    bad = [
        routed(4, table=table, vehicle_id="a b"),
        routed(5, table=table, vehicle_id="n", shard="x"),
        routed(6, table=table, vehicle_id="n", shard=10**12),
        routed(7, table=table, vehicle_id="n", shard=999),
    ]
    assert {tried.queue_key(one) for one in batch} == {"tpl.site.{payload.vehicle_id}"}
    failures = await tried.write("lane", [*batch, *bad])
    assert {position: type(why) for position, why in failures.items()} == dict.fromkeys(range(2, 7), Rejected)
    reasons = [why.reason for _, why in sorted(failures.items())]
    expected = ("payload.vehicle_id", "'tpl.site.a b'", "'x'", "no number of a partition", "has no partition 999")
    assert [said for said, reason in zip(expected, reasons, strict=True) if said not in reason] == []
    await tried.close()
    found = await asyncio.to_thread(read_all, cluster, ["tpl.site.n", "tpl.site.s"])
    assert [(topic, part, key, headers["zone"], headers["ce_id"]) for topic, part, key, headers in sorted(found)] == [
        ("tpl.site.n", 0, b"bme280/a", b"n", b"a:1:1"),
        ("tpl.site.s", 1, b"bme280/a", b"s", b"a:1:2"),
    ]


async def test_a_topic_that_cannot_be_asked_for_makes_its_messages_wait() -> None:
    table = made_of(topic="tpl.{site}")
    tried = KafkaSink(
        KafkaSinkConfig(bootstrap_servers="127.0.0.1:1", timeout="100ms"),  # type: ignore[arg-type]
        table.targets_in("kafka"),  # type: ignore[arg-type]
        "b",
    )
    tried._producers.open()
    failures = await tried.write("tpl.site", [routed(1, table=table)])
    assert isinstance(why := failures[0], Retry)
    assert why.cause == "unreachable"
    await tried.close()


@pytest.mark.services
@pytest.mark.slow
async def test_messages_whose_time_kafka_refuses_wait_until_the_clocks_agree(kafka: str) -> None:
    """Each is sent with the time of this machine, so none is to blame, and somebody has to be told."""
    topic = f"test.times.{secrets.token_hex(4)}"
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})
    name = "message.timestamp.before.max.ms"
    await asyncio.to_thread(admin.create_topics([NewTopic(topic, 1, 1, config={name: "0"})])[topic].result, 20)
    table = made_of(topic=topic)
    settings = KafkaSinkConfig(bootstrap_servers=kafka, linger="30ms")  # type: ignore[arg-type]
    tried = KafkaSink(settings, table.targets_in("kafka"), "b")  # type: ignore[arg-type]
    await tried.connect()
    batch = [routed(number, table=table) for number in range(1, 4)]
    for _ in range(2):
        failures = await tried.write("lane", batch)
        assert sorted(failures) == [0, 1, 2]
        for why in failures.values():
            assert isinstance(why, Retry)
            assert (why.cause, why.needs_operator) == ("invalid_timestamp", True)
            assert "compare the clock of this machine with the brokers'" in why.reason
    right = ConfigEntry(name, "86400000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[right])
    await asyncio.to_thread(admin.incremental_alter_configs([resource])[resource].result, 20)
    async with asyncio.timeout(30):
        while await tried.write("lane", batch):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await tried.close()
    found = await asyncio.to_thread(read_all, kafka, [topic])
    assert [headers["ce_id"] for *_, headers in found] == [b"a:1:1", b"a:1:2", b"a:1:3"]


# -- what librdkafka's own test interface can do, on the handle behind a Python producer


def of_librdkafka(name: str, *arguments: type, result: type = ctypes.c_int) -> Callable[..., Any]:
    (library,) = (Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs").glob("librdkafka*")
    function = ctypes.CDLL(str(library))[name]
    function.argtypes, function.restype = arguments, result
    return function


def handle(producer: Producer) -> ctypes.c_void_p:
    return ctypes.c_void_p.from_address(id(producer) + object.__basicsize__)


def raise_fatal_error(producer: Producer) -> None:
    function = of_librdkafka("rd_kafka_test_fatal_error", ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p)
    assert function(handle(producer), KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, b"by a test") == 0


@pytest.mark.parametrize("made_of_message", [True, False])
async def test_a_topic_that_is_refused_holds_up_its_devices_alone_where_it_is_made_of_the_message(
    made_of_message: bool,
) -> None:
    owner = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    ((broker, *_),) = [list(owner.list_topics(timeout=10).brokers.values())]
    mock = of_librdkafka("rd_kafka_handle_mock_cluster", ctypes.c_void_p, result=ctypes.c_void_p)(handle(owner))
    refuse = of_librdkafka("rd_kafka_mock_topic_set_error", ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int)
    refuse(mock, b"tpl.bad", KafkaError.TOPIC_AUTHORIZATION_FAILED)
    table = made_of(topic="tpl.{payload.vehicle_id}" if made_of_message else "tpl.bad")
    config = KafkaSinkConfig(bootstrap_servers=f"{broker.host}:{broker.port}")
    tried = KafkaSink(config, table.targets_in("kafka"), "b")  # type: ignore[arg-type]
    await tried.connect()
    devices = {"a": "good", "b": "bad", "c": "good"}
    batch = [
        routed(number, device, table, vehicle_id=topic)
        for number, (device, topic) in enumerate([*devices.items(), *devices.items()])
    ]
    failures = await tried.write("lane", batch)
    assert sorted(failures) == ([1, 4] if made_of_message else [0, 1, 2, 3, 4, 5])
    for why in failures.values():
        assert isinstance(why, Retry)
        assert (why.cause, why.needs_operator) == ("topic_authorization_failed", True)
        assert (why.scope is Scope.DEVICE) is made_of_message
    refuse(mock, b"tpl.bad", KafkaError.NO_ERROR)
    left = [batch[position] for position in sorted(failures)]
    async with asyncio.timeout(20):
        # librdkafka asks for a topic that was refused only now and then
        while await tried.write("lane", left):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await tried.close()
    del owner


# -- a fatal error, as librdkafka raises it itself


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["idle", "found out by polling", "under way"])
async def test_after_a_fatal_error_a_new_producer_goes_on_from_the_cursor(
    cluster: str, tmp_path: Path, moment: str
) -> None:
    topic = f"test.fatal.{moment.replace(' ', '-')}"
    table = made_of(topic=topic)
    settings = KafkaSinkConfig(bootstrap_servers=cluster, retry=FAST, batch_messages=50)
    tried = KafkaSink(settings, table.targets_in("kafka"), "b")  # type: ignore[arg-type]
    async with staged(tmp_path, tried, table) as stage:  # type: ignore[arg-type]
        stage.receive(*(spooled(number, f"d{number % 3}") for number in range(1, 101)))
        await stage.settled()
        first = tried._producers.pipelined()
        assert first is not None
        if moment != "under way":
            raise_fatal_error(first)
        if moment == "found out by polling":
            await eventually(lambda: tried._producers.pipelined() is not first)
        stage.receive(*(spooled(number, f"d{number % 3}") for number in range(101, 301)))
        if moment == "under way":
            await eventually(lambda: bool(tried._producers._reports))
            raise_fatal_error(first)
        books = await stage.settled()
        assert (books.delivered, books.dead_lettered, books.pending) == (300, 0, 0)
        assert tried._producers.pipelined() is not first
        assert tried.last_error is None
    found = await asyncio.to_thread(read_all, cluster, [topic])
    ids = [headers["ce_id"].decode() for *_, headers in found]
    assert set(ids) == {f"d{number % 3}:1:{number}" for number in range(1, 301)}
    assert in_order(list(dict.fromkeys(ids)))


# -- a real cluster that asks for a password


@pytest.mark.services
async def test_sasl_lets_the_bridge_in_and_a_wrong_password_is_one_sentence(kafka_process: KafkaProcess) -> None:
    process = kafka_process
    table = made_of(topic="sasl.{site}")

    def signed_in(password: str, timeout: str) -> KafkaSink:
        properties = {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": SASL_USER,
            "sasl.password": password,
        }
        config = KafkaSinkConfig(bootstrap_servers=process.sasl_servers, properties=properties, timeout=timeout)  # type: ignore[arg-type]
        return KafkaSink(config, table.targets_in("kafka"), "b")  # type: ignore[arg-type]

    right, wrong = signed_in(SASL_PASSWORD, "20s"), signed_in("wrong", "2s")
    await right.connect()
    assert not await right.write("lane", [routed(1, table=table)])
    await right.close()
    assert "1 brokers" in await right.probe()
    found = await asyncio.to_thread(read_all, process.bootstrap_servers, ["sasl.site"])
    assert [headers["ce_id"] for *_, headers in found] == [b"a:1:1"]
    for attempt in (wrong.probe, wrong.connect):
        with pytest.raises(ServiceUnavailable) as caught:
            await attempt()
        said = str(caught.value)
        assert said.startswith(f"Kafka at {process.sasl_servers}: SASL authentication error: Authentication failed")
        assert said.endswith("look at sasl.username, sasl.password and sasl.mechanism in kafka.properties")
        assert "\n" not in said
    await wrong.close()


@pytest.mark.services
async def test_tls_with_a_certificate_of_ours_and_what_is_said_without(
    kafka_process: KafkaProcess, tmp_path: Path
) -> None:
    servers, folder, now = kafka_process.ssl_servers, kafka_process.folder, datetime.now(UTC)
    mine = tmp_path / "bridge.pem"
    mine.write_bytes(Authority.open(folder, now).issue_client("bridge", now, 1))
    table = made_of(topic="tls.{site}")

    def dialled(timeout: str = "2s", **properties: str) -> KafkaSink:
        known = {"security.protocol": "SSL"} | {name.replace("_", "."): value for name, value in properties.items()}
        config = KafkaSinkConfig(bootstrap_servers=servers, properties=known, timeout=timeout)  # type: ignore[arg-type]
        return KafkaSink(config, table.targets_in("kafka"), "b")  # type: ignore[arg-type]

    ours, theirs = {"ssl_certificate_location": str(mine), "ssl_key_location": str(mine)}, str(folder / "ca.crt")
    right = dialled("20s", ssl_ca_location=theirs, **ours)
    await right.connect()
    assert not await right.write("lane", [routed(1, table=table)])
    await right.close()
    found = await asyncio.to_thread(read_all, kafka_process.bootstrap_servers, ["tls.site"])
    assert [headers["ce_id"] for *_, headers in found] == [b"a:1:1"]
    Authority.open(tmp_path, now)
    for wrong, reason in (
        (dialled(ssl_ca_location=str(tmp_path / "ca.crt"), **ours), "certificate verify failed"),
        # TLS 1.3 asks for the second word (RFC 8446, 6.2); Java says it from 17.0.21 on.
        (dialled(ssl_ca_location=theirs), "alert (bad certificate|certificate required)"),
    ):
        with pytest.raises(ServiceUnavailable) as caught:
            await wrong.probe()
        said = str(caught.value)
        assert said.startswith(f"Kafka at {servers}: ")
        assert re.search(reason, said)
        assert said.endswith("ssl.ca.location and ssl.certificate.location in kafka.properties")
        assert "\n" not in said
        await wrong.close()
