"""Whatever is wrong with what holds a secret, no command shows it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgefleet.cli import app, main

CANARY = "C4N4RYs3cret"

USER = f"fleet:{CANARY}@127.0.0.1"

ARGUMENTS = {
    "--broker, scheme": ["watch", "--broker", f"mqqt://{USER}:1"],
    "--broker, port": ["watch", "--broker", f"mqtt://{USER}:99999"],
    "--broker, path": ["watch", "--broker", f"mqtts://{USER}:1/path"],
    "--broker, # in the password": ["watch", "--broker", f"mqtt://fleet:#{CANARY}@127.0.0.1:1"],
    "--broker, nobody there": ["watch", "--broker", f"mqtt://{USER}:1"],
    "a URL for a filter": ["watch", f"mqtt://{USER}:1"],
    "learn, nobody there": ["learn", f"mqtt://{USER}:1", "--out", "S"],
    "learn, scheme": ["learn", f"mqqt://{USER}:1", "--out", "S"],
    "learn, topics": ["learn", f"mqtt://{USER}:1", "--out", "S", "--topics", "a+"],
    "--upload, user": ["generate", "S", "--to", "2026-03-03", "--upload", f"http://{USER}:1"],
    "--upload, query": [
        "generate",
        "S",
        "--to",
        "2026-03-03",
        "--retries",
        "0",
        "--upload",
        f"http://127.0.0.1:1/?t={CANARY}",
    ],
    "--upload, scheme": ["generate", "S", "--to", "2026-03-03", "--upload", f"ftp://{USER}:1"],
    "--upload, port": ["generate", "S", "--to", "2026-03-03", "--upload", f"http://{USER}:99999"],
    "--kafka, user": ["generate", "S", "--to", "2026-03-03", "--kafka", f"{USER}:1"],
    "--out, nobody there": ["generate", "S", "--to", "2026-03-03", "--out", f"postgresql://{USER}:1/db"],
    "--out, port": ["generate", "S", "--to", "2026-03-03", "--out", f"postgresql://{USER}:99999/db"],
    "--out, # in the password": ["generate", "S", "--to", "2026-03-03", "--out", f"postgresql://u:#{CANARY}@h/db"],
    "--out, % in the password": ["generate", "S", "--to", "2026-03-03", "--out", f"postgresql://u:%zz{CANARY}@h/db"],
    "--store, scheme": ["ingest", "--store", f"mysql://{USER}/db"],
    "--store, path": ["ingest", "--store", f"sqlite://{USER}/db"],
    "--store, % in the password": ["ingest", "--store", f"postgresql://u:%zz{CANARY}@h/db"],
    "--store, # in the password": ["ingest", "--store", f"postgresql://u:#{CANARY}@h/db"],
    "bridge.yaml, source, port": ["bridge", "check", f"source: {{url: 'mqtt://{USER}:99999'}}"],
    "bridge.yaml, source, path": ["bridge", "check", f"source: {{url: 'mqtts://{USER}:1/path'}}"],
    "bridge.yaml, http, query": ["bridge", "check", f"http: {{url: 'https://[h/hook?token={CANARY}'}}"],
    "bridge.yaml, http, user": ["bridge", "check", f"http: {{url: 'htp://{USER}/hook'}}"],
    "bridge.yaml, kafka, user": ["bridge", "check", f"kafka: {{bootstrap_servers: '{USER}:1'}}"],
    "bridge.yaml, token": ["bridge", "check", f"http: {{token: [{CANARY}]}}"],
    "scenario, broker": ["run", f"broker: {{url: 'mqtt://{USER}:99999'}}\ndevices: []"],
}


@pytest.mark.parametrize("arguments", ARGUMENTS.values(), ids=ARGUMENTS)
def test_a_secret_is_not_shown(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    scenario, written = tmp_path / "scenario.yaml", tmp_path / "written.yaml"
    scenario.write_text("devices:\n  - {kind: bme280, count: 1}\n")
    words = [str(scenario) if word == "S" else word for word in arguments]
    if arguments[0] in ("bridge", "run"):
        written.write_text(words.pop() + "\n")
        words.append(str(written))
    monkeypatch.setattr("sys.argv", ["edgefleet", *words])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main()
    shown = "".join(capfd.readouterr())
    assert ended.value.code in (1, 2)
    assert shown
    assert CANARY not in shown
    for path in tmp_path.rglob("*"):
        assert path == written or not path.is_file() or CANARY.encode() not in path.read_bytes()


def test_a_url_in_the_place_of_a_filter_is_told() -> None:
    done = CliRunner().invoke(app, ["watch", f"mqtt://{USER}:1"])
    assert "is a URL, not a topic filter: give a broker with --broker URL" in str(done.exception)


def test_the_traceback_of_a_crash_has_no_secret(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise RuntimeError(f"cannot open http://{USER}/x?key={CANARY}")

    monkeypatch.setattr("edgefleet.report.broker_tail.watch_broker", crash)
    monkeypatch.setattr("sys.argv", ["edgefleet", "watch"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capfd.readouterr().err
    assert ended.value.code == 1
    assert said.startswith("Traceback (most recent call last):")
    assert said.endswith("RuntimeError: cannot open http://***@127.0.0.1/x?key=***\n")
