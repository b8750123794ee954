"""Configuration files: YAML checked by a pydantic model, with environment variables on top.

Environment variables are named prefix + key path joined by `__`: `BRIDGE_SPOOL__MAX_BYTES` sets `spool.max_bytes`; see
`environment`. What is wrong is explained by `config_errors`, with lines from `yaml_file`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from edgewire.config_errors import ConfigFault, explain_errors, nested_error
from edgewire.environment import Overlay, overlay
from edgewire.errors import ConfigError
from edgewire.model_tree import anchor_paths
from edgewire.yaml_file import Location, Problem, YamlFile, key_path, problem_lines, raise_problems


class Config(BaseModel):
    """Base of every configuration model: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ConfigFile(BaseSettings):
    """Base of a whole configuration file; a subclass names its `env_prefix` in `model_config`."""

    # Defaults are written in the unit they are held in (ms), which is not how a bare number in a file is read (s). Keys
    # are told apart by case, as those within are: of `seed` and `Seed` one would be passed over without a word.
    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        validate_default=False,
        env_file=None,
        case_sensitive=True,
    )

    own_keys: ClassVar[frozenset[str]] = frozenset()
    """A file that has none of these,"""
    foreign_keys: ClassVar[Mapping[str, frozenset[str]]] = {}
    """but some of those under a sentence, is another program's: the sentence says which."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over `.env`, and that over the file (which is what the constructor is given)."""
        return (_Overlaid(settings_cls, init_settings),)


_tells_problems: ContextVar[bool] = ContextVar("_tells_problems", default=False)
"""Whether who makes a configuration tells what is wrong with variables itself, beside what is wrong with the file."""


class _Overlaid(PydanticBaseSettingsSource):
    """Gives what the constructor is given, with the variables of the environment in it."""

    def __init__(self, settings_cls: type[BaseSettings], init: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self._init = init

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return self._init.get_field_value(field, field_name)

    def __call__(self) -> dict[str, Any]:
        found = _overlay(self._init(), self.settings_cls)
        if found.problems and not _tells_problems.get():
            raise ConfigError("\n".join(found.problems))
        return found.data


def _overlay(data: dict[str, Any], model: type[BaseModel]) -> Overlay:
    """Return the data with the environment in it, where the model is a whole file."""
    if not issubclass(model, ConfigFile):
        return Overlay(data)
    return overlay(data, model, str(model.model_config.get("env_prefix", "")))


Model = TypeVar("Model", bound=BaseModel)

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d)")
_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]i?b|b)?", re.IGNORECASE)
_SIZE_UNIT = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}

_LONGEST_MS = 100 * 365 * 86_400_000
"""So that a moment and a duration make a date of this millennium, and a session that expires one of MQTT's numbers."""


def duration_ms(value: object) -> int:
    """Return whole milliseconds of `10s`, `250ms`, `1.5m`, `1h`, `2d`, or of a number of seconds."""
    if isinstance(value, bool):
        raise ValueError("a duration is a number with a unit, such as 10s")
    if isinstance(value, int | float):
        return _whole_ms(value * 1000)
    match = _DURATION.fullmatch(str(value).strip())
    if not match:
        raise ValueError(f"'{value}' is no duration: write a number with ms, s, m, h or d, such as 10s")
    return _whole_ms(float(match[1]) * _UNIT_MS[match[2]])


def _whole_ms(milliseconds: float) -> int:
    # `not` so that a NaN is refused as well.
    if not abs(milliseconds) <= _LONGEST_MS:
        raise ValueError("a duration is 100 years at the most")
    return round(milliseconds)


def size_bytes(value: object) -> int:
    """Return the bytes of `512MiB`, `2GB`, `4096`."""
    match = _SIZE.fullmatch(str(value).strip())
    if isinstance(value, bool) or not match:
        raise ValueError(f"'{value}' is no size: write a number with B, KB, MB, GB, KiB, MiB or GiB, such as 512MiB")
    return round(float(match[1]) * _SIZE_UNIT[(match[2] or "b").lower()])


