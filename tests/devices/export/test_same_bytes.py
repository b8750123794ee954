"""Law 1 from one end to the other: an export, its shards, a later start, an interruption and a live run agree."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import paho.mqtt.client as mqtt
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from devices.export.job import ExportSpan, export
from devices.export.jsonl import JsonlFile
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from devices.sensors.base import EPOCH_MS
from devices.timeline.timeline import Timeline
from edgefleet.cli import app
from edgefleet.embedded import MosquittoProcess
from edgewire.clock import iso_ms, parse_ms
from edgewire.messages import CONTRACT

pytestmark = pytest.mark.slow

NOON_MS = parse_ms("2026-03-04T12:00:00Z")
LENGTH_MS = 120_000
FAULTS: list[dict[str, Any]] = [
    {"type": "bias", "kind": "bme280", "field": "temperature_c", "offset": 5},
    {"type": "stuck_at", "kind": "bme280", "field": "humidity"},
    {"type": "code_fault", "kind": "bme280"},
    {"type": "spike", "kind": "traffic", "field": "avg_speed", "size": 20, "chance": 0.5},
    {"type": "dropout", "kind": "traffic", "chance": 0.5},
    {"type": "gps_loss", "kind": "gps"},
    {"type": "clock_step", "kind": "gps", "offset": "-1h"},
    {"type": "burst", "kind": "telematics"},
    {"type": "noise", "kind": "telematics", "field": "battery_v", "sigma": 1},
    {"type": "clock_drift", "kind": "people"},
    {"type": "gain", "kind": "people", "field": "occupancy", "factor": 2},
    {"type": "dropout", "kind": "people", "chance": 0.3},
]
when = st.one_of(
    st.integers(-60_000, LENGTH_MS).map(lambda offset_ms: {"from": iso_ms(NOON_MS + offset_ms)}),
    st.just({"rate": "30/h", "duration": "10s..1m"}),
)
groups = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(list(CONTRACT)),
        "count": st.integers(1, 4),
        "interval": st.sampled_from(["900ms", "4s", "20s"]),
    }
)


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    devices = draw(st.lists(groups, min_size=1, max_size=4))
    kinds = {group["kind"] for group in devices}
    possible = [fault for fault in FAULTS if fault["kind"] in kinds]
    faults = draw(st.lists(st.builds(lambda fault, times: fault | times, st.sampled_from(possible), when), max_size=3))
    return Scenario(seed=draw(st.integers(0, 2**40)), devices=devices, faults=faults)


def exported(
    scenario: Scenario, shard: Shard, from_ms: int, window_rows: int, stop_after: int | None = None
) -> list[bytes]:
    """The lines of an export, which is interrupted after some windows and gone on with if asked for."""
    with TemporaryDirectory() as folder:
        path, checkpoint = Path(folder) / "x.jsonl", (Path(folder) / "checkpoint", "x")
        windows = iter(range(10_000))

        def run(*, resume: bool = False, stop: Callable[[], bool] = lambda: False) -> None:
            timeline, span = Timeline(scenario, EPOCH_MS, shard), ExportSpan(from_ms, NOON_MS + LENGTH_MS)
            export(
                timeline,
                span,
                JsonlFile(path),
                checkpoint=checkpoint,
                window_rows=window_rows,
                resume=resume,
                stop=stop,
            )

        if stop_after is not None:
            run(stop=lambda: next(windows) >= stop_after)
        run(resume=stop_after is not None)
        return path.read_bytes().splitlines()


@pytest.mark.long
@settings(max_examples=4, deadline=None)
@given(
    scenario=scenarios(),
    shards=st.integers(2, 4),
    later_ms=st.integers(1, LENGTH_MS - 1),
    window_rows=st.integers(20, 400),
    stop_after=st.integers(1, 5),
)
def test_any_export_of_any_scenario_has_the_same_lines(
    scenario: Scenario, shards: int, later_ms: int, window_rows: int, stop_after: int
) -> None:
    whole = exported(scenario, Shard(), NOON_MS, 10_000)
    assert exported(scenario, Shard(), NOON_MS, window_rows, stop_after) == whole
    parts = [exported(scenario, Shard(index, shards), NOON_MS, window_rows) for index in range(shards)]
    assert sorted(line for part in parts for line in part) == sorted(whole)
    batch = Timeline(scenario, EPOCH_MS).batch(NOON_MS, NOON_MS + LENGTH_MS)
    after = [line for line, due_ms in zip(batch.payload, batch.due_ms, strict=True) if due_ms >= NOON_MS + later_ms]
    assert exported(scenario, Shard(), NOON_MS + later_ms, window_rows) == after


@contextmanager
def heard_from(broker: MosquittoProcess) -> Iterator[list[bytes]]:
    """The payloads of all readings and events that are published, heard by a client that is not ours."""
    heard: list[bytes] = []
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="judge", clean_session=False)
    client.on_message = lambda _client, _data, message: heard.append(message.payload)
    client.on_connect = lambda *_: client.subscribe([("edge/+/+/+/telemetry", 2), ("edge/+/+/+/event", 2)])
    subscribed = threading.Event()
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect(broker.host, broker.port)
    client.loop_start()
    try:
        assert subscribed.wait(30)
        yield heard
    finally:
        client.loop_stop()
        client.disconnect()


@pytest.fixture
def own_logs() -> Iterator[None]:
    """A command sets logging up for the runner's own stderr, which is closed afterwards."""
    yield
    structlog.reset_defaults()


@pytest.mark.services
@pytest.mark.usefixtures("own_logs")
def test_a_live_run_publishes_what_is_exported_of_all_kinds_with_faults(
    mosquitto_factory: Callable[[], MosquittoProcess], tmp_path: Path
) -> None:
    """A minute of the devices' time in four seconds."""
    broker = mosquitto_factory()
    people = {"kind": "people", "count": 4, "interval": "10s", "settings": {"daily_customers": 20_000}}
    devices = [{"kind": kind, "count": 4, "interval": "3s"} for kind in CONTRACT if kind != "people"] + [people]
    faults = [fault | {"share": 0.7, "from": iso_ms(NOON_MS + 20_000)} for fault in FAULTS]
    file = tmp_path / "scenario.yaml"
    file.write_bytes(orjson.dumps({"seed": 8, "time_scale": 15, "devices": devices, "faults": faults}))
    begin, end = iso_ms(NOON_MS), iso_ms(NOON_MS + 60_000)
    exports = tmp_path / "x.jsonl"
    command = ["generate", str(file), "--from", begin, "--to", end, "--out", str(exports)]
    assert CliRunner().invoke(app, command).exit_code == 0
    expected = exports.read_bytes().splitlines()
    said = [orjson.loads(line) for line in expected]
    assert {row["device_id"].rpartition("-")[0] for row in said} == set(CONTRACT)
    assert {"entry", "exit", "foot_traffic", "count"} <= {str(row.get("event_type")) for row in said}
    with heard_from(broker) as heard:
        command = ["run", str(file), "--broker", broker.url, "--from", begin, "--duration", "4s"]
        result = CliRunner().invoke(app, [*command, "--record", str(tmp_path / "run"), "--json"])
        assert result.exit_code == 0, result.output
        totals = orjson.loads(result.stdout.splitlines()[-1])
        assert totals["acknowledged"] == len(expected)
        assert totals["dropped"] > 0
        for _ in range(1200):
            if len(heard) >= len(expected):
                break
            time.sleep(0.05)
    assert sorted(heard) == sorted(expected)
