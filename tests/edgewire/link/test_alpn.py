"""TLS with ALPN, and without the check of certificates, against scripted peers."""

import asyncio
import ssl

import pytest
import structlog

from edgewire import tls
from edgewire.link import BrokerUnreachable, BrokerUrl, connect_link
from edgewire.mqtt import Session, SessionConfig
from edgewire.tls import check_tls_keys, client_context
from tests.edgewire.link.broker import broker, until

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
        await until(lambda: link.is_gone)
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
        await until(lambda: link.is_gone)


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
