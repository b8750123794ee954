"""Reads YAML as a person meant it, and remembers in which line everything stands.

What YAML would take silently is refused: a key written twice, and a number that reads otherwise than it is written,
such as 00042, which is 34, and 52:54:00, which is 190440.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from edgewire.errors import ConfigError
from edgewire.redact import is_secret_name

Location = tuple[int | str, ...]
"""Keys and positions that lead to a value."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_SURPRISING = re.compile(r"[-+]?(0[0-7_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")
"""Octal numbers, and numbers to the base of 60."""

_MOST_VALUES = 5_000_000
"""In a file, counted as often as an alias stands for them."""

_MOST_LEVELS = 100
"""Of values in each other: whoever reads them goes down by recursion."""

_TEXT, _BOOL, _TIME = (f"tag:yaml.org,2002:{name}" for name in ("str", "bool", "timestamp"))
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_SCALARS = {_TIME: "a date", _BOOL: "true or false", **dict.fromkeys(_NUMBERS, "a number")}
"""What a text is read as that has such a tag, by its look or because it is written before it."""
_CONSTRUCTOR = yaml.constructor.SafeConstructor()
_QUOTED = re.compile(r"'[^']{2,}'|\"[^\"]{2,}\"")
_SIGNS = "write a text that begins with one of * & ! @ ` % | > [ { in quotes"


@dataclass(frozen=True, slots=True)
class Problem:
    """Tells what is wrong, and where."""

    text: str
    line: int | None = None


class YamlFile:
    """Holds the content of a file, and the nodes that it was made of."""

    def __init__(self, text: str, name: str) -> None:
        """Read the text of a file called `name`. Raises `ConfigError` for what cannot be read at all."""
        self.name = name
        self._root: yaml.Node | None = None
        self.problems: list[Problem] = []
        """What is refused, although it can be read: a key written twice counts once, a doubtful value as a text."""
        self.data: Any = None
        try:
            self._read(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"{name}{_position(error)}: is not YAML: {_explanation(error, text)}") from None
        except RecursionError:
            raise ConfigError(f"{name}: is nested too deeply") from None

    def _read(self, text: str) -> None:
        loader = _Loader(text)
        try:
            self._root = loader.get_single_node()
            if self._root is None:
                return
            if self._check(self._root, (), {}) > _MOST_VALUES:
                raise ConfigError(f"{self.name}: its aliases stand for more than {_MOST_VALUES:,} values")
            # After the check: construction brings the keys of `<<` among the others.
            self.data = loader.construct_document(self._root)
        finally:
            loader.dispose()

    def _check(self, node: yaml.Node, path: Location, sizes: dict[int, int]) -> int:
        """Note what is wrong in a node, once however often it stands there; return how many values it stands for."""
        if len(path) > _MOST_LEVELS:
            raise ConfigError(f"{self.name}:{_line(node)}: is nested more than {_MOST_LEVELS} levels deep")
        if id(node) in sizes:
            if sizes[id(node)] < 0:
                raise ConfigError(f"{self.name}:{_line(node)}: an alias stands for what it is in")
            return sizes[id(node)]
        sizes[id(node)] = -1
        size = 1
        if isinstance(node, yaml.ScalarNode):
            self._check_number(node, path)
            self._check_scalar(node, path)
        elif isinstance(node, yaml.SequenceNode):
            for position, item in enumerate(node.value):
                size += self._check(item, (*path, position), sizes)
        else:
            first: dict[tuple[str, str], yaml.Node] = {}
            for key, value in node.value:
                _mend_key(key)
                size += self._check(value, (*path, str(key.value)), sizes)
                if not isinstance(key, yaml.ScalarNode):
                    continue
                self._check_number(key, path)
                self._check_scalar(key, (*path, str(key.value)))
                before = first.setdefault((key.tag, key.value), key)
                if before is not key and key.value != "<<":
                    where = key_path((*path, key.value))
                    again = f"key '{where}' is written twice, in line {_line(before)} and here: leave one out"
                    self.problems.append(Problem(again, _line(key)))
        sizes[id(node)] = size
        return size

    def _check_number(self, node: yaml.ScalarNode, path: Location) -> None:
        if node.style or node.tag not in _NUMBERS or not _SURPRISING.fullmatch(node.value):
            return
        reading = yaml.safe_load(node.value)
        hidden = is_secret_path(path)
        said = "a number" if hidden else f"the number {reading}"
        written = "it" if hidden else f"'{node.value}'"
        where = f"{key_path(path)}: " if path else ""
        self.problems.append(Problem(f"{where}{written} is read as {said}: put it in quotes", _line(node)))
        node.tag = _TEXT

    def _check_scalar(self, node: yaml.ScalarNode, path: Location) -> None:
        """Note a text that is none of what its tag says: the library has an exception of any kind for it."""
        if node.tag not in _SCALARS:
            return
        try:
            _CONSTRUCTOR.yaml_constructors[node.tag](_CONSTRUCTOR, node)
        except (ValueError, LookupError, AttributeError, OverflowError) as error:
            where = f"{key_path(path)}: " if path else ""
            is_told = node.tag == _TIME and isinstance(error, ValueError) and not is_secret_path(path)
            reason = f": {error}" if is_told else ""
            said = f"{where}is read as {_SCALARS[node.tag]}, and is none{reason}; a text goes into quotes"
            self.problems.append(Problem(said, _line(node)))
            node.tag = _TEXT

    def locate(self, location: Location) -> tuple[Location, yaml.Node | None]:
        """Return the part of a location that is in the file, without what pydantic puts between, and its node."""
        node, found = self._root, []
        for part in location:
            inner = _child(node, part)
            if inner is not None:
                node = inner
                found.append(part)
        return tuple(found), node

    def line(self, location: Location) -> int | None:
        """Return in which line a value stands, or the nearest that it is in; None for the whole file."""
        found, node = self.locate(location)
        if not found or node is None:
            return None
        return _line(self._key_node(found) or node)

    def written(self, location: Location) -> str | None:
        """Return a value as it is written."""
        node = self.locate(location)[1]
        return str(node.value) if isinstance(node, yaml.ScalarNode) else None

    def _key_node(self, location: Location) -> yaml.Node | None:
        """Return the key of a value in a mapping: it is where a person looks for it."""
        found, node = self.locate(location)
        parent = self.locate(found[:-1])[1]
        for key, value in _pairs(parent):
            if value is node and key.value == str(found[-1]):
                return key
        return None


def raise_problems(name: str, problems: Sequence[Problem]) -> None:
    """Raise `ConfigError` with all problems of a file, a sentence a line, in the order of the file."""
    if problems:
        raise ConfigError("\n".join(problem_lines(name, problems)))


def problem_lines(name: str, problems: Sequence[Problem], most: int = 20) -> list[str]:
    """Return the problems of a file, a sentence each, in the order of the file."""
    ordered = sorted(dict.fromkeys(problems), key=lambda problem: problem.line or 0)
    lines = [f"{name}{f':{one.line}' if one.line else ''}: {one.text}" for one in ordered[:most]]
    if len(ordered) > most:
        lines.append(f"{name}: and {len(ordered) - most} more")
    return lines


def key_path(location: Location) -> str:
    """Return a location as a person writes it: `devices[0].count`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def is_secret_path(location: Location) -> bool:
    """Return whether the value there may be a secret: by its own name, or as one of headers."""
    names = [part for part in location if isinstance(part, str)]
    return bool(names) and (is_secret_name(names[-1]) or "headers" in names)


def _child(node: yaml.Node | None, part: int | str) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode):
        inside = isinstance(part, int) and 0 <= part < len(node.value)
        return node.value[part] if inside else None
    # The last one counts: keys of `<<` come first.
    found = [value for key, value in _pairs(node) if key.value == str(part)]
    return found[-1] if found else None


def _pairs(node: yaml.Node | None) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from ((key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode))


def _mend_key(node: yaml.Node) -> None:
    """Have a key such as `on` be that word: YAML 1.1 takes it for true."""
    if isinstance(node, yaml.ScalarNode) and node.tag == _BOOL and node.value.lower() not in ("true", "false"):
        node.tag = _TEXT


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _position(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return f":{mark.line + 1}" if mark else ""


def _explanation(error: yaml.YAMLError, text: str) -> str:
    """Return what the parser says, without any of the text: that may be a secret."""
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    said = _QUOTED.sub("…", " ".join(str(problem).split()))
    mark = getattr(error, "problem_mark", None)
    line = text.splitlines()[mark.line : mark.line + 1] if mark else []
    if line and "\t" in line[0][: len(line[0]) - len(line[0].lstrip())]:
        return "the line begins with a tab: YAML is indented by spaces"
    column = f" in column {mark.column + 1}" if mark else ""
    hint = f"; {_SIGNS}" if re.search("alias|tag|anchor|cannot start any token|alphabetic", said) else ""
    return f"{said}{column}{hint}"
