"""Options of commands are taken from the environment, and what is wrong there is said of the variable."""

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from devices.scenario.scenario import Scenario
from edgefleet.cli import app
from edgefleet.cli.variables import option_variables
from edgewire.environment import OPTION_VARIABLES, is_option_variable, variable_names
from edgewire.errors import ConfigError

runner = CliRunner()

WITHOUT = {
    "init": {"--scenario", "--force"},
    "broker": {"--port", "--mqtt5-port"},
    "plot": {"--out", "--from", "--to", "--labels"},
    "fit": {"--out", "--longitude", "--altitude"},
    "learn": {
        *("--out", "--for", "--topics", "--count", "--scale", "--report"),
        *("--ca-file", "--insecure", "--alpn", "--header", "--headers-file", "--subprotocol"),
    },
    "schema": {"--asyncapi"},
    "watch": {
        "--count",
        "--decode",
        "--timezone",
        "--ca-file",
        "--insecure",
        "--alpn",
        "--header",
        "--headers-file",
        "--subprotocol",
    },
    "ctl devices": {"--group", "--state", "--after", "--limit"},
    "ctl set": {"--interval", "--rate", "--standby"},
    "ctl fault": {"--group", "--device", "--share", "--duration"},
    "ctl end-fault": {"--group", "--device", "--share"},
    "ctl command": {"--group", "--device", "--share"},
    "ctl pause": {"--group", "--device", "--share"},
    "ctl resume": {"--group", "--device", "--share"},
    "ctl mute": {"--group", "--device", "--share", "--duration"},
    "ctl unmute": {"--group", "--device", "--share"},
    "ctl standby": {"--group", "--device", "--share"},
    "ctl return": {"--group", "--device", "--share"},
    "ctl takeover": {"--group", "--device", "--share", "--duration"},
    "ctl tail": {"--count"},
    "ctl record": {"--out", "--overwrite"},
    "ctl stop": {"--at-once"},
    "ctl dead-letters list": {"--sink", "--topic", "--reason", "--since", "--until", "--limit"},
    "ctl dead-letters replay": {"--sink", "--topic", "--reason", "--since", "--until", "--all"},
    "ctl dead-letters drop": {"--sink", "--topic", "--reason", "--since", "--until", "--all"},
    "bridge route": {"--topic", "--payload"},
    "bridge dead-letters list": {"--sink", "--topic", "--reason", "--since", "--until", "--limit"},
    "bridge dead-letters replay": {"--sink", "--topic", "--reason", "--since", "--until", "--all"},
    "bridge dead-letters drop": {"--sink", "--topic", "--reason", "--since", "--until", "--all"},
    # The scenario's key of that name, EDGEFLEET_BROKER.
    "run": {"--broker", "--html"},
    "doctor": {"--broker"},
    "forget": {"--broker"},
    "verify": {"--html", "--junit"},
}
"""Options that a person gives in a terminal, beside --json."""


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def generate(*words: str) -> list[str]:
    """Return the lines of messages that `edgefleet generate` prints."""
    done = runner.invoke(app, ["generate", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def refusal(*words: str) -> str:
    """Return with which sentence a command refuses what it is given."""
    done = runner.invoke(app, list(words))
    if isinstance(done.exception, ConfigError):
        return str(done.exception)
    assert done.exit_code == 2
    return " ".join(done.output.replace("│", " ").split())


def test_every_option_has_a_variable_but_those_of_a_terminal() -> None:
    found: dict[str, set[str]] = {}
    for command, parameter, variables in option_variables(typer.main.get_command(app)):
        if not variables and parameter.param_type_name == "option" and parameter.opts != ["--json"]:
            found.setdefault(command, set()).add(parameter.opts[0])
    assert found == WITHOUT


def test_a_variable_is_of_the_same_type_wherever_it_is_taken() -> None:
    several: dict[str, set[tuple[Any, bool]]] = {}
    for _, parameter, variables in option_variables(typer.main.get_command(app)):
        for variable in variables:
            several.setdefault(variable, set()).add((parameter.type_descriptor.annotation, parameter.multiple))
    assert several.keys() == OPTION_VARIABLES
    # The clients show the first of the tokens that the ingest takes.
    assert {name for name, types in several.items() if len(types) > 1} == {"EDGEFLEET_INGEST_TOKEN"}


def test_a_variable_of_an_option_is_a_key_only_where_both_are_the_same() -> None:
    keys = set(variable_names(Scenario, "EDGEFLEET_"))
    both = {"EDGEFLEET_BROKER", "EDGEFLEET_SEED", "EDGEFLEET_TIME_SCALE", "EDGEFLEET_WORLD"}
    assert {name for name in keys if is_option_variable(name)} == both


def test_flags_win_over_the_environment_and_that_over_dotenv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("EDGEFLEET_RECORDS=3\nEDGEFLEET_KIND=bme280\n", encoding="utf-8")
    assert len(generate()) == 3
    monkeypatch.setenv("EDGEFLEET_RECORDS", "2")
    assert len(generate()) == 2
    assert len(generate("--records", "1")) == 1
    monkeypatch.setenv("EDGEFLEET_RECORDS", "")
    assert len(generate()) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('A=1\n\n  EDGEFLEET_SEED="3\nB=2\n', ".env:3: EDGEFLEET_SEED: the line cannot be read: write NAME=VALUE"),
        ("export bridge_http__token 'sesame'\n", ".env:1: bridge_http__token: the line cannot be read"),
        ("A=" + "a" * (1 << 20), ".env: is longer than 1,048,576 characters"),
    ],
)
def test_a_line_of_dotenv_that_would_be_passed_over_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / ".env").write_text(text, encoding="utf-8")
    told = refusal("generate", "--kind", "bme280", "--records", "1")
    assert said in told
    assert "sesame" not in told


