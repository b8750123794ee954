"""`edgefleet generate` as users meet it: killed, interrupted, piped, sharded, uploaded, produced, streamed."""

import errno
import hashlib
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from pyarrow import parquet
from typer.testing import CliRunner

from devices.export.base import ExportError
from devices.sensors.registry import KINDS
from edgefleet.cli import app
from edgefleet.embedded import kafka_mock
from edgewire.clock import parse_ms
from edgewire.errors import ConfigError, EdgefleetError
from edgewire.messages.base import to_device_id
from edgewire.messages.contract import contract_of
from tests.processes import not_outliving

pytestmark = pytest.mark.slow

SPAN = ("--from", "2026-03-04T12:00", "--to", "2026-03-04T12:01")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints of uploads are in the current folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "scenario.yaml"
    groups = "".join(f"  - {{kind: {kind}, count: 3, interval: 2s}}\n" for kind in KINDS)
    # With this seed the minute of SPAN has messages of every shape.
    path.write_text(f"seed: 4\ndevices:\n{groups}")
    return path


@pytest.fixture
def sensors(tmp_path: Path) -> Path:
    """Of one kind, and enough of them that a day takes some seconds."""
    path = tmp_path / "sensors.yaml"
    path.write_text("devices: [{kind: bme280, count: 300, interval: 10s}]\n")
    return path


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["generate", *map(str, arguments)])


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "edgefleet", "generate", *map(str, arguments)]


