"""`--wait` returns as soon as something listens, or the time is over; options contradict a file's keys."""

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from devices.scenario.scenario import Scenario
from edgefleet.cli import app
from edgefleet.cli.waiting import wait_for_broker
from edgefleet.embedded import free_port
from edgewire.errors import ConfigError
from edgewire.link import BrokerUrl


async def test_who_waits_goes_on_once_a_broker_listens(capsys: pytest.CaptureFixture[str]) -> None:
    url = BrokerUrl.parse(f"mqtt://127.0.0.1:{free_port()}")
    waiting = asyncio.create_task(wait_for_broker([url], 30))
    while "waiting up to 30 s" not in capsys.readouterr().err:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)
    assert not waiting.done()
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", url.port)
    async with server:
        await asyncio.wait_for(waiting, 10)


async def test_who_waits_for_a_socket_that_is_not_there_waits_no_longer_than_told(tmp_path: Path) -> None:
    began = asyncio.get_running_loop().time()
    await wait_for_broker([BrokerUrl.parse(f"unix://{tmp_path}/none.sock")], 0.1)
    assert asyncio.get_running_loop().time() - began < 10


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--insecure"], "insecure: no broker is dialled with TLS"),
        (["--alpn", "mqtt"], "alpn is for mqtts://"),
        (["--ca-file", "ca.pem"], "ca_file: broker mqtt://127.0.0.1:9 is not dialled with TLS"),
        (["--broker", "mqtts://127.0.0.1:9", "--ca-file", "none.pem"], "--ca-file: none.pem cannot be read"),
    ],
)
def test_watch_refuses_what_does_not_go_with_its_broker(options: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["watch", "--broker", "mqtt://127.0.0.1:9", *options])
    assert isinstance(done.exception, ConfigError)
    assert said in str(done.exception)


SECRET = "Bearer s3cr3t-9f2"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--header", f"X: {SECRET}"], "websocket: no broker is dialled by ws:// or wss://"),
        (["--header", SECRET, "--broker", "ws://127.0.0.1:9"], "--header: is no header: write NAME: VALUE"),
        (["--header", f"Upgrade: {SECRET}", "--broker", "ws://127.0.0.1:9"], "--header: 'Upgrade' is set by"),
        (["--headers-file", "none", "--broker", "ws://127.0.0.1:9"], "none: there is no such file"),
        (["--subprotocol", "a b", "--broker", "ws://127.0.0.1:9"], "--subprotocol"),
    ],
)
def test_watch_takes_headers_and_refuses_what_cannot_be_sent(options: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["watch", "--broker", "mqtt://127.0.0.1:9", *options])
    assert isinstance(done.exception, ConfigError)
    assert said in str(done.exception)
    assert "s3cr3t" not in str(done.exception) + done.output


@pytest.mark.parametrize(("key", "value"), [("insecure", True), ("alpn", ("mqtt",))])
def test_a_broker_of_an_option_may_not_leave_a_key_of_the_file_without_effect(key: str, value: object) -> None:
    scenario = Scenario.model_validate({"broker": "mqtts://here", "devices": [{"kind": "gps"}], key: value})
    with pytest.raises(ConfigError, match=f"--broker: {key}"):
        scenario.with_keys(broker=("mqtt://here",))
    assert scenario.with_keys(broker=("mqtts://there",)).brokers == ("mqtts://there",)
