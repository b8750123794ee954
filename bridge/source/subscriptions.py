"""Remembers the filters that the broker's session holds for us, in the spool.

A subscription lives as long as the session does. One that is no longer configured would go on filling the spool, so
the bridge remembers across restarts what it has subscribed to, and unsubscribes what it does not want any more. The
record is widened before a SUBSCRIBE and narrowed after an UNSUBACK: whenever the process is killed, none is forgotten.
"""

from collections.abc import Iterable, Sequence

import orjson

from bridge.config import BridgeConfig
from bridge.spool.spool import Spool
from bridge.spool.store import SpoolStore
from edgewire.link import BrokerUrl

METADATA_KEY = "subscriptions"
"""Under which the spool keeps them, where there is one broker."""


def record_keys(config: BridgeConfig) -> list[tuple[str, ...]]:
    """Return under which keys the spool keeps what each broker of the list holds: the first is the one of now.

    With one broker there is one key, whatever its address is: it may be called by another name at any time. The others
    are those of a configuration with a list before, or without one.
    """
    places = [f"{METADATA_KEY} at {url.place}" for url in config.brokers]
    if isinstance(config.broker, str):
        return [(METADATA_KEY, places[0])]
    first = BrokerUrl.parse(config.broker[0]).place
    return [(key, METADATA_KEY) if key.endswith(f" {first}") else (key,) for key in places]


class SubscriptionRecord:
    """Remembers what the session with one broker holds at most."""

    def __init__(self, spool: Spool, keys: Sequence[str] = (METADATA_KEY,)) -> None:
        self._spool = spool
        self._key, self._former = keys[0], keys[1:]
        self._filters: frozenset[str] | None = None
        self.is_new = False
        """Whether nobody had asked this broker for a subscription before this process did."""

    async def load(self) -> bool:
        """Read the record; return whether the broker may have a session of ours. Raises `SpoolError`."""
        if self._filters is None:
            self._filters = await self._spool.run_on_writer(self._read)
            self.is_new = not self._filters
        return bool(self._filters)

    def _read(self, store: SpoolStore) -> frozenset[str]:
        found = {key: store.get_metadata(key) for key in (self._key, *self._former)}
        filters = frozenset(one for text in found.values() if text for one in orjson.loads(text))
        moved = [key for key in self._former if found[key] not in (None, "[]")]
        if moved:
            store.set_metadata(self._key, orjson.dumps(sorted(filters)).decode())
            for key in moved:
                store.set_metadata(key, "[]")
        return filters

    async def add(self, wanted: Iterable[str]) -> None:
        """Widen the record; call it before these are subscribed to. Raises `SpoolError`."""
        await self.load()
        await self._write((self._filters or frozenset()) | frozenset(wanted))

    async def commit(self, wanted: Iterable[str]) -> None:
        """Narrow the record: the session holds these and no others. Raises `SpoolError`."""
        await self._write(frozenset(wanted))

    def stale(self, wanted: Iterable[str]) -> list[str]:
        """Return what the session may hold that is not wanted."""
        return sorted((self._filters or frozenset()) - frozenset(wanted))

    async def _write(self, filters: frozenset[str]) -> None:
        if filters != self._filters:
            text = orjson.dumps(sorted(filters)).decode()
            await self._spool.run_on_writer(lambda store: store.set_metadata(self._key, text))
            self._filters = filters
