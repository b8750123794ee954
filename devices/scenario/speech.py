"""Says how the devices of a group speak where it is not the message contract: a dialect, or the user's own format."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from devices.scenario.device_parts import PART, PartPlace
from devices.scenario.gateway import GatewayOptions
from devices.sensors.derived import spoken_fields
from devices.sensors.registry import KINDS
from edgewire.config import Config, DurationMs, SizeBytes
from edgewire.config_errors import closest, explain_errors, located_error
from edgewire.dialects.base import DialectDecoder, DialectError
from edgewire.dialects.encoder import DialectEncoder, GatewayEncoder, LoginEncoder, MessageTemplate
from edgewire.dialects.home_assistant_discovery import DiscoveryWriter, HomeAssistantDiscovery, Spoken
from edgewire.dialects.own_encoder import OwnFormatEncoder
from edgewire.dialects.own_format import known_fields, mapped_fields
from edgewire.dialects.payload_template import braced_names, compile_payload, named_in
from edgewire.dialects.reading_lists import has_each
from edgewire.dialects.registry import DIALECTS, unknown_dialect
from edgewire.dialects.topic_check import shown_topic, text_fault, topic_fault
from edgewire.messages import CONTRACT, Channel
from edgewire.messages.topics import ROOT

NATIVE_DIALECT = "edgefleet"
"""The message contract."""
DEVICE_NAMES = frozenset({"id", "site", "kind", "mac", "n", "tail"})
"""Names that stand in braces for what every device has; `tail` is the last two letters of its id."""

GATEWAY = "gateway"
"""The name that stands in braces for the id of the gateway of a device that has one."""

OF_ONE_DEVICE = frozenset({"id", "mac", "n"})
"""Those of them that no two devices of a kind share."""


class SpeechError(ValueError):
    """Something beside a payload cannot be said by devices."""

    def __init__(self, key: str, said: str) -> None:
        """Name the key of a message that is about it."""
        super().__init__(said)
        self.key = key


class MessageProperties(Config):
    """Properties of MQTT 5 that messages have; a broker of 3.1.1 does not see them."""

    content_type: str | None = Field(default=None, min_length=1, max_length=200)
    """Such as `application/json`."""
    message_expiry: DurationMs | None = Field(default=None, ge=1000, le=4_294_967_295_000)
    """How long a message is of use: a broker drops those that wait longer."""
    user: dict[str, str] = Field(default={}, max_length=32)
    """User properties. A value may have names in braces, such as `{site}`."""

    @model_validator(mode="after")
    def _are_texts_of_mqtt(self) -> Self:
        for name, value in (("content_type", self.content_type or ""), *self.user.items()):
            place = ("content_type",) if value is self.content_type else ("user", shown_topic(name))
            if fault := text_fault(name) or text_fault(value):
                raise located_error(place, f"'{shown_topic(value)}' {fault}")
        return self

    @property
    def spoken(self) -> dict[str, Any]:
        """Return them as `edgewire.dialects.encoder.MessageTemplate` has them."""
        found: dict[str, Any] = {}
        if self.content_type is not None:
            found["content_type"] = self.content_type
        if self.message_expiry is not None:
            found["message_expiry_s"] = self.message_expiry // 1000
        if self.user:
            found["user"] = dict(self.user)
        return found


class OwnMessage(Config):
    """A message of the user's own format."""

    topic: str
    """With names in braces: `{id}`, `{site}`, `{kind}`, `{mac}`, `{n}`."""
    payload: Any
    """Names of fields stand for their values; see your-own-format.md."""
    retain: bool = False
    """Whether the broker keeps the last of them."""
    pad_to: SizeBytes = Field(default=0, ge=0, le=268_435_455)
    """A shorter payload has so many spaces at its end that it is as long."""
    properties: MessageProperties = MessageProperties()
    """Of MQTT 5."""

    def template(self, own_names: frozenset[str] = frozenset(), batch: int | None = None) -> MessageTemplate:
        """Return it as an encoder has it; a name of the user's own may stand in the payload as those of fields do.

        `batch` is how many readings it says at once, where it has lists of them. Raises `ValueError`.
        """
        payload = _with_braces(self.payload, own_names - known_fields())
        has_lists = has_each(payload) and any(field.each_at >= 0 for field in mapped_fields(payload, ()))
        if has_lists and batch is None:
            raise ValueError("each stands for a list of several readings: write batch beside it, such as batch: 6")
        return MessageTemplate(
            self.topic,
            payload,
            retain=self.retain,
            pad_to=self.pad_to,
            batch=batch if batch is not None and has_lists else 0,
            properties=self.properties.spoken,
        )


