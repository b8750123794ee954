"""The properties of MQTT 5: one table says the identifier, the form and the packets of each.

A property in a packet where it does not belong, a second one of a kind that may stand once, and a value outside its
range are protocol errors.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any, NamedTuple, TypedDict, cast

from edgewire.mqtt.codec import FieldReader, malformed, write_binary, write_int, write_text, write_varint
from edgewire.mqtt.errors import ProtocolError, Unsendable


class Properties(TypedDict, total=False):
    """The properties of one packet, by their names in the standard."""

    payload_format_indicator: int
    message_expiry_interval: int
    content_type: str
    response_topic: str
    correlation_data: bytes
    subscription_identifier: tuple[int, ...]
    session_expiry_interval: int
    assigned_client_identifier: str
    server_keep_alive: int
    authentication_method: str
    authentication_data: bytes
    request_problem_information: int
    will_delay_interval: int
    request_response_information: int
    response_information: str
    server_reference: str
    reason_string: str
    receive_maximum: int
    topic_alias_maximum: int
    topic_alias: int
    maximum_qos: int
    retain_available: int
    user_property: tuple[tuple[str, str], ...]
    maximum_packet_size: int
    wildcard_subscription_available: int
    subscription_identifier_available: int
    shared_subscription_available: int


NO_PROPERTIES: Properties = {}
"""The one empty mapping that every packet without properties shares: nothing is ever put into it."""


class PropertyScope(Enum):
    """Names what may carry a property: the packet types, and the will inside CONNECT."""

    CONNECT = auto()
    WILL = auto()
    CONNACK = auto()
    PUBLISH = auto()
    PUBACK = auto()
    PUBREC = auto()
    PUBREL = auto()
    PUBCOMP = auto()
    SUBSCRIBE = auto()
    SUBACK = auto()
    UNSUBSCRIBE = auto()
    UNSUBACK = auto()
    DISCONNECT = auto()
    AUTH = auto()


class PropertyForm(Enum):
    """Says how a property is written."""

    FLAG = auto()  # one byte, 0 or 1
    U16 = auto()
    COUNT16 = auto()  # two bytes, not 0
    U32 = auto()
    COUNT32 = auto()  # four bytes, not 0
    IDENTIFIERS = auto()  # variable byte integers, not 0; several only in PUBLISH
    TEXT = auto()
    TOPIC = auto()  # a text without wildcards
    BINARY = auto()
    PAIRS = auto()  # pairs of texts, as many as one likes


class PropertyRule(NamedTuple):
    """One line of the table of properties."""

    identifier: int
    name: str
    form: PropertyForm
    scopes: frozenset[PropertyScope]


def _rule(identifier: int, name: str, form: PropertyForm, scopes: str) -> PropertyRule:
    return PropertyRule(identifier, name, form, frozenset(PropertyScope[scope] for scope in scopes.split()))


_ANYWHERE = " ".join(PropertyScope.__members__)
_ANSWERS = "CONNACK PUBACK PUBREC PUBREL PUBCOMP SUBACK UNSUBACK DISCONNECT AUTH"
_AUTHENTICATION = "CONNECT CONNACK AUTH"

PROPERTY_RULES = (
    _rule(0x01, "payload_format_indicator", PropertyForm.FLAG, "PUBLISH WILL"),
    _rule(0x02, "message_expiry_interval", PropertyForm.U32, "PUBLISH WILL"),
    _rule(0x03, "content_type", PropertyForm.TEXT, "PUBLISH WILL"),
    _rule(0x08, "response_topic", PropertyForm.TOPIC, "PUBLISH WILL"),
    _rule(0x09, "correlation_data", PropertyForm.BINARY, "PUBLISH WILL"),
    _rule(0x0B, "subscription_identifier", PropertyForm.IDENTIFIERS, "PUBLISH SUBSCRIBE"),
    _rule(0x11, "session_expiry_interval", PropertyForm.U32, "CONNECT CONNACK DISCONNECT"),
    _rule(0x12, "assigned_client_identifier", PropertyForm.TEXT, "CONNACK"),
    _rule(0x13, "server_keep_alive", PropertyForm.U16, "CONNACK"),
    _rule(0x15, "authentication_method", PropertyForm.TEXT, _AUTHENTICATION),
    _rule(0x16, "authentication_data", PropertyForm.BINARY, _AUTHENTICATION),
    _rule(0x17, "request_problem_information", PropertyForm.FLAG, "CONNECT"),
    _rule(0x18, "will_delay_interval", PropertyForm.U32, "WILL"),
    _rule(0x19, "request_response_information", PropertyForm.FLAG, "CONNECT"),
    _rule(0x1A, "response_information", PropertyForm.TEXT, "CONNACK"),
    _rule(0x1C, "server_reference", PropertyForm.TEXT, "CONNACK DISCONNECT"),
    _rule(0x1F, "reason_string", PropertyForm.TEXT, _ANSWERS),
    _rule(0x21, "receive_maximum", PropertyForm.COUNT16, "CONNECT CONNACK"),
    _rule(0x22, "topic_alias_maximum", PropertyForm.U16, "CONNECT CONNACK"),
    _rule(0x23, "topic_alias", PropertyForm.COUNT16, "PUBLISH"),
    _rule(0x24, "maximum_qos", PropertyForm.FLAG, "CONNACK"),
    _rule(0x25, "retain_available", PropertyForm.FLAG, "CONNACK"),
    _rule(0x26, "user_property", PropertyForm.PAIRS, _ANYWHERE),
    _rule(0x27, "maximum_packet_size", PropertyForm.COUNT32, "CONNECT CONNACK"),
    _rule(0x28, "wildcard_subscription_available", PropertyForm.FLAG, "CONNACK"),
    _rule(0x29, "subscription_identifier_available", PropertyForm.FLAG, "CONNACK"),
    _rule(0x2A, "shared_subscription_available", PropertyForm.FLAG, "CONNACK"),
)
_BY_IDENTIFIER = {rule.identifier: rule for rule in PROPERTY_RULES}
_BY_NAME = {rule.name: rule for rule in PROPERTY_RULES}

_LISTS = (PropertyForm.IDENTIFIERS, PropertyForm.PAIRS)
_NEVER_ZERO = (PropertyForm.COUNT16, PropertyForm.COUNT32, PropertyForm.IDENTIFIERS)
_SIZES = {
    PropertyForm.FLAG: 1,
    PropertyForm.U16: 2,
    PropertyForm.COUNT16: 2,
    PropertyForm.U32: 4,
    PropertyForm.COUNT32: 4,
}


def write_properties(properties: Properties, scope: PropertyScope) -> bytes:
    """Return the property length and the properties, in the order given.

    Raises `Unsendable` for one that does not belong here or is out of range.
    """
    if not properties:
        return b"\x00"
    parts: list[bytes] = []
    for name, value in cast("Mapping[str, Any]", properties).items():
        rule = _BY_NAME.get(name)
        if rule is None or scope not in rule.scopes:
            raise Unsendable(f"{scope.name} has no property '{name}'")
        head = bytes((rule.identifier,))
        parts.extend(head + written for written in _write_values(rule, value, scope))
    body = b"".join(parts)
    return write_varint(len(body)) + body


def _write_values(rule: PropertyRule, value: Any, scope: PropertyScope) -> list[bytes]:
    match rule.form:
        case PropertyForm.TEXT:
            return [write_text(value)]
        case PropertyForm.TOPIC:
            if "+" in value or "#" in value:
                raise Unsendable(f"the property '{rule.name}' of {scope.name} has a wildcard: '{value}'")
            return [write_text(value)]
        case PropertyForm.BINARY:
            return [write_binary(value)]
        case PropertyForm.PAIRS:
            return [write_text(name) + write_text(text) for name, text in value]
        case PropertyForm.IDENTIFIERS:
            if not value or not all(value) or (len(value) > 1 and not _repeatable(rule, scope)):
                raise Unsendable(f"{scope.name} cannot carry the subscription identifiers {value}")
            return [write_varint(one) for one in value]
        case _:
            if (rule.form is PropertyForm.FLAG and value > 1) or (rule.form in _NEVER_ZERO and not value):
                raise Unsendable(f"{value} is out of range for the property '{rule.name}'")
            return [write_int(value, _SIZES[rule.form])]


def read_properties(reader: FieldReader, scope: PropertyScope) -> Properties:
    """Return the properties that stand next in `reader`."""
    length = reader.varint()
    if not length:
        return NO_PROPERTIES
    inner = FieldReader(reader.read(length))
    found: dict[str, Any] = {}
    while inner.more:
        identifier = inner.varint()
        rule = _BY_IDENTIFIER.get(identifier)
        if rule is None:
            raise malformed(f"{scope.name} has the unknown property 0x{identifier:02x}")
        if scope not in rule.scopes:
            raise ProtocolError(f"{scope.name} has the property '{rule.name}', which does not belong there")
        if rule.name in found and not _repeatable(rule, scope):
            raise ProtocolError(f"{scope.name} has the property '{rule.name}' twice")
        value = _read_value(inner, rule)
        if rule.form in _LISTS:
            found.setdefault(rule.name, []).append(value)
        else:
            found[rule.name] = value
    return cast("Properties", {name: tuple(value) if type(value) is list else value for name, value in found.items()})


def _repeatable(rule: PropertyRule, scope: PropertyScope) -> bool:
    return rule.form is PropertyForm.PAIRS or (rule.form is PropertyForm.IDENTIFIERS and scope is PropertyScope.PUBLISH)


def _read_value(reader: FieldReader, rule: PropertyRule) -> int | str | bytes | tuple[str, str]:
    match rule.form:
        case PropertyForm.TEXT:
            return reader.text()
        case PropertyForm.TOPIC:
            topic = reader.text()
            if "+" in topic or "#" in topic:
                raise ProtocolError(f"the property '{rule.name}' has a wildcard: '{topic}'")
            return topic
        case PropertyForm.BINARY:
            return reader.binary()
        case PropertyForm.PAIRS:
            return reader.text(), reader.text()
        case PropertyForm.IDENTIFIERS:
            value = reader.varint()
        case _:
            value = int.from_bytes(reader.read(_SIZES[rule.form]), "big")
    if rule.form is PropertyForm.FLAG and value > 1:
        raise ProtocolError(f"the property '{rule.name}' is {value}, not 0 or 1")
    if rule.form in _NEVER_ZERO and not value:
        raise ProtocolError(f"the property '{rule.name}' is 0")
    return value
