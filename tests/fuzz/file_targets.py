"""Files of a user's own, and those of a run that somebody may have written into."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.fuzz.target import Run, Target, file_writer, require_words


def _identities() -> Run:
    from devices.scenario.identity_table import line_of_device, login_columns, read_identities, read_logins
    from edgewire.errors import ConfigError

    written = file_writer(".csv")

    def run(data: bytes) -> None:
        with written(data) as path:
            try:
                table = read_identities(path)
            except ConfigError as error:
                require_words(error, 2000, about=path.name)
                return
            count = len(table.ids)
            assert len(set(table.ids)) == count > 0
            assert all(len(column) == count for column in table.fields.values())
            assert [name for name, _ in read_logins(path, count)] == [*table.ids]
            assert line_of_device(path, count - 1) > 1
            assert len(read_identities(path, 1).ids) == 1
            login_columns(path, count)

    return run


def _identities_seeds() -> Iterator[bytes]:
    for separator in ",;\t":
        rows = (
            ("id", "client_id", "username", "password", "site", "line"),
            ("press-01", "PLC 4711", "press-01", "s3cret", "hq", "a"),
            ("press-02", "PLC 4712", "", "", "hq", '"b ""c"""'),
        )
        yield "\n".join(separator.join(row) for row in rows).encode()
    yield b"\xef\xbb\xbfid,sas_key\r\na,MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\r\n\r\nb,\r\n"
    yield b"id,certificate,key\na,a.pem,a.key\n"


def _normals() -> Run:
    from devices.scenario.climate_file import BOUNDS, read_monthly

    written = file_writer(".csv")

    def run(data: bytes) -> None:
        with written(data) as path:
            try:
                rows = read_monthly(path)
            except ValueError as error:
                # A `UnicodeError` is one as well, and names no file.
                require_words(error, 2000, about=path.name)
                return
            assert len(rows) == 12
            assert all(BOUNDS[name][0] <= value <= BOUNDS[name][1] for row in rows for name, value in row.items())

    return run


def _normals_seeds() -> Iterator[bytes]:
    from devices.world.climates import MONTHLY

    values = {"temperature_c": 9, "range_c": 8, "spread_c": 3, "humidity": 70, "pressure_hpa": 1013}
    values |= {"pressure_spread_hpa": 8}
    for more in ({}, {"rain_share": 0.1, "dew_point_spread_c": 3, "dew_point_correlation": 0.5}):
        names = [*MONTHLY, *more]
        lines = [",".join(("month", *names))]
        lines += [f"{month},{','.join(str((values | more)[name]) for name in names)}" for month in range(1, 13)]
        yield "\n".join(("# a note", *lines)).encode()


def _station() -> Run:
    import numpy as np

    from devices.scenario.climate_fit import read_station

    written = file_writer(".csv")

    def run(data: bytes) -> None:
        with written(data) as path:
            try:
                found = read_station(path)
            except ValueError as error:
                require_words(error, 2000, about=path.name)
                return
            assert (np.diff(found.times_ms) > 0).all()
            assert len(found.times_ms) == len(found.humidity) == len(found.temperature_c) == len(found.pressure_hpa)
            assert not np.isinf(found.temperature_c).any()

    return run


def _station_seeds() -> Iterator[bytes]:
    begin = datetime(2026, 3, 1, tzinfo=UTC)
    times = [(begin + timedelta(hours=hour)).isoformat() for hour in range(3)]
    yield "\n".join(["timestamp,temperature_c,humidity,pressure_hpa", *(f"{at},9.5,70,1013" for at in times)]).encode()
    yield "\n".join(["x,humidity,pressure_hpa,timestamp,temperature_c", *(f"1,,,{at},-4e0" for at in times)]).encode()


def _labels() -> Run:
    import orjson

    from devices.faults.labels import iter_labels, label_lines
    from edgewire.errors import ConfigError

    written = file_writer(".jsonl")

    def run(data: bytes) -> None:
        with written(data) as path:
            try:
                found = [*iter_labels(path)]
            except ConfigError as error:
                require_words(error, 2000, about=path.name)
                return
            for line, label in zip(label_lines(found), found, strict=True):
                assert orjson.loads(line)["device_id"] == label.device_id

    return run


def _labels_seeds() -> Iterator[bytes]:
    from devices.faults.labels import Label, label_lines

    label = Label(
        device_id="a",
        kind="bme280",
        boot=1,
        type="stuck_at",
        fields=("humidity",),
        parameters={"field": "humidity"},
        layer="sensor",
        start_ms=1_790_000_000_000,
        end_ms=None,
        first_seq=3,
        last_seq=9,
        messages=7,
    )
    yield b"".join(label_lines([label, label]))


def _time_line() -> Run:
    from edgefleet.report.status_series import StatusSeries
    from edgewire.errors import ConfigError

    def run(data: bytes) -> None:
        try:
            series = StatusSeries.parse(data, "status.jsonl")
        except ConfigError as error:
            require_words(error, 5000, about="status.jsonl")
            return
        spans = sum(one["span_ms"] for one in series.states)
        series.condense(2)
        assert sum(one["span_ms"] for one in series.states) == spans
        StatusSeries.parse(series.to_bytes(), "again.jsonl")

    return run


