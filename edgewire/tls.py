"""Makes the contexts of TLS, and says what a failed handshake means and which setting to look at."""

import re
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

from edgewire import logs
from edgewire.errors import ConfigError
from edgewire.pem import explain_certificates, explain_pair

_NO_TLS = ("wrong version number", "record layer failure", "unknown protocol", "http request", "packet length too long")
"""What OpenSSL says of an answer that is none of TLS."""

_TOO_OLD = ("unsupported protocol", "protocol version")
"""What OpenSSL says of a peer that speaks no version which we do: before our answer, and in the peer's alert."""

_OF_OURS = ("certificate", "unknown ca", "access denied", "handshake failure")
"""Of which alerts it is the certificate of ours that a peer does not take, or misses."""

OLDEST_VERSION = ssl.TLSVersion.TLSv1_2
"""What a peer has to speak at least: RFC 8996 ends all before it."""

_ALPN = re.compile(r"[!-~]{1,255}")

log = logs.get("tls")
_told: set[str] = set()


def client_context(ca_file: Path | None = None, *, alpn: Sequence[str] = (), insecure: bool = False) -> ssl.SSLContext:
    """Return what to connect to a server over TLS with: it trusts `ca_file`, or what the system trusts.

    All of ours that speaks TLS does so by one of these: no version before `OLDEST_VERSION`. An `insecure` one takes any
    certificate, of anybody; that is said in the log, once. Raises `OSError`.
    """
    context = ssl.create_default_context(cafile=ca_file)
    # A system whose policy asks for more keeps it.
    context.minimum_version = max(context.minimum_version, OLDEST_VERSION)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if "insecure" not in _told:
            _told.add("insecure")
            log.warning("insecure: no certificate of a broker is checked, who is on the way can read and change all")
    return context


def configured_context(
    keys: str,
    ca_file: Path | None,
    certificate: Path | None,
    key: Path | None,
    *,
    alpn: Sequence[str] = (),
    insecure: bool = False,
) -> ssl.SSLContext:
    """Return a `client_context` that shows a certificate as well, where there is one.

    Raises `ConfigError` that names the file and its key, which is below `keys`, such as `http`.
    """
    try:
        context = client_context(ca_file, alpn=alpn, insecure=insecure)
    except (OSError, ssl.SSLError) as error:
        # Without a file it is what the system trusts.
        why = str(error) if ca_file is None else explain_certificates(ca_file, error)
        raise ConfigError(f"{keys}.ca_file {ca_file} cannot be read: {why}") from None
    if certificate:
        try:
            # An encrypted key is refused rather than asked for on a terminal.
            context.load_cert_chain(certificate, key, password="")
        except (OSError, ssl.SSLError) as error:
            why = explain_pair(certificate, key, error)
            raise ConfigError(
                f"{keys}.certificate {certificate} with its key {key or certificate} cannot be used: {why}"
            ) from None
    return context


class RenewedContext:
    """Gives the context for the next connection: made anew where a certificate was renewed in its file.

    Connections that are open go on with what they were made with.
    """

    def __init__(self, make: Callable[[], ssl.SSLContext], *files: Path | None) -> None:
        """Make the first one, of these files; raises what `make` raises."""
        self._make = make
        self._files = tuple(file for file in files if file is not None)
        self._states = self._look()
        self._context = make()

    def current(self) -> ssl.SSLContext:
        """Return it. Where files have changed and cannot be used it is the earlier one, and the log says why, once."""
        if (states := self._look()) != self._states:
            # Those of before: what is written meanwhile is looked at again.
            self._states = states
            try:
                self._context = self._make()
            except (OSError, ConfigError) as error:
                log.warning("renewed certificates cannot be used, the earlier ones stay", reason=str(error))
            else:
                log.info("certificates read again", files=[str(file) for file in self._files])
        return self._context

    def _look(self) -> list[tuple[int, int, int] | None]:
        return [file_state(file) for file in self._files]


def file_state(file: Path) -> tuple[int, int, int] | None:
    """Return what differs once a file, or what a link leads to, was written or replaced; None where there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def check_tls_keys(
    *, uses_tls: bool, takes_alpn: bool, alpn: Sequence[str], insecure: bool, ca_file: Path | None
) -> str | None:
    """Return which of the keys about TLS contradict each other or the URLs, in a sentence; None where none does."""
    if insecure and not uses_tls:
        return "insecure: no broker is dialled with TLS; leave it out, or write mqtts:// or wss://"
    if insecure and ca_file:
        return "insecure takes any certificate, and ca_file names what is trusted: leave one of them out"
    if alpn and not takes_alpn:
        return "alpn is for mqtts://, and no broker is dialled so: leave it out"
    wrong = next((name for name in alpn if not _ALPN.fullmatch(name)), None)
    return None if wrong is None else f"alpn: {wrong!r} is no name of a protocol, such as mqtt or x-amzn-mqtt-ca"


def explain_tls(error: BaseException, ca_file: str, plain: str) -> str | None:
    """Return what went wrong in a handshake, of the error or one it came from; None for one that is none of TLS.

    `ca_file` is the setting that names certificates to trust, `plain` the scheme of a URL without TLS.
    """
    found = _ssl_error(error)
    if found is None:
        return None
    if isinstance(found, ssl.SSLCertVerificationError):
        return _certificate(found.verify_message or str(found), ca_file)
    reason = _reason(found)
    if any(sign in reason for sign in _NO_TLS):
        return f"it speaks no TLS at this port: write {plain} or the port that does"
    if any(sign in reason for sign in _TOO_OLD):
        return f"it speaks no TLS that is still safe ({reason}): have it speak TLS 1.2 or 1.3"
    if "alert" in reason or "certificate required" in reason:
        return _ended(reason)
    return f"the TLS handshake failed ({reason}): look at {ca_file}, and at the certificate and key"


def explain_alert(error: BaseException) -> str | None:
    """Return what a peer has said of the certificate that was shown to it, or was not; None for all else.

    With TLS 1.3 it comes after the handshake, instead of an answer: the peer has looked at nothing that was sent to it.
    """
    found = _ssl_error(error)
    said = _reason(found) if found is not None else ""
    return _ended(said) if "alert" in said and any(sign in said for sign in _OF_OURS) else None


def _reason(error: ssl.SSLError) -> str:
    return (getattr(error, "reason", None) or str(error)).replace("_", " ").lower()


def _ended(reason: str) -> str:
    return f"it ended the TLS handshake ({reason}): look at the certificate and key that are shown to it"


def _certificate(said: str, ca_file: str) -> str:
    if "ostname mismatch" in said or "IP address mismatch" in said:
        return f"its certificate is for another name ({said}): use the name that is in it"
    if "expired" in said or "not yet valid" in said:
        return f"its certificate is not valid now ({said}): renew it, or set the clock"
    return f"its certificate is of nobody who is trusted ({said}): name the certificate of its authority in {ca_file}"


def _ssl_error(error: BaseException | None) -> ssl.SSLError | None:
    for _ in range(5):
        # Errors of aiohttp are of the classes of `ssl` by name, without their fields: what they wrap has these.
        inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None)
        if isinstance(inner, BaseException):
            error = inner
        elif error is None or isinstance(error, ssl.SSLError):
            return error
        else:
            error = error.__cause__ or error.__context__
    return None
