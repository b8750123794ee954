"""Who tries to be somebody else at the secured broker: on each listener, with every credential, with any client id."""

import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edgefleet.embedded import find_mosquitto, mosquitto_version
from edgefleet.provision import BRIDGE, OPERATOR
from edgefleet.provision.authority import Authority
from edgefleet.provision.mosquitto import KEEPS_SESSIONS
from tests.edgefleet.provision.conftest import SecuredBroker, provisioned
from tests.edgefleet.provision.test_secured_broker import (
    OTHER,
    OWN,
    WAIT_S,
    A,
    B,
    Client,
    client,
    passwords,
    pem_of,
)

pytestmark = [pytest.mark.services, pytest.mark.slow]

KEEPS = mosquitto_version(find_mosquitto() or "true") >= KEEPS_SESSIONS

RIGHTS = {A: f"{OWN}/telemetry", B: f"{OTHER}/telemetry", OPERATOR: f"{OWN}/cmd", BRIDGE: f"{BRIDGE}/note"}
"""A topic that nobody else may publish."""

FOREIGN, EARLIER = "foreign/", "earlier/"
"""Of another fleet; signed by the devices' authority, as an earlier edgefleet did for the bridge."""

# Certificate, user, whose password -> who it is on the listener of the devices and on that of the services, where
# passwords are asked for, and where certificates are.
Identities = tuple[str | None, str | None]
ATTACKS: list[tuple[str | None, str | None, str | None, Identities, Identities]] = [
    (None, None, None, (None, None), (None, None)),
    (A, A, A, (A, None), (A, None)),
    (A, None, None, (None, None), (A, None)),
    (A, A, "wrong", (None, None), (A, None)),
    (A, B, A, (None, None), (A, None)),
    (A, BRIDGE, A, (None, None), (A, None)),
    (A, OPERATOR, A, (None, None), (A, None)),
    (A, "nobody", A, (None, None), (A, None)),
    (None, A, A, (A, None), (None, None)),
    (None, BRIDGE, "wrong", (None, None), (None, None)),
    (FOREIGN + A, A, "wrong", (None, None), (None, None)),
    (FOREIGN + BRIDGE, BRIDGE, "wrong", (None, None), (None, None)),
    (OPERATOR, OPERATOR, OPERATOR, (OPERATOR, OPERATOR), (OPERATOR, OPERATOR)),
    (None, OPERATOR, OPERATOR, (OPERATOR, OPERATOR), (None, None)),
    (None, BRIDGE, BRIDGE, (BRIDGE, BRIDGE), (None, None)),
    (BRIDGE, BRIDGE, BRIDGE, (BRIDGE, BRIDGE), (BRIDGE, BRIDGE)),
    (EARLIER + BRIDGE, None, None, (None, None), (BRIDGE, None)),
]


@pytest.fixture(scope="module")
def pems(broker: SecuredBroker, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Certificates by name; a broker of its own folder knows of neither the foreign nor the earlier ones."""
    foreign = provisioned(tmp_path_factory.mktemp("foreign") / "fleet")
    now = datetime.now(UTC)
    earlier = foreign / "earlier.pem"
    earlier.write_bytes(Authority.open(broker.folder, now).issue_client(BRIDGE, now, 1))
    found = {user: pem_of(broker.folder, user) for user in (A, OPERATOR, BRIDGE)}
    return found | {FOREIGN + user: pem_of(foreign, user) for user in (A, BRIDGE)} | {EARLIER + BRIDGE: earlier}


def identity(
    broker: SecuredBroker, port: int, client_id: str, account: tuple[str, str] | None, pem: Path | None
) -> str | None:
    """Who the broker takes this for, told by what it may publish; None where it is refused."""
    one = None
    try:
        one = Client(broker, port=port, client_id=client_id, account=account, pem=pem)
        deadline = time.monotonic() + WAIT_S
        while one.connected is None and not one.lost and time.monotonic() < deadline:
            time.sleep(0.005)
        assert one.connected or one.lost, "the broker neither lets in nor refuses"
        if one.connected is None or one.connected.is_failure:
            return None
        who = [user for user, topic in RIGHTS.items() if one.publish(topic)]
        assert len(who) == 1
        return who[0]
    except (ssl.SSLError, OSError):
        return None  # without a certificate that is trusted the handshake itself fails
    finally:
        if one:
            one.mqtt.disconnect()
            one.mqtt.loop_stop()


@pytest.fixture
def away(broker: SecuredBroker) -> Iterator[None]:
    """The bridge is away, and messages wait for it. They are there when it comes back."""
    with client(broker, BRIDGE, session_s=3600) as bridge:
        assert bridge.subscribe("edge/+/+/+/event")
    with client(broker, A) as device:
        assert all(device.publish(f"{OWN}/event") for _ in range(5))
    yield
    with client(broker, BRIDGE, session_s=3600) as bridge:
        assert bridge.session_present
        deadline = time.monotonic() + WAIT_S
        while len(bridge.messages) < 5 and time.monotonic() < deadline:
            time.sleep(0.005)
        assert len(bridge.messages) == 5


@pytest.mark.parametrize("listener", ["devices", "others"])
def test_nobody_is_let_in_as_somebody_else(
    broker: SecuredBroker, pems: dict[str, Path], away: None, listener: str
) -> None:
    known = passwords(broker.folder) | {"wrong": "wrong"}
    with client(broker, B) as victim:
        for certificate, user, secret, *found in ATTACKS:
            expected = found[broker.by_certificate][listener == "others"]
            if listener == "devices" and expected == BRIDGE:
                continue  # there it is the bridge itself, by its own credential
            account = (user, known[secret]) if user and secret else None
            trusted = expected in (BRIDGE, OPERATOR)
            names: tuple[str, ...] = ("check",) if trusted else (BRIDGE, B, "", f"{BRIDGE}-check")
            if not user and not broker.by_certificate and not KEEPS:
                names = ("check",)  # see KEEPS_SESSIONS, and what `edgefleet provision` warns of
            for client_id in names:
                port = getattr(broker, listener)
                said = identity(broker, port, client_id, account, pems[certificate] if certificate else None)
                assert said == expected, (certificate, user, secret, client_id)
        assert not victim.lost
        assert victim.publish(f"{OTHER}/telemetry")


def test_a_device_has_no_last_words_for_another(broker: SecuredBroker) -> None:
    with client(broker, BRIDGE, client_id="watch") as bridge:
        assert bridge.subscribe("edge/+/+/+/status")
        with client(broker, A, will=f"{OTHER}/status") as device:
            broken = device.mqtt.socket()
            assert broken is not None
            device.mqtt.loop_stop()
            broken.close()
        with client(broker, A, will=f"{OWN}/status") as device:
            broken = device.mqtt.socket()
            assert broken is not None
            device.mqtt.loop_stop()
            broken.close()
        # Its own are heard, and those that it had for another came before.
        assert {topic for topic, _ in bridge.wait("messages")} == {f"{OWN}/status"}


def test_a_device_hears_nothing_of_others(broker: SecuredBroker) -> None:
    with client(broker, B) as other, client(broker, A) as device:
        assert other.publish(f"{OTHER}/status")  # is retained
        for topic in ("#", "$SYS/#", "+/+/+/+/+", f"{OTHER}/#", "$share/group/edge/#"):
            device.subscribe(topic)
        with client(broker, OPERATOR, client_id="watch") as operator:
            assert operator.publish(f"{OTHER}/cmd")
            assert operator.publish(f"{OWN}/cmd")
        assert {topic for topic, _ in device.wait("messages")} == {f"{OWN}/cmd"}
