"""Writes the configuration references in this folder from the models: `python docs/generate.py` (or `make docs`)."""

import inspect
import json
import re
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np
import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from benchmarks.captures import heard_of, write_capture
from bridge.config import BridgeConfig
from devices.declared.config import Scalar, Stay
from devices.faults.base import Durations, PerDay
from devices.scenario.actions import AnyAction
from devices.scenario.device_group import DeviceGroup
from devices.scenario.device_parts import PartPlace
from devices.scenario.devices import Device
from devices.scenario.scenario import Scenario
from devices.scenario.speech import read_dialect
from devices.scenario.steps import StepTiming
from devices.sensors.registry import KINDS
from devices.timeline.formats import make_wire_formats
from devices.timeline.table import Table
from devices.timeline.wire_format import WireFormat
from edgefleet.cli import app
from edgefleet.cli.variables import option_variables
from edgefleet.control.api import control_description
from edgefleet.learn.capture import HeardLimits, read_capture
from edgefleet.learn.comparison import compare
from edgefleet.learn.learner import learn_fleet
from edgefleet.learn.report_text import report_lines
from edgefleet.learn.scenario_writer import device_counts, write_scenario
from edgewire.clock import parse_ms
from edgewire.config import DurationMs, SizeBytes, duration_text
from edgewire.dialects.base import DialectError
from edgewire.dialects.registry import DIALECTS
from edgewire.dialects.sparkplug import NAMESPACE
from edgewire.dialects.sparkplug_payload import metric_value, read_payload
from edgewire.messages import CONTRACT
from edgewire.messages.base import EXAMPLE_TIME

HERE = Path(__file__).parent
_VALIDATED = {
    get_args(DurationMs)[1]: "duration",
    get_args(SizeBytes)[1]: "size",
    get_args(Durations)[1]: "duration, or `5m..1h`",
    get_args(PerDay)[1]: "rate, such as `2/day`",
    get_args(Scalar)[1]: "text, number, true or false",
    get_args(Stay)[1]: "`reading`, `device`, or duration",
}


def scenario() -> str:
    """The reference of the scenario file and of every kind's settings."""
    kinds = "".join(f"\n## Settings of `{kind}`\n\n{_table(entry.settings)}" for kind, entry in KINDS.items())
    return _page("Scenario file", Scenario, "EDGEFLEET_") + kinds


def bridge() -> str:
    """The reference of the bridge's configuration file."""
    return _page("Bridge configuration", BridgeConfig, "BRIDGE_")


def environment() -> str:
    """The reference of the variables of all options."""
    found: dict[str, dict[str, list[str]]] = {}
    for command, parameter, variables in option_variables(typer.main.get_command(app)):
        for variable in variables:
            found.setdefault(variable, {}).setdefault(f"`{'/'.join(parameter.opts)}`", []).append(f"`{command}`")
    rows = ["| variable | option | of |", "|---|---|---|"]
    for variable, options in sorted(found.items()):
        commands = [one for names in options.values() for one in names]
        rows.append(f"| `{variable}` | {', '.join(options)} | {', '.join(commands)} |")
    return "\n".join(
        [
            "# Environment variables\n",
            "<!-- Written by docs/generate.py from the commands; do not edit. -->\n",
            "What a container would set has a variable: the options below, every key of a scenario as `EDGEFLEET_…`",
            "and every key of a bridge's file as `BRIDGE_…` ([scenario](scenario.md), [bridge](bridge.md)): `--broker`",
            "of `run`, `doctor` and `forget` is the key `broker`, `EDGEFLEET_BROKER`. Flags win over the environment,",
            "that over a `.env` file in the working directory, and that over the file.\n",
            "- A variable that is empty is not set. `NAME_FILE` names a file that holds the value of `NAME`.",
            "- Of an option that may be repeated, the values stand with spaces between: `EDGEFLEET_KIND='bme280 gps'`.",
            "- A flag is `true` or `false`: `EDGEFLEET_CHECK=false` is `--no-check`.",
            "- `EDGEFLEET_INGEST_TOKEN` may be several tokens: the ingest takes each, its clients show the first.",
            "- A name with one of these prefixes that is no setting is refused, with the nearest that is one. A",
            "  variable of another command is no fault.\n",
            *rows,
            "",
        ]
    )


