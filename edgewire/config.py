"""Configuration files: YAML checked by a pydantic model, with environment variables on top.

Environment variables are named prefix + key path joined by `__`: `BRIDGE_SPOOL__MAX_BYTES` sets
`spool.max_bytes`; lists and mappings are written as JSON. They are also read from a `.env` file.
"""

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from edgewire.errors import ConfigError


class Config(BaseModel):
    """Base of every configuration model: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ConfigFile(BaseSettings):
    """Base of a whole configuration file; a subclass names its `env_prefix` in `model_config`."""

    # Defaults are written in the unit they are held in (ms), which is not how a bare number in a file is read (s).
    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        env_nested_delimiter="__",
        env_file=".env",
        validate_default=False,
    )

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
        return env_settings, _KnownKeys(dotenv_settings), init_settings


class _KnownKeys(PydanticBaseSettingsSource):
    """Leaves out of `.env` what the model does not know: other programs read that file too."""

    def __init__(self, inner: PydanticBaseSettingsSource) -> None:
        super().__init__(inner.settings_cls)
        self._inner = inner

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return self._inner.get_field_value(field, field_name)

    def __call__(self) -> dict[str, Any]:
        return {key: value for key, value in self._inner().items() if key in self.settings_cls.model_fields}


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


DurationMs = Annotated[int, BeforeValidator(duration_ms), PlainSerializer(duration_text, when_used="json")]
"""A duration in a file, held as whole milliseconds."""

SizeBytes = Annotated[int, BeforeValidator(size_bytes)]
"""A size in a file, held as bytes."""

PositiveInt = Annotated[int, Field(ge=1)]


def load_config(path: Path, model: type[Model]) -> Model:
    """Read a YAML file into `model`; for a `ConfigFile`, environment variables win over the file.

    Raises `ConfigError` with one sentence that names the file and the key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    return parse_config(text, model, name=str(path))


def parse_config(text: str, model: type[Model], *, name: str) -> Model:
    """Read the text of a file called `name`; otherwise as `load_config`."""
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: is not YAML: {' '.join(str(error).split())}") from None
    if data is not None and not isinstance(data, dict):
        raise ConfigError(f"{name}: must be a mapping of keys to values, not a {type(data).__name__}")
    return validate_config(data or {}, model, name=name)


def validate_config(data: dict[str, Any], model: type[Model], *, name: str) -> Model:
    """Check `data` against `model`; the first fault becomes a `ConfigError` that names the key."""
    unnamed = [key for key in data if not isinstance(key, str)]
    if unnamed:
        raise ConfigError(f"{name}: key {unnamed[0]!r} must be a text")
    try:
        return model(**data)
    except ValidationError as error:
        raise ConfigError(f"{name}: {describe_error(error, model)}") from None
    except SettingsError as error:
        raise ConfigError(f"environment: {error}: lists and mappings are written as JSON") from None


def check_section(data: dict[str, Any], model: type[Model], *, at: str) -> Model:
    """Check a part of a file inside a validator: the first fault becomes a `ValueError` that names its key."""
    try:
        return model(**data)
    except ValidationError as error:
        said = describe_error(error, model)
        raise ValueError(f"in {at}: {said}") from None


def describe_error(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """Return the first fault of a pydantic error as one sentence that names the key and what it should be."""
    first = error.errors(include_url=False)[0]
    where = _key_path(first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        key = str(first["loc"][-1])
        return f"unknown key '{where}'{_suggestion(key, first['loc'], model)}{more}"
    if first["type"] == "missing":
        return f"key '{where}' is missing{more}"
    said = first["msg"].removeprefix("Value error, ")
    given = "" if isinstance(first["input"], dict | list) else f", got {first['input']!r}"
    return f"{where + ': ' if where else ''}{said}{given}{more}"


def _key_path(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def _suggestion(key: str, location: tuple[int | str, ...], model: type[BaseModel] | None) -> str:
    if model is None or len(location) != 1:
        return ""
    close = difflib.get_close_matches(key, model.model_fields, n=1)
    return f", did you mean '{close[0]}'?" if close else f"; it knows {', '.join(sorted(model.model_fields))}"
