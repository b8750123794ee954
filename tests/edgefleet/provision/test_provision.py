"""The folder of identities: what is in it, who may read it, and what a second run leaves alone."""

import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner

from devices.fleet.credentials import Identities
from edgefleet.cli import app
from edgefleet.embedded.brokers import profile
from edgefleet.provision import BRIDGE, OPERATOR, Account, ServiceRights, provision
from edgefleet.provision.authority import Authority
from edgefleet.provision.mosquitto import acl_file, password_line
from edgewire.errors import ConfigError
from edgewire.link import BrokerUrl
from tests.edgefleet.provision.conftest import DEVICES, provisioned
from tests.services.fixtures import require_program


def secrets_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_secrets_are_for_their_owner_only(tmp_path: Path) -> None:
    folder = provisioned(tmp_path / "secrets")
    readable = {
        path.name for path in folder.rglob("*") if path.is_file() and stat.S_IMODE(path.stat().st_mode) != 0o600
    }
    assert readable == {"ca.crt", "service-ca.crt", "clients-ca.crt", "acl", "mosquitto.conf"}
    assert stat.S_IMODE((folder / "devices").stat().st_mode) == 0o700


def test_every_certificate_is_signed_and_says_who(tmp_path: Path) -> None:
    folder = provisioned(tmp_path / "secrets")
    devices, services = (
        x509.load_pem_x509_certificate((folder / name).read_bytes()) for name in ("ca.crt", "service-ca.crt")
    )
    for path in (folder / "broker.pem", folder / f"{BRIDGE}.pem", *(folder / "devices").iterdir()):
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        certificate.verify_directly_issued_by(services if path.stem == BRIDGE else devices)
        (name,) = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        assert name.value == ("localhost" if path.stem == "broker" else path.stem)
    require_program("openssl", "openssl")
    openssl = ["openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", folder / "ca.crt"]
    checked = subprocess.run([*openssl, *(folder / "devices").iterdir()], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_a_fleet_that_grows_keeps_what_it_had(tmp_path: Path) -> None:
    folder = provisioned(tmp_path / "secrets")
    before = secrets_of(folder)
    text = profile("secured.conf").read_text()
    more = [*DEVICES, "people-0001"]
    made = provision(folder, [*map(Account, more)], hosts=["broker.local"], auth="password", days=2, profile=text)
    assert (made.added, made.kept) == (1, len(DEVICES) + 2)
    after = secrets_of(folder)
    assert {name for name in before if before[name] != after[name]} <= {
        "credentials.csv", "passwords", "service-passwords", "broker.pem", "mosquitto.conf"
    }  # fmt: skip
    assert after["credentials.csv"].startswith(before["credentials.csv"])
    assert "devices/people-0001.pem" in after


def test_a_password_line_is_what_mosquitto_passwd_writes() -> None:
    # Printed by `mosquitto_passwd -b -c FILE d-1 'correct horse'` of Mosquitto 2.0.11.
    printed = (
        "d-1:$7$101$qzhOnPgIs3vhHGG3$"
        "iRYijRpGMP1UTmqIniP/pYHrjiyf5wHXKNwx4OBF2QbSS4zyNmqy4ZgNEOaEq0WkWsgxwgNzoH43E1dueQvuWg=="
    )
    assert password_line("d-1", "correct horse", bytes.fromhex("ab384e9cf808b37be11c61b7")) == printed


def test_the_acl_names_no_device() -> None:
    text = acl_file(["reader"], ["operator"], [], ServiceRights())
    assert "pattern write edge/+/+/%u/telemetry\n" in text
    assert "pattern read edge/+/+/%u/cmd\n" in text
    assert "user operator\ntopic read edge/#\ntopic read $SYS/#\ntopic write edge/+/+/+/cmd\n" in text


def test_a_folder_of_an_earlier_edgefleet_renews_what_its_services_show(tmp_path: Path) -> None:
    folder = provisioned(tmp_path / "secrets", "certificate")
    now = datetime.now(UTC)
    (folder / f"{BRIDGE}.pem").write_bytes(Authority.open(folder, now).issue_client(BRIDGE, now, 2))
    for name in ("service-ca.crt", "service-ca.key", "service-passwords", "clients-ca.crt"):
        (folder / name).unlink()
    before = secrets_of(folder)
    text = profile("secured.conf").read_text()
    made = provision(folder, [*map(Account, DEVICES)], hosts=["localhost"], auth="certificate", days=2, profile=text)
    assert (made.added, made.renewed) == (0, [BRIDGE, OPERATOR])
    after = secrets_of(folder)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {f"{BRIDGE}.pem", f"{OPERATOR}.pem", "passwords", "broker.pem", "mosquitto.conf"}
    assert (
        provision(
            folder, [*map(Account, DEVICES)], hosts=["localhost"], auth="certificate", days=2, profile=text
        ).renewed
        == []
    )


def test_certificates_that_come_to_their_end_are_made_anew(tmp_path: Path) -> None:
    folder = provisioned(tmp_path / "secrets", "certificate")
    then = datetime.now(UTC) - timedelta(days=21)
    ending, lasting = folder / "devices" / f"{DEVICES[0]}.pem", folder / "devices" / f"{DEVICES[1]}.pem"
    ending.write_bytes(Authority.open(folder, then).issue_client(DEVICES[0], then, 30))
    lasting.write_bytes(Authority.open(folder, then).issue_client(DEVICES[1], then, 90))
    services = Authority.open(folder, then, "service-ca")
    (folder / f"{BRIDGE}.pem").write_bytes(services.issue_client(BRIDGE, then, 20))
    before = secrets_of(folder)
    made = provision(folder, [*map(Account, DEVICES)], hosts=["localhost"], auth="certificate", days=2, profile="")
    assert made.renewed == [BRIDGE, DEVICES[0]]
    after = secrets_of(folder)
    changed = {name for name in before if before[name] != after[name]}
    assert {name for name in changed if name.endswith(".pem")} == {
        "broker.pem", f"{BRIDGE}.pem", f"devices/{DEVICES[0]}.pem"
    }  # fmt: skip


@pytest.mark.parametrize("name", [BRIDGE, OPERATOR])
def test_no_device_has_the_name_of_an_account_with_more_rights(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=f"device '{name}' has the name of an account"):
        provision(tmp_path, [*map(Account, [*DEVICES, name])], hosts=["localhost"], auth="password", days=2, profile="")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("broken", ["ca.key", "service-ca.key", "credentials.csv"])
def test_a_damaged_folder_is_not_overwritten(tmp_path: Path, broken: str) -> None:
    folder = provisioned(tmp_path / "secrets")
    (folder / broken).write_text("something else")
    before = secrets_of(folder)
    with pytest.raises(ConfigError, match=r"restore"):
        provisioned(folder)
    assert secrets_of(folder) == before


def test_the_command_says_what_to_do_next(tmp_path: Path) -> None:
    scenario = tmp_path / "s.yaml"
    scenario.write_text("devices: [{kind: bme280, count: 2}]")
    arguments = ["provision", str(scenario), "--out", str(tmp_path / "secrets"), "--host", "broker.local"]
    done = CliRunner().invoke(app, [*arguments, "--also", "real-01"])
    assert done.exit_code == 0
    assert "5 identities added, 0 kept" in done.output
    assert "mqtts://broker.local:8883" in done.output
    assert (tmp_path / "secrets" / "devices" / "real-01.pem").exists()
    wrong = CliRunner().invoke(app, [*arguments, "--auth", "biometric"])
    assert "--auth biometric: there are password and certificate" in str(wrong.exception)
    wrong = CliRunner().invoke(app, [*arguments, "--also", "a/b"])
    assert "--also a/b" in str(wrong.exception)


@pytest.mark.parametrize(
    ("version", "auth", "warned"),
    [
        ("2.0.11", "password", True),
        ("2.0.11", "certificate", False),
        ("2.0.13", "password", False),
        ("?", "password", False),
    ],
)
def test_a_mosquitto_that_forgets_sessions_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, auth: str, warned: bool
) -> None:
    program = tmp_path / "mosquitto"
    program.write_text(f"#!/bin/sh\necho mosquitto version {version}\n")
    program.chmod(0o755)
    monkeypatch.setattr("edgefleet.embedded.brokers.find_mosquitto", lambda: str(program))
    (tmp_path / "s.yaml").write_text("devices: [{kind: bme280, count: 1}]")
    arguments = ["provision", str(tmp_path / "s.yaml"), "--out", str(tmp_path / "secrets"), "--auth", auth]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0
    assert ("is version 2.0.11" in done.output) == warned


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (("--host", "no host"), "--host 'no host': is neither an address nor a host name"),
        (("--host", ""), "--host '': is neither"),
        (("--out", "s.yaml/secrets"), "s.yaml/secrets: cannot be written: Not a directory"),
    ],
)
def test_a_wrong_host_or_folder_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: tuple[str, str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text("devices: [{kind: bme280, count: 1}]")
    done = CliRunner().invoke(app, ["provision", "s.yaml", *changes])
    assert isinstance(done.exception, ConfigError)
    assert said in str(done.exception)


def test_the_broker_may_have_a_longer_name_than_a_common_name(tmp_path: Path) -> None:
    host = f"broker.{'a' * 63}.example"
    provision(tmp_path, [], hosts=[host], auth="password", days=1, profile="")
    certificate = x509.load_pem_x509_certificate((tmp_path / "broker.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [host]


def test_a_damaged_certificate_is_named_when_its_device_dials(tmp_path: Path) -> None:
    folder = provisioned(tmp_path, "certificate")
    broker = BrokerUrl.parse("mqtts://h")
    identities = Identities(folder, [broker], DEVICES)
    (folder / "devices" / f"{DEVICES[0]}.pem").write_text("nothing")
    identities.tls(DEVICES[1], broker)
    with pytest.raises(ConfigError, match=rf"{DEVICES[0]}\.pem cannot be read"):
        identities.tls(DEVICES[0], broker)
