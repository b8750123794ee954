"""Puts environment variables on top of a configuration file, key by key, and refuses those that are no setting.

`BRIDGE_HTTP__URL` is `http.url`; `EDGEFLEET_DEVICES__0__SETTINGS__NOISE` is `settings.noise` of the first of `devices`.
`NAME_FILE` names a file that holds the value of NAME. They are also read from a `.env` file in the working directory.

A name with the prefix that is no setting is refused, as it is most likely misspelt, but for two kinds: those that the
program itself, its tests or docker-compose.yml know (`OTHER_VARIABLES`), and those that Kubernetes makes of services in
the same namespace, such as `BRIDGE_SERVICE_HOST` and `BRIDGE_PORT=tcp://10.0.0.1:9464` of one called `bridge`.
"""

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import orjson
from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import BaseModel

from edgewire.errors import ConfigError
from edgewire.model_tree import child, is_model, is_structured, options, variable_paths
from edgewire.redact import is_secret_name
from edgewire.secret_file import read_secret
from edgewire.yaml_file import Location

OPTION_VARIABLES = frozenset(
    {
        *("EDGEFLEET_BROKER", "EDGEFLEET_FAIL_IF", "EDGEFLEET_LOG_FORMAT", "EDGEFLEET_LOG_LEVEL", "EDGEFLEET_WAIT"),
        *("EDGEFLEET_WEB", "EDGEFLEET_WORLD"),
        *("EDGEFLEET_CONTROL", "EDGEFLEET_CONTROL_TOKEN_FILE", "EDGEFLEET_CTL_FLEET"),
        *("EDGEFLEET_CHECK", "EDGEFLEET_COUNT", "EDGEFLEET_DURATION", "EDGEFLEET_ENGINE", "EDGEFLEET_FORGET"),
        *("EDGEFLEET_CONNECT_FIRST", "EDGEFLEET_FORGET_TIMEOUT"),
        *(
            "EDGEFLEET_EXPORT_RAY",
            "EDGEFLEET_FROM",
            "EDGEFLEET_INTERVAL",
            "EDGEFLEET_JOBS",
            "EDGEFLEET_KIND",
            "EDGEFLEET_KINDS_OF",
            "EDGEFLEET_MESSAGES",
            "EDGEFLEET_METRICS",
        ),
        *("EDGEFLEET_OVERWRITE", "EDGEFLEET_RAY", "EDGEFLEET_RAY_ADDRESS", "EDGEFLEET_RECORD", "EDGEFLEET_SEED"),
        *("EDGEFLEET_SET", "EDGEFLEET_TIME_SCALE", "EDGEFLEET_WORKERS", "FLEET_RUN_ID", "FLEET_SHARD"),
        *("EDGEFLEET_CLEAN", "EDGEFLEET_DELAYS", "EDGEFLEET_FORMAT", "EDGEFLEET_KAFKA", "EDGEFLEET_LABELS"),
        *("EDGEFLEET_CSV", "EDGEFLEET_KAFKA_CONFIG", "EDGEFLEET_LABEL_COLUMN", "EDGEFLEET_LOCAL_TIME"),
        *(
            "EDGEFLEET_SPLIT",
            "EDGEFLEET_SPLIT_BY",
            "EDGEFLEET_SPLIT_GAP",
            "EDGEFLEET_PARTITION",
            "EDGEFLEET_REPLACE",
            "EDGEFLEET_SCHEMA",
        ),
        *("EDGEFLEET_OUT", "EDGEFLEET_PRINT", "EDGEFLEET_RECORDS", "EDGEFLEET_RESUME", "EDGEFLEET_STATS_EVERY"),
        *("EDGEFLEET_STREAM", "EDGEFLEET_TO", "EDGEFLEET_UPLOAD"),
        *("EDGEFLEET_INGEST_BODY_TIMEOUT", "EDGEFLEET_INGEST_HOST", "EDGEFLEET_INGEST_MAX_BODY"),
        *("EDGEFLEET_INGEST_PORT", "EDGEFLEET_INGEST_STORE", "EDGEFLEET_INGEST_TOKEN"),
        *("EDGEFLEET_PROVISION_ALSO", "EDGEFLEET_PROVISION_AUTH", "EDGEFLEET_PROVISION_DAYS"),
        *("EDGEFLEET_PROVISION_HOST", "EDGEFLEET_PROVISION_OUT"),
        *("EDGEFLEET_VERIFY_CLOCK_ALLOWANCE", "EDGEFLEET_VERIFY_INGEST", "EDGEFLEET_VERIFY_KAFKA"),
        *("EDGEFLEET_VERIFY_KAFKA_TOPIC", "EDGEFLEET_VERIFY_LATE_AFTER", "EDGEFLEET_VERIFY_WAIT"),
        *("EDGEFLEET_VERIFY_BRIDGE", "EDGEFLEET_VERIFY_KAFKA_CONFIG"),
        *("EDGEFLEET_VERIFY_ROWS", "EDGEFLEET_VERIFY_ROW_KEY"),
        *("EDGEFLEET_BRIDGE", "EDGEFLEET_BRIDGE_TOKEN_FILE", "EDGEFLEET_INGEST"),
        *("EDGEFLEET_BATCH", "EDGEFLEET_RATE_LIMIT", "EDGEFLEET_RETRIES", "EDGEFLEET_RETRY_BACKOFF"),
        *("EDGEFLEET_TIMEOUT", "EDGEFLEET_TOPIC"),
        *("EDGEFLEET_DAILY_CUSTOMERS", "EDGEFLEET_DAILY_VARIATION", "EDGEFLEET_DEVICE_ID", "EDGEFLEET_DRIVERS"),
        "EDGEFLEET_FIXED_DAILY_TOTAL",
    }
)
"""Variables of command line options, of all commands; a test compares them."""

