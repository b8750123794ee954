"""Reads a capture: what `mosquitto_sub -F %j` writes, and JSON lines of topic, payload, qos, retain and time."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from devices.replay.times import read_time_ms
from edgefleet.learn.messages import CapturedMessage, Heard
from edgewire.errors import ConfigError

MAX_LINE = 1 << 20
"""Bytes of a line; messages that a device makes of values are far shorter."""
_BACKWARDS_MS = 1000
"""By which a time may be before the one above it: subscribers write in the order of arrival."""
_TIMES = ("tst", "time", "timestamp", "received_ms", "at", "ts")
_MOSQUITTO_ZONE = re.compile(r"Z(?=[+-]\d{4}$)")
"""mosquitto_sub 2.0 writes `Z+0000`, which ISO 8601 does not know."""


@dataclass(frozen=True, slots=True)
class HeardLimits:
    """Says after how much a capture ends, whatever there is more of it."""

    messages: int = 1_000_000
    payload_bytes: int = 256 << 20
    file_bytes: int = 1 << 30
    """Of a file, whatever its lines are: what is no capture may have no end."""
    topics: int = 100_000


class MessageCollector:
    """Takes messages as they come, up to the limits, in the order of time."""

    def __init__(self, limits: HeardLimits) -> None:
        """Begin with nothing."""
        self.found = Heard()
        self._limits = limits
        self._topics: set[str] = set()
        self._bytes = 0
        self._latest_ms: int | None = None

    def add(self, message: CapturedMessage, place: str = "") -> bool:
        """Take a message; return False where a limit is reached and no more may come."""
        found, limits = self.found, self._limits
        if self._latest_ms is not None and message.at_ms < self._latest_ms - _BACKWARDS_MS:
            found.read += 1
            found.unused.add("its time is before that of the message above it", place)
            return True
        self._topics.add(message.topic)
        self._bytes += len(message.payload)
        for reached, what in (
            (len(found.messages) >= limits.messages, f"{limits.messages:,} messages"),
            (self._bytes > limits.payload_bytes, f"{limits.payload_bytes:,} bytes"),
            (len(self._topics) > limits.topics, f"{limits.topics:,} topics"),
        ):
            if reached:
                found.stopped_at = what
                return False
        found.read += 1
        at_ms = message.at_ms if self._latest_ms is None else max(message.at_ms, self._latest_ms)
        self._latest_ms = at_ms
        found.messages.append(message._replace(at_ms=at_ms))
        return True


def read_capture(path: Path, limits: HeardLimits) -> Heard:
    """Return what a file has; lines that are no message are counted with their reason.

    Raises `ConfigError` where there is no such file.
    """
    taken = MessageCollector(limits)
    try:
        with path.open("rb") as file:
            number = read = 0
            while line := file.readline(MAX_LINE + 1):
                number += 1
                read += len(line)
                place = f"{path.name}:{number}"
                if read > limits.file_bytes:
                    taken.found.stopped_at = f"{limits.file_bytes:,} bytes of the file"
                    break
                if len(line) > MAX_LINE:
                    read += _skip_line(file, line, limits.file_bytes)
                    _refuse(taken, f"the line has more than {MAX_LINE:,} bytes", place)
                elif line.strip() and not _take_line(taken, line, place):
                    break
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    return taken.found


def _refuse(taken: MessageCollector, reason: str, place: str) -> None:
    taken.found.read += 1
    taken.found.unused.add(reason, place)


def _take_line(taken: MessageCollector, line: bytes, place: str) -> bool:
    try:
        message = read_line(line)
    except ValueError as error:
        _refuse(taken, str(error), place)
        return True
    return taken.add(message, place)


def _skip_line(file: BinaryIO, begun: bytes, most: int) -> int:
    """Read on to the end of a line that is too long, a part of it at a time; return how much that was."""
    skipped = 0
    while begun and not begun.endswith(b"\n") and skipped <= most:
        begun = file.readline(MAX_LINE)
        skipped += len(begun)
    return skipped


def read_line(line: bytes) -> CapturedMessage:
    """Return the message of a line; raises `ValueError` with a reason that shows nothing of it."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise ValueError("the line is not JSON: write them with mosquitto_sub -F %j") from None
    if not isinstance(row, dict):
        raise ValueError("the line is no JSON object with topic and payload")
    topic = row.get("topic")
    if not isinstance(topic, str) or not topic:
        raise ValueError("the line has no topic")
    qos = row.get("qos", 0)
    return CapturedMessage(
        topic,
        _payload(row),
        _time_ms(row),
        qos if qos in (0, 1, 2) else 0,
        row.get("retain", row.get("retained")) in (1, True),
    )


def _time_ms(row: Mapping[str, Any]) -> int:
    for key in _TIMES:
        value = row.get(key)
        if isinstance(value, str):
            value = _MOSQUITTO_ZONE.sub("", value)
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            try:
                return read_time_ms(value, None)
            except (ValueError, OverflowError):
                raise ValueError(f"the line has a {key} that is no time with an offset") from None
    raise ValueError(f"the line has no time: one of {', '.join(_TIMES)}")


def _payload(row: Mapping[str, Any]) -> bytes:
    encoded = row.get("payload_base64", row.get("data_base64"))
    if isinstance(encoded, str):
        try:
            return base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("the line has a payload_base64 that is none") from None
    payload = row.get("payload")
    if payload is None:
        return b""
    return payload.encode() if isinstance(payload, str) else orjson.dumps(payload)
