"""The one table of the contract: kind -> its messages, where they travel, and where they end up."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args, get_origin

import orjson
from pydantic import Field, TypeAdapter, ValidationError

from edgewire.config import describe_error
from edgewire.messages.base import ContractError, Examples, Measurement
from edgewire.messages.bme280 import BME280_EXAMPLES, Bme280Reading
from edgewire.messages.device import DEVICE_EXAMPLES, DeviceReading
from edgewire.messages.gps import GPS_EXAMPLES, GpsPosition
from edgewire.messages.people import (
    COUNT_EXAMPLES,
    CROSSING_EXAMPLES,
    SESSION_EXAMPLES,
    FootTrafficCount,
    FootTrafficCrossing,
    FootTrafficSession,
)
from edgewire.messages.telematics import TELEMATICS_EXAMPLES, TelematicsEvent
from edgewire.messages.topics import Channel
from edgewire.messages.traffic import TRAFFIC_EXAMPLES, TrafficEvent

KAFKA_TOPIC = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
"""What a topic of Kafka may be called."""
_NO_OBJECT = "payload is JSON, but not an object with the fields of a message"


@dataclass(frozen=True, slots=True)
class MessageType:
    """One shape of message of a kind, and the Kafka topic it belongs to by default."""

    model: type[Measurement]
    channel: Channel
    kafka_topic: str
    examples: Examples
    """At least one, the most telling first."""

    def __post_init__(self) -> None:
        if not self.examples:
            raise ValueError(f"{self.model.__name__} has no example: the published schemas show one")

    @property
    def event_types(self) -> tuple[str, ...]:
        """The values of `event_type` that mark this shape; none where it takes any, or has no such field."""
        field = self.model.model_fields.get("event_type")
        return get_args(field.annotation) if field and get_origin(field.annotation) is Literal else ()


@dataclass(frozen=True, slots=True)
class KindContract:
    """All that is agreed on a kind of device: its messages, its route and how it is recognised."""

    kind: str
    marker: str
    """The field by which a payload of this kind is known where no topic says so (see `kind_of`)."""
    http_path: str
    """Takes one JSON message a POST."""
    messages: tuple[MessageType, ...]
    _adapter: TypeAdapter[Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        models = tuple(message.model for message in self.messages)
        # Several shapes of one kind are told apart by their `event_type`.
        union: Any = models[0]
        for model in models[1:]:
            union = union | model  # a runtime union: the models are known only here
        annotated: Any = Annotated[union, Field(discriminator="event_type")] if len(models) > 1 else union
        adapter: TypeAdapter[Any] = TypeAdapter(annotated)
        object.__setattr__(self, "_adapter", adapter)

    def parse(self, payload: bytes | str) -> Measurement:
        """Return the message in a JSON payload; raises `ContractError` that names the field and what is wrong."""
        try:
            return self.check(orjson.loads(payload))
        except orjson.JSONDecodeError as error:
            raise ContractError(f"payload is not JSON: {error}") from None

    def check(self, fields: object) -> Measurement:
        """Return the message in JSON that is already decoded; otherwise as `parse`."""
        if not isinstance(fields, dict):
            raise ContractError(_NO_OBJECT)
        try:
            message: Measurement = self._adapter.validate_python(fields)
        except ValidationError as error:
            raise ContractError(describe_error(error)) from None
        return message

    def lacks_fields(self, fields: Mapping[str, Any]) -> bool:
        """Return whether none of the messages of this kind could have these fields and no others."""
        return not any(
            all(name in fields for name, field in message.model.model_fields.items() if field.is_required())
            for message in self.messages
        )

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of the payloads of this kind."""
        return self._adapter.json_schema()


CONTRACT: Mapping[str, KindContract] = MappingProxyType(
    {
        contract.kind: contract
        for contract in (
            KindContract(
                "bme280",
                "pressure_hpa",
                "/api/v1/sensors/bme280",
                (MessageType(Bme280Reading, Channel.TELEMETRY, "sensors.bme280", BME280_EXAMPLES),),
            ),
            KindContract(
                "traffic",
                "vehicle_count",
                "/ingest/traffic",
                (MessageType(TrafficEvent, Channel.TELEMETRY, "traffic_events", TRAFFIC_EXAMPLES),),
            ),
            KindContract(
                "gps",
                "fix",
                "/ingest/gps",
                (MessageType(GpsPosition, Channel.TELEMETRY, "gps_positions", GPS_EXAMPLES),),
            ),
            KindContract(
                "telematics",
                "event_id",
                "/telematics/ingest",
                (MessageType(TelematicsEvent, Channel.EVENT, "telematics_events", TELEMATICS_EXAMPLES),),
            ),
            KindContract(
                "people",
                "event_type",
                "/ingest/people",
                (
                    MessageType(FootTrafficSession, Channel.EVENT, "foot_traffic", SESSION_EXAMPLES),
                    MessageType(FootTrafficCrossing, Channel.EVENT, "foot_traffic_realistic", CROSSING_EXAMPLES),
                    MessageType(FootTrafficCount, Channel.TELEMETRY, "foot_traffic_counts", COUNT_EXAMPLES),
                ),
            ),
        )
    }
)
"""Every kind. A new one is a file with its models and their examples, and one entry here.

The order matters to `kind_of`: telematics and people both have an `event_type`, so the narrower marker comes first.
"""

DEVICE_CONTRACT = KindContract(
    "device",
    "source",
    "/ingest/device",
    (MessageType(DeviceReading, Channel.TELEMETRY, "device_readings", DEVICE_EXAMPLES),),
)
"""Of what the bridge reads in messages of other makers' devices; the values have no fixed names, so that it has neither
emulated devices nor tables."""

ACCEPTED: Mapping[str, KindContract] = MappingProxyType({**CONTRACT, DEVICE_CONTRACT.kind: DEVICE_CONTRACT})
"""Every kind that the bridge delivers and ingest takes."""

BATCH_PATH = "/ingest/batch"
"""Takes `application/x-ndjson`, messages of all kinds, and answers per line."""


def contract_of(kind: str) -> KindContract:
    """Return the contract of a kind; raises `ContractError` that lists the kinds there are."""
    try:
        return ACCEPTED[kind]
    except KeyError:
        raise ContractError(f"kind '{kind}' is not one of {', '.join(ACCEPTED)}") from None


def kind_of(fields: object) -> KindContract:
    """Return the contract of a decoded payload, told by the first marker field it has; `ContractError` if by none.

    What the bridge has read in a message of another maker's device may have one field of a kind and not the others.
    """
    if not isinstance(fields, dict):
        raise ContractError(_NO_OBJECT)
    is_device = isinstance(fields.get(DEVICE_CONTRACT.marker), dict)
    for contract in ACCEPTED.values():
        if contract.marker in fields and not (is_device and contract.lacks_fields(fields)):
            return contract
    markers = ", ".join(f"{contract.marker} ({contract.kind})" for contract in ACCEPTED.values())
    raise ContractError(f"payload of no known kind: it has none of the fields {markers}")
