"""Credentials of TLS: whom the client trusts, and by which it says who it is."""

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bridge.routing.table import RouteTable
from bridge.sinks.base import Retry
from bridge.sinks.http.config import HttpSinkConfig
from bridge.sinks.http.sink import HttpSink
from bridge.sinks.kafka.schema_registry import SchemaRegistry
from bridge.sinks.kafka.value_config import SchemaRegistryConfig
from edgewire.errors import ConfigError, ServiceUnavailable
from tests.bridge.fakes import TABLE, routed
from tests.services.fixtures import require_program
from tests.tls_server import tls_server


def sink_of(url: str, table: RouteTable = TABLE, **settings: object) -> HttpSink:
    return HttpSink(HttpSinkConfig(url=url, **settings), table.targets_in("http"), "bridge-1")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.pem, and a certificate with its key for the server and for the client."""
    require_program("openssl", "openssl")
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "2")
    for name in ("server", "client"):
        (folder / "san").write_text("subjectAltName=IP:127.0.0.1")
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "san", "-days", "2"]
        openssl("x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.pem")
    openssl("ec", "-in", "client.key", "-aes256", "-passout", "pass:x", "-out", "encrypted.key")
    return folder


async def test_a_server_may_ask_who_the_bridge_is(certificates: Path) -> None:
    names: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        assert request.transport
        certificate = request.transport.get_extra_info("peercert")
        names.append(dict(part[0] for part in certificate["subject"])["commonName"])
        return web.Response()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates / "ca.pem")
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    application = web.Application()
    application.router.add_post("/{path:.*}", handle)
    server = TestServer(application)
    await server.start_server(ssl=context)
    url = f"https://127.0.0.1:{server.port}"
    mine = {"certificate": certificates / "client.pem", "key": certificates / "client.key"}
    trusted = sink_of(url, ca_file=certificates / "ca.pem", **mine)
    anonymous = sink_of(url, ca_file=certificates / "ca.pem")
    wary = sink_of(url)
    for sink, delivered in ((trusted, True), (anonymous, False), (wary, False)):
        await sink.connect()
        failures = await sink.write("lane", [routed(1)])
        assert bool(failures) is not delivered
        await sink.close()
    why = failures[0]
    assert isinstance(why, Retry)
    assert (why.cause, why.needs_operator) == ("tls", True)
    assert "certificate" in why.reason
    await server.close()
    assert names == ["client"]


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_server_that_misses_a_certificate_is_heard(certificates: Path, newest: ssl.TLSVersion) -> None:
    """With TLS 1.3 the alert comes once the handshake is over for the client, instead of a response."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates / "ca.pem")
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = newest
    with tls_server(context) as server:
        url, said = f"https://127.0.0.1:{server.port}", "look at the certificate and key that are shown to it"
        sink = sink_of(url, ca_file=certificates / "ca.pem")
        await sink.connect()
        why = (await sink.write("lane", [routed(1)]))[0]
        with pytest.raises(ServiceUnavailable, match=said):
            await sink.probe()
        await sink.close()
        assert isinstance(why, Retry)
        assert (why.cause, why.needs_operator, why.maybe_taken) == ("tls", True, False)
        assert said in why.reason
        registry = SchemaRegistry(SchemaRegistryConfig(url=url, ca_file=certificates / "ca.pem"))
        registry.open()
        refused = await registry.latest("readings", serialized=False)
        await registry.close()
        assert isinstance(refused, Retry)
        assert (refused.cause, refused.needs_operator) == ("registry_tls", True)
        assert said in refused.reason
        assert not server.spoken


async def test_a_certificate_without_its_key_is_a_matter_of_configuration(certificates: Path) -> None:
    sink = sink_of("https://h", certificate=certificates / "client.pem", key=certificates / "server.key")
    with pytest.raises(ConfigError, match=r"client.pem with its key .*server.key cannot be used"):
        await sink.connect()
    sink = sink_of("https://h", certificate=certificates / "client.pem", key=certificates / "encrypted.key")
    with pytest.raises(ConfigError, match="cannot be used"):
        await sink.connect()


async def test_a_certificate_that_was_renewed_is_shown_without_a_restart(certificates: Path, tmp_path: Path) -> None:
    names: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        assert request.transport
        certificate = request.transport.get_extra_info("peercert")
        names.append(dict(part[0] for part in certificate["subject"])["commonName"])
        return web.Response(headers={"Connection": "close"})

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates / "ca.pem")
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    application = web.Application()
    application.router.add_post("/{path:.*}", handle)
    server = TestServer(application)
    await server.start_server(ssl=context)
    mine = {name: tmp_path / f"mine.{name}" for name in ("certificate", "key")}

    def write(name: str, *, key: bool = True) -> None:
        shutil.copy(certificates / f"{name}.pem", mine["certificate"])
        if key:
            shutil.copy(certificates / f"{name}.key", mine["key"])

    write("client")
    sink = sink_of(f"https://127.0.0.1:{server.port}", ca_file=certificates / "ca.pem", **mine)
    await sink.connect()
    try:
        assert not await sink.write("lane", [routed(1)])
        write("server", key=False)  # in the middle of it: its key comes later
        assert not await sink.write("lane", [routed(2)])
        write("server")
        assert not await sink.write("lane", [routed(3)])
    finally:
        await sink.close()
        await server.close()
    assert names == ["client", "client", "server"]
