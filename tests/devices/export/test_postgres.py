"""Into a real PostgreSQL: every record once, whatever is repeated, verified by SQL."""

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import psycopg
import pytest
from click.testing import Result
from psycopg import sql
from typer.testing import CliRunner

from devices.export.base import ExportError
from devices.export.columns import table_schemas
from devices.export.job import ExportSpan, export
from devices.export.postgres import PostgresOptions, PostgresTables, make_hypertable
from devices.export.provenance import Provenance
from devices.scenario.devices import Shard
from devices.scenario.loading import load_scenario
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
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(sql.Identifier(name)))


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

    timeline = Timeline(load_scenario(path), EPOCH_MS)
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


def minute(
    timeline: Timeline,
    postgres: str,
    options: PostgresOptions | None = None,
    *,
    clean: bool = False,
    scenario: str = "the first",
) -> PostgresTables:
    """What a minute of export came to; all that can be known of it is in the table `runs` too."""
    span = ExportSpan(FROM_MS, FROM_MS + 60_000, clean=clean)
    of = Provenance(1, scenario, "0", iso_ms(span.from_ms), iso_ms(span.to_ms), None, "0/1", clean, False)
    target = PostgresTables(timeline, postgres, of, options)
    export(timeline, span, target, checkpoint=None)
    return target


def sensors(seed: int, **fault: object) -> Timeline:
    faults = [{"type": "bias", "kind": "bme280", "field": "humidity", **fault}] if fault else []
    return Timeline(Scenario(seed=seed, devices=[{"kind": "bme280", "count": 3}], faults=faults), EPOCH_MS)


def test_what_is_there_with_other_values_fails_and_stays(postgres: str, database: psycopg.Connection) -> None:
    faulty = {"offset": 5, "from": iso_ms(FROM_MS)}
    assert minute(sensors(1, **faulty), postgres).counts == {"inserted": 18, "already_there": 0}
    assert minute(sensors(1, **faulty), postgres).counts == {"inserted": 0, "already_there": 18}
    before = database.execute("SELECT * FROM bme280 ORDER BY device_id, seq").fetchall()
    said = r"18 of 18 rows of bme280 are there already with other values, the first .* = \(bme280-000\d, 1, \d+\)"
    for other in (sensors(2, **faulty), sensors(1, offset=6, **{"from": iso_ms(FROM_MS)})):
        # By its rows, and by what `runs` tells.
        with pytest.raises(ExportError, match=said):
            minute(other, postgres, scenario="the first")
        with pytest.raises(ExportError, match=r"run 2 in the table runs had seed 1, scenario the first; this one has"):
            minute(other, postgres, scenario="another")
    with pytest.raises(ExportError, match="of another seed, scenario or option"):
        minute(sensors(1, **faulty), postgres, clean=True)
    found = database.execute("SELECT * FROM bme280 ORDER BY device_id, seq").fetchall()
    assert [row[: len(before[0])] for row in found] == before

    assert (
        minute(sensors(1, **faulty), postgres, PostgresOptions(is_replacing=True), clean=True).counts["inserted"] == 18
    )
    assert database.execute("SELECT count(*), count(clean_humidity) FROM bme280").fetchone() == (18, 18)
    runs = database.execute("SELECT finished IS NOT NULL, inserted, already_there FROM runs ORDER BY run_id").fetchall()
    assert runs == [(True, 18, 0), (True, 0, 18), (True, 18, 0)]


def test_people_of_another_seed_are_no_mixture(
    postgres: str, database: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their numbers are others, so that no key is there twice."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.yaml").write_text("devices: [{kind: people, settings: {daily_customers: 2000}}]\n")
    names = ("foot_traffic", "foot_traffic_realistic", "foot_traffic_counts")

    def noon(*options: str) -> Result:
        times = ("--from", iso_ms(FROM_MS + 5 * 3_600_000), "--to", iso_ms(FROM_MS + 6 * 3_600_000))
        return CliRunner().invoke(app, ["generate", "shop.yaml", *times, "--out", postgres, *options])

    assert noon("--seed", "1").exit_code == 0
    before = [count(database, name) for name in names]
    assert min(before) > 0
    assert "had seed 1" in str(noon("--seed", "2").exception)
    assert [count(database, name) for name in names] == before
    assert "were there already" in noon("--seed", "1").stderr
    assert noon("--seed", "2", "--replace").exit_code == 0
    after = [count(database, name) for name in names]
    assert noon("--seed", "2", "--schema", "apart").exit_code == 0
    with database.transaction():
        database.execute("SET LOCAL search_path TO apart")
        assert [count(database, name) for name in names] == after != before
    database.execute("DROP SCHEMA apart CASCADE")
    assert "had seed 2" in str(noon("--seed", "1").exception)


