"""Variables of the environment and of a `.env` file: on top of configuration files, and as options of commands.

An input is lines of `NAME=VALUE`: down to an empty line those of the environment, below it a `.env` file. Of options
the first line names the command.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from tests.fuzz.target import Run, Target, require_words
from tests.fuzz.variables_mutator import mutate_variables

_SCENARIO = """
seed: 1
sites: [{name: hq, latitude: 48.1, longitude: 11.5}]
devices: [{kind: bme280, count: 2, site: hq}, {kind: gps}]
"""
_BRIDGE = """
broker: mqtt://127.0.0.1:1883
http: {url: "http://127.0.0.1:9", headers: {X-A: b}}
routes: [{topic: "edge/#", http: /all}]
"""
_COMMANDS = {"run": ["mixed"], "verify": ["run"], "generate": ["mixed"], "ingest": [], "provision": ["mixed"]}
"""With what each is given by its arguments."""


class _Place:
    """Makes a folder the working directory, with a `.env` file, and has nothing but some variables in the environment.

    There is a file `secret` in it, for the names that end in `_FILE`.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="edgefleet-fuzz-"))
        (self._folder / "secret").write_text("s3cret\n")

    @contextmanager
    def entered(self, data: bytes) -> Iterator[list[str]]:
        """Yield the names that are set, for the length of a `with` block."""
        given, _, written = data.partition(b"\n\n")
        # As Python has what is no UTF-8. A system takes neither of those that are left out.
        pairs = [os.fsdecode(line).partition("=") for line in given.split(b"\n") if b"\0" not in line]
        variables = {name: value for name, sign, value in pairs if name and sign}
        (self._folder / ".env").write_bytes(written)
        with chdir(self._folder), mock.patch.dict(os.environ, variables, clear=True):
            yield [*variables, *(line.partition("=")[0] for line in written.decode(errors="replace").split("\n"))]


def _require_told(said: str, names: list[str]) -> None:
    """What is refused names a variable that is set, or the file of them, and can be printed."""
    said.encode()
    upper = said.upper()
    plain = [name.encode(errors="backslashreplace").decode().strip(" '").removeprefix("export ") for name in names]
    assert ".ENV" in upper or any(name.upper() in upper for name in plain if name), said


def _environment() -> Run:
    from bridge.config import BridgeConfig
    from devices.scenario.scenario import Scenario
    from edgewire.config import parse_config
    from edgewire.environment import overlay
    from edgewire.errors import ConfigError

    place = _Place()
    models: tuple[tuple[Any, str], ...] = ((Scenario, "EDGEFLEET_"), (BridgeConfig, "BRIDGE_"))
    files = [(text, yaml.safe_load(text), *one) for text, one in zip((_SCENARIO, _BRIDGE), models, strict=True)]

    def run(data: bytes) -> None:
        for text, written, model, prefix in files:
            with place.entered(data) as names:
                try:
                    config = parse_config(text, model, name="fuzzed.yaml")
                except ConfigError as error:
                    require_words(error, 1 << 16)
                    _require_told(str(error), names)
                    continue
                found = overlay(written, model, prefix)
            assert not found.problems
            with place.entered(b""):
                same = parse_config(json.dumps(found.data), model, name="same.yaml")
            assert repr(same) == repr(config), "a variable sets something else than the same in the file"

    return run


