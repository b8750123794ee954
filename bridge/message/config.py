"""Reads an entry of `subscriptions`: a topic filter, and how what comes on it is to be read."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, ValidationError, model_validator

from edgewire.config import Config
from edgewire.config_errors import closest, explain_errors, located_error, text_matching
from edgewire.dialects.base import DialectDecoder, DialectError
from edgewire.dialects.encodings import EncodingName, encoding_fault
from edgewire.dialects.own_format import OwnFormat, OwnFormatDecoder
from edgewire.dialects.registry import DIALECTS
from edgewire.dialects.sparkplug import NAMESPACE, state_topic
from edgewire.messages import MEASUREMENT_FILTERS
from edgewire.messages.base import DEVICE_ID, NAME_WORDS
from edgewire.mqtt.errors import Unsendable
from edgewire.mqtt.filters import check_filter, filter_matches, is_shared, overlap

NATIVE_FORMAT = "edgefleet"
"""The format of the message contract."""
RAW_FORMAT = "none"
"""Bytes that nobody looks into."""
RAW_KIND = "raw"
"""The kind of such bytes, where none is set."""
OWN_FORMAT = "own"

_UNUSED: Mapping[str, frozenset[str]] = {
    NATIVE_FORMAT: frozenset({"timezone", "site", "kind", "roles", "retained"}),
    RAW_FORMAT: frozenset({"timezone", "roles"}),
}
"""Format -> keys that say nothing of it."""
RoleName = Literal["reading", "event", "availability", "state", "answer", "command", "description"]


class SubscriptionConfig(Config):
    """A topic filter, and how what comes on it is read."""

    filter: Annotated[str, Field(min_length=1)]
    """Topic filter, with the wildcards of MQTT."""
    decode: str | dict[str, Any] = NATIVE_FORMAT
    """`edgefleet` (the message contract), the name of a dialect, a mapping with `topic` and `payload` of a format of
    your own, or `none`: any bytes, forwarded as they are. A dialect's options stand beside its name: `{dialect: shelly,
    temperature_unit: F}`."""
    encoding: EncodingName = "json"
    """Of payloads in the message contract, and in formats of your own: `json`, `cbor` or `msgpack`. What is delivered
    is JSON in any case."""
    timezone: str | None = None
    """The zone of local times, such as `Europe/Berlin`. Without it they are not used: the time is that of arrival."""
    site: Annotated[str, text_matching(rf"^{DEVICE_ID}$", NAME_WORDS)] = "default"
    """The site of these devices, where neither topic nor payload has one."""
    kind: (
        Annotated[str, text_matching(r"^[a-z0-9_]{1,64}$", "lower-case letters, digits and '_', at most 64 of them")]
        | None
    ) = None
    """The kind of these devices. Without it: `bme280` where temperature, humidity and pressure are there, else
    `device`."""
    roles: Annotated[tuple[RoleName, ...], Field(min_length=1)] = ("reading", "event")
    """What is forwarded; the rest is counted as dropped by rule."""
    retained: Literal["drop", "forward"] = "drop"
    """What becomes of values that the broker had kept and sends because of the subscription: state, no new reading."""

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        try:
            check_filter(self.filter)
        except Unsendable as error:
            raise located_error(("filter",), str(error)) from None
        for name in sorted(self.model_fields_set & _UNUSED.get(self.format, frozenset())):
            what = (
                "the message contract has it itself" if self.format == NATIVE_FORMAT else "nobody looks into the bytes"
            )
            raise located_error((name,), f"is of no use with decode: {self.format}, as {what}; leave it out")
        if self.encoding != "json":
            fault = encoding_fault(self.encoding)
            if self.format in DIALECTS:
                fault = f"{self.format} has an encoding of its own: leave this out"
            elif self.format == RAW_FORMAT:
                fault = "nobody looks into the bytes with decode: none; leave it out"
            if fault:
                raise located_error(("encoding",), fault)
        if self.timezone is not None:
            try:
                ZoneInfo(self.timezone)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise located_error(
                    ("timezone",), f"there is no zone '{self.timezone}': Europe/Berlin is one"
                ) from None
        try:
            decoder = self.make_decoder()
        except (DialectError, ValueError) as error:
            raise located_error(("decode",), str(error)) from None
        if is_shared(self.filter) and getattr(decoder, "has_births", False):
            said = "is shared, and of it each member gets a part: births would come to one, and their data to another"
            raise located_error(("filter",), f"{said}; leave the share of '{self.filter}' out")
        if self.host_id is not None and not filter_matches(self.plain_filter, state := state_topic(self.host_id)):
            said = f"a host hears what is said of itself, and '{self.filter}' does not bring '{state}'"
            told = f"write {NAMESPACE}/#, or have host_id in a subscription of that topic"
            raise located_error(("filter",), f"{said}: {told}")
        # Of a dialect it is a warning: its filters are of what is known of its devices.
        if isinstance(decoder, OwnFormatDecoder) and not any(
            overlap(self.plain_filter, one) for one in decoder.filters
        ):
            said = f"can match nothing that '{self.filter}' brings: its topics are {', '.join(decoder.filters)}"
            raise located_error(("decode",), f"{said}; correct one of the two")
        return self

    @property
    def format(self) -> str:
        """Return the name of the format: `edgefleet`, `none`, `own`, or that of a dialect."""
        if isinstance(self.decode, str):
            return self.decode
        return str(self.decode["dialect"]) if "dialect" in self.decode else OWN_FORMAT

    @property
    def zone(self) -> ZoneInfo | None:
        """Return the zone of local times."""
        return ZoneInfo(self.timezone) if self.timezone else None

    @property
    def host_id(self) -> str | None:
        """Return as which host application of Sparkplug the bridge tells that it is there; None where it does not."""
        found: str | None = getattr(self.make_decoder(), "host_id", None)
        return found

    @property
    def plain_filter(self) -> str:
        """Return the filter without its share: what a topic is compared with."""
        return self.filter.split("/", 2)[2] if is_shared(self.filter) else self.filter

    @property
    def read_as_filter(self) -> str:
        """Return a filter that matches every topic of the contract that its messages are read as."""
        if self.format == NATIVE_FORMAT:
            return self.plain_filter
        if self.format == RAW_FORMAT:
            return f"edge/+/{self.kind or RAW_KIND}/+/telemetry"
        return f"edge/+/{self.kind or '+'}/+/+"

    @property
    def readable_filters(self) -> tuple[str, ...]:
        """Return filters that match whatever can be read in this format."""
        if self.format == NATIVE_FORMAT:
            return MEASUREMENT_FILTERS
        dialect = DIALECTS.get(self.format)
        decoder = self.make_decoder()
        return ("#",) if decoder is None or (dialect and dialect.any_topic) else decoder.filters

    @property
    def description_filters(self) -> tuple[str, ...]:
        """Return filters of what alone says what the values are; none where each message says it itself."""
        prefix = getattr(self.make_decoder(), "discovery_prefix", None)
        return () if prefix is None else (f"{prefix}/+/+/config", f"{prefix}/+/+/+/config")

    def make_decoder(self) -> DialectDecoder | None:
        """Return a new decoder; None for the message contract and for bytes. Raises `DialectError` or `ValueError`."""
        if self.decode in (NATIVE_FORMAT, RAW_FORMAT):
            return None
        options = {} if isinstance(self.decode, str) else dict(self.decode)
        name = self.decode if isinstance(self.decode, str) else options.pop("dialect", None)
        if name is None:
            return OwnFormatDecoder(_validated(OwnFormat, options))
        if name not in DIALECTS:
            names = (NATIVE_FORMAT, RAW_FORMAT, *DIALECTS)
            raise ValueError(f"there is no dialect '{name}'{closest(str(name), names)}; there are {', '.join(names)}")
        dialect = DIALECTS[name]
        return dialect.decoder(_validated(dialect.options, options))


Options = TypeVar("Options", bound=Config)


def _validated(model: type[Options], options: dict[str, Any]) -> Options:
    """Return the options of a decoder. Raises `ValueError` that says all that is wrong with them."""
    try:
        return model.model_validate(options)
    except ValidationError as error:
        raise ValueError("; ".join(fault.text for fault in explain_errors(error, model, None, options))) from None
