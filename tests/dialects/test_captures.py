"""What real devices have sent, as others reported it, is decoded right, or refused with a reason; never read wrong."""

import re
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from edgewire.clock import parse_ms
from edgewire.dialects.base import Arrival, DialectError
from edgewire.dialects.registry import DIALECTS
from edgewire.mqtt.filters import filter_matches

CAPTURES = Path(__file__).with_name("captures")
RECEIVED_MS = 1_790_000_000_000
KEYS = {"from", "before", "options", "topic", "payload", "hex", "retained", "zone", "error", "content_type", "user"} | {
    "device", "role", "time", "at", "sensor", "values", "parts", "extra", "stale", "remarks"
}  # fmt: skip


def captures() -> list[Any]:
    return [
        pytest.param(file.stem, entry, id=f"{file.stem}-{number}")
        for file in sorted(CAPTURES.glob("*.yaml"))
        for number, entry in enumerate(yaml.safe_load(file.read_text()), 1)
    ]


def payload_of(entry: dict[str, Any]) -> bytes:
    return bytes.fromhex(entry["hex"]) if "hex" in entry else entry["payload"].encode()


def arrival_of(entry: dict[str, Any]) -> Arrival:
    zone = ZoneInfo(entry["zone"]) if "zone" in entry else None
    user = tuple(entry.get("user", {}).items())
    return Arrival(RECEIVED_MS, entry.get("retained", False), zone, entry.get("content_type", ""), user)


@pytest.mark.parametrize(("dialect", "entry"), captures())
def test_a_capture_is_decoded_right(dialect: str, entry: dict[str, Any]) -> None:
    assert entry.keys() <= KEYS
    known = DIALECTS[dialect]
    decoder = known.decoder(known.options(**entry.get("options", {})))
    for earlier in entry.get("before", ()):
        decoder.decode(earlier["topic"], payload_of(earlier), arrival_of(entry))
    payload = payload_of(entry)
    if "error" in entry:
        with pytest.raises(DialectError, match=re.escape(entry["error"])):
            decoder.decode(entry["topic"], payload, arrival_of(entry))
        return
    message = decoder.decode(entry["topic"], payload, arrival_of(entry))
    found = message._asdict()
    assert found["role"] == entry["role"]
    assert found["time_source"] == entry.get("time", "arrival")
    assert found["values"] == entry.get("values", found["values"] if entry["role"] in ("description", "answer") else {})
    assert found["parts"] == entry.get("parts", {})
    assert found["sensor"] == entry.get("sensor", "")
    assert found["is_stale"] == entry.get("stale", False)
    assert list(found["remarks"]) == entry.get("remarks", [])
    assert found["time_ms"] == (parse_ms(entry["at"]) if "at" in entry else found["time_ms"])
    if found["time_source"] == "arrival":
        assert found["time_ms"] == RECEIVED_MS
    if "device" in entry:
        assert found["device_id"] == entry["device"]
    if "extra" in entry:
        assert found["extra"] == entry["extra"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_there_are_at_least_ten_captures_of_each_dialect(dialect: str) -> None:
    assert len(yaml.safe_load((CAPTURES / f"{dialect}.yaml").read_text())) >= 10


def test_the_filters_of_a_dialect_match_its_captures() -> None:
    for parameters in captures():
        dialect, entry = parameters.values
        known = DIALECTS[dialect]
        decoder = known.decoder(known.options(**entry.get("options", {})))
        is_own = not known.any_topic and entry.get("role") not in (None, "command")
        assert not is_own or any(filter_matches(one, entry["topic"]) for one in decoder.filters), entry