def dialects() -> str:
    """The page of dialects, with what emulated devices say in each."""
    page = (HERE / "dialects.md").read_text(encoding="utf-8")
    before, _, rest = page.partition(_SPOKEN_BEGIN)
    after = rest.partition(_SPOKEN_END)[2]
    names = [name for name, dialect in DIALECTS.items() if dialect.encoder is not None and not dialect.is_platform]
    spoken = "\n".join(f"### `{name}`\n\n{_spoken(name)}" for name in names)
    return f"{before}{_SPOKEN_BEGIN}\n\n{spoken}\n{_SPOKEN_END}{after}"


def platforms() -> str:
    """The page of platforms and standards, with what emulated devices say in each."""
    page = (HERE / "platforms.md").read_text(encoding="utf-8")
    return _SPOKEN_OF.sub(lambda found: f"{found['begin']}\n\n{_spoken(found['name'])}\n{_SPOKEN_END}", page)


def control() -> str:
    """The page of the control interface, with its paths and actions."""
    page = (HERE / "control.md").read_text(encoding="utf-8")
    before, _, rest = page.partition(_CONTROL_BEGIN)
    after = rest.partition(_SPOKEN_END)[2]
    rows = ["| path | what for |", "|---|---|"]
    described = control_description()
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            given = [f"`{one['name']}`" for one in operation.get("parameters", ()) if one["in"] == "query"]
            asked = f" Takes {', '.join(given)}." if given else ""
            rows.append(f"| `{method.upper()} {path}` | {operation['summary']}{asked} |")
    parts = [
        f"### `{get_args(model.model_fields['action'].annotation)[0]}`\n\n{_doc(model)}\n\n{_table(model)}"
        for model in get_args(get_args(AnyAction)[0])
    ]
    return f"{before}{_CONTROL_BEGIN}\n\n" + "\n".join([*rows, "", *parts, ""]) + f"{_SPOKEN_END}{after}"


def learn() -> str:
    """The page of `learn`, with what it prints of the installation there."""
    page = (HERE / "learn.md").read_text(encoding="utf-8")
    before, _, rest = page.partition(_LEARNED_BEGIN)
    after = rest.partition(_SPOKEN_END)[2]
    plant = re.search(r"```yaml\n(# plant\.yaml\n.*?)```", page, re.DOTALL)
    assert plant, "docs/learn.md has no plant.yaml"
    with tempfile.TemporaryDirectory() as folder:
        installation, capture = Path(folder) / "plant.yaml", Path(folder) / "capture.jsonl"
        installation.write_text(plant[1])
        write_capture(capture, heard_of(installation, parse_ms("2026-03-02T12:00:00Z"), 600))
        fleet = learn_fleet(read_capture(capture, HeardLimits()))
        counts = device_counts(fleet.groups, None, 100)
        parts = compare(fleet, write_scenario(Path(folder) / "learned.yaml", fleet, counts))
        said = "\n".join(line.rstrip() for line in report_lines(fleet, parts, sum(counts)))
        written = (Path(folder) / "learned.yaml").read_text(encoding="utf-8")
    groups = written[written.index("devices:") :]
    shown = f"```text\n{said}\n```\n\nThe groups that it wrote:\n\n```yaml\n{groups}```"
    return f"{before}{_LEARNED_BEGIN}\n\n{shown}\n\n{_SPOKEN_END}{after}"


PAGES = {
    "scenario.md": scenario,
    "bridge.md": bridge,
    "environment.md": environment,
    "dialects.md": dialects,
    "platforms.md": platforms,
    "control.md": control,
    "learn.md": learn,
}

