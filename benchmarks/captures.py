"""What a subscriber would hear of a scenario's devices, computed without a broker and as fast as it goes."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

from devices.scenario.loading import load_scenario
from devices.timeline.timeline import Timeline
from edgewire.clock import iso_ms

Row = tuple[int, str, bytes, int]
"""When it was heard (ms since 1970), topic, payload, QoS."""


def heard_of(scenario: Path, from_ms: int, seconds: float) -> Iterator[Row]:
    """Yield the readings of a scenario's devices in their own formats, in the order in which they are due."""
    timeline = Timeline(load_scenario(scenario), from_ms, in_dialects=True)
    batch = timeline.batch(from_ms, from_ms + round(seconds * 1000))
    for due_ms, position, payload, address in zip(
        batch.due_ms, batch.device, batch.payload, batch.address, strict=True
    ):
        topics = timeline.wire_format(position).topics(timeline.devices[position])
        yield due_ms, topics[address], payload, timeline.device_group(position).qos


def write_capture(path: Path, rows: Iterable[Row]) -> int:
    """Write a capture as `mosquitto_sub -F %j` does; return how many messages it has."""
    count = 0
    with path.open("wb") as file:
        for at_ms, topic, payload, qos in sorted(rows):
            row = {"tst": iso_ms(at_ms).replace("Z", "Z+0000"), "topic": topic, "qos": qos, "retain": 0}
            row |= {"payloadlen": len(payload), "payload": payload.decode()}
            file.write(orjson.dumps(row) + b"\n")
            count += 1
    return count
