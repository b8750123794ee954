"""Explains what pydantic finds wrong with a file: a sentence for each fault, with the key and what it should be.

A value is shown only where it cannot be a secret. A value of which several types are possible is one fault, not one for
each of them.
"""

import difflib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from pydantic import BaseModel, StringConstraints, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from edgewire.model_tree import models_at, named_fields
from edgewire.redact import MASK, hide_urls, show_url
from edgewire.yaml_file import Location, YamlFile, is_secret_path, key_path

_PATTERNS: dict[str, str] = {}

_NOTHING = object()

_MOST_SHOWN = 80
"""Characters of a value that was given."""


@dataclass(frozen=True, slots=True)
class ConfigFault:
    """Tells one fault: where, and a sentence that names the key."""

    location: Location
    """As far as it is in the file."""
    text: str


def text_matching(pattern: str, words: str, *, max_length: int | None = None) -> StringConstraints:
    """Return the constraint of a text by a regular expression, with `words` for people whose text is another.

    Raises `ValueError` where the same pattern has other words already: which are told would depend on the imports.
    """
    if _PATTERNS.setdefault(pattern, words) != words:
        raise ValueError(f"the pattern {pattern} is '{_PATTERNS[pattern]}' elsewhere, and '{words}' here")
    return StringConstraints(pattern=pattern, max_length=max_length)


def pattern_words(pattern: str) -> str:
    """Return what a text of a pattern is, in words where there are any."""
    return _PATTERNS.get(pattern, f"a text of the pattern {pattern}")


def explain_errors(
    error: ValidationError, model: type[BaseModel] | None = None, file: YamlFile | None = None, data: Any = None
) -> list[ConfigFault]:
    """Return every fault of an error of `model`; `file` and `data` are what it was made of."""
    return [_explain(one, model, file, data) for one in _one_of_each_union(error.errors(include_url=False), data)]


def nested_error(error: ValidationError, model: type[BaseModel], at: str) -> ValidationError:
    """Return the error of a part as one of the whole that has it under the key `at`, to be raised in a validator."""
    return ValidationError.from_exception_data(
        error.title, [_nested(one, model, (at, *one["loc"])) for one in error.errors(include_url=False)]
    )


def moved_error(
    error: ValidationError, model: type[BaseModel], moved: Callable[[Location], Location]
) -> ValidationError:
    """Return an error of what was made of a list as one of the list itself, to be raised in a validator.

    `model` is that of the list's items, and `moved` tells where in the list a place is; each fault is told once.
    """
    found: dict[tuple[Location, str], InitErrorDetails] = {}
    for one in error.errors(include_url=False):
        if _is_echo(one):
            continue
        place = moved(tuple(one["loc"]))
        fault = _nested({**one, "loc": tuple(one["loc"][1:])}, model, place)
        found.setdefault((place, str(fault.get("ctx", fault["type"]))), fault)
    return ValidationError.from_exception_data(error.title, list(found.values()))


def located_error(location: Location, said: str) -> ValidationError:
    """Return an error of a whole that is about a part of it, to be raised in a validator."""
    fault = PydanticCustomError("located", "{said}", {"said": said})
    return ValidationError.from_exception_data("", [InitErrorDetails(type=fault, loc=location, input=None)])


def closest(word: str, known: Iterable[str]) -> str:
    """Return the words that suggest one of `known`, or nothing where none is near."""
    found = difflib.get_close_matches(word, [*known], n=1)
    return f", did you mean '{found[0]}'?" if found else ""


def _nested(one: ErrorDetails, model: type[BaseModel], at: Location) -> InitErrorDetails:
    place = tuple(one["loc"])
    said = _sentence(one, place, model, None)
    if one["type"] in ("extra_forbidden", "missing"):
        said = said.replace(f"'{key_path(place)}'", "'{path}'", 1)
    fault = PydanticCustomError("explained", "{said}", {"said": said, "is_missing": one["type"] == "missing"})
    return InitErrorDetails(type=fault, loc=at, input=None)


def _one_of_each_union(errors: Sequence[ErrorDetails], data: Any) -> list[ErrorDetails]:
    """Return one error of those that are of one value, once for each type that it may have."""
    places: dict[Location, list[ErrorDetails]] = defaultdict(list)
    for one in errors:
        if _is_echo(one):
            continue
        places[_place(one, data)].append(one)
    kept: list[ErrorDetails] = []
    deepest = sorted(places, key=len, reverse=True)
    for place, found in places.items():
        # Where the items of a list are at fault, it is a list that was meant, whatever else is possible.
        types_only = all(_is_of_type(one) for one in found)
        if (
            types_only
            and len(found) < len(errors)
            and any(one != place and one[: len(place)] == place for one in deepest)
        ):
            continue
        if found[0]["type"] in ("extra_forbidden", "missing"):
            kept.append(found[0])
            continue
        kept.append(next((one for one in found if not one["type"].endswith(("_type", "_parsing"))), found[0]))
    return kept


def _is_echo(one: ErrorDetails) -> bool:
    """Return whether this is said of a list because its items are at fault: that it is too short without them."""
    return one["type"] == "too_short" and len(one["input"]) >= one["ctx"]["min_length"]


