"""Reads the settings of the file sink, and its target in a route."""

from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from bridge.message.template import Body, Template
from bridge.sinks.settings import SinkConfig, Target
from edgewire.config import DurationMs, PositiveInt, SizeBytes
from edgewire.messages import KindContract, MessageType


def _path(template: Template) -> Template:
    path = PurePosixPath(template.text)
    if path.is_absolute() or ".." in path.parts or not path.name or "\0" in template.text:
        raise ValueError(f"'{template.text}' is no path of a file below the folder")
    return template


class FileTarget(Target):
    """Says where a route leads in files. A path alone is written as text."""

    path: Annotated[Template, AfterValidator(_path)] = Template("{kind}.jsonl")
    """Template; below `file.folder`."""
    body: Body | None = None
    """Template of a line: a text, or JSON; without it the line is the payload."""

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @classmethod
    def from_contract(cls, kind: KindContract, message: MessageType) -> Self:
        return cls()


class FileSinkConfig(SinkConfig):
    """The file sink."""

    folder: Path = Path("messages")
    """Of all its files, and of one bridge alone."""
    format: Literal["payload", "cloudevents"] = "payload"
    """Of a line: the payload, or a CloudEvent with the payload in it."""
    batch_messages: PositiveInt = 2000
    linger: Annotated[DurationMs, Field(ge=0, le=10_000)] = 50
    """A batch that is not full begins this long after the one before; there is one fsync a batch."""
    max_bytes: Annotated[SizeBytes, Field(ge=1024)] = 100 << 20
    """A file is rotated before it grows larger,"""
    max_age: Annotated[DurationMs, Field(ge=1000)] | None = None
    """or when its first line is this old; after a restart, when nothing was written to it for so long."""
    compression: Literal["none", "gzip"] = "none"
    """Of rotated files."""
    keep: PositiveInt | None = None
    """Rotated files of each path that are kept, the newest; the others are deleted. Absent: all are kept."""
