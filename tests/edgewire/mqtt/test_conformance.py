"""The conformance list of MQTT has each statement of both standards once, and names tests that there are."""

from collections import Counter
from pathlib import Path

import orjson
import pytest

from tests.statement_page import StatementPage

STATEMENTS = orjson.loads((Path(__file__).parent / "judges" / "mqtt_statements.json").read_bytes())
PAGE = StatementPage("mqtt.md")


@pytest.mark.parametrize(("column", "version"), [(0, "5"), (1, "3.1.1")])
def test_each_statement_is_there_once(column: int, version: str) -> None:
    assert PAGE.statements(column) == Counter(STATEMENTS[version])


def test_each_row_names_tests_that_there_are_or_says_why_there_is_none() -> None:
    PAGE.check_answers()
