"""docs/brokers.md has the table that the tests stand for."""

from pathlib import Path

from tests.brokers.features import table
from tests.brokers.programs import PROGRAMS

PAGE = Path(__file__).parents[2] / "docs" / "brokers.md"


def test_the_page_has_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert table() in text, "put what `tests.brokers.features.table` returns into docs/brokers.md"
    for name, program in PROGRAMS.items():
        assert f"- **{name}**: {program.described}" in text
