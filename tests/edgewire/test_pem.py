"""A file that OpenSSL does not take is explained: what is in it, and what to do."""

import re
import ssl
import subprocess
from pathlib import Path

import pytest

from edgewire.errors import ConfigError
from edgewire.tls import configured_context
from tests.services.fixtures import require_program


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate and its key in every form in which somebody may have them."""
    require_program("openssl", "openssl")
    folder = tmp_path_factory.mktemp("pem")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    for name in ("one", "two"):
        certified = ("-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "9", "-subj", f"/CN={name}", "-nodes")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", *certified)
    openssl("req", "-new", "-key", "one.key", "-subj", "/CN=one", "-out", "one.csr")
    openssl("x509", "-in", "one.pem", "-outform", "der", "-out", "one.der")
    openssl("pkcs12", "-export", "-in", "one.pem", "-inkey", "one.key", "-passout", "pass:a", "-out", "one.p12")
    openssl("pkey", "-in", "one.key", "-aes256", "-passout", "pass:abcd", "-out", "locked.key")
    openssl("ec", "-in", "one.key", "-aes256", "-passout", "pass:abcd", "-out", "locked-old.key")
    openssl("pkey", "-in", "one.key", "-pubout", "-out", "public.pem")
    whole = (folder / "one.pem").read_text()
    (folder / "damaged.pem").write_text(whole[:90] + "\n" + whole[140:])
    (folder / "damaged.key").write_text((folder / "one.key").read_text().replace("M", "N"))
    (folder / "both.pem").write_text(whole + (folder / "one.key").read_text())
    (folder / "empty.pem").write_text("\n")
    (folder / "text.pem").write_text("my certificate")
    return folder


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.pem", "No such file or directory"),
        ("empty.pem", "it is empty: PEM is wanted"),
        ("text.pem", "it is no PEM .*: text that begins with -----BEGIN is wanted"),
        ("one.der", r"it is binary, and PEM is wanted: openssl x509 -inform der -in one.der -out one.pem"),
        ("one.p12", r".*openssl pkcs12 -in one.p12 -nodes -out one.pem of PKCS#12"),
        ("one.key", "it has no certificate in it, but PRIVATE KEY: name the file of the certificate"),
        ("one.csr", "it is a request for a certificate: name what the authority has made of it"),
        ("damaged.pem", "a certificate in it is damaged .*: copy it again"),
    ],
)
def test_what_is_to_be_trusted(folder: Path, name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"^mqtt\.ca_file .*{re.escape(name)} cannot be read: {said}") as raised:
        configured_context("mqtt", folder / name, None, None)
    assert "_ssl.c" not in str(raised.value)


@pytest.mark.parametrize(
    ("certificate", "key", "said"),
    [
        ("none.pem", "one.key", "none.pem: No such file"),
        ("one.pem", "none.key", "none.key: No such file"),
        ("one.pem", None, "one.pem: it has no private key in it, but CERTIFICATE: name the file of the key"),
        ("one.pem", "public.pem", "public.pem: it has no private key in it, but PUBLIC KEY: name the file of the key"),
        ("one.key", None, "one.key: it has no certificate in it, but PRIVATE KEY: name the file of the certificate"),
        ("one.key", "one.pem", "one.key: it has no certificate in it"),
        ("one.csr", "one.key", "one.csr: it is a request for a certificate"),
        ("one.der", "one.key", "one.der: it is binary"),
        ("one.pem", "two.key", "the key in .*two.key is not that of the certificate in .*one.pem"),
        ("one.pem", "locked.key", r"the key in .* has a password: .*openssl pkey -in locked.key -out plain.pem"),
        ("one.pem", "locked-old.key", "the key in .* has a password"),
        ("one.pem", "damaged.key", "damaged.key is damaged"),
        ("damaged.pem", "one.key", "damaged.pem or .* is damaged"),
    ],
)
def test_what_is_shown_with_its_key(folder: Path, certificate: str, key: str | None, said: str) -> None:
    own = None if key is None else folder / key
    with pytest.raises(ConfigError, match=rf"^http\.certificate .* cannot be used: .*{said}") as raised:
        configured_context("http", None, folder / certificate, own)
    assert "_ssl.c" not in str(raised.value)


def test_what_is_right_is_taken(folder: Path) -> None:
    assert isinstance(configured_context("mqtt", folder / "one.pem", folder / "both.pem", None), ssl.SSLContext)
    configured_context("mqtt", folder / "both.pem", folder / "one.pem", folder / "one.key")
