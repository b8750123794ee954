"""The conformance list of Sparkplug has each statement of the specification once, and names tests that there are."""

from collections import Counter
from pathlib import Path

import orjson

from tests.statement_page import StatementPage

STATEMENTS = orjson.loads((Path(__file__).parent / "judges" / "sparkplug_tck_ids.json").read_bytes())["ids"]
PAGE = StatementPage("sparkplug.md")


def test_each_statement_is_there_once() -> None:
    assert PAGE.statements(0) == Counter(STATEMENTS)


def test_each_row_names_tests_that_there_are_or_says_why_there_is_none() -> None:
    PAGE.check_answers()
