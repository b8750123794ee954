"""Devices that speak a dialect, without a network: what they say of any reading, at their birth and to a command."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from devices.scenario.devices import Device
from devices.scenario.scenario import Scenario
from devices.sensors.columns import Columns
from devices.sensors.registry import KINDS
from devices.timeline.formats import make_wire_formats
from devices.timeline.table import Table
from devices.timeline.wire_format import CommandAnswer, WireFormat
from edgewire.clock import parse_ms
from edgewire.dialects.encoder import Publication
from edgewire.messages import CONTRACT, Channel
from edgewire.mqtt import Message, Properties

NAMING: dict[str, dict[str, Any]] = {"thingsboard": {"prefix": "{id}/"}, "azure-iot": {"prefix": "{id}/"}}
"""Options of dialects in which devices do not say who they are, unless they are told to."""
NOON_MS = parse_ms("2026-03-04T12:00:00Z")
DEVICE = Device("porch-07", "", "home", 6, 1000, 1, 0x1234_5678_9ABC, "porch-07", {})
ONLINE: dict[str, Any] = {
    "state": "online", "device_id": "porch-07", "boot": 826_000_000, "firmware": "1.0.0", "origin": "emulated",
    "timestamp": "2026-03-04T12:00:00.000Z", "sent": 0, "buffered": 0, "dropped": 0, "reset_reason": "power_on",
    "uptime_s": 12.0,
}  # fmt: skip
"""Of a device that has come."""


def format_of(kind: str, dialect: Any, **group: Any) -> WireFormat:
    """Return what writes the messages of a device of this kind in a dialect."""
    scenario = Scenario.model_validate({"devices": [{"kind": kind, "dialect": dialect} | group]})
    (found,) = make_wire_formats(scenario).values()
    return found


def device_of(kind: str) -> Device:
    return replace(DEVICE, kind=kind)


def said(kind: str, spoken: WireFormat, *rows: dict[str, Any], channel: Channel | None = None) -> list[Publication]:
    """Return the messages that a device makes of readings with these fields, at noon and each second after it."""
    channel = channel or KINDS[kind].channel
    count = len(rows)
    columns: Columns | list[dict[str, Any]] = list(rows)
    if channel is not Channel.EVENT:
        columns = {name: _column([row[name] for row in rows]) for name in rows[0]}
    times = NOON_MS + 1000 * np.arange(count)
    table = Table(kind, channel, times, np.zeros(count, dtype=np.int64), np.arange(count), columns)
    device = device_of(kind)
    topics, options = spoken.topics(device), spoken.options
    parts = spoken.parts(channel)
    payloads = spoken.encode(table, [device] * count, times, 826_000_000)
    is_said = spoken.is_said(table)
    kept = np.ones(len(payloads), dtype=bool) if is_said is None else is_said.ravel()
    addresses = [part.address for part in parts] * count
    return [
        Publication(topics[at], payload, retain=options is not None and options[at].retain)
        for at, payload, keep in zip(addresses, payloads, kept, strict=True)
        if keep
    ]


def _column(values: list[Any]) -> Any:
    return np.array(values) if all(type(value) in (int, float) for value in values) else values


def reading_of(kind: str, **fields: Any) -> dict[str, Any]:
    """Return the fields of an example of a kind's readings, without those that every message has."""
    message = next(one for one in CONTRACT[kind].messages if one.channel is KINDS[kind].channel)
    common = ("device_id", "timestamp", "boot", "seq")
    return {name: value for name, value in message.examples[0].items() if name not in common} | fields


def ask(
    kind: str, spoken: WireFormat, topic: str, payload: bytes, readings: Sequence[Publication] = (), **result: Any
) -> tuple[Any, list[Publication]]:
    """Return what a message on a command topic asks for, and what the device says to it."""
    device = device_of(kind)
    request = spoken.read_command(device, Message(topic, payload, 1, False, False, 0, Properties(), 0))
    if request is None:
        return None, []
    answer = CommandAnswer({"error": None} | result, ONLINE, 60.0, readings)
    return request, list(spoken.answer(device, request, answer))
