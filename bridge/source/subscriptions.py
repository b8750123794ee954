"""Remembers the filters that the broker's session holds for us, in the spool.

A subscription lives as long as the session does. One that is no longer configured would go on filling the spool, so
the bridge remembers across restarts what it has subscribed to, and unsubscribes what it does not want any more. The
record is widened before a SUBSCRIBE and narrowed after an UNSUBACK: whenever the process is killed, none is forgotten.
"""

from collections.abc import Iterable

import orjson

from bridge.spool.spool import Spool

METADATA_KEY = "subscriptions"
"""Under which the spool keeps them."""


class SubscriptionRecord:
    """Remembers what the session holds at most."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._filters: frozenset[str] | None = None

    async def add(self, wanted: Iterable[str]) -> None:
        """Widen the record; call it before these are subscribed to. Raises `SpoolError`."""
        if self._filters is None:
            stored = await self._spool.run_on_writer(lambda store: store.get_metadata(METADATA_KEY))
            self._filters = frozenset(orjson.loads(stored) if stored else ())
        await self._write(self._filters | frozenset(wanted))

    async def commit(self, wanted: Iterable[str]) -> None:
        """Narrow the record: the session holds these and no others. Raises `SpoolError`."""
        await self._write(frozenset(wanted))

    def stale(self, wanted: Iterable[str]) -> list[str]:
        """Return what the session may hold that is not wanted."""
        return sorted((self._filters or frozenset()) - frozenset(wanted))

    async def _write(self, filters: frozenset[str]) -> None:
        if filters != self._filters:
            text = orjson.dumps(sorted(filters)).decode()
            await self._spool.run_on_writer(lambda store: store.set_metadata(METADATA_KEY, text))
            self._filters = filters
