"""Says why a file of certificates or a key is not taken, of which OpenSSL says `[SSL] PEM lib`, and what to do."""

import re
from pathlib import Path

_MOST_READ = 1 << 20
"""Bytes that are looked at: the certificates that a system trusts are a quarter of that."""

_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")
_BINARY = b"\x30"
"""What DER and PKCS#12 begin with: a sequence of ASN.1."""


def explain_certificates(file: Path, error: Exception) -> str:
    """Return why a file of certificates to trust was not taken, which `error` was raised for."""
    why, labels = _look(file, error)
    if why is not None:
        return why
    if not labels & {"CERTIFICATE", "TRUSTED CERTIFICATE", "X509 CERTIFICATE"}:
        return _no_certificate(labels)
    return f"a certificate in it is damaged ({_detail(error)}): copy it again, with its BEGIN and END lines"


def explain_pair(certificate: Path, key: Path | None, error: Exception) -> str:
    """Return why a certificate and its key, which is in the same file where `key` is None, were not taken."""
    why, labels = _look(certificate, error)
    if why is not None:
        return f"{certificate}: {why}"
    if "CERTIFICATE" not in labels:
        return f"{certificate}: {_no_certificate(labels)}"
    why, keys = _look(key or certificate, error)
    name = key or certificate
    if why is not None:
        return f"{name}: {why}"
    if not any(label.endswith("PRIVATE KEY") for label in keys):
        return f"{name}: it has no private key in it, but {_listed(keys)}: name the file of the key"
    if "ENCRYPTED PRIVATE KEY" in keys or b"Proc-Type: 4,ENCRYPTED" in _read(name):
        return f"the key in {name} has a password: write it without one (openssl pkey -in {name.name} -out plain.pem)"
    if "KEY_VALUES_MISMATCH" in str(error):
        return (
            f"the key in {name} is not that of the certificate in {certificate}: name the two that were made together"
        )
    return f"{certificate} or {name} is damaged ({_detail(error)}): copy them again, with their BEGIN and END lines"


def _look(file: Path, error: Exception) -> tuple[str | None, set[str]]:
    """Return why a file is none of PEM, or else what it has in it."""
    try:
        data = _read(file)
    except OSError as unread:
        return f"{unread.strerror}", set()
    labels = {label.decode() for label in _BEGIN.findall(data)}
    if labels:
        return None, labels
    if not data.strip():
        return "it is empty: PEM is wanted, text that begins with -----BEGIN", set()
    if data.startswith(_BINARY):
        return (
            f"it is binary, and PEM is wanted: openssl x509 -inform der -in {file.name} -out {file.stem}.pem makes that"
            f" of DER, openssl pkcs12 -in {file.name} -nodes -out {file.stem}.pem of PKCS#12"
        ), set()
    return f"it is no PEM ({_detail(error)}): text that begins with -----BEGIN is wanted", set()


def _read(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(_MOST_READ)


def _no_certificate(labels: set[str]) -> str:
    if labels & {"CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"}:
        return "it is a request for a certificate: name what the authority has made of it"
    return f"it has no certificate in it, but {_listed(labels)}: name the file of the certificate"


def _listed(labels: set[str]) -> str:
    return " and ".join(sorted(labels)) or "nothing"


def _detail(error: Exception) -> str:
    """Return what OpenSSL says, without the line of its source."""
    return re.sub(r" \(_ssl\.c:\d+\)$", "", str(error))
