"""What `edgefleet run` says and returns where a real Mosquitto refuses, is full, or takes everything."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from edgefleet.cli import app
from edgefleet.embedded import MosquittoProcess
from edgewire.errors import ConfigError
from edgewire.run_record import RunRecord

FLEET = (
    "devices: [{kind: bme280, count: 3, interval: 100ms}, {kind: gps, count: 2, interval: 100ms, qos: %d}]\nbroker: %s"
)


@pytest.fixture(autouse=True)
def keep_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is set up for the whole process."""
    monkeypatch.setattr("edgefleet.cli.run.start_logging", lambda _: None)


def run(folder: Path, broker: MosquittoProcess, *options: str, qos: int = 1) -> tuple[int, dict[str, Any], RunRecord]:
    path = folder / "fleet.yaml"
    path.write_text(FLEET % (qos, broker.url))
    record = folder / "run"
    arguments = [
        "run",
        str(path),
        "--record",
        str(record),
        "--messages",
        "4",
        "--json",
        *options,
    ]
    done = CliRunner().invoke(app, arguments)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done.exit_code, orjson.loads(done.stdout.splitlines()[-1]), RunRecord.load(record)


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.parametrize("qos", [1, 2])
def test_what_an_acl_refuses_is_named_by_kind_and_fails(
    qos: int, tmp_path: Path, mosquitto_factory: Callable[..., MosquittoProcess]
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic write edge/+/bme280/#\ntopic write edge/+/gps/+/status\ntopic read #\n")
    acl.chmod(0o644)
    page = tmp_path / "report.html"
    broker = mosquitto_factory(options={"acl_file": str(acl)})
    code, report, record = run(tmp_path, broker, "--html", str(page), qos=qos)
    assert code == 1
    assert report["refused_by"] == record.refused == {"gps": {"not authorized (0x87)": 8}}
    assert (report["refused"], report["acknowledged"], report["dropped"], report["limited_by"]) == (8, 12, 0, "broker")
    assert (
        report["problems"]
        == record.problems
        == {"refused": "The broker refused 8 messages: not authorized (0x87), of gps"}
    )
    assert "Nothing was the limit" not in report["verdict"]
    assert ">FAIL<" in page.read_text()
    assert 'data-figure="refused">8<' in page.read_text()
    refused = [device for device in record.devices if device.refused]
    assert [(device.kind, device.refused) for device in refused] == [("gps", {"not authorized (0x87)": [(0, 3)]})] * 2


@pytest.mark.slow
@pytest.mark.services
def test_what_is_too_large_for_the_broker_is_named(
    tmp_path: Path, mosquitto_factory: Callable[..., MosquittoProcess]
) -> None:
    code, report, _ = run(tmp_path, mosquitto_factory(options={"message_size_limit": "100"}))
    assert code == 1
    assert report["refused"] == report["emitted"] == 20
    assert list(report["problems"])[:2] == ["nothing_arrived", "refused"]
    assert "packet too large (0x95), of bme280 and gps" in report["verdict"]


@pytest.mark.slow
@pytest.mark.services
def test_qos_0_is_sent_and_not_acknowledged_and_a_condition_may_fail_the_run(
    tmp_path: Path, mosquitto_factory: Callable[..., MosquittoProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = mosquitto_factory()
    code, report, _ = run(tmp_path, broker, "--fail-if", "lost>0 or connected<1", qos=0)
    assert (code, report["ok"], report["problems"]) == (0, True, {})
    assert (report["acknowledged"], report["sent_qos0"]) == (12, 8)
    assert "8 messages left at QoS 0" in report["verdict"]
    monkeypatch.setenv("EDGEFLEET_FAIL_IF", "emitted==20")
    code, report, record = run(tmp_path, broker, "--overwrite")
    assert (code, report["ok"]) == (1, False)
    assert report["problems"] == record.problems == {"fail_if": "'--fail-if emitted==20' holds: emitted is 20"}


def test_a_condition_that_is_none_is_wrong_usage_and_begins_no_run(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET % (1, "mqtt://127.0.0.1:1"))
    done = CliRunner().invoke(app, ["run", str(path), "--record", str(tmp_path / "run"), "--fail-if", "losst>0"])
    assert isinstance(done.exception, ConfigError)
    assert "did you mean 'lost'?" in str(done.exception)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.parametrize("workers", ["1", "2"])
def test_devices_that_connect_first_measure_later_and_lose_nothing(
    workers: str, tmp_path: Path, mosquitto_factory: Callable[..., MosquittoProcess]
) -> None:
    broker = mosquitto_factory()
    code, report, record = run(tmp_path, broker, "--connect-first", "3s", "--workers", workers)
    assert (code, report["emitted"], report["acknowledged"], report["dropped"]) == (0, 20, 20, 0)
    lines = (tmp_path / "run" / "status.jsonl").read_bytes().splitlines()
    before = [
        state for line in lines if (state := orjson.loads(line).get("state")) and state["at_ms"] < record.started_ms
    ]
    assert before[-1]["connected"] == 5
    assert not any(state["emitted"] for state in before)


def test_to_wait_for_a_broker_that_nobody_asks_is_wrong_usage(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET % (1, "mqtt://127.0.0.1:1"))
    done = CliRunner().invoke(app, ["run", str(path), "--record", str(tmp_path / "run"), "--no-check", "--wait", "9s"])
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception).startswith("--wait: it waits until the broker answers, and with --no-check nobody asks")
    assert not (tmp_path / "run").exists()
