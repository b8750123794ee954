"""Keeps messages. A new store is one file that implements `MessageStore`, one line here, one run of its tests."""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from edgefleet.ingest.store.base import (
    Delivery,
    MessageStore,
    NewMessage,
    Query,
    StoreBusy,
    StoreCounts,
    StoredMessage,
    StoreError,
    StoreResult,
    is_full,
)
from edgefleet.ingest.store.sqlite import SqliteStore
from edgewire.errors import ConfigError
from edgewire.redact import show_url


async def _postgres(url: str) -> MessageStore:
    try:
        # Not everybody who stores in a file has the driver.
        from edgefleet.ingest.store.postgres import PostgresStore
    except ImportError:
        raise ConfigError("a store in PostgreSQL needs its driver: pip install 'edgefleet[postgres]'") from None
    return await PostgresStore.from_url(url)


STORES: Mapping[str, Callable[[str], Awaitable[MessageStore]]] = MappingProxyType(
    {"sqlite": SqliteStore.from_url, "postgresql": _postgres, "postgres": _postgres}
)
"""URL scheme -> how to open the store that a URL of it names."""


async def open_store(url: str) -> MessageStore:
    """Return the store at `url`, ready for use; the caller closes it.

    Raises `ConfigError` for a URL that names no store, `StoreError` where it cannot be opened.
    """
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in STORES:
        raise ConfigError(
            f"store '{show_url(url)}' is of no known kind; known are {', '.join(f'{name}://' for name in STORES)}"
        )
    return await STORES[scheme](url)


__all__ = [
    "STORES",
    "Delivery",
    "MessageStore",
    "NewMessage",
    "Query",
    "StoreBusy",
    "StoreCounts",
    "StoreError",
    "StoreResult",
    "StoredMessage",
    "is_full",
    "open_store",
]
