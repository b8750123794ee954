"""`edgefleet verify` and `edgefleet schema` as a user runs them: exit codes, JSON, one sentence for what is wrong."""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest

from edgefleet.cli import main
from edgefleet.ingest.server import IngestConfig, serve
from edgefleet.ingest.store import Delivery, NewMessage, open_store
from edgewire.run_record import RunRecord

Row = tuple[str, int, int, int, int]


class Done(NamedTuple):
    """What a command left behind."""

    code: int | str | None
    stdout: str
    stderr: str


Edgefleet = Callable[..., Done]


@pytest.fixture
def edgefleet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Edgefleet:
    """Runs a command line to its exit."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["edgefleet", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
        return Done(exited.value.code, *capsys.readouterr())

    return run


async def verify_stored(edgefleet: Edgefleet, rows: list[Row], folder: Path, *options: str) -> Done:
    """Run the command against an ingest that has these rows."""
    store_url = f"sqlite:///{folder / 'ingest.db'}"
    store = await open_store(store_url)
    for device, boot, seq, timestamp_ms, arrived_ms in rows:
        await store.add(Delivery(arrived_ms, [NewMessage(device, boot, seq, "gps", timestamp_ms, "{}")]))
    await store.close()
    stop = asyncio.Event()
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(serve(IngestConfig(port=0, store=store_url), stop, ready.set_result))
    done = await asyncio.to_thread(edgefleet, "verify", folder, "--ingest", await ready, "--wait", "0s", *options)
    stop.set()
    await running
    return done


async def test_a_run_that_arrived_exits_0(
    edgefleet: Edgefleet, record: RunRecord, everything: list[Row], tmp_path: Path
) -> None:
    record.save(tmp_path)
    done = await verify_stored(edgefleet, everything, tmp_path)
    assert done.code == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("PASS  sent 15 · http stored 15 lost 0 · duplicates 0 · p50 20 ms")


async def test_a_loss_exits_1_also_as_json(
    edgefleet: Edgefleet, record: RunRecord, everything: list[Row], tmp_path: Path
) -> None:
    record.save(tmp_path)
    done = await verify_stored(edgefleet, everything[1:], tmp_path, "--json", "--late-after", "10ms")
    assert done.code == 1, done.stderr
    found = orjson.loads(done.stdout)
    assert (found["ok"], found["http"]["missing"], found["late"]) == (False, ["g-1:7:0"], 14)


@pytest.mark.parametrize(("stored", "word"), [(slice(None), "PASS"), (slice(1, None), "FAIL")], ids=["all", "but one"])
async def test_a_report_is_written_whatever_the_verdict(
    edgefleet: Edgefleet, record: RunRecord, everything: list[Row], tmp_path: Path, stored: slice, word: str
) -> None:
    record.save(tmp_path)
    page = tmp_path / "report.html"
    done = await verify_stored(edgefleet, everything[stored], tmp_path, "--html", str(page))
    assert (done.code, done.stdout.splitlines()[-1][:4]) == (0 if word == "PASS" else 1, word)
    assert f"<title>{word}: run r-1</title>" in page.read_text()


def test_a_report_in_the_place_of_the_record_is_refused(
    edgefleet: Edgefleet, record: RunRecord, tmp_path: Path
) -> None:
    path = record.save(tmp_path)
    before = path.read_bytes()
    done = edgefleet("verify", tmp_path, "--ingest", "http://127.0.0.1:9", "--html", path)
    assert (done.code, path.read_bytes()) == (2, before)
    assert "that file is part of the run" in done.stderr


@pytest.mark.parametrize("age_ms", [9_256, 3_600_000], ids=["a moment ago", "long ago"])
async def test_rows_of_an_earlier_run_are_no_pass(
    edgefleet: Edgefleet, record: RunRecord, everything: list[Row], tmp_path: Path, age_ms: int
) -> None:
    """A run that is repeated with the same --from, of which nothing arrives."""
    record.save(tmp_path)
    older = [(*row[:4], row[4] - age_ms) for row in everything]
    done = await verify_stored(edgefleet, older, tmp_path)
    assert done.code == 1, done.stderr
    *_, sentence, last = done.stdout.splitlines()
    assert sentence.startswith("not known: http: 15 were there before this run sent them")
    assert last.startswith("INCOMPLETE  sent 15 · http stored 0 lost 0")


async def test_a_clock_that_is_hours_off_hides_no_message_of_a_run_with_its_own_ids(
    edgefleet: Edgefleet, record: RunRecord, everything: list[Row], tmp_path: Path
) -> None:
    record.fixed_boots = False
    record.save(tmp_path)
    done = await verify_stored(edgefleet, [(*row[:4], row[4] - 7_200_000) for row in everything], tmp_path)
    assert done.code == 0, done.stdout
    assert "differ by about 7,200 s" in done.stdout.replace("\n", " ")
    assert " ms" not in done.stdout.splitlines()[-1]


async def test_one_shard_of_two_is_incomplete_and_both_pass(
    edgefleet: Edgefleet, record: RunRecord, everything: list[Row], tmp_path: Path
) -> None:
    record.scenario_devices = 3
    shards = [replace(record, shards=[(number, 2)], devices=record.devices[number::2]) for number in (0, 1)]
    shards[0].save(tmp_path)
    shards[1].save(tmp_path / "other")
    alone = await verify_stored(edgefleet, everything, tmp_path, "--json")
    assert alone.code == 1, alone.stderr
    found = orjson.loads(alone.stdout)
    assert (found["verdict"], found["failures"]) == ("INCOMPLETE", [])
    assert found["incomplete"] == [
        "shard 1/2 with its 1 device is not accounted for: give the folder of its record too"
    ]
    both = await verify_stored(edgefleet, everything, tmp_path, str(tmp_path / "other"))
    assert both.code == 0, both.stdout


async def test_what_the_broker_refused_has_a_column_and_exits_1(
    edgefleet: Edgefleet, record: RunRecord, everything: list[Row], tmp_path: Path
) -> None:
    record.devices[0].refused = {"not authorized (0x87)": [(8, 9)]}
    record.save(tmp_path)
    done = await verify_stored(edgefleet, [row for row in everything if row[2] < 8], tmp_path)
    assert done.code == 1, done.stderr
    lines = done.stdout.splitlines()
    assert ["gps", "http", "8", "8", "0", "2"] in [line.split()[:6] for line in lines]
    assert "http: the broker refused 2: 2 not authorized (0x87)" in lines
    assert lines[-1].startswith("FAIL  sent 13 · http stored 13 lost 0 · refused 2")


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        ([], 2, "give --ingest URL"),
        (["--ingest", "localhost"], 2, "ingest 'localhost' is no URL"),
        (["--ingest", "http://127.0.0.1:1"], 1, "http://127.0.0.1:1 cannot be read"),
        (["--ingest", "http://127.0.0.1:1", "--wait", "soon"], 2, "--wait: 'soon' is no duration"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    edgefleet: Edgefleet, record: RunRecord, tmp_path: Path, options: list[str], code: int, reason: str
) -> None:
    record.save(tmp_path)
    done = edgefleet("verify", tmp_path, *options)
    assert done.code == code
    assert done.stderr.startswith("edgefleet: ")
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_folder_without_a_record_is_one_sentence(edgefleet: Edgefleet, tmp_path: Path) -> None:
    done = edgefleet("verify", tmp_path, "--ingest", "http://127.0.0.1:1")
    assert done.code == 2
    assert "there is no run.json" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bme280", "people", "status", "cmd", "result", "scenario", "bridge"])
def test_a_schema_is_printed(edgefleet: Edgefleet, name: str) -> None:
    done = edgefleet("schema", name)
    assert done.code == 0, done.stderr
    assert orjson.loads(done.stdout)["$schema"].endswith("2020-12/schema")


@pytest.mark.slow
def test_all_schemas_and_asyncapi_are_printed(edgefleet: Edgefleet) -> None:
    done = edgefleet("schema")
    assert done.code == 0, done.stderr
    assert {"gps", "status", "scenario", "bridge"} <= orjson.loads(done.stdout).keys()
    assert orjson.loads(edgefleet("schema", "--asyncapi").stdout)["asyncapi"] == "3.0.0"
    assert "ddl" in orjson.loads(edgefleet("schema", "spark").stdout)["topics"]["sensors.bme280"]


@pytest.mark.parametrize("arguments", [["sonar"], ["gps", "--asyncapi"]])
def test_a_wrong_schema_name_lists_those_there_are(edgefleet: Edgefleet, arguments: list[str]) -> None:
    done = edgefleet("schema", *arguments)
    assert done.code == 2
    assert "names are bme280, traffic" in done.stderr
