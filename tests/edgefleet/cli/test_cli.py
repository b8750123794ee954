"""The command line as a person meets it: what is printed, and the exit code."""

import errno
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import paho.mqtt.client as mqtt
import pytest
from typer.testing import CliRunner

from edgefleet.cli import app, main
from edgefleet.cli.signals import SAME_SIGNAL_S
from edgefleet.control.client import ControlClient
from edgefleet.embedded import MosquittoProcess, free_port
from edgefleet.report import broker_tail
from edgefleet.report.broker_tail import describe
from edgewire.clock import parse_ms
from edgewire.errors import ConfigError
from edgewire.run_record import RunRecord
from tests.processes import not_outliving

NOW_MS = parse_ms("2026-03-01T12:00:10Z")


def edgefleet(*arguments: str | Path, timeout_s: float = 60) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "edgefleet", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


def scenario(folder: Path, text: str) -> Path:
    path = folder / "fleet.yaml"
    path.write_text(text)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sead: 1\ndevices: [{kind: bme280, count: 1}]", "unknown key 'sead', did you mean 'seed'?"),
        (
            "devices: [{kind: bme280, count: -1}]",
            "devices[0].count: Input should be greater than or equal to 1, got -1",
        ),
        ("devices: [", "is not YAML"),
    ],
)
def test_a_wrong_scenario_is_one_sentence_and_exit_code_2(tmp_path: Path, text: str, said: str) -> None:
    done = edgefleet("run", scenario(tmp_path, text))
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_broker_that_is_not_there_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    port = free_port()
    done = edgefleet("run", scenario(tmp_path, f"devices: [{{kind: gps, count: 1}}]\nbroker: mqtt://127.0.0.1:{port}"))
    assert done.returncode == 1
    assert done.stderr.startswith(f"edgefleet: broker mqtt://127.0.0.1:{port} cannot be reached")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "x.yaml", "--shard", "2/2"),
        ("run", "x.yaml", "--duration", "soon"),
        ("watch", "a+b"),
        ("demo", "--duration", "x"),
        ("nonsense",),
    ],
)
def test_wrong_usage_has_exit_code_2(arguments: tuple[str, ...]) -> None:
    done = edgefleet(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


LONG = "a" * 300
"""More than any file system takes for a name: one cannot even ask whether it is there."""


_LOOKED_FOR = [
    ("run", LONG),
    ("generate", "mixed", "--out", f"{LONG}.jsonl"),
    ("generate", LONG, "--out", "x.jsonl"),
    ("verify", f"{LONG}/run.json", "--rows", "x"),
    ("plot", LONG, "--out", "x.png"),
    ("web", LONG),
    ("provision", LONG),
    ("doctor", f"{LONG}.yaml"),
]


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        *((arguments, errno.ENAMETOOLONG) for arguments in (*_LOOKED_FOR, ("bridge", "run", LONG), ("init", LONG))),
        *((arguments, errno.EACCES) for arguments in _LOOKED_FOR),
    ],
)
def test_a_place_that_cannot_be_looked_at_is_one_sentence(
    arguments: tuple[str, ...],
    number: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(path: Path, **_: bool) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["edgefleet", *arguments])
    if number == errno.EACCES:  # which root never meets
        monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("edgefleet: ")
    assert said.count("\n") == 1
    assert os.strerror(number) in said


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--duration", "soon"),
        ("--duration", "0s"),
        ("--duration", "0.4ms"),
        ("--duration", "-5s"),
        ("--duration", "36501d"),
        ("--from", "yesterday"),
        ("--from", "0001-01-01"),
        ("--from", "9999-12-31"),
        ("--seed", str(2**63)),
        ("--time-scale", "inf"),
    ],
)
def test_a_wrong_value_is_named_before_anything_is_dialled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, value: str
) -> None:
    # The runner's stderr is gone afterwards: no log may be bound to it.
    monkeypatch.setattr("edgefleet.cli.run.start_logging", lambda _: None)
    path = scenario(tmp_path, f"devices: [{{kind: gps, count: 1}}]\nbroker: mqtt://127.0.0.1:{free_port()}")
    done = CliRunner().invoke(app, ["run", str(path), option, value])
    assert option in f"{done.exception}{done.output}"
    assert isinstance(done.exception, ConfigError) or done.exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("demo", "--duration", "0s"), "--duration: '0s' is too short: give 1ms or more, such as 10s"),
        (("ingest", "--body-timeout", "0s"), "--body-timeout: '0s' is too short"),
        (("verify", "runs", "--ingest", "http://127.0.0.1:1", "--wait", "-1s"), "--wait: '-1s' is no duration"),
        (("verify", "runs", "--ingest", "http://127.0.0.1:1", "--late-after", "5"), "--late-after: '5' is no duration"),
    ],
)
def test_a_duration_in_which_nothing_can_happen_is_refused(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    for command in ("demo", "ingest"):
        monkeypatch.setattr(f"edgefleet.cli.{command}.start_logging", lambda _: None)
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, ConfigError)
    assert said in str(done.exception)


