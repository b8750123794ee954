"""The services that demo and tests run on: that they start, keep what they promise, and never outlive their owner."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aiomqtt
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from edgefleet.embedded import (
    AmqttProcess,
    Broker,
    BrokerEngine,
    IotcoreProcess,
    ManagedProcess,
    MosquittoProcess,
    accepts_connections,
    answers,
    embedded_broker,
    embedded_kafka,
    find_mosquitto,
    free_port,
    kafka_mock,
)
from edgefleet.embedded.brokers import MQTT_5, MQTT_311, profile, substitute
from edgewire.errors import ServiceUnavailable
from edgewire.link import BrokerUrl, Link, connect_link
from edgewire.link.closing import close_and_wait
from edgewire.mqtt import Acknowledged, Event, Message, Session, SessionConfig, Subscribed, Subscription, Version, Will
from tests.services.fixtures import BrokerAddress
from tests.services.kafka import KafkaProcess
from tests.waiting import until

PYTHON = sys.executable


def program(text: str, **arguments: object) -> ManagedProcess:
    return ManagedProcess("the program", [PYTHON, "-c", text], **{"ready": lambda: True, **arguments})


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie that nobody has reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class TestProcess:
    def test_free_ports_are_below_the_range_of_outgoing_connections(self) -> None:
        assert all(20_000 <= free_port() < 32_000 for _ in range(50))

    def test_a_free_port_is_kept_for_who_took_it_until_something_listens_there(self) -> None:
        port = free_port()
        code = f"""
import socket
for reuse in (0, 1):
    taker = socket.socket()
    taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
    try:
        taker.bind(("127.0.0.1", {port}))
    except OSError:
        print("taken")
    else:
        taker.listen()
        print("listens")