def _with_braces(node: Any, names: frozenset[str]) -> Any:
    """Return a payload in which the names that stand alone stand in braces."""
    if isinstance(node, dict):
        return {key: _with_braces(inner, names) if key != "const" else inner for key, inner in node.items()}
    if isinstance(node, list):
        return [_with_braces(inner, names) for inner in node]
    return f"{{{node}}}" if isinstance(node, str) and node in names else node


def read_dialect(
    dialect: str | Mapping[str, Any],
    kind: str,
    own_names: frozenset[str] = frozenset(),
    *,
    has_gateways: bool = False,
) -> DialectEncoder:
    """Return what writes the messages of devices of a kind, with a gateway or without. Raises `ValueError`."""
    options = {} if isinstance(dialect, str) else dict(dialect)
    name = dialect if isinstance(dialect, str) else options.pop("dialect", None)
    spoken = {one.name: one for one in DIALECTS.values() if one.encoder is not None}
    found = spoken.get(str(name))
    if found is None or found.encoder is None:
        names = (NATIVE_DIALECT, *spoken)
        if name == "homeassistant":
            raise ValueError("Home Assistant's discovery goes with other dialects: write `discovery: homeassistant`")
        said = f"there is no dialect '{name}'{closest(str(name), names)}; there are {', '.join(names)}"
        raise ValueError(said + unknown_dialect(str(name)))
    try:
        given = found.options.model_validate(options)
    except ValidationError as error:
        faults = explain_errors(error, found.options, None, options)
        raise ValueError("; ".join(fault.text for fault in faults)) from None
    has_other = has_gateways and found.gateway_encoder is not None
    encoder = found.gateway_encoder(given, kind) if has_other and found.gateway_encoder else found.encoder(given, kind)
    # A dialect that has no word for events says none.
    own_names |= {GATEWAY} if has_other or isinstance(encoder, GatewayEncoder) else set()
    check_spoken(kind, encoder, own_names, says_events=False)
    return encoder


def read_options(dialect: str | Mapping[str, Any]) -> Config | None:
    """Return the options of a dialect that `read_dialect` takes; None for the message contract."""
    options = {} if isinstance(dialect, str) else dict(dialect)
    found = DIALECTS.get(dialect if isinstance(dialect, str) else str(options.pop("dialect", None)))
    return None if found is None else found.options.model_validate(options)


def dialect_decoder(dialect: str | Mapping[str, Any]) -> DialectDecoder:
    """Return what reads the messages of devices that speak a dialect, which `read_dialect` takes."""
    options = {} if isinstance(dialect, str) else dict(dialect)
    found = DIALECTS[dialect if isinstance(dialect, str) else str(options.pop("dialect", None))]
    return found.decoder(found.options.model_validate(options))


def own_encoder(
    kind: str,
    messages: Sequence[OwnMessage],
    events: Sequence[OwnMessage],
    own_names: frozenset[str] = frozenset(),
    *,
    has_gateways: bool = False,
    batch: int | None = None,
) -> DialectEncoder:
    """Return what writes messages of the user's own format, with names of the user's own in braces.

    `batch` is how many readings those messages say at once that have lists of them. Raises `ValueError`.
    """
    own_names |= {GATEWAY} if has_gateways else set()
    templates = [message.template(own_names, batch) for message in messages]
    of_events = [message.template(own_names, 1) for message in events]
    if any(template.batch for template in of_events):
        raise ValueError("each is of readings: an event is said as it happens; write its fields without each")
    encoder = OwnFormatEncoder(templates, of_events)
    check_spoken(kind, encoder, own_names)
    return encoder


