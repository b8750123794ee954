"""CSV that is changed stays CSV, and the changes reach cells, columns, rows and how they are written."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.csv_mutator import mutate_csv

SEEDS = range(2000)
CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=6)


def read(text: bytes) -> list[list[str]]:
    plain = text.decode("utf-8-sig")
    separator = max(",;\t", key=plain.partition("\n")[0].count)
    return list(csv.reader(io.StringIO(plain, newline=""), delimiter=separator, strict=True))


@given(st.lists(st.lists(CELLS, min_size=1, max_size=4), min_size=1, max_size=4), st.integers(0, 2**32))
def test_a_table_stays_one(rows: list[list[str]], seed: int) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    before = text.getvalue().encode()
    made = mutate_csv(before, 1 << 20, seed)
    assert made == mutate_csv(before, 1 << 20, seed)
    if made is not None:  # a line break in a cell of the head may hide what separates
        list(csv.reader(io.StringIO(made.decode("utf-8-sig"), newline=""), strict=False))


def test_every_cell_column_and_row_is_changed_and_how_they_are_written() -> None:
    table = b"time,lat,lon\n1,48.1,11.5\n2,48.2,11.6\n"
    made = {one for seed in SEEDS if (one := mutate_csv(table, 1 << 20, seed))}
    tables = [read(one) for one in made]
    assert [["time", "lat", "lon"], ["1", "48.1", "11.5"]] in tables
    assert [["time", "lon"], ["1", "11.5"], ["2", "11.6"]] in tables
    assert [["lon", "lat", "time"], ["11.5", "48.1", "1"], ["11.6", "48.2", "2"]] in tables
    assert [["time", "lat", "lat"], ["1", "48.1", "11.5"], ["2", "48.2", "11.6"]] in tables
    assert [["time", "lat", "lon"], ["2", "48.2", "11.6"], ["1", "48.1", "11.5"]] in tables
    assert any(len(one) > 3 and one[1] == one[2] for one in tables)
    assert {*map(len, (row for one in tables for row in one))} >= {2, 3, 4}
    assert any(one.startswith(b"\xef\xbb\xbf") for one in made)
    assert any(b'"48.1"' in one for one in made)
    assert any(b"48.1\t11.5\r\n" in one for one in made)
    assert len(made) > 300


def test_what_is_too_long_or_no_table_is_left_to_others() -> None:
    assert mutate_csv(b"", 100, 1) is None
    assert mutate_csv(b"\xff,b", 100, 1) is None
    assert mutate_csv(b'a,b\n"c', 100, 1) is None
    assert all(len(mutate_csv(b"a,b\n1,2\n", 12, seed) or b"") <= 12 for seed in SEEDS)
