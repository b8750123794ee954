"""Defines what counts as success where the status of an answer is not enough: its content type and fields of its JSON.

Checked once when the configuration is read; an answer is parsed only where one of these asks for it. Pure.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from edgewire.config import Config
from edgewire.http_answer import cut_text

JsonValue = str | int | float | bool | None


class Fate(StrEnum):
    """Names what becomes of messages by the answer that the server gave."""

    DELIVERED = "delivered"
    DEAD_LETTER = "dead_letter"
    """The message is given up; a batch is halved until the message at fault is alone."""
    RETRY = "retry"
    """Sent again, with waits that grow."""
    PAUSE = "pause"
    """A person has to look: asked again every `retry.pause`, and an alarm."""


def _path(path: str) -> str:
    if not all(path.split(".")):
        raise ValueError(
            f"'{path}' is no path in JSON: names or places in a list joined by dots, * for the only member"
        )
    return path


def _codes(value: object) -> object:
    """Check the keys, which YAML gives as numbers and the environment as texts."""
    if not isinstance(value, Mapping):
        return value
    found: dict[int, object] = {}
    for key, fate in value.items():
        text = str(key)
        if isinstance(key, bool) or not (text.isascii() and text.isdecimal() and 200 <= int(text) <= 599):
            raise ValueError(f"'{key}' is no final status of HTTP: write a number from 200 to 599, such as 409")
        found[int(text)] = fate
    return found


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _media_type(text: str) -> str:
    if not re.fullmatch(r"[\w.+-]+/[\w.+-]+", text):
        raise ValueError(f"'{text}' is no media type, such as application/json")
    return text.lower()


MediaType = Annotated[str, AfterValidator(_media_type)]
JsonPath = Annotated[str, Field(min_length=1), AfterValidator(_path)]
Statuses = Annotated[dict[int, Fate], BeforeValidator(_codes)]


class ItemsConfig(Config):
    """Says where an answer to a batch tells what became of each message, in the order in which they were sent."""

    at: JsonPath = "items"
    """The list."""
    status: JsonPath = "*.status"
    """In an item, its status as HTTP has them; what it means is as for a whole answer. `*` is the only member."""
    reason: JsonPath = "*.error.reason"
    """In an item, why it was not taken."""


class SuccessConfig(Config):
    """Says what an answer of 2xx must have besides its status for the messages to count as delivered."""

    content_type: Annotated[
        tuple[MediaType, ...], BeforeValidator(_listed, json_schema_input_type=str | list[str])
    ] = ()
    """Media types, such as `application/json`: with any other, such as a login page, it is no success."""
    fields: Annotated[dict[JsonPath, JsonValue | list[JsonValue]], Field(alias="json")] = {}
    """Fields of the answer's JSON and the value, or values, they must have; null: the field may be missing."""
    items: ItemsConfig | None = None
    """Absent: an account of the lines as docs/sinks.md has it is read where there is one."""
    otherwise: Literal[Fate.RETRY, Fate.DEAD_LETTER, Fate.PAUSE] = Fate.RETRY
    """What becomes of messages whose answer is 2xx and no success."""

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not (self.content_type or self.fields or self.items):
            raise ValueError("write at least one of content_type, json and items")
        return self

    @property
    def reads_json(self) -> bool:
        """Return whether it looks into the body."""
        return bool(self.fields or self.items)

    def fault(self, content_type: str, document: Any) -> str | None:
        """Return what an answer of 2xx lacks to be a success, in a few words; `document` is `NO_JSON` where it is none.

        Items are the caller's.
        """
        if self.content_type and content_type not in self.content_type:
            return f"it is {content_type or 'of no content type'}, not {' or '.join(self.content_type)}"
        if self.reads_json and document is NO_JSON:
            return "it has no JSON"
        for path, wanted in self.fields.items():
            found = find_in_json(document, path)
            if not any(_same(found, one) for one in (wanted if isinstance(wanted, list) else [wanted])):
                shown = "is missing" if found is None else f"is {_shown(found)}"
                return f"'{path}' {shown}"
        return None


NO_JSON = object()
"""Stands for the document of a body that is no JSON."""


@dataclass(frozen=True, slots=True, eq=False)
class AnswerRules:
    """Holds what an answer means for the messages of a route, where that is not as usual. Compared by identity."""

    statuses: Mapping[int, Fate]
    success: SuccessConfig | None

    @property
    def reads_body(self) -> bool:
        """Return whether the fate of a message is in the body of the answer."""
        return self.success is not None and self.success.reads_json


USUAL = AnswerRules({}, None)
"""The rules where the configuration says nothing."""


def find_in_json(document: Any, path: str) -> Any:
    """Return the value at a path; None where there is none."""
    for step in _steps(path):
        if isinstance(document, list) and step.isdecimal():
            document = document[int(step)] if int(step) < len(document) else None
            continue
        if not isinstance(document, dict):
            return None
        document = next(iter(document.values())) if step == "*" and len(document) == 1 else document.get(step)
    return document


@lru_cache(256)
def _steps(path: str) -> tuple[str, ...]:
    return tuple(path.split("."))


def _same(found: Any, wanted: JsonValue) -> bool:
    """Compare as JSON does: true is no 1."""
    return found == wanted and isinstance(found, bool) is isinstance(wanted, bool)


def _shown(value: Any) -> str:
    return cut_text(orjson.dumps(value).decode())