def check_gateway(
    gateway: GatewayOptions | None, dialect: str, encoder: DialectEncoder | None, *, has_several: bool
) -> None:
    """Raise `ValueError` with a sentence where devices that speak like this can have no gateway, or need one."""
    found = DIALECTS.get(dialect)
    if gateway is None:
        return
    if found is not None and not (found.has_gateways or found.gateway_encoder):
        with_gateways = (one.name for one in DIALECTS.values() if one.has_gateways or one.gateway_encoder)
        spoken = ", ".join([NATIVE_DIALECT, *with_gateways])
        raise ValueError(
            f"each device that speaks {dialect} has a connection of its own: leave this out, or speak {spoken}"
            " or a format of your own"
        )
    if isinstance(encoder, GatewayEncoder) and has_several and "{gateway}" not in encoder.base_topic:
        raise ValueError(
            f"all gateways would speak below '{encoder.base_topic}': write {{gateway}} into base_topic, such as"
            f" {encoder.base_topic}/{{gateway}}"
        )
    if gateway.availability is None:
        return
    if not isinstance(encoder, OwnFormatEncoder):
        raise ValueError("availability is of a format of your own: the others have a message of their own for it")
    topic, *texts = gateway.availability.topic, gateway.availability.online, gateway.availability.offline
    if fault := topic_fault(topic):
        raise ValueError(f"topic '{shown_topic(topic)}' {fault}")
    for name in (name for text in (topic, *texts) for name in braced_names(text)):
        if name not in ("gateway", "site"):
            raise ValueError(f"nothing is called {{{name}}} at a gateway; there are gateway, site")
    if has_several and "{gateway}" not in topic:
        raise ValueError(f"all gateways would speak on '{topic}': write {{gateway}} into it")


def shared_topics(kind: str, encoder: DialectEncoder) -> list[str]:
    """Return the topics on which all devices speak, and where nothing in the payload tells them apart."""
    shared = []
    for channel, messages in spoken_messages(kind, encoder).items():
        for message in messages:
            fields, names = named_in(compile_payload(message.payload, spoken_fields(kind, channel)))
            if OF_ONE_DEVICE.isdisjoint({*fields, *names, *braced_names(message.topic)}):
                shared.append(message.topic)
    return shared


def is_known_by_login(encoder: DialectEncoder | None) -> bool:
    """Return whether only the server that devices log in to can tell which of them speaks."""
    return isinstance(encoder, LoginEncoder) and encoder.is_known_by_login


def topics_of_many(kind: str, encoder: DialectEncoder) -> list[str]:
    """Return the topics on which all devices speak, whether or not the payload tells them apart."""
    messages = [message for found in spoken_messages(kind, encoder).values() for message in found]
    return [one.topic for one in messages if OF_ONE_DEVICE.isdisjoint(braced_names(one.topic))]


def spoken_messages(kind: str, encoder: DialectEncoder) -> dict[Channel, tuple[MessageTemplate, ...]]:
    """Return what is said of each row of a kind's messages, by their channel."""
    reading = KINDS[kind].channel
    messages = {reading: tuple(encoder.messages)}
    if reading is not Channel.EVENT:
        messages[Channel.EVENT] = tuple(encoder.events)
    return messages


def check_spoken(
    kind: str, encoder: DialectEncoder, own_names: frozenset[str] = frozenset(), *, says_events: bool = True
) -> None:
    """Raise `ValueError` for a message that says what devices of this kind do not have, and for events unsaid."""
    has_events = any(message.channel is Channel.EVENT for message in CONTRACT[kind].messages)
    if encoder.events and not has_events:
        raise SpeechError("events", f"{kind} has no events beside its readings: leave this out")
    unsaid = says_events and KINDS[kind].channel is not Channel.EVENT and not encoder.events
    if unsaid and has_events:
        raise ValueError(f"{kind} has events beside its readings, and they would not be said: write `events` for them")
    for channel, messages in spoken_messages(kind, encoder).items():
        known = spoken_fields(kind, channel)
        for message in messages:
            if fault := topic_fault(message.topic):
                raise SpeechError("topic", f"topic '{shown_topic(message.topic)}' {fault}")
            fields, braced = named_in(compile_payload(message.payload, known))
            user = [name for text in message.properties.get("user", {}).values() for name in braced_names(text)]
            for key, names in (("topic", braced_names(message.topic)), ("payload", braced), ("properties", user)):
                for name in names:
                    if name not in DEVICE_NAMES and name not in own_names:
                        raise SpeechError(key, _unknown_name(name, own_names))
            for name in fields:
                if name not in known:
                    near = get_close_matches(name, known, 1)
                    hint = f"; did you mean '{near[0]}'?" if near else f"; there are {', '.join(sorted(known))}"
                    raise ValueError(f"{kind} has no field '{name}'{hint}")