def _environment_seeds() -> Iterator[bytes]:
    yield b"EDGEFLEET_SEED=7\nEDGEFLEET_DEVICES__0__COUNT=3\nBRIDGE_HTTP__URL=http://a.example\nBRIDGE_CLIENT_ID=b"
    yield b'EDGEFLEET_DEVICES__0__SETTINGS={"noise":0}\nEDGEFLEET_DEVICES__2={"kind":"people"}\nBRIDGE_FILE__PATH=out'
    yield b"EDGEFLEET_SITES__0__LATITUDE=-90\n\nBRIDGE_HTTP__TOKEN_FILE=secret\nEDGEFLEET_TIME_SCALE=2"
    yield b'BRIDGE_ROUTES=[{"topic":"#","http":"/b"}]\nBRIDGE_HTTP__HEADERS__X_A=c\nBRIDGE_SPOOL__MAX_BYTES=1GiB'
    yield b"BRIDGE_SERVICE_HOST=10.0.0.1\nBRIDGE_PORT=tcp://10.0.0.1:9464\nBRIDGE_DRAIN_TIMEOUT=1h\nBRIDGE_SINKS=a"
    yield b'\n\nBRIDGE_SUBSCRIPTIONS__0={"filter":"a/#"}\nexport EDGEFLEET_SEED="8" # a\nBRIDGE_MQTT__QOS=${A:-1}'


def _option_variables() -> Run:
    import typer

    from edgefleet.cli import app
    from edgewire.environment import variable_set
    from edgewire.errors import ConfigError

    place, group = _Place(), typer.main.get_command(app)
    commands = {name: group.commands[name] for name in _COMMANDS}  # type: ignore[attr-defined]
    for command in commands.values():
        command.callback = None

    def run(data: bytes) -> None:
        line, _, data = data.partition(b"\n")
        name = line.decode(errors="replace")
        command = commands.get(name) or commands[name := [*commands][len(line) % len(commands)]]
        with place.entered(data) as names:
            try:
                context = command.make_context(name, [*_COMMANDS[name]])
                command.invoke(context)
            except ConfigError as error:
                require_words(error, 1 << 16)
                _require_told(str(error), names)
                return
            except typer.BadParameter as error:
                _require_told(error.format_message(), names)
                return
            for parameter in command.params:
                source = context.get_parameter_source(parameter.name)
                is_set = source is not None and source.name == "ENVIRONMENT"
                known = [parameter.envvar] if isinstance(parameter.envvar, str) else parameter.envvar or []
                assert is_set == any(map(variable_set, known)), parameter.name
                str(context.params.get(parameter.name)).encode()

    return run


def _option_seeds() -> Iterator[bytes]:
    yield b"run\nEDGEFLEET_SEED=7\nEDGEFLEET_DURATION=1h\nEDGEFLEET_TIME_SCALE=2.5\nFLEET_SHARD=0/2"
    yield b"verify\nEDGEFLEET_VERIFY_WAIT=10s\nEDGEFLEET_VERIFY_KAFKA_TOPIC=a b\nEDGEFLEET_INGEST_TOKEN_FILE=secret"
    yield b"ingest\nEDGEFLEET_INGEST_PORT=8000\nEDGEFLEET_INGEST_MAX_BODY=1MiB\n\nEDGEFLEET_INGEST_HOST=0.0.0.0"
    yield b"generate\nEDGEFLEET_FORMAT=csv\nEDGEFLEET_FROM=2026-03-01\nEDGEFLEET_OVERWRITE=true\nEDGEFLEET_DELAYS=1s"
    yield b"provision\nEDGEFLEET_PROVISION_DAYS=90\nEDGEFLEET_PROVISION_AUTH=password\nEDGEFLEET_SED=1"
    yield b"run\nEDGEFLEET_LOG_LEVEL=debug\nEDGEFLEET_DEVICES__0__COUNT=3\nEDGEFLEET_SET=a=1\nEDGEFLEET_RECORD=r"


ENVIRONMENT_TARGETS = {
    "environment": Target(
        _environment,
        _environment_seeds,
        ("edgewire.environment", "edgewire.config", "edgewire.model_tree", "edgewire.secret_file"),
        1024,
        mutate_variables,
    ),
    "option-variables": Target(
        _option_variables,
        _option_seeds,
        ("edgefleet.cli", "edgewire.environment", "edgewire.secret_file"),
        1024,
        mutate_variables,
    ),
}
