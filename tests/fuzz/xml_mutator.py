"""Changes XML so that it stays XML: its elements, attributes, texts and namespaces, and how they are written."""

import random
from collections.abc import Callable
from copy import deepcopy
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from tests.fuzz.text_changes import change_text

_NAMESPACES = ("", "{http://www.topografix.com/GPX/1/0}", "{http://www.topografix.com/GPX/1/1}", "{urn:a}")
_ENCODINGS = ("utf-8", "utf-8", "utf-8", "us-ascii", "utf-16", "iso-8859-1")
_MOST_LEVELS = 60
_MOST_ADDED = 8


def mutate_xml(data: bytes, most_bytes: int, seed: int) -> bytes | None:
    """Return a document with one element, attribute or text changed, in `most_bytes` at most.

    None where it is no XML, has a document type, or what came of it is too long. The same seed makes the same of the
    same bytes.
    """
    if b"<!DOCTYPE" in data:
        # What it declares would be lost, and what that stands for may be large.
        return None
    chance = random.Random(seed)
    try:
        root = ElementTree.fromstring(data)
        chance.choice(_CHANGES)(root, chance)
        encoding = chance.choice(_ENCODINGS) if chance.randrange(8) == 0 else "utf-8"
        declares = encoding != "utf-8" or chance.choice((True, False))
        made = ElementTree.tostring(root, encoding, xml_declaration=declares)
    except (ElementTree.ParseError, ValueError, LookupError):
        # A `ValueError` is of an encoding that is none.
        return None
    return made if len(made) <= most_bytes else None


def _elements(root: Element) -> list[tuple[Element, Element]]:
    """Return each element but the root, after the one that it is in."""
    return [(parent, one) for parent in root.iter() for one in parent]


def _texts(root: Element) -> list[str]:
    found = [one.text or "" for one in root.iter()]
    return found + [value for one in root.iter() for value in one.attrib.values()]


def _change_text(root: Element, chance: random.Random) -> None:
    one = chance.choice([one for one in root.iter() if not len(one)])
    one.text = _writable(change_text(one.text or "", _texts(root), chance))


def _change_attribute(root: Element, chance: random.Random) -> None:
    found = [one for one in root.iter() if one.attrib]
    if not found:
        root.set("a", "1")
        return
    one = chance.choice(found)
    name = chance.choice([*one.attrib])
    match chance.randrange(6):
        case 0:
            del one.attrib[name]
        case 1:
            one.set(chance.choice((name.upper(), "{urn:a}" + name.rpartition("}")[2], "a")), one.attrib.pop(name))
        case _:
            one.set(name, _writable(change_text(one.attrib[name], _texts(root), chance)))


def _double(root: Element, chance: random.Random) -> None:
    if found := _elements(root):
        parent, one = chance.choice(found)
        at = chance.randrange(len(parent) + 1)
        parent[at:at] = [deepcopy(one) for _ in range(chance.randint(1, _MOST_ADDED))]


def _take_away(root: Element, chance: random.Random) -> None:
    if found := _elements(root):
        parent, one = chance.choice(found)
        parent.remove(one)


def _move(root: Element, chance: random.Random) -> None:
    """Put a copy of an element into another, which may be its own."""
    if found := _elements(root):
        _, one = chance.choice(found)
        inside = chance.choice([*root.iter()])
        inside.insert(chance.randrange(len(inside) + 1), deepcopy(one))


def _nest(root: Element, chance: random.Random) -> None:
    """Put an element into others: one of its own name, or many."""
    if not (found := _elements(root)):
        return
    parent, one = chance.choice(found)
    outer = one
    levels = chance.choice((1, 2, _MOST_LEVELS))
    for _ in range(levels):
        inner, outer = outer, Element("a" if levels == _MOST_LEVELS else one.tag)
        outer.append(inner)
    parent[list(parent).index(one)] = outer


def _rename(root: Element, chance: random.Random) -> None:
    """Give an element the name of another, or put it into another namespace, alone or with all others of its own."""
    one = chance.choice([*root.iter()])
    if chance.randrange(2):
        one.tag = chance.choice([*root.iter()]).tag
        return
    before, namespace = one.tag.rpartition("}")[0], chance.choice(_NAMESPACES)
    for each in [one] if chance.randrange(2) else [*root.iter()]:
        if each.tag.rpartition("}")[0] == before:
            each.tag = namespace + each.tag.rpartition("}")[2]


def _change_order(root: Element, chance: random.Random) -> None:
    if found := [one for one in root.iter() if len(one) > 1]:
        one = chance.choice(found)
        chance.shuffle(inner := [*one])
        one[:] = inner


def _writable(text: str) -> str:
    """Return a text without what XML cannot hold."""
    return "".join(sign for sign in text if sign >= " " or sign in "\t\n")


_CHANGES: tuple[Callable[[Element, random.Random], None], ...] = (
    _change_text,
    _change_text,
    _change_attribute,
    _change_attribute,
    _double,
    _take_away,
    _move,
    _nest,
    _rename,
    _change_order,
)
