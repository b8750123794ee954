"""Tells how the HTTP ingest at the end of a run's pipeline is: how many messages it has stored, and which it knew."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from edgefleet.control.metrics_page import MetricSample, PageReader, ask_service, read_samples
from edgewire.errors import ServiceUnavailable
from edgewire.redact import show_url

_METRIC = "edgefleet_ingest_messages_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatus:
    """Says what became of the messages that came to the ingest since it was started, as far as it has told."""

    url: str
    """Without secrets."""
    moment_s: float = -math.inf
    is_reachable: bool = False
    error: str | None = "it was not asked yet"
    """Why these numbers are not of now."""
    stored: int = 0
    stored_per_s: float = 0.0
    known: int = 0
    """Duplicates: they were there already, and were stored once."""
    rejected: int = 0
    conflict: int = 0
    """With the key of another message, and other content."""

    def document(self) -> dict[str, Any]:
        """Return it as `/v1/status` has it."""
        found = asdict(self)
        del found["moment_s"]
        return found


def store_status(before: StoreStatus, moment_s: float, samples: Mapping[str, list[MetricSample]]) -> StoreStatus:
    """Return how the ingest is by what it has just told; rates are since `before`."""
    counts = dict.fromkeys(("stored", "known", "rejected", "conflict"), 0)
    for labels, value in samples[_METRIC]:
        if (result := labels.get("result", "")) in counts:
            counts[result] += round(value)
    more = counts["stored"] - before.stored if counts["stored"] >= before.stored else counts["stored"]
    rate = more / max(moment_s - before.moment_s, 0.001)
    return StoreStatus(
        url=before.url,
        moment_s=moment_s,
        is_reachable=True,
        error=None,
        stored_per_s=round(rate, 1),
        **counts,
    )


class StoreMonitor:
    """Asks an ingest how it is, again and again, and keeps what it has told last."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.url = url
        """Of its pages; may hold secrets."""
        self.status = StoreStatus(url=show_url(url))
        """As it was told a moment ago."""
        self._clock = clock

    async def watch(self) -> None:
        """Ask until cancelled."""
        await ask_service(self.url, self.ask, self._clock)

    async def ask(self, pages: PageReader) -> None:
        """Ask once."""
        try:
            samples = await read_samples(await pages.read("/metrics"), [_METRIC])
            if not samples[_METRIC]:
                raise ServiceUnavailable("what answers there is no `edgefleet ingest`")
        except ServiceUnavailable as error:
            self.status = replace(self.status, is_reachable=False, error=str(error), stored_per_s=0.0)
            return
        self.status = store_status(self.status, self._clock(), samples)
