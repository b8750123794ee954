"""Reads the configuration of a bridge, with the kinds of plug-ins known before: they have routes as any."""

from pathlib import Path
from typing import TYPE_CHECKING

from edgefleet.cli.common import know_kinds

if TYPE_CHECKING:
    from bridge.config import BridgeConfig


def load_bridge(path: Path) -> "BridgeConfig":
    """Return the configuration of a bridge in a file; raises `ConfigError`."""
    from bridge.config import BridgeConfig
    from edgewire.config import load_config

    know_kinds(None)
    return load_config(path, BridgeConfig)