def wait_for_bytes(path: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while not (path.exists() and path.stat().st_size):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_command_has_an_example() -> None:
    assert "Example: edgefleet generate" in " ".join(invoke("--help").output.split())


def test_the_union_of_shards_is_the_whole(scenario: Path, tmp_path: Path) -> None:
    assert invoke(scenario, *SPAN, "--out", tmp_path / "all.jsonl").exit_code == 0
    parts: list[bytes] = []
    for index in range(3):
        path = tmp_path / f"{index}.jsonl"
        assert invoke(scenario, *SPAN, "--shard", f"{index}/3", "--out", path).exit_code == 0
        parts += path.read_bytes().splitlines()
    whole = (tmp_path / "all.jsonl").read_bytes().splitlines()
    assert len(whole) > 400
    assert sorted(parts) == sorted(whole)
    result = invoke(scenario, *SPAN)
    assert result.stdout_bytes.splitlines() == whole


KILLED = """
import os, signal, sys
from devices.export import job
from edgefleet.cli import main

sizes, next_step = [], job.next_step

def noted(step_ms: int, rows: int, wanted: int) -> int:
    # The third window is written, and not in the checkpoint yet.
    sizes.append(rows)
    if len(sizes) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return next_step(step_ms, rows, wanted)

job.SAVE_EVERY_S, job.next_step = 0, noted
sys.argv[0] = "edgefleet"
main()
"""


@pytest.mark.parametrize(("suffix", "hours"), [("jsonl", 1), ("parquet", 2)])
def test_a_killed_export_resumes_to_the_same_bytes(sensors: Path, tmp_path: Path, suffix: str, hours: int) -> None:
    arguments = (sensors, "--from", "2026-03-04", "--to", f"2026-03-04T0{hours}:00", "--out")
    killed, checkpoint = tmp_path / f"killed.{suffix}", tmp_path / f"killed.{suffix}.checkpoint"
    done = subprocess.run([sys.executable, "-c", KILLED, "generate", *map(str, arguments), killed], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert not killed.exists()
    written = orjson.loads(checkpoint.read_bytes())["records"]
    result = invoke(*arguments, killed, "--resume", "--json")
    summary = orjson.loads(result.stdout)
    assert summary["resumed"] == written > 0
    assert summary["records"] == 300 * hours * 360
    assert invoke(*arguments, tmp_path / f"whole.{suffix}").exit_code == 0
    digests = {hashlib.sha256((tmp_path / f"{name}.{suffix}").read_bytes()).digest() for name in ("killed", "whole")}
    assert len(digests) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"sensors.yaml", f"killed.{suffix}", f"whole.{suffix}"}


@pytest.mark.long
def test_an_interrupted_export_whose_shop_is_closed_yet_goes_on_to_the_same_files(tmp_path: Path) -> None:
    scenario = tmp_path / "shop.yaml"
    shop = "{kind: people, count: 1, interval: 1h, settings: {daily_customers: 2}}"
    scenario.write_text(f"seed: 7\ndevices:\n  - {shop}\n  - {{kind: bme280, count: 300, interval: 40s}}\n")
    arguments = (scenario, "--from", "2026-03-04", "--to", "2026-03-04T20:00", "--format", "parquet", "--out")
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    partial = cut / "bme280.parquet.partial"
    with subprocess.Popen(command(*arguments, f"{cut}/"), stdout=subprocess.PIPE) as process, not_outliving(process):
        wait_for_bytes(partial, process)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 1
    files = orjson.loads((cut / ".checkpoint").read_bytes())["target"]
    assert files["bme280"]["columns"]
    assert not files["foot_traffic"]["columns"], "the first customer is still to come"
    for folder, more in ((cut, ["--resume"]), (whole, [])):
        assert invoke(*arguments, f"{folder}/", *more).exit_code == 0
    tables = {path.name: parquet.read_table(path) for path in cut.glob("*.parquet")}
    assert tables == {path.name: parquet.read_table(path) for path in whole.glob("*.parquet")}
    assert tables["foot_traffic.parquet"].num_rows
    assert tables["bme280.parquet"].num_rows == 300 * 20 * 90


def test_labels_are_the_same_after_a_kill(sensors: Path, tmp_path: Path) -> None:
    fault = "{type: bias, kind: bme280, field: humidity, offset: 5, rate: 2/h, duration: 5m}"
    sensors.write_text(f"{sensors.read_text()}faults: [{fault}]\n")
    files = {}
    for name in ("whole", "killed"):
        out, labels = tmp_path / f"{name}.csv", tmp_path / f"{name}.labels.jsonl"
        arguments = [sensors, "--from", "2026-03-04", "--to", "2026-03-04T01:00", "--out", out, "--labels", labels]
        if name == "killed":
            script = [sys.executable, "-c", KILLED, "generate", *map(str, arguments)]
            assert subprocess.run(script, timeout=60).returncode == -signal.SIGKILL
            assert not labels.exists()
            arguments.append("--resume")
        assert invoke(*arguments).exit_code == 0
        files[name] = (labels.read_bytes(), hashlib.sha256(out.read_bytes()).digest())
    assert files["killed"] == files["whole"]
    assert files["whole"][0].count(b"\n") > 300


def test_an_interrupt_ends_between_two_records(sensors: Path, tmp_path: Path) -> None:
    path = tmp_path / "year.jsonl"
    partial = tmp_path / "year.jsonl.partial"
    arguments = command(sensors, "--from", "2025-01-01", "--to", "2026-01-01", "--out", path)
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process, not_outliving(process):
        wait_for_bytes(partial, process)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"interrupted: " in said
    assert b"the same command with --resume goes on" in said
    for line in partial.read_bytes().splitlines():
        orjson.loads(line)
    assert partial.read_bytes().endswith(b"}\n")


def test_a_reader_that_leaves_is_the_end(sensors: Path) -> None:
    arguments = command(sensors, "--from", "2025-01-01", "--to", "2026-01-01")
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(arguments, **streams) as process, not_outliving(process):
        assert process.stdout is not None
        assert process.stderr is not None
        assert orjson.loads(process.stdout.readline())["seq"] > 0
        process.stdout.close()
        assert process.wait(60) == 0
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--from", "yesterday", "--to", "2026-03-04"), "--from: 'yesterday' is no ISO 8601 time"),
        (("--from", "2026-03-04", "--to", "2026-03-03"), "is not after"),
        ((*SPAN, "--out", "x.txt"), "does not say the format"),
        ((*SPAN, "--out", "x.csv"), "one file has one schema"),
        ((*SPAN, "--out", "x", "--format", "xml"), "there are jsonl, csv, parquet"),
        ((*SPAN, "--format", "csv"), "stdout: one file has one schema"),
        ((*SPAN, "--out", "x.jsonl", "--kafka", "k"), "choose one"),
        ((*SPAN, "--kafka", "k", "--format", "csv"), "--format is for files"),
        ((*SPAN, "--resume"), "what went to stdout is gone"),
        ((*SPAN, "--interval", "1s"), "the pace of --stream"),
        ((*SPAN, "--out", "x.jsonl", "--format", "csv"), "its name says jsonl, --format says csv"),
        ((*SPAN, "--out", "postgresql://localhost:door/x"), "its port is no number from 1 to 65535"),
        (("--from", "2026-03-04", "--to", "9999-12-31"), "write a time before the year 9999"),
        ((*SPAN, "--upload", "ftp://x"), "write http://HOST:PORT"),
        ((*SPAN, "--upload", "http://x:door"), "its port is no number from 1 to 65535"),
        ((*SPAN, "--upload", "http://me:secret@x"), "give a token if one is asked for"),
        ((*SPAN, "--out", "x.jsonl", "--labels", "scenario.yaml/labels.jsonl"), "the labels cannot be written"),
        ((*SPAN, "--shard", "3/3"), "write i/n"),
        (("--stream", "--from", "2026-03-04"), "leave out --from"),
        (("--stream", "--interval", "soon"), "--interval: 'soon' is no duration"),
        (("--stream", "--interval", "0"), "--interval: '0.000000s' is too short: give 1ms or more"),
        (("--stream", "--out", "x.csv"), "--stream goes to stdout"),
    ],
)
def test_wrong_usage_is_one_sentence(scenario: Path, arguments: tuple[str, ...], said: str) -> None:
    result = invoke(scenario, *arguments)
    assert isinstance(result.exception, EdgefleetError)
    assert said in str(result.exception)