def _time_line_seeds() -> Iterator[bytes]:
    from edgefleet.report.status_series import StatusSeries, series_head, series_state
    from tests.edgefleet.report.series import bridge_of, event_at, status_at

    states = [series_state(status_at(second, bridge=bridge_of("closed", 10.0)), 1000) for second in range(3)]
    series = StatusSeries(head=series_head(status_at(0)))
    series.states, series.events = states, [event_at(1)]
    yield series.to_bytes()


def _rows() -> Run:
    from edgefleet.verify.row_source import RowSource
    from edgewire.errors import ConfigError
    from tests.run_records import small_record

    written, record = file_writer(".jsonl"), small_record()

    def run(data: bytes) -> None:
        with written(data) as path:
            for keys in (None, {"device_id": "a", "timestamp": "b"}):
                try:
                    for arrivals in RowSource(path, record, keys).read_arrivals():
                        assert len(arrivals.device_id) == len(arrivals.boot) == len(arrivals.seq)
                        assert all(type(seq) is int and seq >= 0 for seq in arrivals.seq)
                except ConfigError as error:
                    require_words(error, 1 << 17, about=path.name)

    return run


def _rows_seeds() -> Iterator[bytes]:
    row: dict[str, Any] = {"device_id": "g-1", "boot": 7, "seq": 3, "timestamp": "2026-03-04T12:00:00Z"}
    yield json.dumps(row | {"arrived": 1_790_000_000_000}).encode() + b"\n" + json.dumps(row).encode()
    yield b'{"id":"g-1:7:3"}\n\n{"id":"g-1:7:4","a":"x","b":1.5}\n'


def _checkpoint() -> Run:
    from dataclasses import replace

    import orjson

    from edgewire.run_checkpoint import RunCheckpoint
    from edgewire.run_record import parse_record

    def run(data: bytes) -> None:
        try:
            record = parse_record(orjson.loads(data))
        except ValueError:
            return
        assert RunCheckpoint.of(record).to_record() == replace(record, state="running"), (
            "a checkpoint is another record"
        )

    return run


def _checkpoint_seeds() -> Iterator[bytes]:
    from tests.run_records import run_record, small_record

    yield from (json.dumps(asdict(record)).encode() for record in (run_record(), small_record()))


def _exported() -> Run:
    from devices.export.base import ExportError
    from devices.export.series import read_export

    written = [file_writer(suffix) for suffix in _EXPORTS]

    def run(data: bytes) -> None:
        if not data:
            return
        with written[data[0] % len(written)](data[1:]) as path:
            try:
                found = read_export(path)
            except ExportError as error:
                require_words(error, 1 << 16, about=path.name)
                return
        for devices in found.kinds.values():
            for series in devices.values():
                assert all(len(column) == len(series.times) for column in series.values.values())

    return run


_EXPORTS = (".jsonl", ".csv", ".jsonl.gz", ".csv.zst", ".arrow", ".parquet")


def _exported_seeds() -> Iterator[bytes]:
    import gzip

    import pyarrow as pa
    from pyarrow import ipc, parquet

    from tests.fuzz.examples import contract_messages

    lines = [payload for _, payload in contract_messages()]
    for line in lines:
        fields = json.loads(line)
        rows = ",".join(fields) + "\n" + ",".join("" if value is None else str(value) for value in fields.values())
        yield b"\x00" + line + b"\n" + line
        yield b"\x01" + rows.encode()
    yield b"\x02" + gzip.compress(b"\n".join(lines), mtime=0)
    yield b"\x03" + pa.Codec("zstd").compress(b"device_id,boot\na,1\n", asbytes=True)
    table = pa.Table.from_pylist([{"device_id": "a", "boot": 1, "seq": 2, "timestamp": "2026-03-04", "fix": "3d"}])
    for write, number in ((_written_as_arrow(ipc), 4), (parquet.write_table, 5)):
        sink = pa.BufferOutputStream()
        write(table, sink)
        yield bytes([number]) + sink.getvalue().to_pybytes()


def _written_as_arrow(ipc: Any) -> Any:
    def write(table: Any, sink: Any) -> None:
        with ipc.new_file(sink, table.schema) as file:
            file.write_table(table)

    return write


FILE_TARGETS = {
    "exported": Target(_exported, _exported_seeds, ("devices.export.series", "edgewire.messages"), 8192),
    "identities": Target(_identities, _identities_seeds, ("devices.scenario.identity_table",), 1024),
    "normals": Target(_normals, _normals_seeds, ("devices.scenario.climate_file",), 2048),
    "station": Target(_station, _station_seeds, ("devices.scenario.climate_fit", "edgewire.clock"), 1024),
    "labels": Target(_labels, _labels_seeds, ("devices.faults.labels",), 1024),
    "time-line": Target(_time_line, _time_line_seeds, ("edgefleet.report.status_series",)),
    "rows": Target(_rows, _rows_seeds, ("edgefleet.verify.row_source", "edgewire.clock"), 1024),
    "checkpoint": Target(_checkpoint, _checkpoint_seeds, ("edgewire.run_record", "edgewire.run_checkpoint")),
}