_CONTROL_BEGIN = (
    "<!-- Written by docs/generate.py from the control interface, up to the next such line; do not edit. -->"
)

_LEARNED_BEGIN = "<!-- Written by docs/generate.py from plant.yaml, up to the next such line; do not edit. -->"
_SPOKEN_BEGIN = "<!-- Written by docs/generate.py from the encoders, up to the next such line; do not edit. -->"
_SPOKEN_END = "<!-- The end of what docs/generate.py writes. -->"
_SPOKEN_OF = re.compile(
    r"(?P<begin><!-- Written by docs/generate\.py from the encoder of (?P<name>[a-z0-9-]+), up to the next such line; "
    rf"do not edit\. -->).*?{re.escape(_SPOKEN_END)}",
    re.DOTALL,
)
_LONGEST_SAMPLE = 220
_STATUS = {
    "state": "online",
    "boot": 12,
    "firmware": "1.0.0",
    "timestamp": EXAMPLE_TIME,
    "reset_reason": "power_on",
    "uptime_s": 3.0,
}


def _spoken(name: str) -> str:
    """What devices say in a dialect: topics, one sample of each, and the options."""
    dialect = DIALECTS[name]
    spoken, refused = [], []
    for kind in KINDS:
        try:
            read_dialect(name, kind)
        except (ValueError, DialectError) as error:
            refused.append(f"- `{kind}` is refused: {error}.")
        else:
            spoken.append(kind)
    kind = spoken[0]
    group = DeviceGroup.model_validate({"kind": kind, "dialect": name})
    form = make_wire_formats(Scenario(devices=[group]))
    (found,) = form.values()
    device = Device(
        device_id="porch",
        kind=kind,
        site="home",
        qos=group.qos,
        interval_ms=group.interval,
        ordinal=0,
        key=0xAABBCCDDEE,
        client_id="porch",
        fields={},
    )
    rows = ["| topic | when | QoS | retained | sample |", "|---|---|---|---|---|"]
    births = found.status(device, _STATUS)
    rows += [_sample(one.topic, "birth", one.qos, one.payload, retain=one.retain) for one in births]
    rows += [
        _sample(topic, "reading", group.qos, payload, retain=retain) for topic, payload, retain in _said(found, device)
    ]
    if (will := found.will(device, _STATUS | {"state": "offline"})) is not None:
        rows.append(_sample(will.topic, "will", will.qos, will.payload, retain=will.retain))
    commands = [f"`{topic}`" for topic in found.command_topics(device)]
    heading = f"Of {', '.join(f'`{one}`' for one in spoken)}; by default QoS {group.qos}, every "
    listens = f"\nListens on {', '.join(commands)}.\n" if commands else "\nTakes no commands.\n"
    return "\n".join(
        [
            heading + f"`{duration_text(group.interval)}`. A device `porch` at the site `home` says:\n",
            *rows,
            listens,
            *refused,
            *([""] if refused else []),
            _table(dialect.options),
        ]
    )


def _said(found: WireFormat, device: Device) -> Iterator[tuple[str, bytes, bool]]:
    """The messages of a reading, the first example of the contract."""
    channel = KINDS[device.kind].channel
    example = next(message for message in CONTRACT[device.kind].messages if message.channel is channel).examples[0]
    fields = {key: value for key, value in example.items() if key not in ("device_id", "timestamp", "boot", "seq")}
    columns = {key: [value] for key, value in fields.items()}
    times = np.array([parse_ms(EXAMPLE_TIME)])
    table = Table(device.kind, channel, times, np.array([0]), np.array([0]), columns)
    said = found.is_said(table)
    for place, part in enumerate(found.parts(channel)):
        if said is None or said[0, place]:
            payload = found.encode(table, [device], times, 12)[place]
            retain = bool(found.options) and found.options[part.address].retain
            yield found.topics(device)[part.address], payload, retain


