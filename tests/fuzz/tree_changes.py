"""Changes one value of what JSON and YAML are read into: lists, mappings and plain values in each other."""

import random
from collections.abc import Callable, Hashable, Sequence
from copy import deepcopy
from typing import Any

_MOST_DEPTH = 40
_MOST_PATHS = 5000
"""An alias of YAML may have a value stand in as many places as one likes."""
TEXTS = ("", " ", "a", "0", "-1", "1e999", "NaN", "null", "2026-02-30T25:00:00Z", "\x00", "\ud7ff", "../x", "é" * 300)
VALUES: tuple[Any, ...] = (None, True, False, [], {}, 0, -1, 1.5, -0.0, 1e308, 1 << 31, (1 << 63) - 1, *TEXTS)

_Path = tuple[Hashable, ...]


def change_tree(root: Any, chance: random.Random, values: Sequence[Any] = VALUES) -> Any:
    """Return the whole with one value changed, taken away, doubled, moved or renamed; `root` itself is used up.

    `values` are those that are put in the place of others.
    """
    return chance.choice(_CHANGES)(root, value_paths(root), chance, values)


def value_paths(root: Any) -> list[_Path]:
    """Return where the values are, the whole first."""
    found: list[_Path] = [()]
    for path in found:
        value = value_at(root, path)
        if len(path) >= _MOST_DEPTH or len(found) >= _MOST_PATHS:
            continue
        if isinstance(value, dict):
            found += [(*path, name) for name in value]
        elif isinstance(value, list):
            found += [(*path, number) for number in range(len(value))]
    return found


def value_at(root: Any, path: _Path) -> Any:
    """Return what is at a path."""
    for step in path:
        root = root[step]
    return root


def put_value(root: Any, path: _Path, value: Any) -> Any:
    """Return the whole with another value there."""
    if not path:
        return value
    value_at(root, path[:-1])[path[-1]] = value
    return root


def _replace(root: Any, paths: list[_Path], chance: random.Random, values: Sequence[Any]) -> Any:
    return put_value(root, chance.choice(paths), deepcopy(chance.choice(values)))


def _vary(root: Any, paths: list[_Path], chance: random.Random, values: Sequence[Any]) -> Any:
    """Change a value into a neighbour of it, or into one of another type."""
    path = chance.choice(paths)
    value = value_at(root, path)
    if isinstance(value, str):
        cut, more = chance.randrange(len(value) + 1), chance.choice(values)
        made: Any = chance.choice(
            (value[:cut], value + (more if isinstance(more, str) else ""), value[:cut] + "-" + value[cut:], [value])
        )
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        made = chance.choice((value + 1, value - 1, -value, value * 10, _as_float(value), str(value), [value]))
    else:
        made = chance.choice((str(value)[:50], [value], {"a": value}))
    return put_value(root, path, made)


def _as_float(value: float) -> float:
    # YAML has whole numbers of any length.
    return float(value) if abs(value) < 1e308 else 1e308


def _take_away(root: Any, paths: list[_Path], chance: random.Random, _: Sequence[Any]) -> Any:
    path = chance.choice(paths)
    if path:
        del value_at(root, path[:-1])[path[-1]]
    return root


def _double(root: Any, paths: list[_Path], chance: random.Random, _: Sequence[Any]) -> Any:
    """Put an element of a list there once more, or a field under a name like its own."""
    path = chance.choice(paths)
    if not path:
        return [root, root]
    holder, last = value_at(root, path[:-1]), path[-1]
    if isinstance(holder, list):
        holder.insert(chance.randrange(len(holder) + 1), deepcopy(value_at(holder, (last,))))
    else:
        holder[f"{last}_"] = deepcopy(holder[last])
    return root


def _move(root: Any, paths: list[_Path], chance: random.Random, _: Sequence[Any]) -> Any:
    """Put what is in one place into another."""
    return put_value(root, chance.choice(paths), deepcopy(value_at(root, chance.choice(paths))))


def _rename(root: Any, paths: list[_Path], chance: random.Random, _: Sequence[Any]) -> Any:
    """Give a field the name of another, or one in capitals."""
    named = [path for path in paths if path and isinstance(path[-1], str)]
    if not named:
        return root
    path = chance.choice(named)
    holder, name = value_at(root, path[:-1]), str(path[-1])
    holder[chance.choice((name.upper(), chance.choice(named)[-1], ""))] = holder.pop(name)
    return root


_CHANGES: tuple[Callable[[Any, list[_Path], random.Random, Sequence[Any]], Any], ...] = (
    _replace,
    _vary,
    _take_away,
    _double,
    _move,
    _rename,
)