def test_a_run_whose_record_cannot_be_written_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgefleet.cli.run.start_logging", lambda _: None)
    path = scenario(tmp_path, "devices: [{kind: gps, count: 1}]")
    done = CliRunner().invoke(app, ["run", str(path), "--no-check", "--record", str(path / "record")])
    assert isinstance(done.exception, ConfigError)
    assert "fleet.yaml/record/run.json: the run record cannot be written" in str(done.exception)


@pytest.mark.parametrize("command", ["demo", "run", "watch", "verify", "ingest", "schema"])
def test_every_command_has_an_example_in_its_help(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--help"])
    assert done.exit_code == 0
    assert f"edgefleet {command}" in done.stdout.split("Usage:")[1].partition("\n")[2]


@pytest.mark.services
@pytest.mark.e2e
def test_the_demo_is_controlled_and_ends_with_a_verdict_that_balances() -> None:
    command = [sys.executable, "-m", "edgefleet", "demo", "--web", "0", "--json"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo,
        not_outliving(demo),
    ):
        assert demo.stderr is not None
        url = next(found[1] for line in demo.stderr if (found := re.search(r"page +(http://\S+)/ ", line)))
        client = ControlClient(url)
        assert client.act({"action": "scale", "group": "gps", "count": 90})["outcome"] == "done"
        deadline = time.monotonic() + 60
        while client.read("status")["acknowledged"] < 500:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert client.act({"action": "bridge_pause", "sink": "kafka"})["said"].endswith("paused now: kafka")
        assert client.read("dead-letters") == {"dead_letters": []}
        assert client.act({"action": "bridge_resume"})["said"].endswith("paused now: no sink")
        client.act({"action": "stop"})
        stdout, stderr = demo.communicate(timeout=100)
    assert demo.returncode == 0, stderr
    verdict = orjson.loads(stdout)
    assert verdict["sent"] == verdict["http"]["stored"] == verdict["kafka"]["stored"] > 500
    assert verdict["http"]["lost"] == verdict["kafka"]["lost"] == verdict["duplicates"] == 0
    assert [one["action"] for one in verdict["actions"]] == ["scale", "bridge_pause", "bridge_resume", "stop"]
    assert set(verdict["latency_ms"]) == {"p50", "p95", "p99"}
    assert set(verdict["services"]) == {"broker", "ingest", "kafka", "bridge", "control"}
    assert all(counts["sent"] for counts in verdict["per_kind"].values())


@pytest.mark.services
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_in_order(
    number: signal.Signals, tmp_path: Path, mosquitto_factory: Callable[[], MosquittoProcess]
) -> None:
    broker = mosquitto_factory()
    path = scenario(tmp_path, f"devices: [{{kind: bme280, count: 5, interval: 200ms}}]\nbroker: {broker.url}")
    heard: list[str] = []
    readings: list[bytes] = []

    def listen(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        if message.topic.endswith("status"):
            heard.append(orjson.loads(message.payload)["state"])
        else:
            readings.append(message.payload)

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_message = listen
    client.connect(broker.host, broker.port)
    client.subscribe([("edge/+/+/+/status", 1), ("edge/+/+/+/telemetry", 1)])
    client.loop_start()
    command = [sys.executable, "-m", "edgefleet", "run", str(path), "--record", str(tmp_path / "run"), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run, not_outliving(run):
        while heard.count("online") < 5 or len(readings) < 10:
            assert run.poll() is None
            time.sleep(0.05)
        run.send_signal(number)
        # A wrapper may hand it on once more.
        run.send_signal(number)
        stdout, stderr = run.communicate(timeout=60)
    assert run.returncode == 0, stderr.decode()
    deadline = time.monotonic() + 20
    while len(heard) < 10 and time.monotonic() < deadline:
        time.sleep(0.01)
    client.disconnect()
    client.loop_stop()
    record = RunRecord.load(tmp_path / "run")
    assert record.totals == {
        "emitted": record.totals["emitted"], "acknowledged": record.totals["emitted"], "sent_qos0": 0, "refused": 0,
        "dropped": 0, "unsent": 0
    }  # fmt: skip
    assert orjson.loads(stdout)["emitted"] == record.totals["emitted"] > 0
    assert heard == ["online"] * 5 + ["offline"] * 5


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_what_each_device_had_sent(
    tmp_path: Path, mosquitto_factory: Callable[[], MosquittoProcess]
) -> None:
    broker = mosquitto_factory()
    path = scenario(tmp_path, f"devices: [{{kind: bme280, count: 6, interval: 100ms}}]\nbroker: {broker.url}")
    options = ("--record", tmp_path / "run", "--workers", "2", "--log-level", "error")
    command = [sys.executable, "-m", "edgefleet", "run", str(path), *map(str, options)]
    with subprocess.Popen(command) as run, not_outliving(run):
        record = wait_for_record(tmp_path / "run", run, lambda record: len(record.devices) == 6)
        assert record.state == "running"
        wait_for_record(tmp_path / "run", run, lambda record: record.totals["acknowledged"] > 30)
        run.kill()
    record = RunRecord.load(tmp_path / "run")
    assert (record.state, record.shards, record.unaccounted) == ("running", [(0, 1)], [])
    assert record.totals["acknowledged"] > 30
    assert {one.name for one in (tmp_path / "run").iterdir()} == {"run.json", "scenario.yaml", "status.jsonl"}


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_ctrl_c_waits_for_nothing_and_keeps_the_record(
    workers: str, tmp_path: Path, mosquitto_factory: Callable[[], MosquittoProcess]
) -> None:
    broker = mosquitto_factory()
    path = scenario(tmp_path, f"devices: [{{kind: bme280, count: 4, interval: 100ms}}]\nbroker: {broker.url}")
    options = ("--record", tmp_path / "run", "--workers", workers, "--log-level", "error", "--json")
    command = [sys.executable, "-m", "edgefleet", "run", str(path), *map(str, options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as run, not_outliving(run):
        wait_for_record(tmp_path / "run", run, lambda record: record.totals["acknowledged"] > 10)
        # From here on nothing is acknowledged, so the outboxes would never drain.
        broker.signal(signal.SIGSTOP)
        wait_for_record(tmp_path / "run", run, lambda record: record.totals["unsent"] > 4)
        run.send_signal(signal.SIGINT)
        time.sleep(2 * SAME_SIGNAL_S)
        run.send_signal(signal.SIGINT)
        stdout, _ = run.communicate(timeout=60)
    broker.signal(signal.SIGCONT)
    record = RunRecord.load(tmp_path / "run")
    assert (record.state, len(record.devices)) == ("complete", 4)
    assert record.totals["unsent"] > 0
    totals = record.totals
    assert totals["emitted"] == totals["acknowledged"] + totals["unsent"] == orjson.loads(stdout)["emitted"]


def wait_for_record(folder: Path, run: "subprocess.Popen[bytes]", condition: Callable[[RunRecord], bool]) -> RunRecord:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert run.poll() is None
        if (folder / "run.json").exists() and condition(record := RunRecord.load(folder)):
            return record
        time.sleep(0.05)
    raise AssertionError("did not happen within 60 s")


class TestWatch:
    def line(self, topic: str, payload: bytes, *, retained: bool = False) -> str:
        return describe(topic, payload, retained=retained, now_ms=NOW_MS).plain

    def test_a_reading_shows_kind_device_age_and_the_values_that_matter(self) -> None:
        payload = orjson.dumps(
            {"timestamp": "2026-03-01T12:00:07.750Z", "temperature_c": 21.4, "humidity": 40.2, "pressure_hpa": 1013.2}
        )
        line = self.line("edge/riverside/bme280/b1/telemetry", payload)
        assert line.split() == ["bme280", "b1", "telemetry", "2.25", "s", "21.4", "°C", "40.2", "%", "1013.2", "hPa"]

    def test_a_retained_state_is_marked(self) -> None:
        line = self.line("edge/a/gps/g1/status", b'{"state": "offline", "timestamp": null, "sent": 3}', retained=True)
        assert line.split() == ["R", "gps", "g1", "status", "–", "state", "offline", "sent", "3"]

    @pytest.mark.parametrize("payload", [b"\xff\x00", b"[1]", b"{", b""])
    def test_garbage_is_shown_as_it_is(self, payload: bytes) -> None:
        assert repr(payload) in self.line("edge/a/gps/g1/telemetry", payload)

    def test_topics_outside_the_contract_are_shown(self) -> None:
        assert "home/kitchen" in self.line("home/kitchen", b"{}")


def test_a_watch_whose_reader_has_gone_ends_in_order() -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        broker_tail._Output(file=Gone()).print("a line")
