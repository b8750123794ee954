"""What devices say on change is what they would say anyway, of the readings that have left their dead bands."""

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from devices.scenario.on_change import compared_fields
from devices.scenario.scenario import Scenario
from devices.sensors.registry import KINDS
from devices.timeline.timeline import Timeline
from edgewire.clock import parse_ms
from edgewire.dialects.base import DialectError
from edgewire.dialects.registry import DIALECTS
from edgewire.messages import Channel

START_MS = parse_ms("2026-03-04T12:00:00Z")
END_MS = START_MS + 1_200_000
INTERVAL_MS = 10_000
OWN = {"topic": "p/{id}", "payload": {"of": ["temperature_c", {"from": "pressure_hpa", "unit": "Pa", "round": 0}]}}


def speakers() -> Iterator[Any]:
    """Every kind that has readings of its own, in every dialect that reports on change."""
    for kind in KINDS:
        if KINDS[kind].channel is Channel.EVENT or KINDS[kind].counts_interval:
            continue
        yield pytest.param({"kind": kind}, id=f"native-{kind}")
        for name, dialect in DIALECTS.items():
            if dialect.encoder is None or not dialect.reports_on_change:
                continue
            try:
                dialect.encoder(dialect.options(), kind)
            except DialectError:
                continue
            yield pytest.param({"kind": kind, "dialect": name}, id=f"{name}-{kind}")
    yield pytest.param({"kind": "bme280", **OWN}, id="own-bme280")


def timeline(group: dict[str, Any], *, in_dialects: bool = True, **keys: Any) -> Timeline:
    common = {"count": 2, "interval": f"{INTERVAL_MS}ms"}
    one = Scenario.model_validate({"seed": 8, "devices": [common | group | keys]})
    return Timeline(one, START_MS, in_dialects=in_dialects)


Said = dict[tuple[int, int], list[tuple[int, bytes]]]


def heard(line: Timeline) -> Said:
    """Return the addresses and payloads by device and time, without the numbers of messages."""
    batch = line.batch(START_MS, END_MS)
    found: Said = defaultdict(list)
    for due_ms, device, address, payload in zip(batch.due_ms, batch.device, batch.address, batch.payload, strict=True):
        if payload.startswith(b'{"device_id"'):
            payload = orjson.dumps({**orjson.loads(payload), "seq": 0})
        elif payload.startswith(b'{"id":"'):
            payload = orjson.dumps({**orjson.loads(payload), "id": ""})  # which has the number in it
        else:
            payload = re.sub(rb'"f_?[cC]nt":\d+,', b"", payload)  # the counter of a LoRaWAN device
        found[device, due_ms].append((address, payload))
    return found


@lru_cache
def everything(kind: str, spoken: str) -> tuple[Said, dict[tuple[int, int], dict[str, Any]]]:
    group = orjson.loads(spoken)
    native = timeline({"kind": kind}, in_dialects=False).batch(START_MS, END_MS)
    readings = {
        (device, due_ms): orjson.loads(payload)
        for device, due_ms, payload in zip(native.device, native.due_ms, native.payload, strict=True)
    }
    return heard(timeline(group)), readings


@pytest.mark.slow
@pytest.mark.parametrize("group", list(speakers()))
def test_what_is_said_on_change_is_said_as_ever(group: dict[str, Any]) -> None:
    kind = group["kind"]
    names = [name for name in compared_fields(kind) if name in next(iter(everything(kind, _key(group))[1].values()))]

    @settings(max_examples=6, deadline=None, database=None, phases=(Phase.generate,))
    @given(
        bands=st.dictionaries(st.sampled_from(names), st.sampled_from([0.0, 0.05, 0.5, 3.0]), min_size=1, max_size=2),
        longest=st.integers(1, 30),
        shortest=st.integers(0, 5),
    )
    def check(bands: dict[str, float], longest: int, shortest: int) -> None:
        every, apart = longest, max(1, min(shortest, longest))
        rule = {
            "change": bands,
            "max_interval": f"{longest * INTERVAL_MS}ms",
            "min_interval": f"{min(shortest, longest) * INTERVAL_MS}ms",
        }
        whole, readings = everything(kind, _key(group))
        told = heard(timeline(group, on=rule))
        assert all(whole[when] == said for when, said in told.items())
        for device in (0, 1):
            times = sorted(due_ms for one, due_ms in readings if one == device)
            last = 0
            for number, due_ms in enumerate(times):
                one = readings[device, due_ms]
                before = readings[device, times[last]]
                is_due = number % every == 0
                may = number - last >= apart and every - number % every >= apart
                is_said = is_due or (may and any(_differs(before[name], one[name], bands[name]) for name in bands))
                # A dialect may have no message for a reading: nobody hears of it, and the device has said it.
                assert ((device, due_ms) in told) == (is_said and (device, due_ms) in whole)
                last = number if is_said else last
            gaps = [(b - a) // INTERVAL_MS for a, b in pairwise(sorted(at for one, at in told if one == device))]
            assert not gaps or apart <= min(gaps)

    check()


def _key(group: dict[str, Any]) -> str:
    return orjson.dumps(group).decode()


def _differs(before: Any, now: Any, band: float) -> bool:
    if before is None or now is None:
        return before is not now
    return bool(abs(now - before) > band - 1e-7 if band else now != before)
