"""Who tries to be somebody else at the secured broker: every kind of credential, and who each listener takes it for.

`python -m tests.edgefleet.provision.attacks` provisions a small fleet twice, by password and by certificate, attacks a
Mosquitto with each, and prints the table of docs/security.md; it ends with 1 where one was taken for somebody else.
"""

import ssl
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edgefleet.embedded import find_mosquitto, mosquitto_version
from edgefleet.provision import BRIDGE, OPERATOR
from edgefleet.provision.authority import Authority
from edgefleet.provision.folder import Auth
from edgefleet.provision.mosquitto import KEEPS_SESSIONS
from tests.edgefleet.provision.conftest import SecuredBroker, provisioned, secured
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

KEEPS = mosquitto_version(find_mosquitto() or "true") >= KEEPS_SESSIONS

RIGHTS = {A: f"{OWN}/telemetry", B: f"{OTHER}/telemetry", OPERATOR: f"{OWN}/cmd", BRIDGE: f"{BRIDGE}/note"}
"""A topic that nobody else may publish."""

QUEUED = 5
"""Messages that wait for the bridge while it is away and others attack."""

WRONG = "wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """A credential, and who it makes of its owner on the listener of the devices and on that of the services."""

    text: str
    certificate: str | None = None
    """By its name in `certificates`."""
    user: str | None = None
    secret: str | None = None
    """Whose password is given, or `WRONG`."""
    by_password: tuple[str | None, str | None] = (None, None)
    """Where passwords are asked for; None: refused."""
    by_certificate: tuple[str | None, str | None] = (None, None)
    """Where certificates are."""

    def expected(self, broker: SecuredBroker, listener: str) -> str | None:
        """Return who this should be there."""
        return (self.by_certificate if broker.by_certificate else self.by_password)[listener == "others"]


DEVICE, NOBODY = (A, None), (None, None)
BRIDGE_BOTH, OPERATOR_BOTH = (BRIDGE, BRIDGE), (OPERATOR, OPERATOR)

ATTACKS: Sequence[Attack] = (
    Attack(text="nothing"),
    Attack(text="a device's own password", user=A, secret=A, by_password=DEVICE),
    Attack(text="a device's name, wrong password", user=A, secret=WRONG),
    Attack(text="another device's name, a device's password", user=B, secret=A),
    Attack(text="the bridge's name, a device's password", user=BRIDGE, secret=A),
    Attack(text="the bridge's name, wrong password", user=BRIDGE, secret=WRONG),
    Attack(text="the operator's name, a device's password", user=OPERATOR, secret=A),
    Attack(text="a name nobody has, a device's password", user="nobody", secret=A),
    Attack(text="a device's certificate", certificate=A, by_certificate=DEVICE),
    Attack(text="a device's certificate, its own password", certificate=A, user=A, secret=A,
           by_password=DEVICE, by_certificate=DEVICE),
    Attack(text="a device's certificate, wrong password", certificate=A, user=A, secret=WRONG, by_certificate=DEVICE),
    Attack(text="a device's certificate, another's name and its own password", certificate=A, user=B, secret=A,
           by_certificate=DEVICE),
    Attack(text="a device's certificate, the bridge's name and its own password", certificate=A, user=BRIDGE,
           secret=A, by_certificate=DEVICE),
    Attack(text="a device's certificate, the operator's name and its own password", certificate=A, user=OPERATOR,
           secret=A, by_certificate=DEVICE),
    Attack(text="an expired certificate of a device", certificate="expired device"),
    Attack(text="an expired certificate of the bridge", certificate="expired bridge"),
    Attack(text="a self-signed certificate with a device's name", certificate="self-signed device"),
    Attack(text="a self-signed certificate with the bridge's name", certificate="self-signed bridge"),
    Attack(text="a certificate of another fleet with a device's name", certificate="foreign device", user=A,
           secret=WRONG),
    Attack(text="a certificate of another fleet with the bridge's name", certificate="foreign bridge", user=BRIDGE,
           secret=WRONG),
    Attack(text="the bridge's name, signed with a device's key", certificate="signed by a device"),
    Attack(text="the broker's own certificate", certificate="broker"),
    Attack(text="the bridge's name, signed by the devices' authority", certificate="device authority, bridge",
           by_certificate=(BRIDGE, None)),
    Attack(text="the bridge's password", user=BRIDGE, secret=BRIDGE, by_password=BRIDGE_BOTH),
    Attack(text="the bridge's certificate", certificate=BRIDGE, by_certificate=BRIDGE_BOTH),
    Attack(text="the bridge's certificate and password", certificate=BRIDGE, user=BRIDGE, secret=BRIDGE,
           by_password=BRIDGE_BOTH, by_certificate=BRIDGE_BOTH),
    Attack(text="the operator's password", user=OPERATOR, secret=OPERATOR, by_password=OPERATOR_BOTH),
    Attack(text="the operator's certificate", certificate=OPERATOR, by_certificate=OPERATOR_BOTH),
    Attack(text="the operator's certificate and password", certificate=OPERATOR, user=OPERATOR, secret=OPERATOR,
           by_password=OPERATOR_BOTH, by_certificate=OPERATOR_BOTH),
)  # fmt: skip


def certificates(broker: SecuredBroker, folder: Path) -> dict[str, Path]:
    """Return all that may be shown, by name; what a broker should not trust is made in `folder`."""
    now = datetime.now(UTC)
    long_ago = now - timedelta(days=30)
    foreign = provisioned(folder / "foreign")
    ours = Authority.open(broker.folder, now)
    services = Authority.open(broker.folder, now, "service-ca")
    own = pem_of(broker.folder, A).read_bytes()
    made = {
        "expired device": ours.issue_client(A, long_ago, 1),
        "expired bridge": services.issue_client(BRIDGE, long_ago, 1),
        "self-signed device": _certificate(A, now),
        "self-signed bridge": _certificate(BRIDGE, now),
        "signed by a device": _certificate(BRIDGE, now, signer=own) + own,
        "device authority, bridge": ours.issue_client(BRIDGE, now, 1),
    }
    for name, pem in made.items():
        (folder / f"{name}.pem").write_bytes(pem)
    found = {user: pem_of(broker.folder, user) for user in (A, OPERATOR, BRIDGE)}
    found |= {name: folder / f"{name}.pem" for name in made}
    found |= {"broker": broker.folder / "broker.pem"}
    return found | {"foreign device": pem_of(foreign, A), "foreign bridge": pem_of(foreign, BRIDGE)}


def _certificate(name: str, now: datetime, signer: bytes = b"") -> bytes:
    """Return a certificate and its key, signed by itself or with the key of another certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    issuer = x509.load_pem_x509_certificate(signer).subject if signer else subject
    signing = serialization.load_pem_private_key(signer, None) if signer else key
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    certificate = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(signing, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return secret + certificate.public_bytes(pem)


def client_ids(attack: Attack, broker: SecuredBroker, listener: str) -> Sequence[str]:
    """Return the client ids that are tried with a credential."""
    if attack.expected(broker, listener) in (BRIDGE, OPERATOR):
        return ("check",)  # who is trusted may take the session of the bridge, and would
    if not attack.user and not broker.by_certificate and not KEEPS:
        return ("check",)  # see KEEPS_SESSIONS, and what `edgefleet provision` warns of
    return (BRIDGE, B, "", f"{BRIDGE}-check")


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


def attack_listener(
    broker: SecuredBroker, pems: dict[str, Path], listener: str, *, as_bridge: bool = False
) -> Iterator[tuple[Attack, str, str]]:
    """Yield each attack, with every client id that it tried, and who it was taken for.

    On the listener of the devices its own credential makes the bridge take its own session: these alone `as_bridge`.
    """
    known = passwords(broker.folder) | {WRONG: WRONG}
    port = getattr(broker, listener)
    for attack in ATTACKS:
        if (listener == "devices" and attack.expected(broker, listener) == BRIDGE) is not as_bridge:
            continue
        account = (attack.user, known[attack.secret]) if attack.user and attack.secret else None
        pem = pems[attack.certificate] if attack.certificate else None
        for client_id in client_ids(attack, broker, listener):
            yield attack, client_id, identity(broker, port, client_id, account, pem) or "refused"


@contextmanager
def messages_waiting(broker: SecuredBroker) -> Iterator[list[int]]:
    """Let the bridge be away for the block, and messages wait for it; the list then has how many it was given."""
    found: list[int] = []
    with client(broker, BRIDGE, session_s=3600) as bridge:
        assert bridge.subscribe("edge/+/+/+/event")
    with client(broker, A) as device:
        assert all(device.publish(f"{OWN}/event") for _ in range(QUEUED))
    yield found
    with client(broker, BRIDGE, session_s=3600) as bridge:
        deadline = time.monotonic() + WAIT_S
        while bridge.session_present and len(bridge.messages) < QUEUED and time.monotonic() < deadline:
            time.sleep(0.005)
        found.append(len(bridge.messages))


def main() -> int:
    """Print the table, a row a credential."""
    cells: dict[str, list[str]] = {attack.text: [] for attack in ATTACKS}
    wrong: list[str] = []
    kept: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for auth in get_args(Auth):
            place = Path(folder) / auth
            place.mkdir()
            with secured(provisioned(place / "fleet", auth)) as broker:
                pems = certificates(broker, place)
                for listener in ("devices", "others"):
                    with messages_waiting(broker) as given:
                        found = list(attack_listener(broker, pems, listener))
                    kept.append(f"{given[0]} of {QUEUED}")
                    found += attack_listener(broker, pems, listener, as_bridge=True)
                    for attack in ATTACKS:
                        taken_for = {who for one, _, who in found if one is attack}
                        cells[attack.text].append(" or ".join(sorted(taken_for)))
                    wrong += [
                        f"{attack.text}, client id '{client_id}', {auth}, {listener}: is {who}"
                        for attack, client_id, who in found
                        if who != (attack.expected(broker, listener) or "refused")
                    ]
    print(f"mosquitto {'.'.join(map(str, mosquitto_version(find_mosquitto() or 'true')))}\n")
    print("| who shows | passwords, 8883 | passwords, 8884 | certificates, 8883 | certificates, 8884 |")
    print("|---|---|---|---|---|")
    for text, row in [*cells.items(), ("**what waited for the bridge is there afterwards**", kept)]:
        print(f"| {text} | {' | '.join(row)} |")
    print("\n".join(["", *wrong, f"{len(wrong)} taken for somebody else"]))
    return 1 if wrong or set(kept) != {f"{QUEUED} of {QUEUED}"} else 0


if __name__ == "__main__":
    sys.exit(main())
