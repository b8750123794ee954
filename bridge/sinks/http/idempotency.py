"""Batches that stay what they were: a request whose fate is not known is sent again as it was, under the same key.

A server that remembers keys can then answer the second attempt without storing anything twice. Pure.
"""

from collections.abc import Sequence
from hashlib import blake2b

from bridge.routing.routed import RoutedEvent


class FrozenBatches:
    """For each lane the messages of the request that has to be sent again first."""

    def __init__(self) -> None:
        self._by_lane: dict[str, list[int]] = {}

    def freeze(self, lane: str, request: Sequence[RoutedEvent]) -> None:
        """This request was not answered for good."""
        self._by_lane[lane] = [routed.message.id for routed in request]

    def thaw(self, lane: str, batch: Sequence[RoutedEvent]) -> list[int]:
        """Positions in `batch` of the frozen request, in its order; empty where there is none or it is not whole.

        They come first within their devices, because they were first before.
        """
        frozen = self._by_lane.pop(lane, None)
        if not frozen:
            return []
        positions = {routed.message.id: position for position, routed in enumerate(batch)}
        found = [positions[number] for number in frozen if number in positions]
        return found if len(found) == len(frozen) else []


def batch_key(bridge: str, request: Sequence[RoutedEvent]) -> str:
    """Idempotency-Key of a batch: the bridge, first and last message, and a digest of the ids of all of them.

    Without the digest another choice of messages between the same two would be taken for a repetition and be lost.
    """
    ids = "\n".join([routed.message_id for routed in request]).encode()
    first, last = request[0].message.id, request[-1].message.id
    return f"{bridge}:{first}-{last}:{blake2b(ids, digest_size=12).hexdigest()}"
