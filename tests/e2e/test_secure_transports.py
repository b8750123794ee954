"""A fleet and the bridge over WebSockets in TLS, and by ALPN: to a real Mosquitto, or by a proxy that looks."""

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from wsproto.events import Request

from bridge.check import check_endpoints
from devices.fleet.fleet import Fleet
from devices.scenario.scenario import Scenario
from edgefleet.embedded import MosquittoProcess, free_port
from edgewire.errors import ServiceUnavailable
from edgewire.link import BrokerUrl
from tests.bridge.fakes import IngestStub, ingest_stub
from tests.bridge.live import staged
from tests.devices.fleet.observer import conduct
from tests.edgewire.link.websocket_peer import WebSocketPeer, relay
from tests.services.fixtures import require_program
from tests.tcp import tcp_server
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.slow]

AWS = "x-amzn-mqtt-ca"
SECRET = "Bearer s3cr3t-9f2"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One for 127.0.0.1 that signs itself, and its key."""
    require_program("openssl", "openssl")
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1"
    found = folder / "certificate.pem", folder / "key.pem"
    subprocess.run([*command.split(), "-keyout", found[1], "-out", found[0]], check=True, capture_output=True)
    return found


def server_context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


async def all_arrives(
    url: str, path: Path, fleet: Mapping[str, Any], mqtt: Mapping[str, Any], ingest: IngestStub
) -> None:
    """Run six devices and the bridge over this URL: what was acknowledged is stored."""
    group = {"kind": "bme280", "count": 6, "interval": "100ms"}
    scenario = Scenario.model_validate({"broker": url, "devices": [group], **fleet})

    async def script(running: Fleet) -> None:
        await eventually(lambda: all(client.acknowledged > 5 for client in running.clients), "all have measured")

    edge = ["edge/+/+/+/telemetry"]
    async with staged(url, path, ingest, mqtt=dict(mqtt), subscriptions=edge, client_id=f"b-{path.name}") as stage:
        record = await conduct(scenario, script)
        assert (record.problems, record.totals["unsent"]) == ({}, 0)
        await eventually(lambda: len(set(ingest.stored)) == record.totals["emitted"])
        assert stage.bridge.readiness().brokers == [str(BrokerUrl.parse(url))]
        broker = (await check_endpoints(stage.config()))[0]
        assert broker.ok, broker.text


async def test_wss_to_a_real_mosquitto(
    mosquitto_factory: Callable[..., MosquittoProcess], certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    plain, web = free_port(), free_port()
    listeners = (
        f"{plain} 127.0.0.1\nlistener {web} 127.0.0.1\nsocket_domain ipv4\nprotocol websockets\n"
        f"certfile {certificate[0]}\nkeyfile {certificate[1]}"
    )
    try:
        broker = MosquittoProcess(port=plain, options={"listener": listeners})
    except ServiceUnavailable as error:
        pytest.skip(str(error))
    ca = {"ca_file": str(certificate[0])}
    headers = {"websocket": {"headers": {"Authorization": SECRET}}}
    with broker:
        async with ingest_stub() as ingest:
            await all_arrives(f"wss://127.0.0.1:{web}/mqtt?key=k", tmp_path, ca | headers, ca | headers, ingest)


async def test_headers_path_and_subprotocol_of_both_reach_the_server(
    mosquitto_factory: Callable[..., MosquittoProcess], tmp_path: Path
) -> None:
    asked: list[Request] = []
    broker = mosquitto_factory()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = WebSocketPeer(reader, writer)
        asked.append(await peer.handshake("mqttv3.1"))
        await relay(peer, lambda reader, writer: forward(reader, writer, broker.port))

    web = {"websocket": {"headers": {"Authorization": SECRET, "X-Tenant": "blue"}, "subprotocol": "mqttv3.1"}}
    async with tcp_server(serve) as port, ingest_stub() as ingest:
        await all_arrives(f"ws://127.0.0.1:{port}/a/b?c=d", tmp_path, web, web, ingest)
    agents = {request.target for request in asked}
    assert agents == {"/a/b?c=d"}
    assert len(asked) > 8
    for request in asked:
        assert request.subprotocols == ["mqttv3.1"]
        assert {(b"authorization", SECRET.encode()), (b"x-tenant", b"blue")} <= {*request.extra_headers}


async def test_alpn_to_a_broker_that_speaks_by_it_alone(
    mosquitto_factory: Callable[..., MosquittoProcess], certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    ca = {"ca_file": str(certificate[0])}
    async with alpn_proxy(certificate, mosquitto_factory().port) as (url, chosen), ingest_stub() as ingest:
        await all_arrives(url, tmp_path, ca | {"alpn": [AWS]}, ca | {"alpn": [AWS]}, ingest)
        assert {*chosen} == {AWS}


@asynccontextmanager
async def alpn_proxy(certificate: tuple[Path, Path], port: int) -> AsyncIterator[tuple[str, list[str | None]]]:
    """TLS with ALPN before a broker that has none; notes what was chosen, and hands on nothing without."""
    context, chosen = server_context(certificate), list[str | None]()
    context.set_alpn_protocols([AWS])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chosen.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        if chosen[-1] is None:
            writer.close()
            return
        await forward(reader, writer, port)

    async with tcp_server(serve, tls=context) as own:
        yield f"mqtts://127.0.0.1:{own}", chosen


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """Be between a client and the broker at this port."""
    there_reader, there = await asyncio.open_connection("127.0.0.1", port)

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                target.write(data)
        target.close()

    try:
        await asyncio.gather(copy(reader, there), copy(there_reader, writer))
    finally:
        there.transport.abort()
