"""An ingest and a bridge behind a run that goes on already, as processes on free ports."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from edgefleet.embedded import edgefleet_process, free_port


@contextmanager
def bridge_behind(folder: Path, broker: str, admin_port: int) -> Iterator[str]:
    """Run them until left; yields the URL of the ingest."""
    ingest_port = free_port()
    ingest, admin = (f"http://127.0.0.1:{port}" for port in (ingest_port, admin_port))
    words = ("ingest", "--port", str(ingest_port), "--store", f"sqlite:///{folder / 'ingest.db'}")
    config = {
        "broker": broker,
        "spool": {"path": str(folder / "spool.db")},
        "http": {"url": ingest, "retry": {"base": "100ms", "cap": "1s"}},
        "admin": {"port": admin_port},
    }
    (folder / "bridge.yaml").write_text(yaml.safe_dump(config))
    with (
        edgefleet_process("ingest", *words, url=f"{ingest}/readyz"),
        edgefleet_process("bridge", "bridge", "run", folder / "bridge.yaml", url=f"{admin}/readyz"),
    ):
        yield ingest
