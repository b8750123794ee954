"""Reads a page of docs/ that lists the statements of a standard, in tables, with the tests by which each is met."""

import re
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parent
_PAGES = TESTS.parent / "docs"


class StatementPage:
    """A page whose rows end with tests, or with a sentence that says why there is none."""

    def __init__(self, name: str) -> None:
        lines = (_PAGES / name).read_text(encoding="utf-8").splitlines()
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
        self.rows = [row for row in rows if not re.match(r"statement|5\.0", row[0])]

    def statements(self, column: int) -> Counter[str]:
        """Return how often each is in this column."""
        return Counter(name for row in self.rows for name in re.findall(r"`([\w.-]+)`", row[column]))

    def check_answers(self) -> None:
        """Assert that each row names tests that there are, or says in a sentence why there is none."""
        for *statements, asked, answer in self.rows:
            assert asked
            named = re.findall(r"`([\w/]+\.py)::(\w+)`", answer)
            assert named or re.match(r"[A-Z]", answer), statements
            for path, name in named:
                source = (TESTS / path).read_text(encoding="utf-8")
                assert re.search(rf"^(?:async )?def {name}\(", source, re.MULTILINE), f"{path}::{name}"
