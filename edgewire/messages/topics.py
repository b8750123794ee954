"""The topic scheme: `edge/{site}/{kind}/{device_id}/{channel}`."""

import re
from enum import StrEnum
from typing import NamedTuple

from edgewire.messages.base import DEVICE_ID, ContractError

ROOT = "edge"
SITE = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"


class Channel(StrEnum):
    """The last level of a topic."""

    TELEMETRY = "telemetry"
    """Readings on a schedule."""
    EVENT = "event"
    """Something happened."""
    STATUS = "status"
    """Retained; also the will."""
    CMD = "cmd"
    """To the device."""
    RESULT = "result"
    """The answer to a command."""


_TOPIC = re.compile(rf"{ROOT}/({SITE})/([a-z0-9_]+)/({DEVICE_ID})/({'|'.join(Channel)})")


class Topic(NamedTuple):
    """A topic taken apart."""

    site: str
    kind: str
    device_id: str
    channel: Channel

    def __str__(self) -> str:
        return f"{ROOT}/{self.site}/{self.kind}/{self.device_id}/{self.channel.value}"

    @classmethod
    def parse(cls, text: str) -> "Topic":
        """Read a topic; raises `ContractError` for one outside the scheme."""
        match = _TOPIC.fullmatch(text)
        if not match:
            raise ContractError(f"topic '{text}' is not of the form {ROOT}/SITE/KIND/DEVICE/CHANNEL")
        return cls(match[1], match[2], match[3], Channel(match[4]))


MEASUREMENT_FILTERS = tuple(f"{ROOT}/+/+/+/{channel.value}" for channel in (Channel.TELEMETRY, Channel.EVENT))
"""Topic filters that match every measurement and nothing else."""
