"""The folder of identities, and what is said of one that is damaged: one sentence, and nothing of what is in it."""

import shutil
from pathlib import Path

import pytest

from devices.fleet.credentials import Identities
from edgefleet.provision import Account
from edgefleet.provision.folder import provision
from edgewire.errors import ConfigError
from edgewire.link import BrokerUrl

BROKER = BrokerUrl.parse("mqtts://127.0.0.1:1")
SECRET = b"C4N4RY"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe" + SECRET, "is no list of user names and passwords"),
        (b"user,password\na," + SECRET, "is no list of user names and passwords"),
        (b"username,password\na," + SECRET + b",more\n", "is no list of user names and passwords"),
        (b"username,password\n" + SECRET + b"\n", "is no list of user names and passwords"),
        (b'username,password\na,"' + SECRET * 30_000, "is no list of user names and passwords"),
        (b"username,password\nb," + SECRET, "has none for 'a'; add them"),
        (b"", "is no list of user names and passwords"),
    ],
)
def test_a_damaged_list_of_passwords_is_one_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "identities.json").write_text('{"auth": "password", "ca": "ca.crt"}')
    (tmp_path / "credentials.csv").write_bytes(content)
    with pytest.raises(ConfigError, match=said) as raised:
        Identities(tmp_path, [BROKER], ["a"])
    assert SECRET.decode() not in str(raised.value)
    if said.startswith("is no"):
        with pytest.raises(ConfigError, match="is not a list of user names and passwords"):
            provision(tmp_path, [Account("a")], hosts=["h"], auth="password", days=1, profile="")


def test_a_folder_without_certificates_is_told(tmp_path: Path) -> None:
    (tmp_path / "identities.json").write_text('{"auth": "certificate", "ca": "ca.crt"}')
    with pytest.raises(ConfigError, match="has none for 'a' and 1 more; add them"):
        Identities(tmp_path, [BROKER], ["a", "b"])


def test_certificates_to_trust_that_are_not_there_are_named_by_their_key(tmp_path: Path) -> None:
    secure = [BrokerUrl.parse("mqtts://127.0.0.1")]
    with pytest.raises(ConfigError, match=r"^ca_file: .*ca\.pem cannot be read: No such file.*; correct its name$"):
        Identities(None, secure, ca_file=tmp_path / "ca.pem")
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(ConfigError, match=r"^ca_file: .*ca\.pem cannot be read: it is no PEM "):
        Identities(None, secure, ca_file=tmp_path / "ca.pem")


def test_an_authority_that_was_renewed_is_trusted_by_who_dials_next(tmp_path: Path) -> None:
    provision(tmp_path / "one", [], hosts=["h"], auth="password", days=1, profile="")
    provision(tmp_path / "two", [], hosts=["h"], auth="password", days=1, profile="")
    trusted = tmp_path / "ca.pem"
    shutil.copy(tmp_path / "one" / "ca.crt", trusted)
    identities = Identities(None, [BROKER], ca_file=trusted)
    first, again = identities.tls("a", BROKER), identities.tls("b", BROKER)
    assert first is again, "reading certificates for each of many devices takes long"
    shutil.copy(tmp_path / "two" / "ca.crt", trusted)
    renewed = identities.tls("a", BROKER)
    assert first
    assert renewed
    assert renewed.get_ca_certs(binary_form=True) != first.get_ca_certs(binary_form=True)
