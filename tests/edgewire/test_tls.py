"""What a failed handshake is explained with."""

import ssl

import pytest

from edgewire.tls import explain_tls


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
