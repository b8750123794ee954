"""Every output option of every command: what is no regular file is written into or refused, and never replaced."""

import os
import socket
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from pyarrow import BufferReader, parquet
from typer.testing import CliRunner

from bridge.sinks.file.rotating_file import RotatingFile, Rotation
from bridge.spool.sqlite import SpoolError
from bridge.spool.store import SpoolStore
from devices.faults.labels import write_labels
from edgefleet.cli import app
from edgefleet.report.device_table import save_device_table
from edgewire.errors import EdgefleetError
from edgewire.output import make_output_folder
from edgewire.run_record import RunRecord, make_folder

SPAN = ("--from", "2026-03-04T12:00", "--to", "2026-03-04T12:01")
NULL, FULL = (1, 3), (1, 7)


def make_null(path: Path, device: tuple[int, int] = NULL) -> Path:
    """A device of our own: one that takes everything, as /dev/null does, or another."""
    if os.geteuid() != 0:
        pytest.skip("only root makes device nodes")
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(*device))
        path.open("wb").close()
    except OSError as error:
        pytest.skip(f"device nodes cannot be made or used here: {error}")
    return path


def is_null(path: Path) -> bool:
    found = path.lstat()
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == os.makedev(*NULL)


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "scenario.yaml"
    path.write_text(
        "seed: 4\ndevices: [{kind: bme280, count: 3, interval: 2s}]\n"
        "faults: [{type: spike, kind: bme280, field: humidity, size: 9, from: '2026-03-01'}]\n"
    )
    return path


@pytest.fixture
def read_fifo(tmp_path: Path) -> Iterator[Callable[[Path], Callable[[], bytes]]]:
    """Make a FIFO and read it in a thread; what it returns waits for the end, and gives all that came."""
    begun: list[tuple[Path, threading.Thread]] = []

    def begin(path: Path) -> Callable[[], bytes]:
        os.mkfifo(path)
        got: list[bytes] = []
        thread = threading.Thread(target=lambda: got.append(path.read_bytes()), daemon=True)
        thread.start()
        begun.append((path, thread))

        def finish() -> bytes:
            thread.join(10)
            assert got, "nobody closed the FIFO"
            return got[0]

        return finish

    yield begin
    for path, thread in begun:
        if thread.is_alive():  # nobody came to write
            os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
            thread.join(10)


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, [*map(str, arguments)])


def done(*arguments: object) -> str:
    result = invoke(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return str(result.output)


def said(result: Any) -> str:
    assert isinstance(result.exception, EdgefleetError), result.exception
    return str(result.exception)


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_generate_writes_into_a_device_and_leaves_it_what_it_is(scenario: Path, tmp_path: Path, suffix: str) -> None:
    node = make_null(tmp_path / f"mynull.{suffix}")
    before = {*tmp_path.iterdir()}
    assert f"90 records to {node}" in done("generate", scenario, *SPAN, "--out", node)
    assert is_null(node)
    assert {*tmp_path.iterdir()} == before


def test_a_stream_counts_what_a_full_disk_did_not_take_as_not_arrived(scenario: Path, tmp_path: Path) -> None:
    full = make_null(tmp_path / "full.jsonl", FULL)
    result = invoke("generate", scenario, "--stream", "--interval", "1ms", "--records", 3, "--out", full)
    assert "No space left on device; 0 records had arrived" in said(result)


def test_folders_are_made_where_a_link_leads(scenario: Path, tmp_path: Path) -> None:
    for name, command in (
        ("csv", ("generate", scenario, *SPAN, "--format", "csv", "--out", "LINK/")),
        ("sec", ("provision", scenario, "--out", "LINK")),
        ("in", ("init", "LINK")),
    ):
        link, target = tmp_path / name, tmp_path / f"{name}-target"
        link.symlink_to(target.name)
        done(*(str(word).replace("LINK", str(link)) for word in command))
        assert link.is_symlink()
        assert any(target.iterdir())
    link, target = tmp_path / "run", tmp_path / "run-target"
    link.symlink_to(target.name)
    make_folder(link)
    assert target.is_dir()
    with pytest.raises(NotADirectoryError, match="it is a file, not a folder"):
        make_output_folder(scenario)


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_generate_writes_a_fifo_the_same_bytes_as_a_file(
    scenario: Path, tmp_path: Path, read_fifo: Callable[[Path], Callable[[], bytes]], suffix: str
) -> None:
    plain, fifo = tmp_path / f"plain.{suffix}", tmp_path / f"fifo.{suffix}"
    done("generate", scenario, *SPAN, "--out", plain)
    finish = read_fifo(fifo)
    done("generate", scenario, *SPAN, "--out", fifo)
    assert finish() == plain.read_bytes()
    assert fifo.is_fifo()
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name or "checkpoint" in path.name] == []


