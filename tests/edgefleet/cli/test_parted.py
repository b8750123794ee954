"""`edgefleet generate --jobs`, `--ray` and `--out s3://…`: a data set of parts, as one process writes it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest
from pyarrow import dataset
from typer.testing import CliRunner

from edgefleet.cli import app
from tests.devices.export.test_parts import contents
from tests.processes import not_outliving
from tests.services.s3 import ENVIRONMENT, SECRET, running_s3
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.slow

SPAN = ("--from", "2026-03-04T12:00", "--to", "2026-03-04T12:12")
SCENARIO = """\
seed: 4
devices: [{kind: bme280, count: 8, interval: 1s}, {kind: people, count: 2}, {kind: gps, count: 2, interval: 1s}]
faults: [{type: spike, kind: bme280, field: temperature_c, chance: 0.02, size: 9, from: 2026-03-04}]
"""


@pytest.fixture(autouse=True)
def _few_rows_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(SCENARIO)


def invoke(*arguments: str, code: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["generate", "s.yaml", *arguments, "--json"])
    assert getattr(result.exception, "exit_code", result.exit_code) == code, result.exception or result.output
    if code:
        return {"error": str(result.exception)}
    return dict(orjson.loads(result.stdout.splitlines()[-1]))


def rows(place: str) -> list[dict[str, Any]]:
    found = dataset.dataset(place, partitioning="hive" if "kind=" in place else None).to_table().to_pylist()
    shown = [{name: value for name, value in row.items() if name not in ("kind", "date")} for row in found]
    return sorted(shown, key=lambda row: (row["device_id"], row["boot"], row["seq"]))


def test_what_is_added_is_as_in_one_process(tmp_path: Path) -> None:
    added = ("--label-column", "--clean", "--delays", "--local-time", "--split", "train=.5,test=.5")
    common = (*SPAN, "--format", "parquet", *added, "--split-by", "time", "--split-gap", "1m")
    one = invoke(*common, "--out", "one/", "--labels", "one.jsonl")
    many = invoke(*common, "--out", "many/", "--labels", "many.jsonl", "--jobs", "2")
    assert one["records"] == many["records"] > 0
    for kind in ("bme280", "gps", "foot_traffic"):
        assert rows(f"many/kind={kind}") == rows(f"one/{kind}.parquet")
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "many.jsonl").read_bytes() > b""


def test_shards_fit_into_one_place() -> None:
    invoke(*SPAN, "--format", "csv.gz", "--out", "all/", "--jobs", "1")
    for shard in ("0/2", "1/2"):
        found = invoke(*SPAN, "--format", "csv.gz", "--out", "halves/", "--jobs", "1", "--shard", shard)
        assert found["stale"] == []
    names = {path.name for path in Path("halves").rglob("*.csv.gz")}
    assert names == {"part-120000-0-of-2.csv.gz", "part-120000-1-of-2.csv.gz"}
    assert invoke(*SPAN, "--format", "csv.gz", "--out", "halves/", "--jobs", "1", code=2)["error"].count("twice") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--jobs", "2"), "--jobs writes a data set of parts: give --out FOLDER/ or s3://BUCKET/FOLDER/"),
        (("--jobs", "2", "--out", "x.parquet"), "--jobs writes a data set of parts"),
        (("--ray", "auto", "--out", "x.csv"), "--ray writes a data set of parts"),
        (("--jobs", "2", "--out", "postgresql://u@localhost/d"), "--jobs writes a data set of parts"),
        (("--jobs", "2", "--upload", "http://127.0.0.1:1"), "--jobs writes a data set of parts"),
        (("--jobs", "2", "--out", "x/", "--format", "csv", "--records", "5"), "--records: parts that are made side"),
        (("--jobs", "2", "--stream"), "--jobs is for exports: leave out --stream"),
        (("--out", "s3://b/x/",), "its name does not say the format: add --format"),
        (("--out", "s3://b/x.csv", "--format", "csv"), "name a folder, s3://BUCKET/FOLDER/"),
        (("--out", "s3://u:hidden@b/x/?y=hidden", "--format", "csv"), "behind ? there are region"),
        (("--ray", "nowhere", "--out", "x/", "--format", "csv"), "--ray: 'nowhere' is no HOST:PORT"),
    ],
)  # fmt: skip
def test_what_cannot_be_parted_is_refused(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    span = () if "--stream" in arguments else SPAN[:2] if "--records" in arguments else SPAN
    error = invoke(*span, *arguments, code=2)["error"]
    assert said in error
    assert "hidden" not in error
    assert not list(tmp_path.rglob("*.csv")) + list(tmp_path.rglob("kind=*"))


def test_it_ends_in_time_where_a_store_is_away() -> None:
    result = CliRunner(env={**ENVIRONMENT, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}).invoke(
        app, ["generate", "s.yaml", *SPAN, "--out", "s3://lake/x/", "--format", "csv"]
    )
    assert result.exit_code == 1
    assert "s3://lake/x cannot be written" in str(result.exception)
    assert SECRET not in str(result.exception) + result.output


COMMAND = [sys.executable, "-m", "edgefleet", "generate", "--kind", "bme280", "--count", "300", "--interval", "1s"]
LONG = [*COMMAND, "--from", "2026-03-04T12:00", "--to", "2026-03-04T14:24", "--format", "parquet", "--jobs", "2"]
"""Six parts and more."""


def workers_of(export: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    deadline = time.monotonic() + 60
    found: list[psutil.Process] = []
    while time.monotonic() < deadline and not found:
        time.sleep(0.05)
        found = [one for one in psutil.Process(export.pid).children() if "spawn_main" in str(one.cmdline())]
    return found


@pytest.mark.services  # likewise
def test_a_worker_that_dies_is_told_of_and_what_is_complete_stays() -> None:
    command = [*LONG, "--out", "set/"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as export, not_outliving(export):
        for worker in workers_of(export):
            worker.kill()
        assert export.wait(60) == 1
        assert export.stderr is not None
        said = " ".join(export.stderr.read().decode().split())
    assert "a process that made parts died of SIGKILL" in said
    assert "with --resume goes on" in said
    again = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=False)
    assert (again.returncode, "2,592,000 records" in again.stdout) == (0, True), again.stderr


@pytest.mark.services  # processes of their own, which are killed
@pytest.mark.parametrize("end", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_what_was_killed_is_gone_on_with_and_exact(tmp_path: Path, end: signal.Signals) -> None:
    with running_s3("lake") as url:
        environment = os.environ | ENVIRONMENT | {"AWS_ENDPOINT_URL": url}
        place = "s3://lake/x/" if end is signal.SIGINT else "set/"
        command = [*LONG, "--out", place]
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as export, not_outliving(export):
            workers = workers_of(export)
            time.sleep(0.05)
            export.send_signal(end)
            export.wait(60)
        # No worker goes on without whoever keeps the lock.
        assert not psutil.wait_procs(workers, timeout=PATIENCE_S)[1]
        again = subprocess.run([*command, "--resume"], env=environment, capture_output=True, text=True, check=False)
        assert again.returncode == 0, again.stderr
        assert "2,592,000 records" in again.stdout
        if end is signal.SIGKILL:
            subprocess.run([*LONG, "--out", "other/", "--jobs", "1"], check=True, capture_output=True)
            assert contents(tmp_path / "set") == contents(tmp_path / "other")


@pytest.mark.parametrize(("more", "jobs"), [((), 3), (("--jobs", "1"), 1)])
def test_a_store_has_a_process_for_each_processor_unless_told(
    more: tuple[str, ...], jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def made_by_nobody(*_: object, jobs: int) -> list[object]:
        asked.append(jobs)
        return []

    monkeypatch.setattr("edgefleet.cli.parted.make_parts", made_by_nobody)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    with running_s3("lake") as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        for name, value in ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        CliRunner().invoke(app, ["generate", "s.yaml", *SPAN, "--format", "csv", "--out", "s3://lake/x/", *more])
    assert asked == [jobs]
