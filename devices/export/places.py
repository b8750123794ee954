"""Addresses as they may be shown."""

from urllib.parse import urlsplit


def place_of(url: str) -> str:
    """Host, port and database of a PostgreSQL URL, without user and password."""
    parts = urlsplit(url)
    return f"{parts.hostname or 'localhost'}:{parts.port or 5432}{parts.path}"
