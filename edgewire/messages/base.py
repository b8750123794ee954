"""The fields that every message has, and the id by which it is known."""

import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NamedTuple

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from edgewire.config_errors import text_matching
from edgewire.errors import EdgefleetError


class ContractError(EdgefleetError):
    """A topic or payload does not keep the contract; says which field and why."""


# No '/', '+' or '#' (it is a topic level) and no ':' (it separates the parts of a message id).
DEVICE_ID = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"

NAME_WORDS = "letters, digits, '_', '.' and '-', at most 64, a letter or digit first"
"""What ids of devices and names of sites are, for people."""

DeviceId = Annotated[str, text_matching(rf"^{DEVICE_ID}$", NAME_WORDS)]
"""The name of one device, unique in a fleet: also its MQTT client id, and the Kafka key of its messages."""


def _iso_text(value: object) -> object:
    """Refuse what pydantic would take for seconds since 1970: numbers, and text that is a number."""
    if isinstance(value, datetime) or (isinstance(value, str) and value[4:5] == "-"):
        return value
    raise ValueError("should be an ISO 8601 text with an offset, such as 2026-03-01T12:00:00.000Z")


# Not strict, or a text would be no datetime; `_iso_text` is as narrow as strict is elsewhere.
UtcTime = Annotated[
    AwareDatetime, Field(strict=False, examples=["2026-03-01T12:00:00.000Z"]), BeforeValidator(_iso_text)
]
"""An instant, ISO 8601 with an offset; devices write UTC with milliseconds."""

# One text for each number: no leading zeros, and no digits of other scripts.
_NUMBER = "0|[1-9][0-9]{0,14}"
_ID = re.compile(f"({DEVICE_ID}):({_NUMBER}):({_NUMBER})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DEVICE_ID = re.compile(DEVICE_ID)
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_.-]+")


class Payload(BaseModel):
    """Base of all payloads. Fields a model does not know are kept: firmware may say more than the contract asks.

    Strict: a number written as text, or a bool for a number, is refused, as the published JSON Schema says.
    """

    model_config = ConfigDict(extra="allow", strict=True, use_attribute_docstrings=True)


Examples = tuple[dict[str, Any], ...]
"""Valid payloads of one model: for the published schemas, for documentation and for tests."""

EXAMPLE_TIME = "2026-03-02T08:15:00.000Z"
EXAMPLE_BOOT = 825667200


def example_head(device_id: str, seq: int) -> dict[str, Any]:
    """Return the fields with which the example of a measurement begins."""
    return {"device_id": device_id, "timestamp": EXAMPLE_TIME, "boot": EXAMPLE_BOOT, "seq": seq}


class Measurement(Payload):
    """A telemetry or event message: who measured, when, and which of its messages this is."""

    device_id: DeviceId
    timestamp: UtcTime
    """When it was measured, not when it was sent."""
    boot: Annotated[int, Field(ge=0, le=10**15 - 1)]
    """Boot counter: grows with every power-on or reset of the device."""
    seq: Annotated[int, Field(ge=0, le=10**15 - 1)]
    """Number of this message since that boot, from 0 and without gaps."""

    @property
    def message_id(self) -> "MessageId":
        """Return the id by which this message is known everywhere."""
        return MessageId(self.device_id, self.boot, self.seq)

    @property
    def timestamp_ms(self) -> int:
        """Return `timestamp` as milliseconds since 1970 UTC."""
        return (self.timestamp - _EPOCH) // timedelta(milliseconds=1)


class MessageId(NamedTuple):
    """`{device_id}:{boot}:{seq}`: Idempotency-Key, CloudEvents id and unique key in every store."""

    device_id: str
    boot: int
    seq: int

    def __str__(self) -> str:
        return f"{self.device_id}:{self.boot}:{self.seq}"

    @classmethod
    def parse(cls, text: str) -> "MessageId":
        """Read the text form back; raises `ContractError` for anything else."""
        match = _ID.fullmatch(text)
        if not match:
            raise ContractError(f"'{text}' is no message id: it has the form device_id:boot:seq")
        return cls(match[1], int(match[2]), int(match[3]))


def to_device_id(name: str) -> str:
    """Return a name as an id: itself where it may be one, else its letters that may, and a digest that tells it apart.

    The digest has 32 bits: of 10,000 such names two are the same with a chance of 1 %, where their letters are, too.
    """
    if _DEVICE_ID.fullmatch(name):
        return name
    letters = _NOT_IN_IDS.sub("-", name).strip("-._")[:50] or "device"
    return f"{letters}-{hashlib.blake2b(name.encode('utf-8', 'surrogatepass'), digest_size=4).hexdigest()}"
