"""Any readings, in any list of any length, are read as they were measured: the same mapping both ways."""

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.message.config import SubscriptionConfig
from devices.timeline.table import Table
from edgewire.dialects.base import Arrival
from edgewire.dialects.own_format import OwnFormatDecoder
from edgewire.dialects.payload_template import join_readings, with_outside_of
from edgewire.messages import Channel
from tests.dialects.speaking import NOON_MS, device_of, format_of

AT = {"from": "timestamp", "as": "epoch_ms"}
MAPPINGS: dict[str, Any] = {
    "objects": {"fw": "firmware", "r": {"each": {"t": "temperature_c", "h": {"of": ["humidity"]}, "at": AT}}},
    "columns": {"t": {"each": "temperature_c"}, "m": {"h": {"each": "humidity"}}, "at": {"each": AT}},
    "rows": {"each": [AT, "temperature_c", "humidity"]},
    "within a list": [1, {"each": {"t": "temperature_c", "h": "humidity", "at": AT}}, {"up": "uptime_s"}],
    "beside": {"last": "timestamp", "r": {"each": {"t": "temperature_c", "h": "humidity", "at": AT}}},
}
READINGS = st.lists(st.tuples(st.floats(-40, 85), st.none() | st.floats(0, 100)), min_size=1, max_size=12)


@pytest.mark.parametrize("name", MAPPINGS)
def test_what_is_measured_is_what_is_read(name: str) -> None:
    mapping = MAPPINGS[name]
    wire = format_of("bme280", "edgefleet", topic="p/{id}", payload=mapping, batch=6)
    decoder = SubscriptionConfig(filter="p/#", decode={"topic": "p/{id}", "payload": mapping}).make_decoder()
    assert isinstance(decoder, OwnFormatDecoder)
    assert decoder.lists is not None
    lists = decoder.lists

    @settings(deadline=None, max_examples=40, database=None)
    @given(READINGS)
    def check(measured: list[tuple[float, float | None]]) -> None:
        count = len(measured)
        times = NOON_MS + 1000 * np.arange(count)
        columns = {"temperature_c": np.array([t for t, _ in measured]), "humidity": [h for _, h in measured]}
        where = np.zeros(count, dtype=np.int64)
        table = Table("bme280", Channel.TELEMETRY, times, where, np.arange(count), columns)
        made = wire.encode(table, [device_of("bme280")] * count, times, 826_000_000)
        message = join_readings(made, pad_to=64)
        orjson.loads(message)
        parts = lists.split_payload(message)
        assert [orjson.loads(one) for one in parts] == [orjson.loads(with_outside_of(one, made[-1])) for one in made]
        read = [decoder.decode("p/porch-07", one, Arrival(0)) for one in parts]
        assert [(one.values.get("temperature_c"), one.values.get("humidity")) for one in read] == measured
        assert [one.time_ms for one in read] == times.tolist()

    check()
