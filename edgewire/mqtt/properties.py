"""The properties of MQTT 5: one table says the identifier, the form and the packets of each.

A property in a packet where it does not belong, a second one of a kind that may stand once, and a value outside its
range are protocol errors.
"""

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType
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


NO_PROPERTIES = cast("Properties", MappingProxyType({}))
"""The one empty mapping that every packet without properties shares."""


class PropertyScope(Enum):
    """Where properties may stand: the packet types, and the will inside CONNECT."""

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


class _Form(Enum):
    FLAG = auto()  # one byte, 0 or 1
    U16 = auto()
    COUNT16 = auto()  # two bytes, not 0
    U32 = auto()
    COUNT32 = auto()  # four bytes, not 0
    IDENTIFIERS = auto()  # variable byte integers, not 0; several only in PUBLISH
    TEXT = auto()
    BINARY = auto()
    PAIRS = auto()  # pairs of texts, as many as one likes


class _Rule(NamedTuple):
    identifier: int
    name: str
    form: _Form
    places: frozenset[PropertyScope]


def _rule(identifier: int, name: str, form: _Form, places: str) -> _Rule:
    return _Rule(identifier, name, form, frozenset(PropertyScope[place] for place in places.split()))


_ANYWHERE = " ".join(PropertyScope.__members__)
_ANSWERS = "CONNACK PUBACK PUBREC PUBREL PUBCOMP SUBACK UNSUBACK DISCONNECT AUTH"
_AUTHENTICATION = "CONNECT CONNACK AUTH"

_RULES = (
    _rule(0x01, "payload_format_indicator", _Form.FLAG, "PUBLISH WILL"),
    _rule(0x02, "message_expiry_interval", _Form.U32, "PUBLISH WILL"),
    _rule(0x03, "content_type", _Form.TEXT, "PUBLISH WILL"),
    _rule(0x08, "response_topic", _Form.TEXT, "PUBLISH WILL"),
    _rule(0x09, "correlation_data", _Form.BINARY, "PUBLISH WILL"),
    _rule(0x0B, "subscription_identifier", _Form.IDENTIFIERS, "PUBLISH SUBSCRIBE"),
    _rule(0x11, "session_expiry_interval", _Form.U32, "CONNECT CONNACK DISCONNECT"),
    _rule(0x12, "assigned_client_identifier", _Form.TEXT, "CONNACK"),
    _rule(0x13, "server_keep_alive", _Form.U16, "CONNACK"),
    _rule(0x15, "authentication_method", _Form.TEXT, _AUTHENTICATION),
    _rule(0x16, "authentication_data", _Form.BINARY, _AUTHENTICATION),
    _rule(0x17, "request_problem_information", _Form.FLAG, "CONNECT"),
    _rule(0x18, "will_delay_interval", _Form.U32, "WILL"),
    _rule(0x19, "request_response_information", _Form.FLAG, "CONNECT"),
    _rule(0x1A, "response_information", _Form.TEXT, "CONNACK"),
    _rule(0x1C, "server_reference", _Form.TEXT, "CONNACK DISCONNECT"),
    _rule(0x1F, "reason_string", _Form.TEXT, _ANSWERS),
    _rule(0x21, "receive_maximum", _Form.COUNT16, "CONNECT CONNACK"),
    _rule(0x22, "topic_alias_maximum", _Form.U16, "CONNECT CONNACK"),
    _rule(0x23, "topic_alias", _Form.COUNT16, "PUBLISH"),
    _rule(0x24, "maximum_qos", _Form.FLAG, "CONNACK"),
    _rule(0x25, "retain_available", _Form.FLAG, "CONNACK"),
    _rule(0x26, "user_property", _Form.PAIRS, _ANYWHERE),
    _rule(0x27, "maximum_packet_size", _Form.COUNT32, "CONNECT CONNACK"),
    _rule(0x28, "wildcard_subscription_available", _Form.FLAG, "CONNACK"),
    _rule(0x29, "subscription_identifier_available", _Form.FLAG, "CONNACK"),
    _rule(0x2A, "shared_subscription_available", _Form.FLAG, "CONNACK"),
)
_BY_IDENTIFIER = {rule.identifier: rule for rule in _RULES}
_BY_NAME = {rule.name: rule for rule in _RULES}

