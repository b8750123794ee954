"""Changes lines of `NAME=VALUE` so that they stay such: names by their parts, and values as cells or as JSON are."""

import random

from tests.fuzz.json_mutator import mutate_json
from tests.fuzz.text_changes import change_text

_ENDS = ("", "_FILE", "__", "__0", "__1", "__A")
_MOST_BYTES = 1 << 16


def mutate_variables(data: bytes, most_bytes: int, seed: int) -> bytes | None:
    """Return lines with one name or value changed, or a line doubled, moved or taken away, in `most_bytes` at most.

    None where no line has `=` in it, or what came of it is too long. The same seed makes the same of the same bytes.
    """
    chance = random.Random(seed)
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    places = [at for at, line in enumerate(lines) if "=" in line]
    if not places:
        return None
    pairs = [lines[at].partition("=")[::2] for at in places]
    at = chance.choice(places)
    name, _, value = lines[at].partition("=")
    match chance.randrange(7):
        case 0:
            del lines[at]
        case 1:
            lines.insert(chance.randrange(len(lines) + 1), lines[at])
        case 2:
            other = chance.choice(places)
            lines[at], lines[other] = lines[other], lines[at]
        case 3 | 4:
            lines[at] = f"{_changed_name(name, [one for one, _ in pairs], chance)}={value}"
        case _:
            made = mutate_json(value.encode("utf-8", "surrogateescape"), _MOST_BYTES, seed)
            values = [one for _, one in pairs]
            text = change_text(value, values, chance) if made is None else made.decode("utf-8", "surrogateescape")
            lines[at] = f"{name}={text}"
    changed = "\n".join(lines).encode("utf-8", "surrogateescape")
    return changed if len(changed) <= most_bytes else None


def _changed_name(name: str, others: list[str], chance: random.Random) -> str:
    """Return a name with another end, with parts of another, or with one letter less."""
    parts, theirs = name.split("__"), chance.choice(others).split("__")
    cut = chance.randrange(len(name) + 1)
    return chance.choice(
        (
            name + chance.choice(_ENDS),
            name.removesuffix("_FILE"),
            "__".join([*parts[: chance.randint(1, len(parts))], *theirs[1:]]),
            "__".join(parts[:-1]),
            theirs[0],
            name.lower(),
            name[:cut] + name[cut + 1 :],
        )
    )
