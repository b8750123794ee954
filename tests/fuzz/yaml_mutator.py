"""Changes YAML so that it stays YAML: its values as those of JSON are, and how they are written."""

import random
import re
from collections.abc import Callable
from typing import Any

import yaml

from tests.fuzz.tree_changes import VALUES, change_tree, put_value, value_at, value_paths

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_DURATIONS = ("1h", "0s", "1ms", "-1s", "1.5m", "36525d", "1e3s", "PT1H", "10%", "512MiB", "0B")
_TIMES = ("2026-03-29T02:30:00", "2026-03-01T12:00:00Z", "0001-01-01", "9999-12-31T23:59:59+14:00", "08:00-18:00", "Mo")
_PLACES = (
    "edge/+/gps/#",
    "$share/a/#",
    "{hostname}",
    "{{device_id}}",
    "mqtts://[::1]:8883",
    "a.example:0",
    "Europe/Berlin",
)
_VALUES = (*VALUES, *_DURATIONS, *_TIMES, *_PLACES, 0.5, 90, -180.0, 1e-9, 65536, [0, 1], {"a": 1})
_TAGS = (b"!!str", b"!!int", b"!!float", b"!!binary", b"!!timestamp", b"!!null", b"!!set", b"!!omap", b"!own", b"! ")
UNREADABLE = (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, OverflowError, RecursionError)
"""What the library raises of values that are none: a day 32, and `!!int` or `!!timestamp` before another text."""
_ONCE_MORE = 3
"""Of so many changes one is followed by another: values that depend on each other are changed together."""


def mutate_yaml(data: bytes, most_bytes: int, seed: int) -> bytes | None:
    """Return a document with a value or two changed, or how they are written, in `most_bytes` at most.

    None where it is no YAML, or what came of it is too long. The same seed makes the same of the same bytes.
    """
    chance = random.Random(seed)
    try:
        root = yaml.load(data, _Loader)
        for change in chance.choices(_CHANGES, _WEIGHTS, k=1 + (chance.randrange(_ONCE_MORE) == 0)):
            root = change(root, chance)
        made = _written(root, chance)
    except UNREADABLE:
        return None
    if chance.randrange(16) == 0:
        made = _tagged(made, chance)
    return made if len(made) <= most_bytes else None


def _change_value(root: Any, chance: random.Random) -> Any:
    return change_tree(root, chance, _VALUES)


def _alias(root: Any, chance: random.Random) -> Any:
    """Have one value stand in two places: it is written once, with an anchor."""
    paths = value_paths(root)
    return put_value(root, chance.choice(paths), value_at(root, chance.choice(paths)))


def _merge(root: Any, chance: random.Random) -> Any:
    """Have a mapping take the keys of another."""
    found = [one for path in value_paths(root) if isinstance(one := value_at(root, path), dict)]
    if found:
        chance.choice(found)["<<"] = chance.choice(found)
    return root


_CHANGES: tuple[Callable[[Any, random.Random], Any], ...] = (_change_value, _alias, _merge)
_WEIGHTS = (14, 1, 1)


def _written(root: Any, chance: random.Random) -> bytes:
    # None: lists and mappings that have none within them are written in a line.
    style = chance.choice((False, None, True))
    text: bytes = yaml.dump(root, Dumper=_Dumper, encoding="utf-8", default_flow_style=style, sort_keys=False)
    # As a key of a mapping it would be quoted, and no more than a text.
    return text.replace(b"'<<':", b"<<:")


def _tagged(text: bytes, chance: random.Random) -> bytes:
    """Put a tag before a value."""
    places = [found.end() for found in re.finditer(rb": |- ", text)]
    if not places:
        return text
    at = chance.choice(places)
    return text[:at] + chance.choice(_TAGS) + b" " + text[at:]