def _is_of_type(one: ErrorDetails) -> bool:
    """Return whether a value is of another type than one of those that it may have."""
    is_word = one["type"] == "literal_error" and isinstance(one["input"], dict | list | tuple)
    return one["type"].endswith("_type") or is_word


def _place(one: ErrorDetails, data: Any) -> Location:
    """Return where an error is, without the tags that pydantic puts in for the types of a union."""
    if data is None:
        return tuple(one["loc"])
    found: list[int | str] = []
    at: Any = data
    last = len(one["loc"]) - 1
    is_missing = one["type"] == "missing" or one.get("ctx", {}).get("is_missing", False)
    for number, part in enumerate(one["loc"]):
        inner = _inner(at, part)
        if inner is not _NOTHING:
            at = inner
        elif not (number == last and is_missing):
            continue
        found.append(part)
    return tuple(found)


def _inner(value: Any, part: int | str) -> Any:
    if isinstance(value, dict):
        return value.get(part, _NOTHING)
    if isinstance(value, list | tuple) and isinstance(part, int) and 0 <= part < len(value):
        return value[part]
    return _NOTHING


def _explain(one: ErrorDetails, model: type[BaseModel] | None, file: YamlFile | None, data: Any) -> ConfigFault:
    place = _place(one, data)
    written = file.written(place) if file and file.locate(place)[0] == place else None
    said = _sentence(one, place, model, written)
    kind = one["type"]
    path = key_path(place)
    if kind not in ("extra_forbidden", "missing", "explained") and path:
        said = f"{path}: {said}"
    elif kind == "explained":
        said = said.replace("{path}", path) if "{path}" in said else f"{path}: {said}"
    return ConfigFault(place, hide_urls(said))


def _sentence(one: ErrorDetails, place: Location, model: type[BaseModel] | None, written: str | None) -> str:
    kind, value, context = one["type"], one["input"], one.get("ctx", {})
    if kind == "extra_forbidden":
        known = {name for each in (models_at(model, one["loc"][:-1]) if model else ()) for name in named_fields(each)}
        near = closest(str(place[-1]), known)
        return f"unknown key '{key_path(place)}'" + (
            near or (f"; it knows {', '.join(sorted(known))}" if known else "")
        )
    if kind == "missing":
        return f"key '{key_path(place)}' is missing"
    if kind in ("explained", "located"):
        return str(context["said"])
    if isinstance(value, str) and (
        "://" in value or "@" in value or (value[:1] == "/" and ("?" in value or "#" in value))
    ):
        # Whatever key it stands under, also a path with a query, or where spaces let nobody see that it is a URL.
        one = {**one, "msg": one["msg"].replace(value, show_url(value)), "input": show_url(value)}
        value = one["input"]
    hidden = is_secret_path(place)
    if kind == "string_type" and value is None:
        return "is empty, but should be a text: leave it out, or put it in quotes"
    if kind == "string_type" and not isinstance(value, dict | list):
        return _quotes_needed(value, written, hidden=hidden)
    said = _requirement(kind, context, value, str(one["msg"]).removeprefix("Value error, "))
    if hidden:
        return said.replace(str(value), MASK) if isinstance(value, str) and value else said
    return said + _given(value, said)


def _requirement(kind: str, context: dict[str, Any], value: Any, said: str) -> str:
    """Return what a value should be, in words."""
    if kind == "string_pattern_mismatch":
        return f"should be {pattern_words(context['pattern'])}"
    if kind in ("literal_error", "enum"):
        known = [word.strip(" '") for word in context["expected"].replace(" or ", ", ").split(",")]
        return f"{value!r} is none of {context['expected']}{closest(str(value), known)}"
    if kind == "union_tag_invalid":
        tag, known = context["tag"], [word.strip(" '") for word in context["expected_tags"].split(",")]
        return f"'{tag}' is no {context['discriminator'].strip(chr(39))}{closest(tag, known)}; there are " + ", ".join(
            f"'{word}'" for word in known
        )
    if kind == "union_tag_not_found":
        return f"key {context['discriminator']} is missing"
    if kind in ("model_type", "model_attributes_type", "dict_type", "mapping_type"):
        return "should be a mapping of keys to values"
    if kind in ("tuple_type", "list_type"):
        return "should be a list"
    if kind == "too_short" and context["min_length"] == 1:
        return "is empty: write at least one"
    if kind == "none_required":
        return "should be left out"
    return said


def _quotes_needed(value: Any, written: str | None, *, hidden: bool) -> str:
    read_as = "a yes or no" if isinstance(value, bool) else "a date" if isinstance(value, date) else "a number"
    if hidden:
        return f"is read as {read_as}, but should be a text: put it in quotes"
    text = str(value) if written is None else written
    return f"{text} is read as {read_as}, but should be a text: put it in quotes, '{text}'"


def _given(value: Any, said: str) -> str:
    if isinstance(value, dict | list | tuple | BaseModel) or value is None:
        return ""
    shown = repr(value) if isinstance(value, str | bool | int | float) else json.dumps(str(value))
    shown = shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}…"
    is_told = said.startswith(f"{value!r} is none of") or (isinstance(value, str) and value and value in said)
    return "" if is_told else f", got {shown}"
