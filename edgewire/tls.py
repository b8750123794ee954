"""Says what a failed TLS handshake means, and which setting to look at."""

import ssl

_NO_TLS = ("wrong version number", "record layer failure", "unknown protocol", "http request", "packet length too long")
"""What OpenSSL says of an answer that is none of TLS."""


def explain_tls(error: BaseException, ca_file: str, plain: str) -> str | None:
    """Return what went wrong in a handshake, of the error or one it came from; None for one that is none of TLS.

    `ca_file` is the setting that names certificates to trust, `plain` the scheme of a URL without TLS.
    """
    found = _ssl_error(error)
    if found is None:
        return None
    if isinstance(found, ssl.SSLCertVerificationError):
        return _certificate(found.verify_message or str(found), ca_file)
    reason = (getattr(found, "reason", None) or str(found)).replace("_", " ").lower()
    if any(sign in reason for sign in _NO_TLS):
        return f"it speaks no TLS at this port: write {plain} or the port that does"
    if "alert" in reason or "certificate required" in reason:
        return f"it ended the TLS handshake ({reason}): look at the certificate and key that are shown to it"
    return f"the TLS handshake failed ({reason}): look at {ca_file}, and at the certificate and key"


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
