"""What a device tells a platform of itself as it comes."""

from collections.abc import Mapping
from typing import Any

from edgewire.dialects.encoder import DeviceNames

_OF_STATUS = ("firmware", "boot", "reset_reason")


def introduced(names: DeviceNames, status: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a device is, and how it has started."""
    told = {key: status[key] for key in _OF_STATUS if status.get(key) is not None}
    return {"kind": names["kind"], "site": names["site"], **told}