def duration_text(milliseconds: int) -> str:
    """Return the shortest text that `duration_ms` reads back as the same duration."""
    for unit in ("d", "h", "m", "s"):
        if milliseconds and milliseconds % _UNIT_MS[unit] == 0:
            return f"{milliseconds // _UNIT_MS[unit]}{unit}"
    return f"{milliseconds}ms"


def humanize_duration(seconds: float) -> str:
    """Return a duration for people, rounded to its largest fitting unit."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


# What stands in a file is not what is held: the published JSON Schema, by which an editor checks, is of the file.
DurationText = Annotated[str, Field(pattern=rf"^\s*{_DURATION.pattern}\s*$", examples=["10s", "250ms", "1.5h"])] | float
SizeText = Annotated[str, Field(pattern=r"^\s*\d+(\.\d+)?\s*([kKmMgG][iI]?[bB]|[bB])?\s*$", examples=["512MiB"])] | int

DurationMs = Annotated[
    int,
    BeforeValidator(duration_ms, json_schema_input_type=DurationText),
    PlainSerializer(duration_text, when_used="json"),
]
"""A duration in a file, held as whole milliseconds."""

SizeBytes = Annotated[int, BeforeValidator(size_bytes, json_schema_input_type=SizeText)]
"""A size in a file, held as bytes."""

PositiveInt = Annotated[int, Field(ge=1)]


_VARIABLES_NAMED = 5
"""At the most in a sentence."""
MOST_BYTES = 64 << 20
"""Of a configuration file."""


def load_config(path: Path, model: type[Model]) -> Model:
    """Read a YAML file into `model`; for a `ConfigFile`, environment variables win over the file.

    Relative paths in it are relative to its folder. Raises `ConfigError` with a sentence for every fault, which names
    the file, the line and the key.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        text = content.decode()
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is no text in UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise ConfigError(f"{path}: is larger than {MOST_BYTES >> 20} MiB: is it the right file?")
    return parse_config(text, model, name=str(path), folder=path.parent)


def parse_config(text: str, model: type[Model], *, name: str, folder: Path | None = None) -> Model:
    """Read the text of a file called `name`; otherwise as `load_config`."""
    file = YamlFile(text, name)
    data = {} if file.data is None else file.data
    if not isinstance(data, dict):
        raise_problems(name, file.problems)
        raise ConfigError(f"{name}: must be a mapping of keys to values, not a {type(data).__name__}")
    _refuse_file_of_another_program(data, model, name)
    problems = [*file.problems, *(_no_text(key, file) for key in data if not isinstance(key, str))]
    data = {key: value for key, value in data.items() if isinstance(key, str)}
    if folder is not None:
        data, written = anchor_paths(data, model, folder), data
        problems.extend(_misplaced(file, written, data, folder))
    found = _overlay(data, model)
    told = _tells_problems.set(True)
    try:
        loaded = model(**data)
    except ValidationError as error:
        for fault in explain_errors(error, model, file, found.data):
            if variable := _variable_to_blame(fault.location, found, file):
                found.problems.append(f"environment variable {variable}: {fault.text}")
            else:
                text = fault.text + _variables_within(fault.location, found)
                problems.append(Problem(text, file.line(fault.location)))
    else:
        if not problems and not found.problems:
            return loaded
    finally:
        _tells_problems.reset(told)
    raise ConfigError("\n".join([*problem_lines(name, problems), *found.problems]))


def _variable_to_blame(location: Location, found: Overlay, file: YamlFile) -> str | None:
    """Return the variable that a value is from, or that made what it is missing in, where the file has neither."""
    if variable := found.origin(location):
        return variable
    in_file = 0
    while in_file < len(location) and file.locate(location[: in_file + 1])[0] == location[: in_file + 1]:
        in_file += 1
    made = location[: in_file + 1]
    return next((name for at, name in found.origins.items() if len(made) > in_file and at[: len(made)] == made), None)