"""
        # A server may; another's `free_port`, a client or a server that shares with nobody may not.
        printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
        assert printed.stdout.split() == ["taken", "listens"]
        assert not accepts_connections("127.0.0.1", port)

    def test_waits_until_ready(self, tmp_path: Path) -> None:
        mark = tmp_path / "ready"
        text = f"import pathlib, time; time.sleep(0.2); pathlib.Path({str(mark)!r}).touch(); time.sleep(60)"
        with program(text, ready=mark.exists) as process:
            assert mark.exists()
            assert process.running
        assert not process.running

    def test_a_program_that_ends_while_starting_is_an_error_with_its_last_words(self) -> None:
        process = program("import sys; print('no such key: colour'); sys.exit(3)", ready=lambda: False)
        with pytest.raises(ServiceUnavailable, match="exit code 3 while starting; it printed:\nno such key: colour"):
            process.start()
        process.close()

    def test_a_program_that_is_never_ready_is_ended(self) -> None:
        process = program("import time; time.sleep(60)", ready=lambda: False, start_timeout_s=0.2)
        with pytest.raises(ServiceUnavailable, match=r"was not ready 0\.2 s after its start and printed nothing"):
            process.start()
        assert not process.running
        process.close()

    def test_a_missing_program_is_an_error_that_names_it(self) -> None:
        process = ManagedProcess("the broker", ["/no/such/broker"], ready=lambda: False)
        with pytest.raises(ServiceUnavailable, match="/no/such/broker: No such file or directory"):
            process.start()
        process.close()

    def test_terminate_returns_the_exit_code_of_the_program(self, tmp_path: Path) -> None:
        mark = tmp_path / "ready"
        text = (
            "import pathlib, signal, sys, time\n"
            "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
            f"pathlib.Path({str(mark)!r}).touch()\n"
            "time.sleep(60)"
        )
        with program(text, ready=mark.exists) as process:
            assert process.terminate() == 7

    def test_terminate_kills_what_does_not_listen(self, tmp_path: Path) -> None:
        mark = tmp_path / "ready"
        text = (
            "import pathlib, signal, time\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            f"pathlib.Path({str(mark)!r}).touch()\n"
            "time.sleep(60)"
        )
        with program(text, ready=mark.exists) as process:
            process.terminate(timeout_s=0.2)
            assert not process.running

    def test_wait_returns_the_exit_code_of_a_program_that_ends_by_itself(self) -> None:
        with program("import time; time.sleep(0.2); raise SystemExit(5)") as process:
            assert process.wait(30) == 5

    def test_kill_ends_a_frozen_program_and_its_children(self, tmp_path: Path) -> None:
        pids = tmp_path / "pids"
        text = (
            "import os, pathlib, subprocess, time\n"
            "child = subprocess.Popen(['sleep', '60'])\n"
            f"pathlib.Path({str(pids)!r}).write_text(f'{{os.getpid()}} {{child.pid}}')\n"
            "time.sleep(60)"
        )
        with program(text, ready=lambda: pids.exists() and len(pids.read_text().split()) == 2) as process:
            process.signal(signal.SIGSTOP)
            process.kill()
            # Of the children it is enough that they have the signal: who has waited for them is the watch.
            until(lambda: not any(alive(int(pid)) for pid in pids.read_text().split()))

    def test_nothing_outlives_a_killed_parent(self, tmp_path: Path) -> None:
        pids = tmp_path / "pid"
        child = f"import os, pathlib, time; pathlib.Path({str(pids)!r}).write_text(str(os.getpid())); time.sleep(60)"
        parent = (
            "import os, signal, sys, time\n"
            "from pathlib import Path\n"
            "from edgefleet.embedded import ManagedProcess\n"
            f"ready = lambda: bool(Path({str(pids)!r}).exists() and Path({str(pids)!r}).read_text())\n"
            f"ManagedProcess('child', [sys.executable, '-c', {child!r}], ready=ready).start()\n"
            "os.kill(os.getpid(), signal.SIGKILL)"
        )
        root = Path(__file__).parents[1]
        result = subprocess.run(
            [PYTHON, "-c", parent], cwd=root, timeout=30, env={**os.environ, "TMPDIR": str(tmp_path)}
        )
        assert result.returncode == -signal.SIGKILL
        until(lambda: not alive(int(pids.read_text())))

    def test_answers_only_to_a_server_that_answers(self) -> None:
        port = free_port()
        with program(
            f"import http.server as h; h.HTTPServer(('127.0.0.1', {port}), h.SimpleHTTPRequestHandler).serve_forever()",
            ready=lambda: answers(f"http://127.0.0.1:{port}/"),
        ):
            assert not answers(f"http://127.0.0.1:{port}/no-such-page")
        assert not answers(f"http://127.0.0.1:{port}/")


class TestProfile:
    def test_settings_replace_lines_of_the_same_key_and_add_new_ones(self) -> None:
        text = substitute("# a comment\nlistener 1883\npersistence true\n", {"listener": "1 127.0.0.1", "max_qos": "1"})
        assert text.splitlines() == ["# a comment", "persistence true", "listener 1 127.0.0.1", "max_qos 1"]

    def test_the_profile_queues_by_bytes_and_keeps_sessions(self) -> None:
        settings = dict(
            line.split(" ", 1) for line in profile().read_text().splitlines() if line and not line.startswith("#")
        )
        assert settings["persistence"] == "true"
        assert int(settings["max_queued_messages"]) * 100 > int(settings["max_queued_bytes"])
        assert int(settings["max_packet_size"]) == 1 << 20


async def keeps_messages_for_a_session_that_is_away(
    broker: Broker | BrokerAddress, restart: Callable[[], object] | None = None
) -> None:
    def session() -> aiomqtt.Client:
        return aiomqtt.Client(
            broker.host,
            broker.port,
            identifier="embedded-away",
            protocol=aiomqtt.ProtocolVersion.V311,
            clean_session=False,
        )

    async with session() as subscriber:
        await subscriber.subscribe("embedded/#", qos=1)
    async with aiomqtt.Client(broker.host, broker.port) as publisher:
        for number in range(50):
            await publisher.publish("embedded/away", str(number), qos=1)
    if restart:
        await asyncio.to_thread(restart)
    received: list[int] = []
    async with asyncio.timeout(60), session() as subscriber:
        async for message in subscriber.messages:
            received.append(int(message.payload))
            if len(received) == 50:
                break
    assert received == list(range(50))


@pytest.mark.services
class TestMosquitto:
    @pytest.mark.slow
    async def test_keeps_messages_for_a_session_that_is_away(self, mosquitto: BrokerAddress) -> None:
        await keeps_messages_for_a_session_that_is_away(mosquitto)

    async def test_restarts_on_the_same_port_with_its_queues(
        self, mosquitto_factory: Callable[..., MosquittoProcess]
    ) -> None:
        broker = mosquitto_factory()
        await keeps_messages_for_a_session_that_is_away(broker, restart=broker.restart)

    def test_options_reach_the_broker(self, mosquitto_factory: Callable[..., MosquittoProcess]) -> None:
        with pytest.raises(ServiceUnavailable, match='Unknown configuration variable "max_queue"'):
            mosquitto_factory({"max_queue": "1"})

    def test_a_port_in_use_is_an_error_that_names_it(self, mosquitto_factory: Callable[..., MosquittoProcess]) -> None:
        port = mosquitto_factory().port
        with pytest.raises(
            ServiceUnavailable, match=f"mosquitto cannot use port {port}: another program listens there"
        ):
            MosquittoProcess(port=port).start()

    def test_a_closed_broker_leaves_its_port(self, mosquitto_factory: Callable[..., MosquittoProcess]) -> None:
        broker = mosquitto_factory()
        assert accepts_connections(broker.host, broker.port)
        broker.kill()
        assert not accepts_connections(broker.host, broker.port)

    def test_is_the_first_choice_and_is_found_outside_the_path(
        self, mosquitto: BrokerAddress, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if find_mosquitto() is None:
            pytest.skip("the broker at MQTT_URL is no Mosquitto of this machine")
        monkeypatch.setenv("PATH", "/nowhere")
        assert embedded_broker().name == "mosquitto"


@pytest.fixture(scope="module")
def iotcore() -> Iterator[IotcoreProcess]:
    with IotcoreProcess() as broker:
        yield broker


class Witness:
    """A client of ours: what it has heard, and how it can be cut off."""

    def __init__(self, broker: Broker, version: Version, config: SessionConfig) -> None:
        self._url = BrokerUrl.parse(broker.urls[MQTT_5 if version is Version.V5 else MQTT_311])
        self.session = Session(config, version)
        self._changed = asyncio.Event()
        self.messages: list[Message] = []
        self.acknowledged = 0
        self.subscribed = False

    async def __aenter__(self) -> "Witness":
        self.link = await connect_link(self._url, self.session, self._on_events)
        return self

    async def __aexit__(self, *_: object) -> None:
        await close_and_wait(self.link)

    def _on_events(self, _link: Link, events: list[Event]) -> None:
        self.messages += [event for event in events if isinstance(event, Message)]
        self.acknowledged += sum(isinstance(event, Acknowledged) for event in events)
        self.subscribed |= any(isinstance(event, Subscribed) for event in events)
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def subscribe(self, topic_filter: str) -> None:
        self.link.subscribe([Subscription(topic_filter, 1)])
        await self.until(lambda: self.subscribed)


@pytest.mark.parametrize("version", [Version.V5, Version.V311])
class TestIotcore:
    """What a fleet and a bridge need of a broker; that the names of topics differ keeps the versions apart."""

    async def test_keeps_retained_messages_until_they_are_cleared(
        self, iotcore: IotcoreProcess, version: Version
    ) -> None:
        topic = f"kept/{version}"
        async with Witness(iotcore, version, SessionConfig(client_id="publisher")) as publisher:
            for payload in (b"old", b"new"):
                publisher.link.publish(topic, payload, qos=1, retain=True)
            await publisher.until(lambda: publisher.acknowledged == 2)
            async with Witness(iotcore, version, SessionConfig(client_id="reader")) as reader:
                await reader.subscribe(topic)
                await reader.until(lambda: bool(reader.messages))
            publisher.link.publish(topic, b"", qos=1, retain=True)
            await publisher.until(lambda: publisher.acknowledged == 3)
            async with Witness(iotcore, version, SessionConfig(client_id="late")) as late:
                await late.subscribe(topic)
                publisher.link.publish(topic, b"live", qos=1)
                await late.until(lambda: bool(late.messages))
        assert [(message.payload, message.retain) for message in reader.messages] == [(b"new", True)]
        assert [(message.payload, message.retain) for message in late.messages] == [(b"live", False)]

    async def test_speaks_for_a_client_that_was_cut_off(self, iotcore: IotcoreProcess, version: Version) -> None:
        will = Will(topic=f"will/{version}", payload=b"gone", qos=1)
        async with Witness(iotcore, version, SessionConfig(client_id="heir")) as heir:
            await heir.subscribe(will.topic)
            async with Witness(iotcore, version, SessionConfig(client_id="mortal", will=will)) as mortal:
                mortal.link.abort()
                await heir.until(lambda: bool(heir.messages))
        assert [message.payload for message in heir.messages] == [b"gone"]

    async def test_keeps_the_queue_of_a_bridge_that_is_away(self, iotcore: IotcoreProcess, version: Version) -> None:
        config = SessionConfig(client_id=f"bridge-{version}", clean_start=False, session_expiry_s=3600)
        async with Witness(iotcore, version, config) as bridge:
            await bridge.subscribe(f"queue/{version}/#")
        async with Witness(iotcore, version, SessionConfig(client_id="fleet")) as fleet:
            for number in range(1, 2001):
                await fleet.until(lambda: fleet.session.window_free > 0)
                fleet.link.publish(f"queue/{version}/{number % 7}", str(number).encode(), qos=1)
            await fleet.until(lambda: fleet.acknowledged == 2000)
        async with Witness(iotcore, version, config) as bridge:
            await bridge.until(lambda: len(bridge.messages) >= 2000)
        numbers = [int(message.payload) for message in bridge.messages]
        assert sorted(numbers) == list(range(1, 2001))
        assert all([n for n in numbers if n % 7 == k] == list(range(k or 7, 2001, 7)) for k in range(7))


class TestEngines:
    def test_iotcore_listens_on_loopback_alone(self, iotcore: IotcoreProcess) -> None:
        assert set(iotcore.urls) == {MQTT_311, MQTT_5}
        for port in (iotcore.port, iotcore.port_5):
            assert accepts_connections("127.0.0.1", port)
            assert not accepts_connections("127.0.0.2", port)

    def test_a_second_port_in_use_is_an_error_that_names_it(self, iotcore: IotcoreProcess) -> None:
        with pytest.raises(ServiceUnavailable, match=f"iotcore cannot use port {iotcore.port_5}: another program"):
            IotcoreProcess(port_5=iotcore.port_5).start()

    async def test_amqtt_keeps_messages_for_a_session_that_is_away(self) -> None:
        with await asyncio.to_thread(AmqttProcess().start) as broker:
            await keeps_messages_for_a_session_that_is_away(broker)

    def test_the_next_best_stands_in_where_one_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("edgefleet.embedded.brokers.find_mosquitto", lambda: None)
        assert embedded_broker().name == "iotcore"
        with pytest.raises(ServiceUnavailable, match="apt-get install mosquitto"):
            embedded_broker(engine=BrokerEngine.MOSQUITTO)
        monkeypatch.setitem(sys.modules, "iotcore", None)
        assert embedded_broker().name == "amqtt"
        monkeypatch.setitem(sys.modules, "amqtt", None)
        with pytest.raises(ServiceUnavailable, match=r"there is no MQTT broker: .*pip install 'edgefleet\[demo\]'"):
            embedded_broker()


def write_and_read(servers: str, topic: str, count: int = 20) -> list[int]:
    """Numbers read back from Kafka after writing them."""
    producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True, "log_level": 0})
    for number in range(count):
        producer.produce(topic, value=str(number), key="one device")
    assert producer.flush(20) == 0
    return read(servers, topic, count)


def read(servers: str, topic: str, count: int) -> list[int]:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "unused", "log_level": 0})
    partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
    values: list[int] = []
    deadline = time.monotonic() + 30
    while len(values) < count and time.monotonic() < deadline:
        values += [int(message.value()) for message in consumer.consume(count, timeout=0.2) if not message.error()]
    consumer.close()
    return values


class TestKafka:
    @pytest.mark.slow
    def test_the_mock_speaks_kafka_and_is_gone_afterwards(self) -> None:
        with kafka_mock() as kafka:
            host, port = kafka.bootstrap_servers.split(":")
            assert write_and_read(kafka.bootstrap_servers, "mock") == list(range(20))
        assert not accepts_connections(host, int(port))

    def test_the_environment_wins_over_the_mock(self) -> None:
        with embedded_kafka({"KAFKA_BOOTSTRAP_SERVERS": "kafka.example:9092"}) as kafka:
            assert kafka.bootstrap_servers == "kafka.example:9092"
        with embedded_kafka({}) as kafka:
            assert kafka.bootstrap_servers.startswith("127.0.0.1:")

    @pytest.mark.services
    def test_a_real_kafka_keeps_what_it_acknowledged_when_it_is_killed(
        self, kafka_factory: Callable[[], KafkaProcess]
    ) -> None:
        kafka = kafka_factory()
        assert write_and_read(kafka.bootstrap_servers, "kept") == list(range(20))
        kafka.kill()
        kafka.start()
        assert read(kafka.bootstrap_servers, "kept", 20) == list(range(20))
