"""Changes JSON so that it stays JSON: of bytes that are changed anywhere next to none get past the parser.

Lines are looked at one by one, each with up to `_MOST_PREFIX` bytes before it, by which some targets choose a format.
"""

import random

import orjson

from tests.fuzz.tree_changes import change_tree

_MOST_PREFIX = 2


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
        try:
            lines[at] = lines[at][:prefix] + orjson.dumps(change_tree(root, chance))
        except (orjson.JSONEncodeError, RecursionError):  # a text that is no UTF-8, or what has come to be too deep
            return None
        made = b"\n".join(lines)
        return made if len(made) <= most_bytes else None
    return None