def _unknown_name(name: str, own_names: frozenset[str]) -> str:
    if name == GATEWAY and PART not in own_names:
        return "there is no {gateway}: the group has none; give it gateway: {count: …}"
    there = sorted(DEVICE_NAMES | own_names)
    return f"nothing is called {{{name}}}{closest(name, there)}; there are {', '.join(there)}"


def spoken_by(kind: str, encoder: DialectEncoder | None, part: PartPlace | None = None) -> Spoken:
    """Return the messages of devices of a kind, in the message contract without an encoder, as discovery needs them.

    In the contract a `part` of a device has an id of its own.
    """
    if encoder is not None:
        return Spoken(tuple(encoder.messages), tuple(encoder.events))
    found: dict[Channel, list[MessageTemplate]] = {}
    for message in CONTRACT[kind].messages:
        names = {name: field for name, field in message.model.model_fields.items() if name != "device_id"}
        payload = {
            name: name if field.is_required() else {"from": name, "optional": True} for name, field in names.items()
        }
        own_id = "{id}" if part is None else "{id}.{part}"
        topic = f"{ROOT}/{{site}}/{{kind}}/{own_id}/{message.channel.value}"
        found.setdefault(message.channel, []).append(MessageTemplate(topic, payload))
    reading = KINDS[kind].channel
    events = () if reading is Channel.EVENT else tuple(found.get(Channel.EVENT, ()))
    return Spoken(tuple(found[reading]), events)


def discovery_writer(
    options: HomeAssistantDiscovery,
    kind: str,
    dialect: str,
    encoder: DialectEncoder | None,
    part: PartPlace | None = None,
) -> DiscoveryWriter:
    """Return what describes devices to Home Assistant. Raises `DialectError`."""
    if dialect == "esphome":
        raise DialectError("ESPHome describes itself to Home Assistant: leave this out")
    if encoder is not None and any(one.rewrite is not None for one in (*encoder.messages, *encoder.events)):
        raise DialectError(f"Home Assistant finds values by their place in JSON, and not in {dialect}: leave this out")
    spoken, known = spoken_by(kind, encoder, part), spoken_fields(kind, KINDS[kind].channel)
    if part is None:
        return DiscoveryWriter(options, kind, spoken, known)
    return DiscoveryWriter(options, kind, spoken, known, part=part.part, model=" + ".join(part.parts))


def check_batch(kind: str, encoder: DialectEncoder | None) -> None:
    """Raise `ValueError` where no message of devices of a kind can say several readings."""
    if any(message.channel is Channel.EVENT for message in CONTRACT[kind].messages):
        raise ValueError(
            f"{kind} tells what happens as it happens, and readings and events share their numbers: each is a message"
            " of its own; leave this out"
        )
    if not isinstance(encoder, OwnFormatEncoder):
        raise ValueError("is of a format of your own, whose payload says what each reading has; leave it out")
    if not any(message.batch for message in encoder.messages):
        raise ValueError("no payload has a list of readings: write {each: …} around what each reading has")


def has_message_ids(kind: str, encoder: DialectEncoder) -> bool:
    """Return whether all that is said has the device's boot and number in it, by which it is known again."""
    return isinstance(encoder, OwnFormatEncoder) and all(_have_numbers(kind, encoder))


def has_some_message_ids(kind: str, encoder: DialectEncoder) -> bool:
    """Return whether some of what is said has the device's boot and number in it."""
    return isinstance(encoder, OwnFormatEncoder) and any(_have_numbers(kind, encoder))


def _have_numbers(kind: str, encoder: DialectEncoder) -> Iterator[bool]:
    for channel, messages in spoken_messages(kind, encoder).items():
        for one in messages:
            yield {"boot", "seq"} <= set(named_in(compile_payload(one.payload, spoken_fields(kind, channel)))[0])