def test_a_seed_is_of_64_bits(scenario: Path) -> None:
    assert invoke(scenario, *SPAN, "--seed", 2**63).exit_code == 2


def test_an_output_that_is_full_is_one_sentence(scenario: Path) -> None:
    with open("/dev/full", "wb") as full:
        process = subprocess.run(command(scenario, *SPAN), stdout=full, stderr=subprocess.PIPE, check=False)
    assert process.returncode == 1
    assert process.stderr.decode().splitlines() == ["edgefleet: stdout cannot be written: No space left on device"]


def test_a_checkpoint_that_cannot_be_written_is_one_sentence(
    scenario: Path, ingest: "tuple[str, type[IngestStub]]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.export.job.os.fsync", _no_space)
    result = invoke(scenario, *SPAN, "--upload", ingest[0])
    assert isinstance(result.exception, ExportError)
    assert "cannot be written down: No space left on device" in str(result.exception)


def _no_space(_file: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("out", ["folder", "folder/", "folder.csv/"])
def test_an_export_to_a_folder_is_gone_on_with_however_it_is_written(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    arguments = (scenario, *SPAN, "--format", "csv", "--out", out)
    with monkeypatch.context() as patch:
        patch.setattr("devices.export.files.TableFiles.finish", lambda _: _no_space(0))
        invoke(*arguments)
    folder = tmp_path / out.rstrip("/")
    (folder / "gps.csv.partial").unlink()
    # It is known that this one was there.
    assert "gps.csv.partial is gone" in str(invoke(*arguments, "--resume").exception)
    assert invoke(*arguments).exit_code == 0
    names = {path.name for path in folder.iterdir()}
    assert {"gps.csv", "foot_traffic.csv"} < names
    assert [name for name in names if not name.endswith(".csv")] == ["_manifest.json"]


def test_a_shard_without_devices_has_no_labels(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    fault = "{type: bias, kind: bme280, field: humidity, offset: 3, from: 2026-03-04}"
    path.write_text(f"devices: [{{kind: bme280, count: 1}}]\nfaults: [{fault}]\n")
    result = invoke(path, *SPAN, "--shard", "1/2", "--out", "none.jsonl", "--labels", "labels.jsonl")
    assert result.exit_code == 0
    assert (tmp_path / "labels.jsonl").read_bytes() == b""
    assert {file.name for file in tmp_path.iterdir()} == {"one.yaml", "none.jsonl", "labels.jsonl"}


def test_a_library_that_is_missing_is_named(scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("devices.export.parquet", "devices.export.postgres"):
        monkeypatch.setitem(sys.modules, module, None)
    for out, package in ((f"{tmp_path}/p/", "pyarrow"), ("postgresql://127.0.0.1/x", "psycopg")):
        arguments = ("--format", "parquet") if package == "pyarrow" else ()
        result = invoke(scenario, *SPAN, "--out", out, *arguments)
        assert isinstance(result.exception, ConfigError)
        assert f"needs the package {package}: pip install 'edgefleet[export]'" in str(result.exception)


def test_a_stream_is_live_and_ends_after_its_records(scenario: Path) -> None:
    before_s = time.time()
    result = invoke(scenario, "--stream", "--interval", "0.01", "--records", "12")
    messages = [orjson.loads(line) for line in result.stdout_bytes.splitlines()]
    assert result.exit_code == 0
    assert len(messages) == 12
    assert min(message["boot"] for message in messages) >= int(before_s) - 946_684_800
    assert invoke(scenario, "--stream", "--records", "5").stdout_bytes.count(b"\n") == 5
    # What they say the time is follows the pace, from the start on.
    shown = [parse_ms(message["timestamp"]) for message in messages]
    assert shown[0] >= before_s * 1000 - 1
    assert all(0 <= shown[0] + 10 * number - time_ms <= 40 for number, time_ms in enumerate(shown))


def test_a_printed_stream_has_a_banner_a_line_a_message_and_statistics(
    scenario: Path, ingest: tuple[str, type["IngestStub"]], tmp_path: Path
) -> None:
    url, stub = ingest
    stub.refuse_below = 2
    room = tmp_path / "room.yaml"
    room.write_text("devices: [{kind: bme280, ids: [kitchen, hall], interval: 10s}]\n")
    pace = ("--stream", "--interval", "0.01", "--print", "--stats-every", "3")
    result = invoke(room, *pace, "--records", "7", "--upload", url)
    assert result.exit_code == 1
    lines = [line for line in result.stdout.splitlines() if line[:1] in "✓✗"]
    assert [line[0] for line in lines] == ["✗"] * 3 + ["✓"] * 4
    assert "(too hot)" in lines[0]
    assert re.fullmatch(r"✓ \S+Z  (kitchen|hall)  [\d.]+ °C  [\d.]+ %  [\d.]+ hPa", lines[-1])
    told = result.stderr.splitlines()
    assert told[0] == f"streaming to {url}, a message every 0.01 s; Ctrl-C ends it"
    assert told[1].startswith("  2 bme280 (kitchen, hall), every 10s: temperature_c 18 to 28, humidity 30 to 70")
    statistics = [line for line in told if line.startswith("statistics: ")]
    assert statistics[0].startswith("statistics: 0 sent, 3 refused, 0 failed; last success never, last error 2")
    assert statistics[-1].startswith("statistics: 4 sent, 3 refused, 0 failed; last success 2")
    assert statistics[-1].endswith("refused: too hot")
    # Without a place to send to, the lines stand in the place of the messages.
    shown = invoke(room, *pace, "--records", "2").stdout.splitlines()
    assert [line[0] for line in shown] == ["✓", "✓"]
    said = invoke(room, "--from", "2026-03-01", "--records", "1", "--print").exception
    assert str(said) == "--print and --stats-every are for a stream: add --stream"


class IngestStub(BaseHTTPRequestHandler):
    """Keeps what is posted; answers what it is told to, then 200."""

    protocol_version = "HTTP/1.1"
    lines: list[bytes] = []
    answers: list[int] = []
    posts: list[int] = []
    refuse_below = -1
    refusal = "rejected"
    unlisted = 0
    token = ""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.answers.pop(0) if self.answers else 200
        if self.token and self.headers["Authorization"] != f"Bearer {self.token}":
            status = 401
        assert (self.path, self.headers["Content-Type"]) == ("/ingest/batch", "application/x-ndjson")
        answer = b"busy"
        if status == 200:
            lines = body.split(b"\n")
            self.posts.append(len(lines))
            refused = [number for number in range(len(lines)) if len(self.lines) + number <= self.refuse_below]
            self.lines.extend(lines)
            items = [{"line": line, "status": self.refusal, "error": "too hot"} for line in refused]
            account = {"stored": len(lines) - len(items), "rejected": len(items) + self.unlisted, "items": items}
            answer = orjson.dumps(account | {"unlisted": self.unlisted})
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def ingest() -> Iterator[tuple[str, type[IngestStub]]]:
    handler = type("Stub", (IngestStub,), {"lines": [], "answers": [], "posts": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    thread.join()
    server.server_close()


def whole(scenario: Path) -> list[bytes]:
    lines: list[bytes] = invoke(scenario, *SPAN).stdout_bytes.splitlines()
    return lines


def test_an_upload_is_tried_again_until_it_is_taken(
    scenario: Path, ingest: tuple[str, type[IngestStub]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.export.http.random.random", lambda: 0.0)
    url, stub = ingest
    stub.answers = [503, 429, 500]
    result = invoke(scenario, *SPAN, "--upload", url)
    assert result.exit_code == 0
    assert stub.lines == whole(scenario)


def test_an_upload_that_fails_can_be_gone_on_with(
    scenario: Path, ingest: tuple[str, type[IngestStub]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("devices.export.http.random.random", lambda: 0.0)
    url, stub = ingest
    stub.answers = [503] * 8
    result = invoke(scenario, *SPAN, "--upload", url)
    assert isinstance(result.exception, ExportError)
    assert f"{url}/ingest/batch answers 503, 8 times in a row" in str(result.exception)
    assert len(list(tmp_path.glob("edgefleet-upload-*.checkpoint"))) == 1
    assert invoke(scenario, *SPAN, "--upload", url, "--resume").exit_code == 0
    assert stub.lines == whole(scenario)
    assert not list(tmp_path.glob("*.checkpoint"))


def test_refused_records_are_counted_and_fail_the_command(scenario: Path, ingest: tuple[str, type[IngestStub]]) -> None:
    url, stub = ingest
    stub.refuse_below = 2
    result = invoke(scenario, *SPAN, "--upload", url, "--json")
    assert result.exit_code == 1
    assert orjson.loads(result.stdout)["rejected"] == 3
    assert "3 records were rejected, the first because: too hot" in result.stderr
    stub.lines, stub.posts, stub.refusal, stub.unlisted = [], [], "conflict", 4
    rejected = orjson.loads(invoke(scenario, *SPAN, "--upload", url, "--json").stdout)["rejected"]
    assert rejected == 3 + 4 * len(stub.posts)
    stub.unlisted = 0
    stub.token = "of-the-service"
    assert "answers 401" in str(invoke(scenario, *SPAN, "--upload", url).exception)
    assert invoke(scenario, *SPAN, "--upload", url, "--upload-token", stub.token).exit_code == 0


def test_a_streamed_upload_posts_what_is_due_together_and_waits_for_its_server(
    ingest: tuple[str, type[IngestStub]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("devices.export.http.random.random", lambda: 0.0)
    url, stub = ingest
    many = tmp_path / "many.yaml"
    many.write_text("devices: [{kind: bme280, count: 300, interval: 1s}]\n")
    stub.answers = [200, *[503] * 12]
    result = invoke(many, "--stream", "--records", "200", "--upload", url, "--json")
    assert (result.exit_code, orjson.loads(result.stdout)["records"]) == (0, 200)
    assert result.stderr.splitlines() == [
        f"edgefleet: {url}/ingest/batch answers 503: trying again",
        f"edgefleet: {url}/ingest/batch takes messages again",
    ]
    assert len({(row["device_id"], row["seq"]) for row in map(orjson.loads, stub.lines)}) == sum(stub.posts) == 200
    assert len(stub.posts) < 20


def test_a_stream_whose_server_never_answers_ends(
    scenario: Path, ingest: tuple[str, type[IngestStub]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.export.http.random.random", lambda: 0.0)
    url, stub = ingest
    stub.answers = [503] * 8
    said = str(invoke(scenario, "--stream", "--records", "3", "--upload", url).exception)
    assert said.endswith("answers 503, 8 times in a row: start again when it is back; 0 records had arrived")


def test_kafka_gets_every_message_in_its_topic(scenario: Path) -> None:
    expected = whole(scenario)
    with kafka_mock() as cluster:
        assert invoke(scenario, *SPAN, "--kafka", cluster.bootstrap_servers).exit_code == 0
        consumer = Consumer(
            {
                "bootstrap.servers": cluster.bootstrap_servers,
                "group.id": "test",
                "log_level": 0,
            }
        )
        topics = [
            "sensors.bme280", "traffic_events", "gps_positions", "telematics_events",
            "foot_traffic", "foot_traffic_realistic", "foot_traffic_counts",
        ]  # fmt: skip
        consumer.assign(
            [
                TopicPartition(topic, number, OFFSET_BEGINNING)
                for topic in topics
                for number in consumer.list_topics(topic, timeout=20).topics[topic].partitions
            ]
        )
        found: list[tuple[str, bytes]] = []
        deadline = time.monotonic() + 30
        while len(found) < len(expected) and time.monotonic() < deadline:
            for message in consumer.consume(500, timeout=0.2):
                assert message.error() is None
                value, key, topic = message.value(), message.key(), message.topic()
                assert value is not None
                assert topic is not None
                fields = orjson.loads(value)
                headers = dict(message.headers() or [])
                assert headers["ce_id"] == f"{fields['device_id']}:{fields['boot']}:{fields['seq']}".encode()
                assert headers["ce_time"] == fields["timestamp"].encode()
                assert key == fields["device_id"].encode()
                found.append((topic, value))
        consumer.close()
    assert sorted(value for _, value in found) == sorted(expected)
    by_topic = Counter(topic for topic, _ in found)
    assert set(by_topic) == set(topics)
    assert all(b'"event_type":"foot_traffic"' in value for topic, value in found if topic == "foot_traffic")


def test_a_file_says_how_kafka_is_reached_and_what_goes_there(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "password").write_text("hunter2hunter2\n")
    config = tmp_path / "kafka.yaml"
    with kafka_mock() as cluster:
        config.write_text(
            f"bootstrap_servers: {cluster.bootstrap_servers}\ncompression: gzip\nlinger: 50ms\n"
            "topics: {bme280: plant.sensors}\nheaders: {plant: north}\nproperties: {client.id: me}\n"
        )
        assert invoke(scenario, *SPAN, "--kafka-config", config).exit_code == 0
        consumer = Consumer({"bootstrap.servers": cluster.bootstrap_servers, "group.id": "t", "log_level": 0})
        partitions = consumer.list_topics("plant.sensors", timeout=20).topics["plant.sensors"].partitions
        consumer.assign([TopicPartition("plant.sensors", number, OFFSET_BEGINNING) for number in partitions])
        first = consumer.poll(20)
        assert first is not None
        assert dict(first.headers() or [])["plant"] == b"north"
        consumer.close()
    config.write_text("properties: {sasl.password_file: password, sasl.mechanism: hunter2hunter2}\n")
    monkeypatch.setattr("devices.export.kafka.TIMEOUT_S", 0.1)
    said = str(invoke(scenario, *SPAN, "--kafka", "127.0.0.1:1", "--kafka-config", config, "--retries", "0").exception)
    assert said.startswith("Kafka at 127.0.0.1:1: ")
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("window: 5", "'window' is for the bridge"),
        ("properties: {acks: 1}", "'acks' cannot be set here"),
        ("headers: {ce_id: x}", "header 'ce_id' is written by edgefleet itself"),
        ("topics: {bme281: x}", "nothing here goes to 'bme281'"),
        ("servers: x", "servers"),
    ],
)
def test_a_kafka_file_that_says_what_it_cannot_is_refused(scenario: Path, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "kafka.yaml").write_text(text + "\n")
    result = invoke(scenario, *SPAN, "--kafka", "127.0.0.1:1", "--kafka-config", tmp_path / "kafka.yaml")
    assert isinstance(result.exception, ConfigError)
    assert said in str(result.exception)


def test_a_kafka_that_is_not_there_is_named(scenario: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.export.kafka.TIMEOUT_S", 0.1)
    result = invoke(scenario, *SPAN, "--kafka", "127.0.0.1:1", "--retries", "2", "--retry-backoff", "50ms")
    assert isinstance(result.exception, ExportError)
    assert str(result.exception).startswith("Kafka at 127.0.0.1:1: ")
    told = [line.rpartition(": trying again, ")[2] for line in result.stderr.splitlines()]
    assert told == ["2 more times", "1 more time"]


def test_labels_and_clean_values_tell_the_truth(scenario: Path, tmp_path: Path) -> None:
    fault = "{type: bias, kind: bme280, field: temperature_c, offset: 5, from: 2026-03-04T12:00:30, to: 2026-03-05}"
    with scenario.open("a") as file:
        file.write(f"faults:\n  - {fault}\n")
    labels = tmp_path / "labels.jsonl"
    result = invoke(scenario, *SPAN, "--labels", labels, "--clean")
    found = [orjson.loads(line) for line in labels.read_bytes().splitlines()]
    readings = [fields for fields in map(orjson.loads, result.stdout_bytes.splitlines()) if "pressure_hpa" in fields]
    assert len(found) == 3
    for label in found:
        mine = [reading for reading in readings if reading["device_id"] == label["device_id"]]
        wrong = [reading["seq"] for reading in mine if reading["temperature_c"] != reading["clean_temperature_c"]]
        assert (wrong[0], wrong[-1], len(wrong)) == (label["first_seq"], label["last_seq"], label["messages"])
    folder = tmp_path / "csv"
    assert invoke(scenario, *SPAN, "--out", f"{folder}/", "--format", "csv", "--clean").exit_code == 0
    header, first = (folder / "bme280.csv").read_text().splitlines()[:2]
    assert header.endswith(",clean_temperature_c")
    assert float(first.rpartition(",")[2]) == readings[0]["clean_temperature_c"]
    cut = tmp_path / "cut.jsonl"
    assert invoke(scenario, *SPAN, "--records", "10", "--labels", cut).exit_code == 0
    assert cut.read_bytes() == b""


def test_devices_with_names_have_the_ids_that_a_bridge_makes_of_them(tmp_path: Path) -> None:
    names = ["Living room", "b~ath", "z1"]
    fault = {"type": "stuck_at", "kind": "bme280", "devices": ["b~ath"], "field": "humidity", "rate": "50/d"}
    fault["duration"] = "5m"
    group = {"kind": "bme280", "ids": names, "interval": "10s", "dialect": "tasmota"}
    (tmp_path / "named.yaml").write_bytes(orjson.dumps({"devices": [group], "faults": [fault]}))
    span = ("--from", "2026-03-04", "--to", "2026-03-04T12:00")
    split = ("--split", "train=0.34,test=0.66")
    assert invoke("named.yaml", *span, *split, "--out", "a.jsonl", "--labels", "labels.jsonl").exit_code == 0
    lines = Path("a.jsonl").read_bytes().splitlines()
    rows = [orjson.loads(line) for line in lines]
    assert {row["device_id"] for row in rows} == set(map(to_device_id, names))
    for row in rows:
        contract_of("bme280").check(row)
    sets = {(row["device_id"], row["split"]) for row in rows}
    assert sorted(name for _, name in sets) == ["test", "test", "train"]
    labels = [orjson.loads(line) for line in Path("labels.jsonl").read_bytes().splitlines()]
    assert {label["device_id"] for label in labels} == {to_device_id("b~ath")}
    # In parts, of two processes.
    parted = invoke("named.yaml", *span, "--out", "parts/", "--format", "parquet", "--jobs", 2)
    assert parted.exit_code == 0, parted.output
    found = [name for path in Path("parts").rglob("*.parquet") for name in _column(path, "device_id")]
    assert len(found) == len(rows)
    assert set(found) == set(map(to_device_id, names))


def _column(path: Path, name: str) -> list[Any]:
    return list(parquet.ParquetFile(path).read()[name].to_pylist())
