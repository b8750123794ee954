"""Reason codes and their names, for messages that a person reads.

A code that is not in the table is taken by its top bit alone: from 0x80 on it is a failure.
"""

FAILURE = 0x80
"""This code and all above it say no."""

DISCONNECT_WITH_WILL = 0x04
PACKET_ID_NOT_FOUND = 0x92
QOS_NOT_SUPPORTED = 0x9B
RETAIN_NOT_SUPPORTED = 0x9A

_CONNACK_311 = {
    0x01: "unacceptable protocol version",
    0x02: "client identifier rejected",
    0x03: "server unavailable",
    0x04: "bad user name or password",
    0x05: "not authorized",
}
_CODES = {
    0x00: "success",
    0x01: "granted QoS 1",
    0x02: "granted QoS 2",
    0x04: "disconnect with will message",
    0x10: "no matching subscribers",
    0x11: "no subscription existed",
    0x18: "continue authentication",
    0x19: "re-authenticate",
    0x80: "unspecified error",
    0x81: "malformed packet",
    0x82: "protocol error",
    0x83: "implementation specific error",
    0x84: "unsupported protocol version",
    0x85: "client identifier not valid",
    0x86: "bad user name or password",
    0x87: "not authorized",
    0x88: "server unavailable",
    0x89: "server busy",
    0x8A: "banned",
    0x8B: "server shutting down",
    0x8C: "bad authentication method",
    0x8D: "keep alive timeout",
    0x8E: "session taken over",
    0x8F: "topic filter invalid",
    0x90: "topic name invalid",
    0x91: "packet identifier in use",
    0x92: "packet identifier not found",
    0x93: "receive maximum exceeded",
    0x94: "topic alias invalid",
    0x95: "packet too large",
    0x96: "message rate too high",
    0x97: "quota exceeded",
    0x98: "administrative action",
    0x99: "payload format invalid",
    0x9A: "retain not supported",
    0x9B: "QoS not supported",
    0x9C: "use another server",
    0x9D: "server moved",
    0x9E: "shared subscriptions not supported",
    0x9F: "connection rate exceeded",
    0xA0: "maximum connect time",
    0xA1: "subscription identifiers not supported",
    0xA2: "wildcard subscriptions not supported",
}

UNSUPPORTED_VERSION = frozenset({0x01, 0x84})
"""CONNACK codes of a server that does not speak our version: of a 3.1.1 server, and of a version 5 one."""


def reason_name(code: int) -> str:
    """Return the name of a reason code, `reason 0x..` for one that the standard does not know."""
    return _CODES.get(code, f"reason 0x{code:02x}")


def coded_reason(code: int) -> str:
    """Return the name of a reason code and the code, as counts and reports show it: `not authorized (0x87)`."""
    return f"{_CODES[code]} (0x{code:02X})" if code in _CODES else reason_name(code)


def refusal_name(code: int) -> str:
    """Return the name of a CONNACK code; 3.1.1 has its own small numbers."""
    return _CONNACK_311.get(code) or reason_name(code)
