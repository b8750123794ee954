"""Contexts of TLS, how they are renewed, and what a failed handshake is explained with."""

import re
import ssl
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from edgewire.errors import ConfigError
from edgewire.tls import RenewedContext, explain_tls
from tests.import_graph import PACKAGES


def certificate(said: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, said)
    error.verify_message = said
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (certificate("self-signed certificate"), "name the certificate of its authority in ca_file"),
        (certificate("certificate has expired"), "renew it, or set the clock"),
        (certificate("IP address mismatch, certificate is not valid for '127.0.0.1'"), "use the name that is in it"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "write mqtt:// or the port that does"),
    ],
)
def test_a_failed_handshake_names_what_to_look_at(error: ssl.SSLError, said: str) -> None:
    assert said in (explain_tls(error, "ca_file", "mqtt://") or "")


def test_what_is_no_matter_of_tls_is_not_explained() -> None:
    assert explain_tls(ConnectionRefusedError(), "ca_file", "mqtt://") is None


@pytest.mark.parametrize("said", ["[SSL: UNSUPPORTED_PROTOCOL] unsupported protocol", "tlsv1 alert protocol version"])
def test_a_peer_that_knows_old_versions_alone_is_told(said: str) -> None:
    assert "have it speak TLS 1.2 or 1.3" in (explain_tls(ssl.SSLError(1, said), "ca_file", "mqtt://") or "")


def test_one_function_makes_every_context() -> None:
    root = Path(__file__).parents[2]
    makes = re.compile(
        r"create_default_context|SSLContext\(|HTTPSConnection\((?!.*context=)|wrap_socket|urlopen\((?!f?.http:)|tls_set"
    )
    found = [
        f"{path.relative_to(root)}:{number}"
        for package in PACKAGES
        for path in sorted((root / package).rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if makes.search(line)
    ]
    assert [place.partition(":")[0] for place in found] == ["edgewire/tls.py"], found


class Files:
    """A certificate and its key, which a test renews; `made` are the contexts that were made of them."""

    def __init__(self, folder: Path) -> None:
        self.certificate, self.key = folder / "a.crt", folder / "a.key"
        self.fault: Exception | None = None
        self.made: list[ssl.SSLContext] = []

    def make(self) -> ssl.SSLContext:
        if self.fault:
            raise self.fault
        self.made.append(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        return self.made[-1]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    found = Files(tmp_path)
    found.certificate.write_text("first")
    found.key.write_text("first")
    return found


def test_a_renewed_certificate_is_for_the_next_connection(files: Files) -> None:
    renewed = RenewedContext(files.make, files.certificate, None, files.key)
    assert renewed.current() is renewed.current() is files.made[0]
    files.key.write_text("the second")
    assert renewed.current() is renewed.current() is files.made[1]
    # As a mounted secret is exchanged: another file under the same name.
    other = files.certificate.with_name("other")
    other.write_text("other")
    other.rename(files.certificate)
    assert renewed.current() is files.made[2]
    assert len(files.made) == 3


@pytest.mark.parametrize("fault", [ConfigError("no key"), FileNotFoundError(2, "No such file"), ssl.SSLError(1, "x")])
def test_what_cannot_be_used_leaves_the_earlier_one(files: Files, fault: Exception) -> None:
    renewed = RenewedContext(files.make, files.certificate, files.key)
    files.certificate.unlink()
    files.fault = fault
    with capture_logs() as lines:
        assert renewed.current() is renewed.current() is files.made[0]
    assert [line["log_level"] for line in lines] == ["warning"]
    files.fault = None
    files.certificate.write_text("the second")
    assert renewed.current() is files.made[1]


def test_what_cannot_be_used_at_the_begin_is_raised(files: Files) -> None:
    files.fault = ConfigError("no key")
    with pytest.raises(ConfigError, match="no key"):
        RenewedContext(files.make, files.certificate)
