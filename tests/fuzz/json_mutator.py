"""Changes JSON so that it stays JSON: of bytes that are changed anywhere next to none get past the parser.

Lines are looked at one by one, each with up to `_MOST_PREFIX` bytes before it, by which some targets choose a format.
"""

import random
from collections.abc import Callable
from typing import Any

import orjson

_MOST_PREFIX = 2
_MOST_DEPTH = 40
_TEXTS = ("", " ", "a", "0", "-1", "1e999", "NaN", "null", "2026-02-30T25:00:00Z", "\x00", "\ud7ff", "../x", "é" * 300)
_VALUES: tuple[Any, ...] = (None, True, False, [], {}, 0, -1, 1.5, -0.0, 1e308, 1 << 31, (1 << 63) - 1, *_TEXTS)

_Path = tuple[str | int, ...]


def mutate_json(data: bytes, most_bytes: int, seed: int) -> bytes | None:
    """Return `data` with one value of one line changed, taken away, doubled, moved or renamed, in `most_bytes` at most.

    None where no line is JSON, or what came of it is too long. The same seed makes the same of the same bytes.
    """
    chance = random.Random(seed)
    lines = data.split(b"\n")
    at = chance.randrange(len(lines))
    for prefix in range(_MOST_PREFIX + 1):
        try:
            root = orjson.loads(lines[at][prefix:])
        except orjson.JSONDecodeError:
            continue
        paths = _paths(root)
        changed = chance.choice(_CHANGES)(root, paths, chance)
        try:
            lines[at] = lines[at][:prefix] + orjson.dumps(changed)
        except (orjson.JSONEncodeError, RecursionError):  # a text that is no UTF-8, or what has come to be too deep
            return None
        made = b"\n".join(lines)
        return made if len(made) <= most_bytes else None
    return None


def _paths(root: Any) -> list[_Path]:
    """Return where the values are, the whole first."""
    found: list[_Path] = [()]
    for path in found:
        value = _at(root, path)
        if len(path) >= _MOST_DEPTH:
            continue
        if isinstance(value, dict):
            found += [(*path, name) for name in value]
        elif isinstance(value, list):
            found += [(*path, number) for number in range(len(value))]
    return found


def _at(root: Any, path: _Path) -> Any:
    for step in path:
        root = root[step]
    return root


def _put(root: Any, path: _Path, value: Any) -> Any:
    """Return the whole with another value there."""
    if not path:
        return value
    _at(root, path[:-1])[path[-1]] = value
    return root


def _copy(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value))


def _replace(root: Any, paths: list[_Path], chance: random.Random) -> Any:
    return _put(root, chance.choice(paths), _copy(chance.choice(_VALUES)))


def _vary(root: Any, paths: list[_Path], chance: random.Random) -> Any:
    """Change a value into a neighbour of it, or into one of another type."""
    path = chance.choice(paths)
    value = _at(root, path)
    if isinstance(value, str):
        cut = chance.randrange(len(value) + 1)
        made: Any = chance.choice(
            (value[:cut], value + chance.choice(_TEXTS), value[:cut] + "-" + value[cut:], [value])
        )
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        made = chance.choice((value + 1, value - 1, -value, value * 10, float(value), str(value), [value]))
    else:
        made = chance.choice((str(value)[:50], [value], {"a": value}))
    return _put(root, path, made)


def _take_away(root: Any, paths: list[_Path], chance: random.Random) -> Any:
    path = chance.choice(paths)
    if path:
        del _at(root, path[:-1])[path[-1]]
    return root


def _double(root: Any, paths: list[_Path], chance: random.Random) -> Any:
    """Put an element of a list there once more, or a field under a name like its own."""
    path = chance.choice(paths)
    if not path:
        return [root, root]
    holder, last = _at(root, path[:-1]), path[-1]
    if isinstance(holder, list):
        holder.insert(chance.randrange(len(holder) + 1), _copy(holder[int(last)]))
    else:
        holder[f"{last}_"] = _copy(holder[last])
    return root


def _move(root: Any, paths: list[_Path], chance: random.Random) -> Any:
    """Put what is in one place into another."""
    return _put(root, chance.choice(paths), _copy(_at(root, chance.choice(paths))))


def _rename(root: Any, paths: list[_Path], chance: random.Random) -> Any:
    """Give a field the name of another, or one in capitals."""
    named = [path for path in paths if path and isinstance(path[-1], str)]
    if not named:
        return root
    path = chance.choice(named)
    holder, name = _at(root, path[:-1]), str(path[-1])
    holder[chance.choice((name.upper(), str(chance.choice(named)[-1]), ""))] = holder.pop(name)
    return root


_CHANGES: tuple[Callable[[Any, list[_Path], random.Random], Any], ...] = (
    _replace,
    _vary,
    _take_away,
    _double,
    _move,
    _rename,
)
