"""Reads the URLs of services that a user names, and shows them without what may be secret."""

from urllib.parse import SplitResult, urlsplit

from edgewire.redact import escape_hint, show_url, url_fault


def split_http_url(text: str, *, with_query: bool = False) -> SplitResult:
    """Return the parts of a URL for a client that sends no user, and no query unless told; never a fragment.

    Raises `ValueError` that shows the URL without what may be secret.
    """
    shown = show_url(text)
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"'{shown}' is no URL: {url_fault(error)}{escape_hint(text)}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            f"'{shown}' is no URL of a service: write http://HOST:PORT or https://HOST:PORT{escape_hint(text)}"
        )
    if parts.username is not None:
        raise ValueError(
            f"'{shown}': a user in the URL is not sent: leave it out, and give a token if one is asked for"
        )
    if parts.fragment or (parts.query and not with_query):
        what = "what follows #" if with_query else "what follows the path"
        raise ValueError(f"'{shown}': {what} is not sent: leave it out{escape_hint(text)}")
    return parts


def postgres_address(url: str) -> str:
    """Return host, port and database of a PostgreSQL URL, without user and password. Raises `ValueError`."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ValueError(url_fault(error) + escape_hint(url)) from None
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        raise ValueError(f"it has an @ behind the host{escape_hint(url)}")
    return f"{parts.hostname or 'localhost'}:{parts.port or 5432}{parts.path}"