OTHER_VARIABLES = frozenset(
    {
        *("BRIDGE_ORDINAL", "EDGEFLEET_FAILPOINT"),
        "EDGEFLEET_CONTROL_TOKEN",
        *("EDGEFLEET_CHAOS_SEED", "EDGEFLEET_COMPILED", "EDGEFLEET_REQUIRE_SERVICES"),
    }
)
"""What the program reads elsewhere, and what its tests and its build read."""

_SHARD_VARIABLES = frozenset({"FLEET_RUN_ID", "FLEET_SHARD"})

_COMPOSE_VARIABLES = frozenset({"BRIDGE_PORT"})
"""What docker-compose.yml takes from a `.env` file."""

_PREFIXES = re.compile(r"^(EDGEFLEET|BRIDGE|FLEET)")
_LONGEST_FILE = 1 << 20
_OUR_LINE = re.compile(r"(\s*)(?:export\s+)?((?:EDGEFLEET|BRIDGE|FLEET)_\w*)", re.IGNORECASE)
_SERVICE_LINK = re.compile(r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://\S+")


@dataclass(slots=True)
class Overlay:
    """Holds a configuration with the variables put into it."""

    data: dict[str, Any]
    origins: dict[Location, str] = field(default_factory=dict)
    """Location of a value -> the variable that it is from."""
    problems: list[str] = field(default_factory=list)

    def origin(self, location: Location) -> str | None:
        """Return the variable that a value, or one that it is in, is from."""
        found = [one for one in self.origins if location[: len(one)] == one]
        return self.origins[max(found, key=len)] if found else None


def is_service_link(name: str, value: str) -> bool:
    """Return whether Kubernetes makes a variable like this for a service in the same namespace."""
    return bool(_SERVICE_LINK.fullmatch(name)) or (name.endswith("_PORT") and bool(_SERVICE_ADDRESS.fullmatch(value)))


def read_environment(prefix: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the variables with a prefix, of the `.env` file and of the environment, without what others put there.

    One that is empty is not set. Raises `ConfigError` for a `.env` file that cannot be read, and for a variable that is
    no text.
    """
    written, given = _both_places()
    return _known_to_us(written, prefix, OTHER_VARIABLES | _COMPOSE_VARIABLES), _known_to_us(
        given, prefix, OTHER_VARIABLES
    )


def _both_places() -> tuple[dict[str, str], dict[str, str]]:
    written = _read_file()

    def ours(variables: Mapping[str, str]) -> dict[str, str]:
        upper = {name.upper(): value for name, value in variables.items() if value}
        return {name: value for name, value in upper.items() if not is_service_link(name, value)}

    return ours(written), ours(os.environ)


def _read_file() -> dict[str, str]:
    """Return what the `.env` file of the working directory sets. Raises `ConfigError` where it cannot be read.

    A line that is none of such a file is somebody else's affair, unless it has a name that begins as ours do.
    """
    try:
        with Path(".env").open(encoding="utf-8") as file:
            text = file.read(_LONGEST_FILE + 1)
    except (FileNotFoundError, IsADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f".env: cannot be read: {getattr(error, 'strerror', None) or 'is no text in UTF-8'}"
        ) from None
    if len(text) > _LONGEST_FILE:
        raise ConfigError(f".env: is longer than {_LONGEST_FILE:,} characters")
    readable: list[str] = []
    for line in parse_stream(StringIO(text)):
        if not line.error:
            readable.append(line.original.string)
        elif found := _OUR_LINE.match(line.original.string):
            number = line.original.line + found[1].count("\n")
            raise ConfigError(f".env:{number}: {found[2]}: the line cannot be read: write NAME=VALUE, and close quotes")
    return {name: value for name, value in dotenv_values(stream=StringIO("".join(readable))).items() if value}


def _known_to_us(variables: Mapping[str, str], prefix: str, others: frozenset[str]) -> dict[str, str]:
    found = {name: value for name, value in variables.items() if name.startswith(prefix) and name not in others}
    for name, value in found.items():
        _require_text(name, value)
    return found


def _require_text(name: str, value: str) -> None:
    """Refuse what is no UTF-8: Python has surrogates for it, which nothing can send, store or print."""
    try:
        f"{name}{value}".encode()
    except UnicodeEncodeError:
        shown = name.encode(errors="backslashreplace").decode()
        raise ConfigError(f"environment variable {shown} is no text in UTF-8: write it as that") from None


def read_variable(name: str) -> str | None:
    """Return the value of a variable of an option, None where it is not set or empty; see the module.

    Raises `ConfigError` for a file of a value that cannot be read, where both the value and its file are given, and for
    a value that is no text.
    """
    for variables in reversed(_both_places()):
        if variables.get(name):
            if variables.get(f"{name}_FILE"):
                raise ConfigError(f"environment variables {name} and {name}_FILE are both set: leave one out")
            _require_text(name, variables[name])
            return variables[name]
        if place := variables.get(f"{name}_FILE"):
            _require_text(f"{name}_FILE", place)
            try:
                return read_secret(Path(place))
            except ValueError as error:
                raise ConfigError(f"environment variable {name}_FILE: {error}") from None
    return None


def variable_set(name: str) -> str | None:
    """Return which variable gives an option its value: its own, that of a file with it, or none."""
    for variables in reversed(_both_places()):
        for one in (name, f"{name}_FILE"):
            if variables.get(one):
                return one
    return None


def doubtful_variables(prefix: str) -> list[str]:
    """Return the names with a prefix that are set and belong to no option."""
    return sorted(
        {name for variables in read_environment(prefix) for name in variables if not is_option_variable(name)}
    )


def misspelt_shard_variables() -> list[str]:
    """Return a sentence for each variable that is nearly one of a shard's: others may begin with FLEET_ as well."""
    names = {name for variables in read_environment("FLEET_") for name in variables if not is_option_variable(name)}
    near = [name for name in sorted(names) if difflib.get_close_matches(name, _SHARD_VARIABLES, n=1, cutoff=0.85)]
    return [_unknown(name, _SHARD_VARIABLES) for name in near]


def variable_leads_to_key(name: str, model: type[BaseModel], prefix: str) -> bool:
    """Return whether a variable is one of a file's keys, or names a file with the value of one."""
    path = name.removeprefix(prefix)
    return any(_resolve({}, model, one) is not None for one in {path, path.removesuffix("_FILE")})


def overlay(data: Mapping[str, Any], model: type[BaseModel], prefix: str) -> Overlay:
    """Return a configuration with the variables of the environment in it; what is wrong with them is in `problems`."""
    result = Overlay(copy_containers(dict(data)))
    for variables in read_environment(prefix):
        # The whole before its parts, and the items of a list in their order.
        for name in sorted(variables, key=lambda name: [_sortable(part) for part in name.split("__")]):
            _apply(result, model, prefix, name, variables[name])
    return result


def unknown_variables(names: Iterable[str], prefix: str, models: Iterable[type[BaseModel]]) -> list[str]:
    """Return a sentence for each name, which is no setting of a model and no option, with the nearest that is one."""
    known = {*(OPTION_VARIABLES), *(name for model in models for name in variable_names(model, prefix))}
    return [_unknown(name, known) for name in names]


def variable_names(model: type[BaseModel], prefix: str) -> list[str]:
    """Return the names of the variables of all keys, with 0 for the positions of lists."""
    return [prefix + "__".join(path).upper() for path in variable_paths(model)]


def copy_containers(value: Any) -> Any:
    """Return a copy of lists and mappings; what else is in them is shared."""
    if isinstance(value, dict):
        return {key: copy_containers(one) for key, one in value.items()}
    return [copy_containers(one) for one in value] if isinstance(value, list | tuple) else value


def is_option_variable(name: str) -> bool:
    """Return whether a name is that of an option, or names a file with its value."""
    return name in OPTION_VARIABLES or name.removesuffix("_FILE") in OPTION_VARIABLES


def _apply(result: Overlay, model: type[BaseModel], prefix: str, name: str, text: str) -> None:
    found = _resolve(result.data, model, name.removeprefix(prefix))
    if found is None and name.endswith("_FILE") and (found := _resolve(result.data, model, name[len(prefix) : -5])):
        try:
            text = read_secret(Path(text))
        except ValueError as error:
            result.problems.append(f"environment variable {name}: {error}")
            return
    if found is None:
        if not is_option_variable(name):
            result.problems.extend(unknown_variables([name], prefix, [model]))
        return
    location, annotation = found
    try:
        value = _value(text, annotation, location)
        _set(result.data, location, value)
    except ValueError as error:
        result.problems.append(f"environment variable {name}: {error}")
        return
    result.origins[location] = name


def _resolve(data: Any, model: type[BaseModel], path: str) -> tuple[Location, Any] | None:
    """Return where a variable leads, and what type is there; None where nowhere."""
    annotation: Any = model
    location: list[int | str] = []
    for part in path.split("__"):
        found = child(annotation, part, data) if part else None
        if found is None:
            return None
        location.append(found.key)
        annotation = found.annotation
        data = _get(data, found.key)
    return tuple(location), annotation


def _get(data: Any, key: int | str) -> Any:
    if isinstance(data, dict):
        return data.get(key)
    return data[key] if isinstance(data, list) and isinstance(key, int) and key < len(data) else None


def _value(text: str, annotation: Any, location: Location) -> Any:
    """Return the value of a variable: JSON where there is a list or mapping. Raises `ValueError`."""
    found = list(options(annotation))
    looks_structured = text.lstrip()[:1] in ("{", "[")
    if any(map(is_structured, found)) and (looks_structured or str not in found):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            # A model may have a short form that is a text, as the target of a route has.
            if looks_structured or not any(map(is_model, found)):
                raise ValueError('lists and mappings are written as JSON, such as ["a"] or {"a": 1}') from None
            return text
    if Any in found and not is_secret_name(str(location[-1])):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return text
    return text


def _set(data: dict[str, Any], location: Location, value: Any) -> None:
    at: Any = data
    for number, key in enumerate(location):
        is_last = number == len(location) - 1
        if isinstance(key, int):
            if key > len(at):
                raise ValueError(f"there are {len(at)} items, numbered from 0: the next one is {len(at)}")
            if key == len(at):
                at.append(None)
            before = at[key]
        else:
            before = at.get(key)
            # One of a value and the file that holds it: of the file and the environment, the environment's.
            if is_last:
                at.pop(key.removesuffix("_file") if key.endswith("_file") else f"{key}_file", None)
        if is_last:
            at[key] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
        else:
            kind = list if isinstance(location[number + 1], int) else dict
            if not isinstance(before, kind):
                at[key] = before = kind()
            at = before


def _unknown(name: str, known: Iterable[str]) -> str:
    plain = {_plain(one): one for one in known}
    near = [one for one in (name.removeprefix("EDGE"), plain.get(_plain(name))) if one in plain.values()]
    near = near or [plain[one] for one in _similar(_plain(name), plain)]
    hint = f", did you mean {near[0]}?" if near else ": leave it out; the parts of a key are joined by two underscores"
    return f"environment variable {name} is no setting{hint}"


def _similar(name: str, known: Iterable[str]) -> list[str]:
    # A prefix that all have makes none of them alike.
    own = {_PREFIXES.sub("", one): one for one in known}
    found = difflib.get_close_matches(_PREFIXES.sub("", name), own, n=1, cutoff=0.7)
    return [own[one] for one in found] or difflib.get_close_matches(name, known, n=1, cutoff=0.9)


def _plain(name: str) -> str:
    return re.sub(r"_(\d+_)?", "", name)


def _sortable(part: str) -> tuple[int, str]:
    return (int(part), "") if part.isdecimal() else (-1, part)
