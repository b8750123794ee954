"""Into a real PostgreSQL: every record once, whatever is repeated, verified by SQL."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import orjson
import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner

from devices.export.base import ExportError
from devices.export.job import ExportSpan, export
from devices.export.postgres import PostgresTables
from devices.scenario.scenario import Scenario
from devices.sensors.base import EPOCH_MS
from devices.timeline.timeline import Timeline
from edgefleet.cli import app
from edgewire.clock import iso_ms, parse_ms
from edgewire.messages import CONTRACT

pytestmark = pytest.mark.services

FROM_MS = parse_ms("2026-03-04T07:00:00Z")


@pytest.fixture
def database(postgres: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres, autocommit=True) as connection:
        yield connection
        for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall():
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))


def count(database: psycopg.Connection, table: str) -> int:
    row = database.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
    assert row
    return int(row[0])


def test_a_hundred_thousand_vehicle_records_with_labels_in_one_command(
    postgres: str, database: psycopg.Connection, tmp_path: Path
) -> None:
    path = tmp_path / "vehicles.yaml"
    path.write_text(
        """
        seed: 5
        devices:
          - {kind: gps, count: 250, interval: 5s}
          - {kind: telematics, count: 250, interval: 5s}
        faults:
          - {type: bias, kind: telematics, share: 0.1, field: battery_v, offset: 5, rate: 20/day, duration: 5m}
        """
    )
    span = ExportSpan(FROM_MS, FROM_MS + 1_000_000)
    times = ("--from", iso_ms(span.from_ms), "--to", iso_ms(span.to_ms))
    result = CliRunner().invoke(app, ["generate", str(path), *times, "--out", postgres, "--json"])
    assert orjson.loads(result.stdout)["records"] == 100_000
    assert (count(database, "gps"), count(database, "telematics")) == (50_000, 50_000)

    timeline = Timeline(Scenario.load(path), EPOCH_MS)
    ids, risky = hashlib.md5(), 0
    for payload in timeline.batch(span.from_ms, span.to_ms).payload:
        fields = orjson.loads(payload)
        ids.update(f"{fields['device_id']}:{fields['boot']}:{fields['seq']}:{fields['timestamp']};".encode())
        risky += fields.get("risk_label") == "risky"
    told = database.execute(
        """
        SELECT md5(string_agg(device_id || ':' || boot || ':' || seq || ':' ||
                   to_char(timestamp AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') || ';', ''
                   ORDER BY timestamp, device_id COLLATE "C", seq))
        FROM (SELECT device_id, boot, seq, timestamp FROM gps
              UNION ALL SELECT device_id, boot, seq, timestamp FROM telematics) AS both_kinds
        """
    ).fetchone()
    assert told == (ids.hexdigest(),)
    assert database.execute("SELECT count(*) FROM telematics WHERE risk_label = 'risky'").fetchone() == (risky,)

    labels = timeline.labels(span.from_ms, span.to_ms)
    assert labels
    assert count(database, "labels") == len(labels)
    found = database.execute(
        """
        SELECT count(*), min(battery_v) > 16 FROM telematics
        JOIN labels USING (device_id, boot) WHERE timestamp >= start_time AND timestamp < end_time
        """
    ).fetchone()
    assert found == (sum(label.messages for label in labels), True)


def test_every_shape_has_its_table_and_a_repeated_export_changes_nothing(
    postgres: str, database: psycopg.Connection
) -> None:
    timeline = Timeline(Scenario(devices=[{"kind": kind, "count": 2, "interval": "2s"} for kind in CONTRACT]), EPOCH_MS)
    whole, first = ExportSpan(FROM_MS, FROM_MS + 60_000), ExportSpan(FROM_MS, FROM_MS + 20_000)
    export(timeline, first, PostgresTables(timeline, postgres), checkpoint=None, window_rows=20)
    for _ in range(2):
        done = export(timeline, whole, PostgresTables(timeline, postgres), checkpoint=None, window_rows=50)
        names = [
            "bme280",
            "traffic",
            "gps",
            "telematics",
            "foot_traffic",
            "foot_traffic_realistic",
            "foot_traffic_counts",
        ]
        assert sum(count(database, name) for name in names) == done.records
    stored = database.execute(
        "SELECT temperature_c, metadata_generator, metadata_in_weather_event FROM bme280 "
        "ORDER BY timestamp, device_id LIMIT 1"
    ).fetchone()
    payloads = [orjson.loads(payload) for payload in timeline.batch(whole.from_ms, whole.to_ms).payload]
    reading = next(fields for fields in payloads if "pressure_hpa" in fields)
    metadata = reading["metadata"]
    assert stored == (reading["temperature_c"], metadata["generator"], metadata["in_weather_event"])
    colours = database.execute(
        "SELECT sum((SELECT sum(n::int) FROM jsonb_each_text(color_counts) AS c(k, n))) FROM traffic"
    )
    assert colours.fetchone() == (
        sum(sum(fields["color_counts"].values()) for fields in payloads if "color_counts" in fields),
    )


def test_columns_that_a_table_lacks_are_added_and_others_left_to_it(
    postgres: str, database: psycopg.Connection
) -> None:
    database.execute(
        "CREATE TABLE bme280 (device_id text, boot bigint, seq bigint, timestamp timestamptz, "
        "number serial NOT NULL, plant text NOT NULL DEFAULT 'here', PRIMARY KEY (device_id, boot, seq))"
    )
    timeline = Timeline(Scenario(devices=[{"kind": "bme280", "count": 2}]), EPOCH_MS)
    export(timeline, ExportSpan(FROM_MS, FROM_MS + 60_000), PostgresTables(timeline, postgres), checkpoint=None)
    found = database.execute("SELECT count(*), max(number) FROM bme280 WHERE pressure_hpa > 300 AND plant = 'here'")
    assert found.fetchone() == (12, 12)


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    timeline = Timeline(Scenario(devices=[{"kind": "bme280", "count": 1}]), EPOCH_MS)
    target = PostgresTables(timeline, "postgresql://me:secret@127.0.0.1:1/none")
    with pytest.raises(ExportError, match=r"PostgreSQL at 127\.0\.0\.1:1/none: ") as caught:
        target.open(None)
    assert "secret" not in str(caught.value)
