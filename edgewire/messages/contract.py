"""The one table of the contract: kind -> its messages, where they travel, and where they end up."""

import re
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, cast, get_args, get_origin

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

    def count_fields(self, fields: Mapping[str, Any]) -> int:
        """Return how many fields the largest of its messages has that a payload has all of; 0 where there is none."""
        models = (message.model for message in self.messages)
        return max(
            (len(model.model_fields) for model in models if model.model_fields.keys() <= fields.keys()), default=0
        )

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of the payloads of this kind."""
        return self._adapter.json_schema()


class ContractTable(Mapping[str, KindContract]):
    """Holds the contract of every kind by its name: those that come with edgefleet, and behind them those added since.

    Others are added by plug-ins and by scenarios that declare kinds of their own; one of a process has one meaning.
    """

    def __init__(self, contracts: Iterable[KindContract]) -> None:
        self._contracts = {contract.kind: contract for contract in contracts}
        self.marked = tuple(self._contracts.values())
        """Those that come with edgefleet, which are known by their markers."""
        self.added: tuple[KindContract, ...] = ()
        """The others, which are known by all their fields."""

    def __getitem__(self, kind: str) -> KindContract:
        return self._contracts[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(self._contracts)

    def __len__(self) -> int:
        return len(self._contracts)

    def add(self, contract: KindContract) -> None:
        """Add a kind, or replace one that was added. Raises `ContractError` for the name of one of edgefleet's own."""
        if self.is_reserved(contract.kind):
            raise ContractError(f"kind '{contract.kind}' comes with edgefleet: give yours another name")
        self._contracts[contract.kind] = contract
        self._list_added()

    def remove(self, kind: str) -> None:
        """Take away a kind that was added; nothing happens where there is none."""
        if not self.is_reserved(kind):
            self._contracts.pop(kind, None)
            self._list_added()

    def is_reserved(self, kind: str) -> bool:
        """Return whether nobody else may give a kind this name."""
        return kind == DEVICE_KIND or any(kind == contract.kind for contract in self.marked)

    def _list_added(self) -> None:
        self.added = tuple(self._contracts.values())[len(self.marked) :]


DEVICE_KIND = "device"
"""What the bridge reads in messages of other makers' devices, and devices with several parts."""

CONTRACT = ContractTable(
    (
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
)
"""Every kind. A new one is a file with its models and their examples, and one entry here.

The order matters to `kind_of`: telematics and people both have an `event_type`, so the narrower marker comes first.
"""

DEVICE_CONTRACT = KindContract(
    DEVICE_KIND,
    "source",
    "/ingest/device",
    (MessageType(DeviceReading, Channel.TELEMETRY, "device_readings", DEVICE_EXAMPLES),),
)
"""Of what the bridge reads in messages of other makers' devices; the values have no fixed names, so that it has neither
emulated devices nor tables."""

ACCEPTED: Mapping[str, KindContract] = ChainMap({DEVICE_CONTRACT.kind: DEVICE_CONTRACT}, cast("Any", CONTRACT))
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
    A kind that was added is told by all its fields, where no other kind has as many of those of the payload.
    """
    if not isinstance(fields, dict):
        raise ContractError(_NO_OBJECT)
    found = _marked(fields)
    if CONTRACT.added:
        least = 0 if found is None else found.count_fields(fields)
        for contract in CONTRACT.added:
            count = contract.count_fields(fields)
            if count > least:
                found, least = contract, count
    if found is not None:
        return found
    told = [*CONTRACT.marked, DEVICE_CONTRACT]
    markers = ", ".join(f"{contract.marker} ({contract.kind})" for contract in told)
    others = "".join(f", nor all of {contract.kind}" for contract in CONTRACT.added)
    raise ContractError(f"payload of no known kind: it has none of the fields {markers}{others}")


def _marked(fields: dict[str, Any]) -> KindContract | None:
    """Return the kind of edgefleet's own whose marker a payload has."""
    is_device = isinstance(fields.get(DEVICE_CONTRACT.marker), dict)
    for contract in CONTRACT.marked:
        if contract.marker in fields and not (is_device and contract.lacks_fields(fields)):
            return contract
    return DEVICE_CONTRACT if DEVICE_CONTRACT.marker in fields else None