def _sample(topic: str, when: str, qos: int, payload: bytes, *, retain: bool) -> str:
    text = _readable(topic, payload).replace("|", "\\|")
    shown = text if len(text) <= _LONGEST_SAMPLE else f"{text[:_LONGEST_SAMPLE]}…"
    return f"| `{topic}` | {when} | {qos} | {'yes' if retain else 'no'} | {f'`{shown}`' if text else '(empty)'} |"


def _readable(topic: str, payload: bytes) -> str:
    """A payload as text; of one of Sparkplug, which is none, its metrics with their values."""
    if not topic.startswith(f"{NAMESPACE}/"):
        return payload.decode(errors="backslashreplace")
    metrics = read_payload(payload).metrics
    said = {one.name: metric_value(one, one.datatype, str(one.name)) for one in metrics}
    return json.dumps(said, separators=(",", ":"))


def _page(title: str, model: type[BaseModel], prefix: str) -> str:
    parts = [
        f"# {title}\n",
        "<!-- Written by docs/generate.py from the models; do not edit. -->\n",
        f"YAML; unknown keys are refused. Every key can also be set by an environment variable: `{prefix}` and the key",
        "path in capitals, joined by `__`, lists and mappings as JSON. Flags win over the environment, and that over",
        "the file. Durations are written as `250ms`, `10s`, `5m`, `1h`, `2d`, sizes as `4096`, `512MiB`, `2GB`.\n",
        _table(model),
    ]
    parts += [f"## `{name}`\n\n{_doc(inner)}\n\n{_table(inner)}" for name, inner in _inner(model)]
    return "\n".join(parts)


def _inner(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Every model below this one, with the path of its key."""
    for name, field in model.model_fields.items():
        parts = (StepTiming if issubclass(part, StepTiming) else part for part in _models_in(field.annotation))
        for part in dict.fromkeys(parts):
            if part is PartPlace:
                continue  # what a file has there is a list of groups
            where = f"{path}{name}" + ("[]" if get_origin(field.annotation) is tuple else "")
            yield where + _variant(part), part
            yield from _inner(part, f"{where}.")


def _variant(model: type[BaseModel]) -> str:
    """Of models that are told apart by their `type`: which one."""
    kind = model.model_fields.get("type")
    return f" of type {get_args(kind.annotation)[0]}" if kind and get_origin(kind.annotation) is Literal else ""


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _table(model: type[BaseModel]) -> str:
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        rows.append(f"| `{field.alias or name}` | {_type(field)} | {_default(field)} | {meaning} |")
    return "\n".join(rows) + "\n"


def _doc(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__doc__ or "")


def _type(field: FieldInfo) -> str:
    for item in field.metadata:
        if item in _VALIDATED:
            return _VALIDATED[item]
    return _name(field.annotation).replace("|", "\\|")


def _name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        known = [_VALIDATED[item] for item in arguments[1:] if item in _VALIDATED]
        return known[0] if known else _name(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_name(argument) for argument in arguments if argument is not type(None)))
    if origin in (tuple, list):
        return f"list of {_name(arguments[0])}"
    if origin is not None:
        return "mapping"
    if annotation is PartPlace:
        return "list of mapping"
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return "mapping"
    return {
        "str": "text",
        "int": "number",
        "float": "number",
        "bool": "true or false",
        "AwareDatetime": "time",
        "Path": "path",
        "SecretStr": "text",
        "Template": "template",
        "Body": "template or JSON of templates",
        "Sampler": "share",
    }.get(getattr(annotation, "__name__", ""), getattr(annotation, "__name__", str(annotation)))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value is PydanticUndefined:
        return ""
    if isinstance(value, BaseModel) or (isinstance(value, tuple) and value and isinstance(value[0], BaseModel)):
        return "see below"
    if any(_VALIDATED.get(item) == "duration" for item in field.metadata):
        return f"`{duration_text(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{list(value) if isinstance(value, tuple) else value}`"


if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")
        print(f"wrote docs/{name}", file=sys.stderr)
