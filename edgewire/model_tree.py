"""Finds what a pydantic model takes at a place of a file: its keys, the types of a value, which texts are paths."""

import types
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo


@dataclass(frozen=True, slots=True)
class PathKeys:
    """Marks a mapping of texts, some of which are paths: those under these keys."""

    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Child:
    """Tells what there is under a key or position."""

    key: int | str
    """As the file has it."""
    annotation: Any


def options(annotation: Any) -> Iterator[Any]:
    """Yield the types that a value may have, without `Annotated` and unions."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from options(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for one in get_args(annotation):
            yield from options(one)
    else:
        yield annotation


def is_model(annotation: Any) -> bool:
    """Return whether a type is a model."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def is_sequence(annotation: Any) -> bool:
    """Return whether a type is that of a list."""
    return annotation in (list, tuple, set, frozenset) or get_origin(annotation) in (list, tuple, set, frozenset)


def is_mapping(annotation: Any) -> bool:
    """Return whether a type is that of a mapping of any keys."""
    return annotation in (dict, Mapping) or get_origin(annotation) in (dict, Mapping)


def is_structured(annotation: Any) -> bool:
    """Return whether a value of a type is no single text or number."""
    return is_model(annotation) or is_sequence(annotation) or is_mapping(annotation)


def named_fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a model by the names that a file uses."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def child(annotation: Any, part: int | str, written: Any = None) -> Child | None:
    """Return what is under a part of an environment variable's name, in any case; None where nothing is.

    `written` is the value that a file has there: a key of a mapping is spelt as it is there.
    """
    found = list(options(annotation))
    text = str(part).lower()
    for model in filter(is_model, found):
        for name, field in named_fields(model).items():
            if name.lower() == text:
                return Child(name, field.annotation)
    if text.isdecimal():
        for each in filter(is_sequence, found):
            return Child(int(text), (get_args(each) or (Any,))[0])
    for each in filter(is_mapping, found):
        return Child(_spelling(text, written), (get_args(each) or (Any, Any))[1])
    if Any in found or object in found:
        return Child(int(text) if text.isdecimal() and isinstance(written, list) else _spelling(text, written), Any)
    return None


def models_at(model: type[BaseModel], location: Collection[int | str]) -> list[type[BaseModel]]:
    """Return the models that a file may have at a location of a pydantic error, which also has the tags of unions."""
    found: list[Any] = [model]
    for part in location:
        fields = [named_fields(one)[part] for one in found if is_model(one) and part in named_fields(one)]
        if fields:
            found = [inner for field in fields for inner in _inside(field.annotation)]
        elif isinstance(part, str):
            tagged = [one for one in found if is_model(one) and part in _tags(one)]
            found = tagged or found
    return [one for one in found if is_model(one)]


def anchor_paths(value: Any, annotation: Any, folder: Path, field: FieldInfo | None = None) -> Any:
    """Return the value of a file with every relative path in it as one below `folder`."""
    found = list(options(annotation))
    if isinstance(value, str):
        return str(folder / value) if value and Path in found else value
    if isinstance(value, dict):
        names = next((one.names for one in (field.metadata if field else ()) if isinstance(one, PathKeys)), frozenset())
        fields = [named_fields(model) for model in filter(is_model, found)]
        inner = next(((get_args(each) or (Any, Any))[1] for each in filter(is_mapping, found)), Any)

        def anchored(key: Any, one: Any) -> Any:
            if key in names and isinstance(one, str) and one:
                return str(folder / one)
            known = next((each[key] for each in fields if key in each), None)
            return anchor_paths(one, known.annotation if known else inner, folder, known)

        return {key: anchored(key, one) for key, one in value.items()}
    if isinstance(value, list):
        item = next(((get_args(each) or (Any,))[0] for each in filter(is_sequence, found)), Any)
        return [anchor_paths(one, item, folder) for one in value]
    return value


def variable_paths(model: type[BaseModel], depth: int = 4) -> Iterator[tuple[str, ...]]:
    """Yield the paths of all keys; that of an item of a list has 0 for its position."""
    for name, field in named_fields(model).items():
        yield (name,)
        if depth > 1:
            for each in options(field.annotation):
                items = (get_args(each) or (Any,))[0] if is_sequence(each) else each
                between = ("0",) if is_sequence(each) else ()
                for inner in filter(is_model, options(items)):
                    yield from ((name, *between, *path) for path in variable_paths(inner, depth - 1))


def _inside(annotation: Any) -> Iterator[Any]:
    for each in options(annotation):
        if is_sequence(each):
            yield from _inside((get_args(each) or (Any,))[0])
        elif is_mapping(each):
            yield from _inside((get_args(each) or (Any, Any))[1])
        else:
            yield each


def _tags(model: type[BaseModel]) -> set[Any]:
    return {
        value
        for field in model.model_fields.values()
        if get_origin(field.annotation) is Literal
        for value in get_args(field.annotation)
    }


def _spelling(part: str, written: Any) -> str:
    """Return a key as the file spells it: a variable's name has neither lower case nor `-` and `.`."""
    if isinstance(written, dict):
        for key in written:
            if isinstance(key, str) and _plain(key) == _plain(part):
                return key
    return part


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").replace(".", "_")
