"""That nothing of ours speaks TLS before 1.2: as a client of a server that knows 1.1 alone, by every way there is."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bridge.sinks.base import Retry
from bridge.sinks.http.config import HttpSinkConfig
from bridge.sinks.http.sink import HttpSink
from bridge.sinks.kafka.config import KafkaSinkConfig
from bridge.sinks.kafka.sink import KafkaSink
from edgefleet.cli import app
from edgefleet.control.json_client import JsonClient
from edgewire.errors import ServiceUnavailable
from edgewire.link import BrokerUrl, connect_link
from edgewire.mqtt import Session, SessionConfig
from edgewire.tls import client_context
from tests.bridge.fakes import TABLE, routed
from tests.tls_server import TlsServer, old_server, only_old

SAID = "have it speak TLS 1.2 or 1.3"


@pytest.fixture
def server(certificate: tuple[Path, Path]) -> Iterator[TlsServer]:
    with old_server(*certificate) as running:
        yield running


def test_the_server_of_these_tests_does_speak_tls_1_1(server: TlsServer, certificate: tuple[Path, Path]) -> None:
    context = only_old(ssl.create_default_context(cafile=certificate[0]))
    with (
        socket.create_connection(("127.0.0.1", server.port)) as connection,
        context.wrap_socket(connection, server_hostname="127.0.0.1") as tls,
    ):
        assert tls.recv(5) == b"hello"
    assert server.spoken == ["TLSv1.1"]


def test_a_system_that_allows_old_versions_does_not_lower_ours(
    server: TlsServer, certificate: tuple[Path, Path]
) -> None:
    context = client_context(certificate[0])
    # As a policy of the system would have it: nothing but the version is left to refuse the server.
    context.set_ciphers("ALL:@SECLEVEL=0")
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(("127.0.0.1", server.port)) as connection,
        pytest.raises(ssl.SSLError, match="protocol version"),
    ):
        context.wrap_socket(connection, server_hostname="127.0.0.1")
    assert not server.spoken


def test_a_system_that_asks_for_more_than_we_do_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    strict = ssl.create_default_context()
    strict.minimum_version = ssl.TLSVersion.TLSv1_3
    monkeypatch.setattr(ssl, "create_default_context", lambda **_: strict)
    assert client_context().minimum_version == ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize("scheme", ["mqtts", "wss"])
async def test_a_broker(server: TlsServer, certificate: tuple[Path, Path], scheme: str) -> None:
    broker = BrokerUrl.parse(f"{scheme}://127.0.0.1:{server.port}")
    with pytest.raises(ServiceUnavailable, match=SAID):
        await connect_link(
            broker, Session(SessionConfig(client_id="a")), lambda *_: None, tls=client_context(certificate[0])
        )
    # Whom nothing was given to trust: the version is refused before a certificate is looked at.
    with pytest.raises(ServiceUnavailable, match=SAID):
        await connect_link(broker, Session(SessionConfig(client_id="a")), lambda *_: None)
    assert server.outcomes(2) == ([], 2)


@pytest.mark.parametrize("trusts", [True, False])
async def test_what_the_bridge_posts_to(server: TlsServer, certificate: tuple[Path, Path], trusts: bool) -> None:
    ca = {"ca_file": certificate[0]} if trusts else {}
    config = HttpSinkConfig(url=f"https://127.0.0.1:{server.port}", **ca)  # type: ignore[arg-type]
    sink = HttpSink(config, TABLE.targets_in("http"), "bridge-1")  # type: ignore[arg-type]
    await sink.connect()
    try:
        (failure,) = (await sink.write("lane", [routed(1)])).values()
        with pytest.raises(ServiceUnavailable, match=SAID):
            await sink.probe()
    finally:
        await sink.close()
    assert isinstance(failure, Retry)
    assert (failure.cause, failure.needs_operator) == ("tls", True)
    assert SAID in failure.reason
    assert server.outcomes(2) == ([], 2)


def test_where_an_export_goes(server: TlsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # what to go on with is kept there
    url = f"https://127.0.0.1:{server.port}/x"
    span = ["--from", "2026-03-01", "--records", "1"]
    done = CliRunner().invoke(app, ["generate", "bme280", *span, "--upload", url, "--retries", "0"])
    assert done.exit_code == 1
    assert SAID in str(done.exception)
    assert server.outcomes(1) == ([], 1)


def test_a_run_that_is_steered(server: TlsServer) -> None:
    client = JsonClient(
        f"https://127.0.0.1:{server.port}", None, what="run", name="control interface", advice="begin one"
    )
    with pytest.raises(ServiceUnavailable, match=SAID):
        client.ask("GET", "/status", None, 5)
    assert server.outcomes(1) == ([], 1)


async def test_kafka(server: TlsServer, certificate: tuple[Path, Path]) -> None:
    config = KafkaSinkConfig(
        bootstrap_servers=f"127.0.0.1:{server.port}",
        properties={"security.protocol": "SSL", "ssl.ca.location": str(certificate[0])},
        timeout="1s",  # type: ignore[arg-type]
    )
    sink = KafkaSink(config, TABLE.targets_in("kafka"), "b")  # type: ignore[arg-type]
    with pytest.raises(ServiceUnavailable, match="protocol version"):
        await sink.probe()
    await sink.close()
    spoken, refused = server.outcomes(1)
    assert not spoken
    assert refused


@pytest.mark.parametrize("suites", ["ALL:@SECLEVEL=0", "DEFAULT @SECLEVEL = 0"])
def test_kafka_is_not_talked_into_it(suites: str) -> None:
    with pytest.raises(ValueError, match="leave the level out"):
        KafkaSinkConfig(properties={"ssl.cipher.suites": suites})
    assert KafkaSinkConfig(properties={"ssl.cipher.suites": "ECDHE+AESGCM"}).properties
