"""A broker, and an ingest that a bridge feeds from it: what a fleet is tried on, as processes on free ports."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from edgefleet.embedded import MosquittoProcess, edgefleet_process, free_port
from edgewire.errors import ServiceUnavailable
from tests.services.fixtures import unavailable


class Chain(NamedTuple):
    """Where its parts are."""

    broker: MosquittoProcess
    ingest: str
    store: Path
    """The database of the ingest."""


@contextmanager
def running_chain(
    folder: Path, http: dict[str, Any], *, mosquitto: dict[str, str] | None = None, url: str = "", **bridge: Any
) -> Iterator[Chain]:
    """Run the chain; `bridge` are keys of the bridge's configuration, `http` those of its sink beside the URL.

    `mosquitto` are settings of the broker, and `url` what its URL begins with for the bridge: `mqtts://user:word@`.
    """
    with ExitStack() as stack:
        try:
            broker = stack.enter_context(MosquittoProcess(options=mosquitto))
        except ServiceUnavailable as error:
            unavailable(str(error))
        ports = free_port(), free_port()
        ingest, admin = (f"http://127.0.0.1:{port}" for port in ports)
        store = folder / "ingest.db"
        command = ("ingest", "--port", str(ports[0]), "--store", f"sqlite:///{store}")
        stack.enter_context(edgefleet_process("ingest", *command, url=f"{ingest}/readyz"))
        settings = {
            "broker": f"{url or 'mqtt://'}127.0.0.1:{broker.port}",
            "spool": {"path": str(folder / "spool.db")},
            "http": {"url": ingest, **http},
            "admin": {"port": ports[1]},
            **bridge,
        }
        config = folder / "bridge.yaml"
        config.write_text(yaml.safe_dump(settings))
        stack.enter_context(edgefleet_process("bridge", "bridge", "run", config, url=f"{admin}/readyz"))
        yield Chain(broker, ingest, store)
