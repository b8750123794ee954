"""What devices leave at their broker is cleared, counted, and told where it is not; in bounded time."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import orjson
import pytest
from typer.testing import CliRunner, Result

from devices.fleet.forget import ATTEMPTS, forget_devices
from devices.scenario.devices import Shard
from devices.scenario.loading import load_scenario
from devices.scenario.scenario import Scenario
from edgefleet.cli import app
from edgefleet.embedded import Broker, IotcoreProcess, MosquittoProcess
from edgewire.mqtt import PacketDecoder, Version
from edgewire.mqtt.packets import Publish
from tests.tcp import tcp_server

Factory = Callable[..., MosquittoProcess]
KINDS = ("bme280", "traffic", "gps", "telematics", "people")


def fleet(folder: Path, url: str, each: int) -> Path:
    """A scenario with so many devices of every kind."""
    groups = "".join(f"  - {{kind: {kind}, count: {each}, interval: 100ms}}\n" for kind in KINDS)
    path = folder / "fleet.yaml"
    path.write_text(f"broker: {url}\nconnects_per_second: 1000\ndevices:\n{groups}")
    return path


def command(*words: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, words)))


async def retained(broker: Broker, expected: int) -> set[str]:
    """The topics on which something is retained: those that come before a message of our own."""
    found = set()
    async with aiomqtt.Client(broker.host, broker.port) as client:
        await client.subscribe("edge/#", qos=1)
        async with asyncio.timeout(10):
            async for message in client.messages:
                if message.retain:
                    found.add(str(message.topic))
                else:
                    return found
                if len(found) == expected:
                    await client.publish("edge/fence", b"", qos=1)
    raise AssertionError


async def retain(broker: Broker, *topics: str) -> None:
    async with aiomqtt.Client(broker.host, broker.port) as client:
        for topic in topics:
            await client.publish(topic, b"{}", qos=1, retain=True)


@pytest.mark.timeout(180)
def test_125_devices_leave_nothing_behind(tmp_path: Path, mosquitto_factory: Factory) -> None:
    broker = mosquitto_factory()
    path = fleet(tmp_path, broker.url, 25)
    ran = command("run", path, "--duration", "1s", "--record", tmp_path / "run")
    assert ran.exit_code == 0, ran.output
    strange = {f"edge/default/bme280/bme280-0001/{channel}" for channel in ("telemetry", "cmd")}
    asyncio.run(retain(broker, *strange, "edge/default/bme280/elsewhere/status"))
    before = asyncio.run(retained(broker, 128))
    assert strange <= before
    done = command("forget", path)
    assert (done.exit_code, done.stdout) == (0, "127 retained messages of 125 devices cleared\n")
    assert asyncio.run(retained(broker, 1)) == {"edge/default/bme280/elsewhere/status"}, "of no device of this scenario"
    again = command("forget", path, "--json")
    assert orjson.loads(again.stdout) == {
        "ok": True,
        "devices": 125,
        "cleared": 0,
        "unseen": 0,
        "failed": 0,
        "failures": {},
    }


@pytest.mark.slow
def test_a_run_that_forgets_leaves_no_status(tmp_path: Path) -> None:
    with IotcoreProcess() as broker:
        words = ("--duration", "500ms", "--forget", "--record", tmp_path / "run")
        ran = command("run", fleet(tmp_path, broker.url, 2), *words)
        assert ran.exit_code == 0, ran.output
        assert "edgefleet forget: 10 retained messages of 10 devices cleared" in ran.stderr
        done = command("forget", tmp_path / "fleet.yaml", "--shard", "0/2")
        assert done.stdout == "0 retained messages of 5 devices cleared\n"


@pytest.mark.parametrize(
    ("acl", "exit_code", "said"),
    [
        (
            "topic read #",
            1,
            r"NOT CLEARED for 5 devices \(bme280-0001, .*, …\): the broker refused to clear",
        ),
        ("topic write edge/#", 0, r"5 statuses that their devices may write but not read: cleared as well"),
    ],
)
def test_what_the_broker_refuses_and_what_it_hides(
    acl: str, exit_code: int, said: str, tmp_path: Path, mosquitto_factory: Factory
) -> None:
    (tmp_path / "acl").write_text(f"{acl}\n")
    broker = mosquitto_factory({"acl_file": str(tmp_path / "acl")})
    done = command("forget", fleet(tmp_path, broker.url, 1))
    assert done.exit_code == exit_code, done.output

    assert re.search(said, " ".join(done.stdout.split())), done.stdout


async def silence(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def test_a_broker_that_never_answers_costs_no_more_than_the_timeout(tmp_path: Path) -> None:
    async with tcp_server(silence) as port:
        scenario = load_scenario(fleet(tmp_path, f"mqtt://127.0.0.1:{port}", 1))
        report = await forget_devices(scenario, Shard(), 0.1)
    assert report.failures == {"not done within 0.1 s: give --timeout more": [f"{kind}-0001" for kind in KINDS]}


@asynccontextmanager
async def breaking(broker: Broker, breaks: int) -> AsyncIterator[tuple[int, list[None]]]:
    """A way to the broker on which its answer to a device's PUBLISH is lost with the first connections."""
    made: list[None] = []

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.append(None)
        is_good = len(made) > breaks
        decoder, published = PacketDecoder(Version.V5), asyncio.Event()
        there, back = await asyncio.open_connection(broker.host, broker.port)

        async def forward(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                if is_good or not published.is_set() or source is reader:
                    target.write(data)
                if source is reader and any(isinstance(packet, Publish) for packet in decoder.feed(data)):
                    published.set()
                elif published.is_set() and not is_good:
                    writer.transport.abort()
            target.close()

        await asyncio.gather(forward(reader, back), forward(there, writer), return_exceptions=True)
        back.close()

    async with tcp_server(relay) as port:
        yield port, made


@pytest.mark.services
async def test_a_device_whose_connection_breaks_connects_again(tmp_path: Path, mosquitto_factory: Factory) -> None:
    broker = mosquitto_factory()
    other = "edge/default/bme280/elsewhere/status"
    await retain(broker, other, *(f"edge/default/{kind}/{kind}-0001/status" for kind in KINDS))
    async with breaking(broker, 5) as (port, made):
        scenario = load_scenario(fleet(tmp_path, f"mqtt://127.0.0.1:{port}", 1))
        report = await forget_devices(scenario, Shard(), 30)
    assert (report.cleared, report.failures, len(made)) == (5, {}, 10), "what is cleared once is counted once"
    assert await retained(broker, 1) == {other}


@pytest.mark.services
async def test_a_connection_that_always_breaks_is_named(tmp_path: Path, mosquitto_factory: Factory) -> None:
    async with breaking(mosquitto_factory(), 1000) as (port, made):
        scenario = load_scenario(fleet(tmp_path, f"mqtt://127.0.0.1:{port}", 1))
        report = await forget_devices(scenario, Shard(), 30)
    (reason,) = report.failures
    assert reason.startswith("the broker ended the connection: ")
    assert (report.failed, len(made)) == (5, 5 * ATTEMPTS)


async def test_ctrl_c_ends_it_and_says_what_was_left(tmp_path: Path) -> None:
    stop = asyncio.Event()
    stop.set()
    scenario = load_scenario(fleet(tmp_path, "mqtt://127.0.0.1:1", 1))
    report = await forget_devices(scenario, Shard(), 60, stop)
    assert report.failed == 5


def test_a_broker_that_is_not_there_is_one_reason(tmp_path: Path) -> None:
    done = command("forget", fleet(tmp_path, "mqtt://127.0.0.1:1", 2))
    assert done.exit_code == 1
    said = " ".join(done.stdout.split())
    # Some are asked at once, and whoever is told first is named first.
    named = said.partition("(")[2].partition(", …)")[0]
    assert len(set(named.split(", "))) == 3
    assert said == (
        "0 retained messages of 10 devices cleared "
        f"NOT CLEARED for 10 devices ({named}, …): broker mqtt://127.0.0.1:1 cannot be reached: Connection refused: "
        "start it or correct the URL"
    )


async def test_where_nothing_is_retained_nobody_is_told_so() -> None:
    """An empty message on a topic of a Sparkplug node would be a birth to a host."""
    node = {"kind": "bme280", "dialect": "sparkplug"}
    groups = [node, node | {"gateway": {"count": 1}}]
    scenario = Scenario.model_validate({"broker": "mqtt://127.0.0.1:1", "devices": groups})
    report = await forget_devices(scenario, Shard(), 20)
    assert (report.devices, report.cleared, report.failures) == (2, 0, {})
