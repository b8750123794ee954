"""Says what to do about a reason code: one sentence for each code that the standard allows in an answer of a server.

`reasons` has the names of the codes. The tables have what MQTT 5 lists for CONNACK (table 3-1), PUBACK and PUBREC (3-4,
3-5), SUBACK (3-8) and DISCONNECT (3-10, of a server), and CONNACK of 3.1.1 (table 3.1).
"""

from typing import Literal

from edgewire.mqtt.reasons import FAILURE, coded_reason

Answer = Literal["CONNACK", "PUBACK", "PUBREC", "SUBACK", "DISCONNECT"]
"""The packets in which a server says no."""

_CREDENTIALS = "look at the user and password that this client is given, and at the broker's list of users"
_CLIENT_ID = "the broker takes no such client id: use others, or look at its rules for them (such as clientid_prefixes)"
_LATER = "it is tried again; if that lasts, give the broker more room or use fewer clients"
_FORMAT = "the broker and this client understand MQTT differently: try another version of the broker, and report it"
_ACCESS = "let this client do it in the broker's access list"
_QUOTA = "raise the broker's quota for this client, or ask less of it"
_RETAIN = "allow retained messages in the broker (retain_available), or go on without a retained status"
_QOS = "raise the broker's maximum QoS (max_qos), or set qos: to what it allows"
_MOVED = "write the server that it names into broker:, or let devices follow it (reconnect.follow_server_reference)"
_LOG = "look into the broker's log, it knows more"

_CONNACK = {
    0x01: "the broker speaks another version of MQTT than 3.1.1 and 5: use one that speaks either",
    # What Mosquitto says in 3.1.1, which has no other word for it, to a keep-alive that it finds too long.
    0x02: f"{_CLIENT_ID}; keep_alive may also be above what it takes (max_keepalive)",
    0x03: _LATER,
    0x04: _CREDENTIALS,
    0x05: f"{_CREDENTIALS}; it may also allow only certain client ids or addresses",
    0x80: _LOG,
    0x81: _FORMAT,
    0x82: _FORMAT,
    0x83: "the broker understands the request and does not do this: look at its limits and plugins",
    0x84: "the broker speaks another version of MQTT than 3.1.1 and 5: use one that speaks either",
    0x85: _CLIENT_ID,
    0x86: _CREDENTIALS,
    0x87: f"{_CREDENTIALS}; it may also allow only certain client ids or addresses",
    0x88: _LATER,
    0x89: _LATER,
    0x8A: "lift the ban in the broker, and look why it was set: reconnecting too often is the usual reason",
    0x8C: "the broker asks for enhanced authentication, which this client lacks: allow passwords or certificates",
    0x90: "the broker takes no will on this topic: allow the client's status topic",
    0x95: "raise the broker's maximum packet size (max_packet_size): not even CONNECT fits",
    0x97: f"{_QUOTA}; it may be its limit of connections",
    0x99: "the broker takes no such will: look at its rules for payloads",
    0x9A: _RETAIN,
    0x9B: _QOS,
    0x9C: _MOVED,
    0x9D: _MOVED,
    0x9F: "connect more slowly (connects_per_second), or raise the broker's rate of connections",
}
_PUBLISH = {
    0x80: _LOG,
    0x83: "the broker understands the message and does not take it: look at its limits, rules and plugins",
    0x87: "let this client write to the topic in the broker's access list",
    0x90: "the broker takes no messages on this topic: look at its rules for topics",
    0x91: "the broker takes an answered message for one under way: end the sessions that it holds, and report it",
    0x95: "raise the broker's maximum packet size (max_packet_size, message_size_limit), or send smaller messages",
    0x97: _QUOTA,
    0x99: "the broker takes no such payload: look at its rules for payloads, such as a schema",
    0x9A: _RETAIN,
    0x9B: _QOS,
}
_SUBACK = {
    0x80: f"let this client read the topic in the broker's access list, or {_LOG}",
    0x83: "the broker understands the subscription and does not do this: look at its limits and plugins",
    0x87: "let this client read the topic in the broker's access list",
    0x8F: "the broker takes no such filter from this client: look at its rules for topics",
    0x91: "the broker takes an answered request for one under way: end the sessions that it holds, and report it",
    0x97: f"{_QUOTA}; it may be its limit of subscriptions",
    0x9E: "allow shared subscriptions in the broker, or subscribe without $share",
    0xA1: _FORMAT,
    0xA2: "allow wildcards in the broker's subscriptions, or name each topic",
}
_DISCONNECT = {
    0x00: "the broker ended the connection as if all were said: look whether an operator or a rule of it did",
    0x80: _LOG,
    0x81: _FORMAT,
    0x82: _FORMAT,
    0x83: "the broker understands what it was sent and does not do this: look at its limits and plugins",
    0x87: _ACCESS,
    0x89: _LATER,
    0x8B: "wait until the broker is back; what is not acknowledged is sent again",
    0x8D: "the broker heard nothing for one and a half keep alives: look at the network, and for an overloaded machine",
    0x8E: "another client uses this client id: give each its own, and look for another run, or the real sensor",
    0x8F: "the broker takes no such filter from this client: look at its rules for topics",
    0x90: "the broker takes no messages on this topic: look at its rules for topics",
    0x93: "the broker has more messages under way than it announced that it takes: report it to the broker's makers",
    0x94: _FORMAT,
    0x95: "raise the broker's maximum packet size (max_packet_size, message_size_limit), or send smaller messages",
    0x96: "send less often (interval), or raise the broker's rate of messages",
    0x97: _QUOTA,
    0x98: "an operator or a rule of the broker ended the connection: ask who did",
    0x99: "the broker takes no such payload: look at its rules for payloads, such as a schema",
    0x9A: _RETAIN,
    0x9B: _QOS,
    0x9C: _MOVED,
    0x9D: _MOVED,
    0x9E: "allow shared subscriptions in the broker, or subscribe without $share",
    0x9F: "connect more slowly (connects_per_second), or raise the broker's rate of connections",
    0xA0: "the broker limits how long a connection may last: raise it, or live with a reconnection now and then",
    0xA1: _FORMAT,
    0xA2: "allow wildcards in the broker's subscriptions, or name each topic",
}
ADVICE: dict[Answer, dict[int, str]] = {
    "CONNACK": _CONNACK,
    "PUBACK": _PUBLISH,
    "PUBREC": _PUBLISH,
    "SUBACK": _SUBACK,
    "DISCONNECT": _DISCONNECT,
}


def advice(answer: Answer, code: int) -> str:
    """Return what to do where a server gives this code; a code that the standard has not there is taken as such."""
    known = ADVICE[answer].get(code)
    if known is not None:
        return known
    what = "says no" if code >= FAILURE else "says something unusual"
    return f"the broker {what} with a code that MQTT has not for {answer}, {coded_reason(code)}: {_LOG}"