_LISTS = (_Form.IDENTIFIERS, _Form.PAIRS)
_NEVER_ZERO = (_Form.COUNT16, _Form.COUNT32, _Form.IDENTIFIERS)
_SIZES = {_Form.FLAG: 1, _Form.U16: 2, _Form.COUNT16: 2, _Form.U32: 4, _Form.COUNT32: 4}


def write_properties(properties: Properties, place: PropertyScope) -> bytes:
    """The property length and the properties, in the order given.

    Raises `Unsendable` for one that does not belong here or is out of range.
    """
    if not properties:
        return b"\x00"
    parts: list[bytes] = []
    for name, value in cast("Mapping[str, Any]", properties).items():
        rule = _BY_NAME.get(name)
        if rule is None or place not in rule.places:
            raise Unsendable(f"{place.name} has no property '{name}'")
        head = bytes((rule.identifier,))
        parts.extend(head + written for written in _write_values(rule, value, place))
    body = b"".join(parts)
    return write_varint(len(body)) + body


def _write_values(rule: _Rule, value: Any, place: PropertyScope) -> list[bytes]:
    match rule.form:
        case _Form.TEXT:
            return [write_text(value)]
        case _Form.BINARY:
            return [write_binary(value)]
        case _Form.PAIRS:
            return [write_text(name) + write_text(text) for name, text in value]
        case _Form.IDENTIFIERS:
            if not value or not all(value) or (len(value) > 1 and not _repeatable(rule, place)):
                raise Unsendable(f"{place.name} cannot carry the subscription identifiers {value}")
            return [write_varint(one) for one in value]
        case _:
            if (rule.form is _Form.FLAG and value > 1) or (rule.form in _NEVER_ZERO and not value):
                raise Unsendable(f"{value} is out of range for the property '{rule.name}'")
            return [write_int(value, _SIZES[rule.form])]


def read_properties(reader: FieldReader, place: PropertyScope) -> Properties:
    """The properties that stand next in `reader`."""
    length = reader.varint()
    if not length:
        return NO_PROPERTIES
    inner = FieldReader(reader.take(length))
    found: dict[str, Any] = {}
    while inner.more:
        identifier = inner.varint()
        rule = _BY_IDENTIFIER.get(identifier)
        if rule is None:
            raise malformed(f"{place.name} has the unknown property 0x{identifier:02x}")
        if place not in rule.places:
            raise ProtocolError(f"{place.name} has the property '{rule.name}', which does not belong there")
        if rule.name in found and not _repeatable(rule, place):
            raise ProtocolError(f"{place.name} has the property '{rule.name}' twice")
        value = _read_value(inner, rule)
        if rule.form in _LISTS:
            found.setdefault(rule.name, []).append(value)
        else:
            found[rule.name] = value
    return cast("Properties", {name: tuple(value) if type(value) is list else value for name, value in found.items()})


def _repeatable(rule: _Rule, place: PropertyScope) -> bool:
    return rule.form is _Form.PAIRS or (rule.form is _Form.IDENTIFIERS and place is PropertyScope.PUBLISH)


def _read_value(reader: FieldReader, rule: _Rule) -> int | str | bytes | tuple[str, str]:
    match rule.form:
        case _Form.TEXT:
            return reader.text()
        case _Form.BINARY:
            return reader.binary()
        case _Form.PAIRS:
            return reader.text(), reader.text()
        case _Form.IDENTIFIERS:
            value = reader.varint()
        case _:
            value = int.from_bytes(reader.take(_SIZES[rule.form]), "big")
    if rule.form is _Form.FLAG and value > 1:
        raise ProtocolError(f"the property '{rule.name}' is {value}, not 0 or 1")
    if rule.form in _NEVER_ZERO and not value:
        raise ProtocolError(f"the property '{rule.name}' is 0")
    return value
