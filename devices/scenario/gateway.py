"""Says that devices of a group have no connection of their own, but speak over that of a gateway."""

from typing import Annotated

from pydantic import Field

from edgewire.config import Config
from edgewire.config_errors import located_error, text_matching

MAX_DEVICES = 1_000
"""Behind one gateway: their command topics go into one SUBSCRIBE, which at some 60 bytes each fits any broker."""

GatewayIdTemplate = Annotated[
    str,
    text_matching(
        r"^[A-Za-z0-9][A-Za-z0-9_.{}:-]*$",
        "letters, digits, '_', '.' and '-' with {n} among them, as in north-{n:04d}, and first a letter or digit",
        max_length=64,
    ),
]


class GatewayAvailability(Config):
    """A retained message of a format of your own, which tells whether a gateway is there; also its will."""

    topic: str
    """With `{gateway}` and `{site}` in it: `plant/{site}/{gateway}/state`."""
    online: str = Field(default="online", max_length=1000)
    """What it says when the gateway has connected. It may have the same names in braces."""
    offline: str = Field(default="offline", max_length=1000)
    """What it says as the gateway goes, and what the broker says for it when it is lost."""


class GatewayOptions(Config):
    """Gateways, each with one MQTT connection for many devices. One of `count` and `devices` follows from the other."""

    count: int | None = Field(default=None, ge=1, le=1_000_000)
    """How many gateways the devices of the group are divided among, in the order of their numbers."""
    devices: int | None = Field(default=None, ge=1, le=MAX_DEVICES)
    """How many devices each has."""
    id: GatewayIdTemplate = "gateway-{n:04d}"
    """Template of the gateways' ids, which are their client ids, with `{n}` the number of the gateway in the scenario;
    `{gateway}` in topics."""
    availability: GatewayAvailability | None = None
    """With a format of your own, which else says nothing of its gateways."""

    def gateway_id(self, number: int) -> str:
        """Return the id of the gateway with this number (from 1) in the scenario."""
        try:
            return self.id.format(n=number)
        except (KeyError, IndexError, ValueError) as error:
            raise located_error(("gateway", "id"), f"'{self.id}' is not a template with {{n}} in it: {error}") from None

    def devices_each(self, devices: int) -> int:
        """Return how many of so many devices each gateway has, the last perhaps fewer. Raises `ValueError`."""
        if self.count is None and self.devices is None:
            raise located_error(("gateway",), "needs count, of the gateways, or devices, which each of them has")
        if self.devices is None:
            assert self.count is not None
            if self.count > devices:
                said = f"{self.count:,} gateways for {devices:,} devices: some would have none"
                raise located_error(("gateway", "count"), said)
            each = -(-devices // self.count)
            if -(-devices // each) != self.count:
                said = f"{devices:,} devices cannot be divided among {self.count:,} gateways with {each:,} each"
                raise located_error(("gateway", "count"), f"{said}: give devices instead")
            if each > MAX_DEVICES:
                said = f"each gateway would have {each:,} devices, and may have {MAX_DEVICES:,}: give more gateways"
                raise located_error(("gateway", "count"), said)
            return each
        if self.count is not None and self.count * self.devices != devices:
            said = f"{self.count:,} gateways of {self.devices:,} devices are {self.count * self.devices:,} devices"
            raise located_error(("gateway",), f"{said}, and the group has {devices:,}: leave one of the three out")
        return self.devices

    @property
    def size(self) -> int | None:
        """Return how many devices all of them have; None where that is not said here."""
        return None if self.count is None or self.devices is None else self.count * self.devices
