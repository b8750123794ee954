"""A dialect, as everything that lists dialects knows it; `registry` lists them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgewire.config import Config
from edgewire.dialects.base import DialectDecoder
from edgewire.dialects.encoder import DialectEncoder
from edgewire.dialects.platform_limits import PlatformLimits


@dataclass(frozen=True, slots=True)
class Dialect:
    """A dialect, as everything that lists dialects knows it."""

    name: str
    options: type[Config]
    decoder: Callable[[Any], DialectDecoder]
    """Called with the options; a decoder learns, so each use has its own."""
    encoder: Callable[[Any, str], DialectEncoder] | None = None
    """Called with the options and the kind of the devices; None where the dialect is only read. Raises `DialectError`
    for a kind that makes no sense in it."""
    qos: int = 1
    """Of the readings of emulated devices, where their group says nothing."""
    interval_ms: int | None = None
    """Between their readings, likewise; None: as for the message contract."""
    has_gateways: bool = False
    """Whether its devices speak over the connection of a gateway."""
    gateway_encoder: Callable[[Any, str], DialectEncoder] | None = None
    """Called as `encoder`, for devices behind a gateway, where they may have connections of their own as well."""
    has_fixed_qos: bool = False
    """Whether `qos` is the only one that there is."""
    allows_standby: bool = True
    """Whether an emulator can tell by what is said on its topics that a real device has taken its place."""
    reports_on_change: bool = True
    """Whether its devices may tell a reading when it differs, and not only at an interval."""
    has_parts: bool = False
    """Whether sensors of several kinds in one device have messages of their own."""
    any_topic: bool = False
    """Whether devices may use topics beside the decoder's `filters`, which they describe themselves."""
    is_platform: bool = False
    """Whether it is the format of a platform or a standard, which docs/platforms.md tells of, and not of a maker's
    devices."""
    limits: PlatformLimits | None = None
    """What the platform does not take, of emulated devices; None where there is no such."""
