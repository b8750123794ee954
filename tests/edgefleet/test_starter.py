"""What comes with the package: scenarios known by name, and files that `edgefleet init` writes and never overwrites."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from typer.testing import CliRunner

from bridge.config import BridgeConfig
from devices.scenario.scenario import Scenario
from edgefleet.cli import app
from edgefleet.cli.schema import file_schema
from edgefleet.starter import scenario_names, scenario_path, starter_files, write_files
from edgewire.config import load_config
from edgewire.errors import ConfigError
from edgewire.messages import CONTRACT
from edgewire.yaml_file import YamlFile

ROOT = Path(__file__).parents[2]
SCHEMA_LINE = re.compile(r"# yaml-language-server: \$schema=(\S+)\n")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MODELS: dict[str, Any] = {"scenario": Scenario, "bridge": BridgeConfig}

LEFT_OUT: dict[str, dict[str, Any]] = {
    "scenario": {"devices": [{"kind": kind, "count": 9} for kind in CONTRACT]},
    "bridge": {"http": {}, "kafka": {}, "file": {}},
}
"""What an example leaves out of a whole file."""

NOTATIONS = {
    "scenario": """\
start: 2026-03-01
keep_alive: 1.5m
session_expiry: 3600
outbox: {max_bytes: 64KiB}
broker: [mqtt://a:1883, mqtt://b:1883]
devices: [{kind: gps, count: 3, interval: 250ms, jitter: 0, site: default}]
faults:
  - {type: gps_loss, kind: gps, rate: 2/day, duration: 5m}
  - {type: gps_loss, kind: gps, rate: 0.5, duration: 5m..1h}
  - {type: gps_loss, kind: gps, from: 2026-03-01 12:00:00, to: 2026-03-02}
  - {type: clock_step, kind: gps, rate: 1/h, duration: 5m, offset: -3s}
""",
    "bridge": """\
client_id: bridge-{hostname}
spool: {max_bytes: 1048576}
http: {url: "http://a:1", statuses: {409: delivered}, success: {content_type: application/json}}
kafka: {properties: {socket.keepalive.enable: true}}
file: {folder: x}
routes:
  - {topic: edge/#, http: /x, kafka: all, file: "{kind}.jsonl", sample: 1/10}
  - {topic: a, http: {path: /y, body: {"a": "{device_id}"}}, kafka: {topic: b, headers: {x: "1"}}}
  - {topic: b, drop: true}
""",
}


def init(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["init", *map(str, arguments)])


@pytest.mark.slow
def test_a_folder_has_all_that_the_documents_name_and_an_editor_can_check_it(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "fleet"
    done = init(folder)
    assert done.exit_code == 0, done.output
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    own = {str(path.relative_to(ROOT)) for name in ("scenarios", "deploy/grafana", "deploy/prometheus")
           for path in (ROOT / name).iterdir()}  # fmt: skip
    assert files == {*own, "bridge.yaml", "schemas/scenario.schema.json", "schemas/bridge.schema.json"}
    for path in [folder / "bridge.yaml", *(folder / "scenarios").iterdir()]:
        line = SCHEMA_LINE.match(text := path.read_text(encoding="utf-8"))
        assert line
        schema = json.loads((path.parent / line[1]).read_text(encoding="utf-8"))
        jsonschema_rs.validator_for(schema).validate(YamlFile(text, str(path)).data)
        load_config(path, MODELS["bridge" if path.name == "bridge.yaml" else "scenario"])


def test_a_mistake_is_marked_by_the_schema() -> None:
    checked = jsonschema_rs.validator_for(file_schema("scenario"))
    group = {"kind": "gps", "count": 1, "interval": "5s"}
    assert checked.is_valid({"devices": [group]})
    for wrong in ({"interval": "5 parsecs"}, {"interval": []}, {"intervall": "5s"}, {"count": 0}):
        assert not checked.is_valid({"devices": [group | wrong]}), wrong


@pytest.mark.slow
def test_the_schemas_take_what_the_programs_take(tmp_path: Path) -> None:
    """Every YAML of the documents that a program reads is also good by the schema of its file."""
    found = 0
    checked = {name: jsonschema_rs.validator_for(file_schema(name)) for name in MODELS}
    texts = [
        *(body for path in DOCUMENTS for body in re.findall(r"^```yaml\n(.*?)^```$", path.read_text(), re.M | re.S)),
        *(path.read_text() for path in (ROOT / "deploy" / "kubernetes").rglob("*.yaml")),
    ]
    for text in texts:
        path = tmp_path / "file.yaml"
        path.write_text(text)
        try:
            content = yaml.safe_load(text)
        except yaml.YAMLError:
            continue
        if not isinstance(content, dict):
            continue
        for name, model in MODELS.items():
            if not content.keys() <= model.model_fields.keys():
                continue
            whole = LEFT_OUT[name] | content
            path.write_text(yaml.safe_dump(whole))
            try:
                load_config(path, model)
            except ConfigError:
                continue
            found += 1
            # As an editor reads it: moments are texts there, and so are the keys of mappings.
            checked[name].validate(json.loads(json.dumps(whole, default=str)))
    assert found > 10


def test_the_schemas_know_every_notation_of_a_value(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    for name, text in NOTATIONS.items():
        path.write_text(text)
        load_config(path, MODELS[name])
        jsonschema_rs.validator_for(file_schema(name)).validate(
            json.loads(json.dumps(yaml.safe_load(text), default=str))
        )


def test_one_scenario_alone_and_one_that_there_is_not(tmp_path: Path) -> None:
    assert init(tmp_path, "--scenario", "bme280").exit_code == 0
    assert [path.name for path in (tmp_path / "scenarios").iterdir()] == ["bme280.yaml"]
    with pytest.raises(ConfigError, match="there is no 'nope'; there are bme280, "):
        starter_files("nope")


def test_what_is_there_is_not_overwritten_unless_it_is_asked_for(tmp_path: Path) -> None:
    files = {"a/one": "1", "two": "2", "three": "3"}
    (tmp_path / "two").write_text("mine")
    (tmp_path / "three").write_text("3")
    with pytest.raises(ConfigError, match=r"two is there already.*--force"):
        write_files(tmp_path, files)
    assert {path.name for path in tmp_path.rglob("*")} == {"two", "three"}
    assert write_files(tmp_path, files, overwrite=True) == ["a/one", "two"]
    assert (tmp_path / "two").read_text() == "2"
    assert write_files(tmp_path, files) == []


@pytest.mark.parametrize("force", [False, True])
def test_nothing_takes_the_place_of_what_is_no_file(tmp_path: Path, *, force: bool) -> None:
    (tmp_path / "one").mkdir()
    with pytest.raises(ConfigError, match="one"):
        write_files(tmp_path, {"one": "1", "two": "2"}, overwrite=force)
    assert not (tmp_path / "two").exists()
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(ConfigError, match="link is there already"):
        write_files(tmp_path, {"link": "1"})
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_files(tmp_path / "file", {"one": "1"})


@pytest.mark.parametrize("name", scenario_names())
def test_a_scenario_is_known_by_its_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert scenario_path(Path(name)).read_bytes() == (ROOT / "scenarios" / f"{name}.yaml").read_bytes()
    Path(name).mkdir()
    assert scenario_path(Path(name)) != Path(name)
    Path(name).rmdir()
    Path(name).write_text("a file of the user's")
    assert scenario_path(Path(name)) == Path(name)


@pytest.mark.parametrize("command", ["run", "generate", "doctor", "provision"])
def test_commands_take_a_name_and_say_what_names_there_are(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(app, [command, "bme281"])
    assert "no scenario of that name comes with edgefleet: bme280, foot-traffic, fridges, mixed" in str(told.exception)
    told = CliRunner().invoke(app, [command, "scenarios/mixed.yaml"])
    assert "`edgefleet init` writes it" in str(told.exception)


def test_a_name_gives_the_messages_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    span = ["--from", "2026-03-01", "--records", "3"]
    by_name, by_file = (
        CliRunner().invoke(app, ["generate", scenario, *span])
        for scenario in ("telematics", str(ROOT / "scenarios" / "telematics.yaml"))
    )
    assert by_name.exit_code == 0
    assert by_name.stdout == by_file.stdout
