"""The conformance list of Sparkplug has each statement of the specification once, and names tests that there are."""

import re
from collections import Counter
from pathlib import Path

import orjson

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "sparkplug.md"
STATEMENTS = orjson.loads((Path(__file__).parent / "judges" / "sparkplug_tck_ids.json").read_bytes())["ids"]


def rows() -> list[list[str]]:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_each_statement_is_there_once() -> None:
    listed = Counter(name for statement, _, _ in rows() for name in re.findall(r"`([\w-]+)`", statement))
    assert listed == Counter(STATEMENTS)


def test_each_row_names_tests_that_there_are_or_says_why_there_is_none() -> None:
    for statement, asked, answer in rows():
        assert asked
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", answer)
        assert named or re.match(r"[A-Z]", answer), statement
        for path, name in named:
            source = (TESTS / path).read_text(encoding="utf-8")
            assert re.search(rf"^(?:async )?def {name}\(", source, re.MULTILINE), f"{path}::{name}"
