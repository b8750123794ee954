"""Keeps a certificate authority for one fleet in two PEM files. For tests and closed networks: it revokes nothing."""

import ipaddress
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgefleet.provision.files import write_public, write_secret
from edgewire.errors import ConfigError
from edgewire.output import require_file

_SKEW = timedelta(hours=1)
"""Certificates are valid from a little before they are made, for machines whose clocks are behind."""
_CA_DAYS = 3650
_RENEW_AFTER = 2 / 3
"""Of its time: a certificate is made anew from then on, so that a third of it is left to hand the new one out."""


class Authority:
    """Signs certificates; keys are ECDSA on P-256, which every TLS stack of the field knows."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key

    @classmethod
    def open(cls, folder: Path, now: datetime, stem: str = "ca", subject: str = "edgefleet test CA") -> "Authority":
        """Return that of STEM.crt and STEM.key, made where missing. Raises `ConfigError` where they are no pair.

        `subject` is its name: a broker that trusts two of them tells by it which has signed a certificate.
        """
        certificate_file, key_file = folder / f"{stem}.crt", folder / f"{stem}.key"
        if not certificate_file.exists() and not key_file.exists():
            authority = cls._make(now, subject)
            write_secret(key_file, _pem_key(authority._key))
            write_public(certificate_file, authority.pem)
            return authority
        try:
            certificate = x509.load_pem_x509_certificate(require_file(certificate_file).read_bytes())
            key = serialization.load_pem_private_key(require_file(key_file).read_bytes(), None)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{folder}: {stem}.crt and {stem}.key cannot be read: {error}; restore or remove both"
            ) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise ConfigError(
                f"{folder}: {stem}.key is not the key of {stem}.crt; restore the right one or remove both"
            )
        return cls(certificate, key)

    @classmethod
    def _make(cls, now: datetime, subject: str) -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(subject)
        builder = _builder(name, name, key, now, _CA_DAYS).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        return cls(builder.add_extension(usage, critical=True).sign(key, hashes.SHA256()), key)

    @property
    def pem(self) -> bytes:
        """Return its own certificate, which is what others trust."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def has_issued(self, pem: bytes) -> bool:
        """Return whether it has signed this certificate."""
        try:
            x509.load_pem_x509_certificate(pem).verify_directly_issued_by(self._certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def issue_client(self, name: str, now: datetime, days: int) -> bytes:
        """Return certificate and key, in one PEM, of a client whose user name at the broker is `name`."""
        return self._issue(name, now, days, ExtendedKeyUsageOID.CLIENT_AUTH, ())

    def issue_server(self, hosts: Sequence[str], now: datetime, days: int) -> bytes:
        """Return certificate and key of a server reached under these names and addresses. Raises `ConfigError`."""
        # Clients go by the alternative names; a common name has room for 64 characters.
        return self._issue(hosts[0][:64], now, days, ExtendedKeyUsageOID.SERVER_AUTH, [_host(host) for host in hosts])

    def _issue(
        self, name: str, now: datetime, days: int, usage: x509.ObjectIdentifier, hosts: Sequence[x509.GeneralName]
    ) -> bytes:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(_name(name), self._certificate.subject, key, now, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM) + _pem_key(key)


def common_name(pem: bytes) -> str | None:
    """Return whom a certificate is of; None for what is none."""
    try:
        found = x509.load_pem_x509_certificate(pem).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        return None
    return str(found[0].value) if found else None


def is_due(pem: bytes, now: datetime) -> bool:
    """Return whether a certificate has come to the last third of its time, or past it; not for what is none."""
    try:
        found = x509.load_pem_x509_certificate(pem)
    except ValueError:
        return False
    begin, end = found.not_valid_before_utc, found.not_valid_after_utc
    return now > begin + (end - begin) * _RENEW_AFTER


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if not re.fullmatch(r"(\*\.)?[A-Za-z0-9_.-]{1,253}", host):
            raise ConfigError(f"--host '{host}': is neither an address nor a host name (in ASCII: xn--…)") from None
        return x509.DNSName(host)


def _pem_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