def _variables_within(location: Location, found: Overlay) -> str:
    """Return which variables have set a part of a value: keys that contradict each other need not all be the file's."""
    names = sorted({name for at, name in found.origins.items() if at[: len(location)] == location})
    if not names:
        return ""
    more = f" and {len(names) - _VARIABLES_NAMED} more" if len(names) > _VARIABLES_NAMED else ""
    return f"; the environment has a part in it: {', '.join(names[:_VARIABLES_NAMED])}{more}"


def check_options(data: dict[str, Any], model: type[Model], options: Mapping[Location, str]) -> Model:
    """Make a configuration that is in no file, of options of a command line: location of a value -> its option.

    The environment wins over `data`, as it does over a file. Raises `ConfigError` with a sentence for every fault,
    which names the option or the variable.
    """
    try:
        return model(**data)
    except ValidationError as error:
        found = _overlay(data, model)
        said = [_blame_option(fault, found, options) for fault in explain_errors(error, model, None, found.data)]
        raise ConfigError("\n".join(said)) from None


def _blame_option(fault: ConfigFault, found: Overlay, options: Mapping[Location, str]) -> str:
    """Return the sentence for a fault, with the option or variable in the place of where it would be in a file."""
    if variable := found.origin(fault.location):
        return f"environment variable {variable}: {fault.text}"
    for length in range(len(fault.location), 0, -1):
        at = fault.location[:length]
        if at in options:
            text = fault.text.replace(f"{key_path(at[:-1])}.", "").removeprefix(f"{key_path(at)}: ")
            return f"{options[at]}: {text.removeprefix(f'{at[-1]}: ')}"
    return fault.text


def _no_text(key: Any, file: YamlFile) -> Problem:
    line = file.line((str(key),)) or file.line((str(key).lower(),))
    return Problem(f"key {key!r} must be a text: put it in quotes", line)


def _refuse_file_of_another_program(data: dict[str, Any], model: type[BaseModel], name: str) -> None:
    if issubclass(model, ConfigFile) and not model.own_keys & data.keys():
        for said, keys in model.foreign_keys.items():
            if keys & data.keys():
                raise ConfigError(f"{name}: {said.format(name=name)}")


def _misplaced(file: YamlFile, written: Any, anchored: Any, folder: Path, at: Location = ()) -> Iterator[Problem]:
    """Yield what was meant to be in the working directory, where everything was looked for once."""
    pairs: Iterable[tuple[Any, Any, Any]] = ()
    if isinstance(written, dict):
        pairs = ((key, one, anchored[key]) for key, one in written.items())
    elif isinstance(written, list):
        pairs = ((number, *both) for number, both in enumerate(zip(written, anchored, strict=True)))
    elif isinstance(written, str) and written != anchored and not _exists(anchored) and _exists(written):
        yield Problem(
            f"{key_path(at)}: '{written}' is looked for beside this file, as {anchored}, and is not there, but"
            f" in the working directory: move it there, or write {Path(written).absolute()}",
            file.line(at),
        )
    for key, one, other in pairs:
        yield from _misplaced(file, one, other, folder, (*at, key))


def _exists(path: str) -> bool:
    """Return whether something is there; of a name that is too long, or a folder that is closed, nothing is known."""
    try:
        return Path(path).exists()
    except OSError:
        return False


def check_section(data: dict[str, Any], model: type[Model], *, at: str) -> Model:
    """Check a part of a file, under the key `at`, in a validator: raises all its faults as one `ValidationError`."""
    try:
        return model(**data)
    except ValidationError as error:
        raise nested_error(error, model, at) from None


def describe_error(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """Return the first fault of a pydantic error as one sentence that names the key and what it should be."""
    first, *others = explain_errors(error, model)
    return first.text + (f" (and {len(others)} more)" if others else "")