def test_labels_of_another_fault_are_told(postgres: str, database: psycopg.Connection) -> None:
    for offset in (5, 5, 6):
        timeline = sensors(1, offset=offset, **{"from": iso_ms(FROM_MS)})
        target, found = PostgresTables(timeline, postgres), timeline.labels(FROM_MS, FROM_MS + 60_000)
        if offset == 5:
            target.add_labels(found)
        else:
            with pytest.raises(ExportError, match="3 of 3 labels are there already with other parameters"):
                target.add_labels(found)
    assert count(database, "labels") == 3


def test_a_schema_of_its_own_and_a_partition_a_day(postgres: str, database: psycopg.Connection) -> None:
    options = PostgresOptions(schema="of my own", has_day_partitions=True)
    timeline = sensors(1)
    span = ExportSpan(FROM_MS, FROM_MS + 30 * 3_600_000)
    for inserted in (32_400, 0):
        target = PostgresTables(timeline, postgres, options=options)
        export(timeline, span, target, checkpoint=None)
        assert target.counts["inserted"] == inserted
    try:
        days = database.execute(
            'SELECT tableoid::regclass::text, count(*) FROM "of my own".bme280 GROUP BY 1 ORDER BY 1'
        ).fetchall()
        assert days == [('"of my own".bme280_p20260304', 18_360), ('"of my own".bme280_p20260305', 14_040)]
        with pytest.raises(ExportError, match="other values"):
            minute(sensors(2), postgres, options)
        with pytest.raises(ExportError, match="the table bme280 is partitioned: add --partition day"):
            minute(timeline, postgres, PostgresOptions(schema="of my own"))
        assert database.execute("SELECT to_regclass('bme280')").fetchone() == (None,)
    finally:
        database.execute('DROP SCHEMA "of my own" CASCADE')


def test_hypertables_need_their_extension(postgres: str, database: psycopg.Connection) -> None:
    """No server with TimescaleDB is here: what is said to it is that of its manual, word for word."""
    options = PostgresOptions(has_hypertables=True)
    with pytest.raises(ExportError, match=r"has no extension timescaledb, .* CREATE EXTENSION timescaledb"):
        minute(sensors(1), postgres, options)
    assert database.execute("SELECT to_regclass('bme280')").fetchone() == (None,)
    said = make_hypertable("public", "bme280").as_string(database)
    assert said == (
        "SELECT \"public\".create_hypertable('\"bme280\"', \"public\".by_range('timestamp', INTERVAL '1 day'), "
        "create_default_indexes => false)"
    )


def test_a_table_runs_of_somebody_else_is_left_alone(postgres: str, database: psycopg.Connection) -> None:
    database.execute("CREATE TABLE runs (id int)")
    with pytest.raises(ExportError, match="there is a table runs of somebody else: keep apart with --schema NAME"):
        minute(sensors(1), postgres)


def test_shards_that_begin_at_once_make_their_tables_together(postgres: str, database: psycopg.Connection) -> None:
    def run(index: int) -> int:
        scenario = Scenario(devices=[{"kind": kind, "count": 8, "interval": "2s"} for kind in CONTRACT])
        timeline = Timeline(scenario, EPOCH_MS, Shard(index, 8))
        together.wait()
        return minute(timeline, postgres, PostgresOptions(has_day_partitions=True)).counts["inserted"]

    together = threading.Barrier(8)
    with ThreadPoolExecutor(8) as pool:
        inserted = list(pool.map(run, range(8)))
    names = [schema.name for schema in table_schemas(Timeline(Scenario(devices=[{"kind": k} for k in CONTRACT]), 0))]
    assert sum(inserted) == sum(count(database, name) for name in names) > 1000