def test_a_fifo_among_the_files_of_a_folder_is_written_into(
    scenario: Path, tmp_path: Path, read_fifo: Callable[[Path], Callable[[], bytes]]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    finish = read_fifo(folder / "bme280.parquet")
    done("generate", scenario, *SPAN, "--out", f"{folder}/", "--format", "parquet")
    assert parquet.read_table(BufferReader(finish())).num_rows == 90
    assert (folder / "bme280.parquet").is_fifo()


def test_a_socket_is_written_into(scenario: Path, tmp_path: Path) -> None:
    place = tmp_path / "s.jsonl"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen()
        got: list[bytes] = []

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as stream:
                got.append(stream.read())

        thread = threading.Thread(target=serve)
        thread.start()
        done("generate", scenario, *SPAN, "--out", place)
        thread.join(10)
    assert len(got[0].splitlines()) == 90
    assert place.is_socket()


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_a_link_stays_and_its_target_is_written(scenario: Path, tmp_path: Path, suffix: str) -> None:
    target, link = tmp_path / "elsewhere" / f"target.{suffix}", tmp_path / f"link.{suffix}"
    link.symlink_to(target)  # whose folder is not there yet
    done("generate", scenario, *SPAN, "--out", link)
    assert link.is_symlink()
    assert target.stat().st_size > 1000
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_stream_cannot_be_gone_on_with(scenario: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.jsonl"
    os.mkfifo(fifo)
    result = invoke("generate", scenario, *SPAN, "--out", fifo, "--resume")
    assert said(result) == (f"--resume: what went to {fifo} is gone, so it cannot be gone on with; give --out a file")


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_a_name_of_standard_output_is_standard_output(scenario: Path, name: str) -> None:
    assert len(done("generate", scenario, *SPAN, "--out", name, "--format", "jsonl").splitlines()) == 90


@pytest.mark.parametrize("suffix", [".partial", ".checkpoint", ".checkpoint.new"])
def test_what_stands_beside_the_output_is_not_replaced_either(scenario: Path, tmp_path: Path, suffix: str) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    trap = tmp_path / f"out.jsonl{suffix}"
    trap.symlink_to(precious) if suffix != ".checkpoint" else os.mkfifo(trap)
    message = said(invoke("generate", scenario, *SPAN, "--out", tmp_path / "out.jsonl"))
    assert ("is no regular file: remove it" in message) or ("it is a FIFO, not a file" in message)
    assert precious.read_text() == "mine"
    assert trap.is_symlink() or trap.is_fifo()


def test_links_in_a_circle_and_folders_are_refused(scenario: Path, tmp_path: Path) -> None:
    one, other, folder = tmp_path / "one.jsonl", tmp_path / "other.jsonl", tmp_path / "folder.png"
    one.symlink_to(other)
    other.symlink_to(one)
    assert "symbolic links" in said(invoke("generate", scenario, *SPAN, "--out", one))
    folder.mkdir()
    assert "is a directory" in invoke("plot", scenario, "--out", folder).output


def test_labels(scenario: Path, tmp_path: Path, read_fifo: Callable[[Path], Callable[[], bytes]]) -> None:
    arguments = ("generate", scenario, *SPAN, "--out", tmp_path / "out.jsonl", "--labels")
    finish = read_fifo(tmp_path / "labels.fifo")
    done(*arguments, tmp_path / "labels.fifo")
    node = make_null(tmp_path / "labels.null")
    done(*arguments, node)
    link, target = tmp_path / "labels.link", tmp_path / "labels.target"
    link.symlink_to(target)
    done(*arguments, link)
    assert finish() == target.read_bytes()
    assert (is_null(node), link.is_symlink()) == (True, True)


@pytest.mark.slow
def test_plot(scenario: Path, tmp_path: Path, read_fifo: Callable[[Path], Callable[[], bytes]]) -> None:
    node, link, target = make_null(tmp_path / "null.png"), tmp_path / "link.html", tmp_path / "target.html"
    link.symlink_to(target)
    finish = read_fifo(tmp_path / "fifo.png")
    for place in (node, link, tmp_path / "fifo.png"):
        done("plot", scenario, "--from", "2026-03-04T12:00", "--to", "2026-03-04T12:01", "--out", place)
    assert finish().startswith(b"\x89PNG")
    assert (is_null(node), link.is_symlink(), target.read_text()[:15]) == (True, True, "<!doctype html>")


def test_provision(scenario: Path, tmp_path: Path) -> None:
    """Its files are read again when the fleet has grown, so each is a file, or a link to one."""
    folder = tmp_path / "secrets"
    done("provision", scenario, "--out", folder)
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    assert {"acl", "ca.crt", "ca.key", "credentials.csv", "mosquitto.conf", "passwords"} < {*names}
    for name in names:
        kept = (folder / name).read_bytes()
        (folder / name).unlink()
        os.mkfifo(folder / name)
        assert "a FIFO, not a file" in said(invoke("provision", scenario, "--out", folder)), name
        assert (folder / name).is_fifo()
        (folder / name).unlink()
        (tmp_path / name).write_bytes(kept)
        (folder / name).symlink_to(tmp_path / name)
    done("provision", scenario, "--out", folder)
    assert all((folder / name).is_symlink() for name in names)


def record() -> RunRecord:
    return RunRecord(run_id="r", scenario="s", seed=0, broker="b", started_ms=0, stopped_ms=1, sim_started_ms=0)


def test_the_files_of_a_run_record(tmp_path: Path) -> None:
    files = ("run.json", "devices.parquet", "labels.jsonl")
    for name in files:
        make_null(tmp_path / name)
    make_folder(tmp_path)
    record().save(tmp_path)
    save_device_table(record(), tmp_path)
    write_labels(tmp_path / "labels.jsonl", [])
    assert all(is_null(tmp_path / name) for name in files)
    assert {path.name for path in tmp_path.iterdir()} == {*files}


def test_a_run_record_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "run.json").symlink_to(tmp_path / "target.json")
    record().save(tmp_path)
    assert (tmp_path / "run.json").is_symlink()
    assert orjson.loads((tmp_path / "target.json").read_bytes())["run_id"] == "r"


def test_the_spool_and_its_lock(tmp_path: Path) -> None:
    """In a FIFO or a device nothing is safe."""
    path = tmp_path / "spool.db"
    os.mkfifo(path)
    with pytest.raises(SpoolError, match=r"spool\.db: the spool cannot be opened: it is a FIFO, not a file"):
        SpoolStore(path, ["http"])
    assert path.is_fifo()
    path.unlink()
    os.mkfifo(tmp_path / "spool.db.lock")
    with pytest.raises(SpoolError, match="it is a FIFO, not a file"):
        SpoolStore(path, ["http"])


def test_a_spool_by_another_name_is_the_same_spool(tmp_path: Path) -> None:
    path, link = tmp_path / "spool.db", tmp_path / "link.db"
    link.symlink_to(path)
    store = SpoolStore(link, ["http"])
    try:
        with pytest.raises(SpoolError, match="another bridge uses this spool"):
            SpoolStore(path, ["http"])
    finally:
        store.close()
    assert link.is_symlink()
    assert sqlite3.connect(path).execute("SELECT name FROM sinks").fetchall() == [("http",)]


def test_bridge_check_does_not_wait_for_the_reader_of_a_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "spool.db")
    config = tmp_path / "bridge.yaml"
    config.write_text(
        f"broker: mqtt://127.0.0.1:1\nspool: {{path: {tmp_path}/spool.db}}\nfile: {{folder: {tmp_path}/f}}\n"
    )
    result = invoke("bridge", "check", config, "--json")
    assert result.exit_code == 1
    assert "it is a FIFO, not a file; set spool.path" in orjson.loads(result.stdout)["spool"]["text"]


def test_the_file_sink(tmp_path: Path) -> None:
    rotation = Rotation(max_bytes=4)
    link, target = tmp_path / "link.jsonl", tmp_path / "elsewhere" / "target.jsonl"
    target.parent.mkdir()
    link.symlink_to(target)
    file = RotatingFile(link, rotation, lambda: 0.0)
    file.append_lines(b"one\n")
    assert file.append_lines(b"two\n") is not None
    file.close()
    assert (link.is_symlink(), target.read_text(), len([*target.parent.iterdir()])) == (True, "two\n", 2)
    os.mkfifo(tmp_path / "fifo.jsonl")
    with pytest.raises(OSError, match="it is a FIFO, not a file"):
        RotatingFile(tmp_path / "fifo.jsonl", rotation, lambda: 0.0)
    assert (tmp_path / "fifo.jsonl").is_fifo()


def test_the_store_of_the_ingest(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "store.db")
    result = invoke("ingest", "--port", "0", "--store", f"sqlite:///{tmp_path}/store.db")
    assert "cannot be used: it is a FIFO, not a file" in said(result)
    assert (tmp_path / "store.db").is_fifo()
