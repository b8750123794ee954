"""A data set of parts: the same bytes whoever makes them, complete or not there, and one data set a place."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from pyarrow import parquet

from devices.export.csv import CsvDialect
from devices.export.data_set import DataSet
from devices.export.files import TableFiles
from devices.export.job import ExportSpan, export
from devices.export.parquet import ParquetWriter
from devices.export.part_maker import PartedExport, PartMaker, PartStopped
from devices.export.parts import DAY_MS, cut_parts
from devices.export.provenance import Provenance
from devices.export.stores import FolderStore, S3Place, S3Store, Store
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from devices.sensors.base import EPOCH_MS
from devices.timeline.timeline import Timeline
from edgewire.clock import parse_ms
from edgewire.errors import ConfigError, EdgefleetError
from edgewire.messages import CONTRACT
from edgewire.output_lock import OutputBusyError
from tests.services.s3 import KEY, SECRET, answering, running_s3

FROM_MS = parse_ms("2026-03-04T23:58:00Z")
# Around midnight, when people come in the first world alone.
SCENARIO = Scenario(
    seed=7,
    world=1,
    devices=[{"kind": kind, "count": 2, "interval": "5s"} for kind in CONTRACT],
    faults=[{"type": "stuck_at", "kind": "bme280", "field": "temperature_c", "from": "2026-03-04T23:59:00Z"}],
)


def parted(place: Path | S3Place, minutes: int = 4, **changes: Any) -> PartedExport:
    span = ExportSpan(FROM_MS, FROM_MS + minutes * 60_000, clean=True)
    job = PartedExport(
        scenario=SCENARIO,
        start_ms=EPOCH_MS,
        shard=Shard(),
        span=span,
        delays=False,
        annotations=None,
        place=place,
        format="parquet",
        compression="",
        csv=CsvDialect.PLAIN,
        provenance=Provenance.of_export(SCENARIO, span, Shard(), "1", delays=False),
        fingerprint="f",
        window_rows=200,
    )
    return replace(job, **changes)


def data_set(job: PartedExport) -> DataSet:
    """One whose parts are a minute long."""
    return DataSet(job, [], job.store(), 500_000 / 60)


def written(job: PartedExport, *, backwards: bool = False, **begin: bool) -> DataSet:
    """A data set that is complete."""
    made = data_set(job)
    maker = PartMaker(job)
    todo = made.begin(resume=begin.get("resume", False), is_replacing=begin.get("is_replacing", False))
    for part in reversed(todo) if backwards else todo:
        made.done[part.name] = maker.make(part)
    made.finish(is_replacing=begin.get("is_replacing", False))
    return made


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_parts_are_stretches_of_a_day_wherever_a_span_begins() -> None:
    whole = [(part.from_ms, part.to_ms) for part in cut_parts(FROM_MS, FROM_MS + DAY_MS, 40)]
    later = [(part.from_ms, part.to_ms) for part in cut_parts(FROM_MS + DAY_MS // 2, FROM_MS + DAY_MS, 40)]
    assert len(whole) == 9  # 8 a day, cut where the span begins
    assert whole[0][0] == FROM_MS
    assert whole[-1][1] == FROM_MS + DAY_MS
    assert [begin for begin, _ in whole[1:]] == [end for _, end in whole[:-1]]
    assert later[1:] == whole[-len(later) + 1 :]
    assert {part.date for part in cut_parts(FROM_MS, FROM_MS + DAY_MS, 40)} == {"2026-03-04", "2026-03-05"}
    names = [part.name for part in cut_parts(FROM_MS + 250, FROM_MS + 3000, 1e9)]
    assert names == ["2026-03-04T235800.250", "2026-03-04T235801", "2026-03-04T235802"]


@pytest.mark.slow
def test_the_rows_are_those_of_one_export_and_the_bytes_those_of_any_order(tmp_path: Path) -> None:
    written(parted(tmp_path / "a"))
    written(parted(tmp_path / "b"), backwards=True)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    timeline = Timeline(SCENARIO, EPOCH_MS)
    export(
        timeline,
        parted(tmp_path).span,
        TableFiles(timeline, tmp_path / "one", ".parquet", ParquetWriter),
        checkpoint=None,
    )
    for path in (tmp_path / "one").iterdir():
        kind = tmp_path / "a" / f"kind={path.stem}"
        rows = [row for part in sorted(kind.rglob("*.parquet")) for row in parquet.ParquetFile(part).read().to_pylist()]
        assert rows == parquet.read_table(path).to_pylist()
        assert rows
    manifest = orjson.loads((tmp_path / "a" / "_manifest-20260304T235800Z-20260305T000200Z.json").read_bytes())
    assert {file["name"] for file in manifest["files"]} | {"_manifest-20260304T235800Z-20260305T000200Z.json"} == set(
        contents(tmp_path / "a")
    )
    assert all(file["sha256"] == contents(tmp_path / "a")[file["name"]] for file in manifest["files"])


@pytest.mark.slow
@pytest.mark.parametrize(("format_", "compression"), [("jsonl", ""), ("csv", "gz"), ("arrow", "")])
def test_every_format_has_parts(tmp_path: Path, format_: str, compression: str) -> None:
    made = written(parted(tmp_path, minutes=1, format=format_, compression=compression))
    expected = len(Timeline(SCENARIO, EPOCH_MS).batch(FROM_MS, FROM_MS + 60_000))
    assert sum(part.rows for part in made.done.values()) == expected
    kinds = {path.name for path in tmp_path.glob("kind=*")}
    assert ("kind=people" in kinds) == (format_ == "jsonl")
    assert "kind=bme280" in kinds


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | S3Place]:
    if request.param == "folder":
        yield tmp_path / "set"
    else:
        url = request.getfixturevalue("s3")
        yield S3Place.parse(f"s3://{KEY}:{SECRET}@lake/{tmp_path.name}?endpoint={url}", {})


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with running_s3("lake") as url:
        yield url


def names(store: Store) -> set[str]:
    return {name for name in store.sizes() if not name.startswith("_")}


SMALL = Scenario(seed=7, devices=[{"kind": "bme280", "count": 2, "interval": "5s"}])


def small(place: Path | S3Place, minutes: int = 3, begin_ms: int = FROM_MS, **changes: Any) -> PartedExport:
    span = ExportSpan(begin_ms, begin_ms + minutes * 60_000)
    scenario = changes.get("scenario", SMALL)
    provenance = Provenance.of_export(scenario, span, changes.get("shard", Shard()), "1", delays=False)
    return parted(
        place, **{"scenario": scenario, "span": span, "provenance": provenance, "fingerprint": str(span), **changes}
    )


def test_what_is_complete_is_not_made_again(place: Path | S3Place) -> None:
    job = small(place)
    first = data_set(job)
    todo = first.begin(resume=False, is_replacing=False)
    assert len(todo) == 3
    PartMaker(job).make(todo[1])
    with pytest.raises(PartStopped):
        PartMaker(job).make(todo[0], lambda: True)
    again = data_set(job)
    assert again.begin(resume=True, is_replacing=False) == [todo[0], todo[2]]
    # Of a file that is gone, or half there, the part is made again.
    (file,) = again.done[todo[1].name].files
    job.store().write(str(file["name"]), b"half")
    assert data_set(job).begin(resume=True, is_replacing=False) == todo
    with pytest.raises(EdgefleetError, match="is of an export with another scenario"):
        data_set(small(place, fingerprint="other")).begin(resume=True, is_replacing=False)
    # Anew: what the other has left is removed.
    written(small(place, minutes=1))
    assert names(job.store()) == {"kind=bme280/date=2026-03-04/part-235800.parquet"}
    assert not job.store().sizes("_parts")


def test_spans_are_added_and_mixtures_refused(place: Path | S3Place) -> None:
    written(small(place, minutes=2))
    written(small(place, minutes=2, begin_ms=FROM_MS + 120_000))
    assert len(names(S3Store(place) if isinstance(place, S3Place) else FolderStore(place))) == 4
    other = SMALL.model_copy(update={"seed": 8})
    for job in (
        small(place, minutes=3),
        small(place, begin_ms=FROM_MS + 60_000),
        small(place, shard=Shard(0, 2)),
        small(place, minutes=2, begin_ms=FROM_MS + 3_600_000, scenario=other),
        small(place, minutes=2, begin_ms=FROM_MS + 3_600_000, format="csv"),
    ):
        with pytest.raises(ConfigError, match=r"would be there twice|has another data set"):
            data_set(job).begin(resume=False, is_replacing=False)
    # Another day and another shard of the same are no mixture: they stay also where something is replaced.
    again = written(small(place, minutes=1), is_replacing=True)
    assert len(names(again.store)) == 3
    replaced = written(small(place, minutes=1, scenario=other), is_replacing=True)
    assert names(replaced.store) == {"kind=bme280/date=2026-03-04/part-235800.parquet"}
    assert replaced.finish(is_replacing=False) == ([], [])


def test_a_file_that_no_manifest_tells_of_is_told_of(place: Path | S3Place) -> None:
    job = small(place, minutes=1)
    job.store().write("kind=bme280/date=2020-01-01/old.parquet", b"old")
    made = data_set(job)
    for part in made.begin(resume=False, is_replacing=False):
        made.done[part.name] = PartMaker(job).make(part)
    assert made.finish(is_replacing=False) == (["kind=bme280/date=2020-01-01/old.parquet"], [])


def test_a_place_has_one_writer_at_a_time(place: Path | S3Place) -> None:
    store = small(place).store()
    lock, other = store.lock(""), store.lock("")
    lock.acquire()
    if isinstance(store, S3Store):
        # As of another machine, whose processes nobody here knows.
        (name,) = (name for name in store.sizes() if name.startswith("_lock."))
        store.write(name, b'{"process": 1, "host": "elsewhere"}')
    with pytest.raises(OutputBusyError, match="is being written by another process"):
        other.acquire()
    store.lock("-0-of-2").acquire()
    lock.check()
    lock.release()
    other.acquire()
    other.release()


@pytest.mark.slow
def test_a_lock_of_a_process_that_has_ended_is_taken_over(s3: str, tmp_path: Path) -> None:
    store = S3Store(S3Place.parse(f"s3://{KEY}:{SECRET}@lake/{tmp_path.name}?endpoint={s3}", {}))
    lock = store.lock("")
    lock.acquire()
    (name,) = store.sizes()
    gone = orjson.loads(store.read(name)) | {"process": 2**22 + 1}
    store.write(name, orjson.dumps(gone))
    other = store.lock("")
    other.acquire()
    assert name not in store.sizes()
    other.release()


BUSY = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
DENIED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.mark.slow
@pytest.mark.parametrize("answer", [BUSY, DENIED, b"no HTTP", None])
def test_a_store_that_is_not_well_is_told_of_in_time(answer: bytes | None) -> None:
    with answering(answer) as url:
        place = S3Place.parse(f"s3://{KEY}:{SECRET}@lake/x?endpoint={url}", {})
        store = S3Store(place, connect_s=1, request_s=0.3, attempts=1)
        for ask in (store.sizes, lambda: store.write("a", b"b")):
            with pytest.raises(EdgefleetError, match="s3://lake/x cannot be written: ") as told:
                ask()
            assert SECRET not in str(told.value)
            assert KEY not in str(told.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3:///x/", "write s3://BUCKET/FOLDER/"),
        ("s3://b/x/../y/", "write s3://BUCKET/FOLDER/"),
        ("s3://b/x/#y", "write s3://BUCKET/FOLDER/"),
        ("s3://user@b/x/", "before @ write KEY:SECRET"),
        ("s3://user:hidden@b/x/?token=hidden", "behind ? there are region, endpoint and scheme"),
        ("s3://user:hidden@b/x/?scheme=ftp", "reached by http or https"),
        ("s3://user:hid/den@b/x/", "%2F"),
    ],
)
def test_urls_that_are_none_are_refused_without_their_secrets(url: str, said: str) -> None:
    with pytest.raises(ConfigError) as told:
        S3Place.parse(url, {})
    assert said in str(told.value)
    assert "hid" not in str(told.value)


def test_the_environment_says_where_the_store_is() -> None:
    place = S3Place.parse("s3://b/x/", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9000/", "AWS_REGION": "eu-1"})
    assert place.options == {"endpoint_override": "127.0.0.1:9000", "scheme": "http", "region": "eu-1"}
    assert S3Place.parse("s3://b/x/", {}).options == {}
    assert str(S3Place.parse("s3://key:secret@b/x/?region=r", {})) == "s3://b/x"


def test_a_file_that_is_not_where_it_should_be_is_told_of(tmp_path: Path) -> None:
    """As where a worker on another machine has a folder of its own under the same name."""
    made = data_set(small(tmp_path / "here"))
    elsewhere = PartMaker(small(tmp_path / "elsewhere"))
    for part in made.begin(resume=False, is_replacing=False):
        made.done[part.name] = elsewhere.make(part)
    with pytest.raises(EdgefleetError, match="3 of 3 files that were made are not there"):
        made.finish(is_replacing=False)
    assert not list((tmp_path / "here").glob("_manifest*"))