def test_lines_of_dotenv_that_are_of_others_are_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / ".env").write_text('what is this\nA="b\n=3\nEDGEFLEET_RECORDS=3\n', encoding="utf-8")
    assert len(generate("--kind", "bme280")) == 3
    assert caplog.text == ""


def test_a_file_holds_the_value_of_an_option(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "count").write_text("2\n", encoding="utf-8")
    monkeypatch.setenv("EDGEFLEET_RECORDS_FILE", "count")
    assert len(generate("--kind", "bme280")) == 2
    monkeypatch.setenv("EDGEFLEET_RECORDS_FILE", "missing")
    assert "environment variable EDGEFLEET_RECORDS_FILE: missing: there is no such file" in refusal(
        "generate", "--kind", "bme280"
    )
    monkeypatch.setenv("EDGEFLEET_RECORDS", "2")
    assert "EDGEFLEET_RECORDS and EDGEFLEET_RECORDS_FILE are both set" in refusal("generate", "--kind", "bme280")


@pytest.mark.parametrize("name", ["EDGEFLEET_TO", "EDGEFLEET_TO_FILE"])
def test_a_variable_that_is_no_text_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "\udcff")
    assert f"environment variable {name} is no text in UTF-8" in refusal("generate", "--kind", "bme280")


def test_lists_and_flags_come_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEFLEET_KIND", "bme280 gps")
    monkeypatch.setenv("EDGEFLEET_COUNT", "2 1")
    monkeypatch.setenv("EDGEFLEET_RECORDS", "40")
    monkeypatch.setenv("EDGEFLEET_DELAYS", "true")
    lines = generate()
    assert {line.split('"')[3] for line in lines} == {"bme280-0001", "bme280-0002", "gps-0001"}
    assert all("network_delay_ms" in line for line in lines)


@pytest.mark.parametrize(
    ("name", "value", "words", "said"),
    [
        (
            "EDGEFLEET_DURATION",
            "abc",
            ("run", "bme280"),
            "environment variable EDGEFLEET_DURATION: 'abc' is no",
        ),
        ("EDGEFLEET_WORKERS", "many", ("run", "bme280"), "for environment variable EDGEFLEET_WORKERS: Input should be"),
        ("EDGEFLEET_CHECK", "maybe", ("run", "bme280"), "for environment variable EDGEFLEET_CHECK: Input should be"),
        (
            "EDGEFLEET_LOG_LEVEL",
            "shout",
            ("ingest",),
            "for environment variable EDGEFLEET_LOG_LEVEL: 'shout' is",
        ),
        ("EDGEFLEET_FORMAT", "xml", ("generate", "bme280"), "environment variable EDGEFLEET_FORMAT xml: there are"),
        ("EDGEFLEET_KIND", "gps", ("generate", "bme280"), "environment variable EDGEFLEET_KIND: the devices are in"),
        ("EDGEFLEET_BROKR", "x", ("schema",), "EDGEFLEET_BROKR is no setting, did you mean EDGEFLEET_BROKER?"),
        ("EDGEFLEET_INGEST_PROT", "1", ("ingest",), "did you mean EDGEFLEET_INGEST_PORT?"),
        ("EDGEFLEET_SHARD", "0/2", ("generate", "bme280"), "did you mean FLEET_SHARD?"),
        ("FLEET_SHRD", "0/2", ("generate", "bme280"), "did you mean FLEET_SHARD?"),
        ("EDGEFLEET_DEVICES__0__COUTN", "2", ("watch",), "did you mean EDGEFLEET_DEVICES__0__COUNT?"),
    ],
)
def test_what_is_wrong_is_said_of_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.setenv(name, value)
    assert said in refusal(*words)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EDGEFLEET_UPLOAD", "http://127.0.0.1:1"),  # of another command
        ("EDGEFLEET_RECORDS", "no number"),
        ("EDGEFLEET_DEVICES__0__SETTINGS__NOISE", "false"),  # of a file
        ("EDGEFLEET_PASSWORD_FILE", "/run/secrets/missing"),
        ("EDGEFLEET_REQUIRE_SERVICES", "1"),  # of the tests
        ("EDGEFLEET_COMPILED", "1"),  # of the build
        ("EDGEFLEET_INGEST_PORT", "tcp://10.0.0.1:8000"),  # of Kubernetes
        ("EDGEFLEET_INGEST_SERVICE_HOST", "10.0.0.1"),
        ("FLEET_SCENARIO", "mine.yaml"),  # of docker-compose.yml
        ("EDGEFLEET_BROKER", ""),
        ("EDGEFLEET_NOTHING", ""),
    ],
)
def test_what_is_for_others_is_no_fault(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    done = runner.invoke(app, ["schema", "bme280"], catch_exceptions=False)
    assert done.exit_code == 0, done.output


def test_help_comes_up_whatever_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEFLEET_WORKERS", "many")
    monkeypatch.setenv("EDGEFLEET_BROKR", "x")
    done = runner.invoke(app, ["run", "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert "EDGEFLEET_WORKERS" in done.output
