"""What a broker thinks of the certificate that a client shows, or does not: Mosquitto says it by an alert of TLS."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from edgefleet.embedded import MosquittoProcess, free_port
from edgefleet.provision.authority import Authority
from edgewire.errors import ServiceUnavailable
from edgewire.link import BrokerUnreachable, BrokerUrl, connect_link
from edgewire.mqtt import Session, SessionConfig
from edgewire.tls import client_context
from tests.services.fixtures import unavailable

pytestmark = pytest.mark.services

NOW = datetime.now(UTC)
LOOK = "look at the certificate and key that are shown to it"


class Demanding(NamedTuple):
    """A broker that lets nobody in without a certificate, over TCP and over WebSockets, and its authority's folder."""

    urls: dict[str, str]
    folder: Path


@pytest.fixture(scope="module")
def demanding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demanding]:
    folder, (plain, tls, web) = tmp_path_factory.mktemp("certificates"), (free_port(), free_port(), free_port())
    authority, pem = Authority.open(folder, NOW), folder / "broker.pem"
    pem.write_bytes(authority.issue_server(["127.0.0.1"], NOW, 1))
    (folder / "good.pem").write_bytes(authority.issue_client("good", NOW, 1))
    (folder / "ended.pem").write_bytes(authority.issue_client("ended", NOW - timedelta(days=9), 1))
    (folder / "other.pem").write_bytes(Authority.open(folder / "other", NOW).issue_client("other", NOW, 1))
    asks = f"certfile {pem}\nkeyfile {pem}\ncafile {folder / 'ca.crt'}\nrequire_certificate true"
    listeners = f"{plain} 127.0.0.1\nlistener {tls} 127.0.0.1\n{asks}\n"
    listeners += f"listener {web} 127.0.0.1\nprotocol websockets\n{asks}"
    try:
        with MosquittoProcess(port=plain, options={"listener": listeners}):
            yield Demanding({"mqtts": f"mqtts://127.0.0.1:{tls}", "wss": f"wss://127.0.0.1:{web}/mqtt"}, folder)
    except ServiceUnavailable as error:
        unavailable(str(error))


async def connect(demanding: Demanding, scheme: str, shown: str | None, newest: ssl.TLSVersion) -> None:
    context = client_context(demanding.folder / "ca.crt")
    if shown:
        context.load_cert_chain(demanding.folder / f"{shown}.pem")
    context.maximum_version = newest
    url = BrokerUrl.parse(demanding.urls[scheme])
    link = await connect_link(url, Session(SessionConfig(client_id="c")), lambda *_: None, tls=context)
    link.abort()


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("scheme", ["mqtts", "wss"])
async def test_a_broker_that_does_not_take_a_certificate_is_heard(
    demanding: Demanding, scheme: str, newest: ssl.TLSVersion
) -> None:
    await connect(demanding, scheme, "good", newest)
    alerts = {None: "certificate required|handshake failure", "ended": "expired", "other": "unknown ca"}
    for shown, said in alerts.items():
        with pytest.raises(BrokerUnreachable, match=rf"reached: it ended the TLS handshake .*({said})") as told:
            await connect(demanding, scheme, shown, newest)
        assert LOOK in told.value.reason
