"""TLS with ALPN, and without the check of certificates, against scripted peers."""

import asyncio
import contextlib
import ssl

import pytest
import structlog

from edgewire import tls
from edgewire.errors import ServiceUnavailable
from edgewire.link import BrokerUnreachable, BrokerUrl, connect_link
from edgewire.mqtt import Session, SessionConfig
from edgewire.tls import check_tls_keys, client_context
from tests.edgewire.link.broker import broker
from tests.tcp import tcp_server
from tests.waiting import eventually

AWS = "x-amzn-mqtt-ca"


@pytest.mark.parametrize("known", [[AWS], ["mqtt", AWS]])
async def test_a_broker_that_chooses_the_protocol_is_spoken_to(
    server_context: ssl.SSLContext, certificate: tuple[str, str], known: list[str]
) -> None:
    server_context.set_alpn_protocols(known)
    trusted = client_context(certificate[0], alpn=[AWS])
    async with broker(server_context) as scripted:
        session = Session(SessionConfig(client_id="c"))
        dial = asyncio.create_task(connect_link(scripted.url, session, lambda *_: None, tls=trusted, alpn=(AWS,)))
        connection = await scripted.connection()
        await connection.accept()
        link = await dial
        chosen = connection.writer.get_extra_info("ssl_object").selected_alpn_protocol()
        link.abort()
        await eventually(lambda: link.is_gone)
    assert chosen == AWS


async def test_a_broker_that_chooses_no_protocol_gets_not_a_byte(
    server_context: ssl.SSLContext, certificate: tuple[str, str]
) -> None:
    trusted = client_context(certificate[0], alpn=[AWS])
    async with broker(server_context) as scripted:
        with pytest.raises(BrokerUnreachable, match=f"chose none of the protocols of alpn \\({AWS}\\).*leave alpn out"):
            await connect_link(
                scripted.url, Session(SessionConfig(client_id="c")), lambda *_: None, tls=trusted, alpn=(AWS,)
            )
        # It may be gone before the server has seen the end of the handshake.
        assert [await one.packet() for one in scripted.all] == [None] * len(scripted.all)


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (["http/1.1"], f"it chose none of the protocols of alpn ({AWS}) in the TLS handshake"),
        (["h2"], f"it chose 'h2', which is none of the protocols of alpn ({AWS}) in the TLS handshake"),
    ],
)
async def test_a_broker_that_chooses_another_protocol_gets_not_a_byte(
    server_context: ssl.SSLContext, certificate: tuple[str, str], known: list[str], said: str
) -> None:
    server_context.set_alpn_protocols(known)
    # OpenSSL lets a server choose what was offered alone: here more is offered than the broker may choose.
    trusted = client_context(certificate[0], alpn=[AWS, "h2"])
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            heard.append(await reader.read(1))
        writer.close()

    async with tcp_server(serve, tls=server_context) as port:
        url, session = BrokerUrl("mqtts", "127.0.0.1", port), Session(SessionConfig(client_id="c"))
        with pytest.raises(BrokerUnreachable) as refused:
            await connect_link(url, session, lambda *_: None, tls=trusted, alpn=(AWS,), timeout_s=10)
        assert f"{said}: name the one that it knows" in str(refused.value)
    assert heard in ([], [b""])


NO_APPLICATION_PROTOCOL = b"\x15\x03\x03\x00\x02\x02\x78"
"""The fatal alert 120 (RFC 7301, 3.2)."""


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (NO_APPLICATION_PROTOCOL, BrokerUnreachable, f"it knows none of the protocols of alpn ({AWS})"),
        (b"", ServiceUnavailable, "did not complete the TLS handshake within 0.3 s: is its port one for mqtts://"),
        (b"\x16\x03\x03", ServiceUnavailable, "did not complete the TLS handshake within 0.3 s"),
    ],
    ids=["alert", "silence", "a part"],
)
async def test_a_handshake_that_is_refused_or_hangs_ends_in_time_with_a_sentence(
    certificate: tuple[str, str], answer: bytes, error: type[Exception], said: str
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        await reader.read()

    trusted = client_context(certificate[0], alpn=[AWS])
    began = asyncio.get_running_loop().time()
    async with tcp_server(serve) as port:
        url, session = BrokerUrl("mqtts", "127.0.0.1", port), Session(SessionConfig(client_id="c"))
        with pytest.raises(error) as refused:
            await connect_link(url, session, lambda *_: None, tls=trusted, alpn=(AWS,), timeout_s=0.3)
    assert said in str(refused.value)
    assert asyncio.get_running_loop().time() - began < 5


async def test_an_insecure_one_takes_any_certificate_and_says_so_once(
    server_context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "_told", set())
    with structlog.testing.capture_logs() as logged:
        contexts = [client_context(insecure=True) for _ in range(3)]
    assert [line["log_level"] for line in logged] == ["warning"]
    async with broker(server_context) as scripted:
        session = Session(SessionConfig(client_id="c"))
        dial = asyncio.create_task(connect_link(scripted.url, session, lambda *_: None, tls=contexts[0]))
        await (await scripted.connection()).accept()
        link = await dial
        link.abort()
        await eventually(lambda: link.is_gone)


@pytest.mark.parametrize(
    ("url", "keys", "said"),
    [
        ("mqtt://h", {"insecure": True}, "no broker is dialled with TLS"),
        ("wss://h", {"insecure": True}, None),
        ("wss://h", {"alpn": ["mqtt"]}, "alpn is for mqtts://"),
        ("mqtts://h", {"alpn": ["mqtt"]}, None),
        ("mqtts://h", {"alpn": ["a b"]}, "is no name of a protocol"),
        ("mqtts://h", {"alpn": [""]}, "is no name of a protocol"),
        ("mqtts://h", {"insecure": True, "ca_file": "ca.pem"}, "leave one of them out"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(url: str, keys: dict[str, object], said: str | None) -> None:
    kind = BrokerUrl.parse(url).kind
    given = {"alpn": [], "insecure": False, "ca_file": None, **keys}
    found = check_tls_keys(uses_tls=kind.uses_tls, takes_alpn=kind.takes_alpn, **given)
    assert (found is None) if said is None else (said in found)
