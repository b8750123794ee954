"""The configurations of bridges that more than one test starts."""

from pathlib import Path
from typing import Any

from tests.chaos.publishers import topics


def bridge_to_http(broker: str, site: str, url: str, spool: Path, **http: Any) -> dict[str, Any]:
    """Return that of a bridge which posts what the devices of a site send; `http` are further settings of the sink."""
    return {
        "broker": broker,
        "client_id": site,
        "subscriptions": list(topics(site)),
        "spool": {"path": str(spool)},
        "http": {"url": url, **http},
    }
