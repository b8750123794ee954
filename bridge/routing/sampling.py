"""Takes a share of the messages; what it leaves out is counted as dropped by rule."""

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

_SHARE = re.compile(r"(?:(\d+)/(\d+)|(\d*\.?\d+))(?: by (device|message))?")


@dataclass(frozen=True, slots=True)
class Sampler:
    """Takes a share of the messages, or of the devices, always the same ones: `0.1`, `1/10` or `1/10 by device`."""

    share: float
    by: Literal["message", "device"] = "message"

    def keep(self, device_id: str, message_id: str) -> bool:
        """Decide whether a message goes on; the answer is the same after every restart and in every bridge."""
        text = message_id if self.by == "message" else device_id
        drawn = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
        return drawn < self.share * 2**64

    @classmethod
    def from_text(cls, value: object) -> "Sampler":
        """Read a share as it is configured. Raises `ValueError` for what is none."""
        match = _SHARE.fullmatch(str(value).strip())
        if isinstance(value, bool) or not match or (match[2] and not int(match[2])):
            raise ValueError(f"'{value}' is no sample: write a share such as 0.1, 1/10 or 1/10 by device")
        share = int(match[1]) / int(match[2]) if match[1] else float(match[3])
        if not 0 < share <= 1:
            raise ValueError(f"'{value}' is no share: it is above 0 and at most 1; to leave all out write drop: true")
        return cls(share, "device" if match[4] == "device" else "message")

    def __str__(self) -> str:
        return f"{self.share:g} by {self.by}"

    @classmethod
    def __get_pydantic_json_schema__(cls, _core: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": ["number", "string"]}

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, Sampler) else Sampler.from_text(value),
            serialization=core_schema.plain_serializer_function_ser_schema(str),
        )
