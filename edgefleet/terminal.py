"""Prints for people so that nothing is cut: sentences wrap between words, and a table too wide becomes a list."""

import io
import os
import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

_INDENT = "  "


def echo(text: str, *, err: bool = False) -> None:
    """Print lines to stdout or stderr; on a terminal they wrap between words, elsewhere they stay whole."""
    stream = sys.stderr if err else sys.stdout
    width = _wrap_width(stream)
    if width:
        text = "\n".join(
            textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False, replace_whitespace=False)
            for line in text.split("\n")
        )
    print(text, file=stream, flush=True)


def say(console: "Console", text: "str | Text", style: str = "") -> None:
    """Print a sentence on a console; on a terminal it wraps between words, elsewhere it stays one line."""
    wraps = console.is_terminal or "COLUMNS" in os.environ
    console.print(text, style=style, highlight=False, markup=False, soft_wrap=not wraps)


def fits(table: "Table", width: int) -> bool:
    """Return whether all of a table fits into so many characters, no cell folded or cut."""
    from rich.console import Console

    return Console(width=100_000, file=io.StringIO()).measure(table).maximum <= width


def fit_table(table: "Table", width: int, *, keys: int = 1, one_a_line: bool = False) -> "RenderableType":
    """Return a table as it is where all of it fits into so many characters, else its rows as paragraphs.

    A paragraph begins with the row's first cells, as many as `keys`; the others follow with their labels, side by side
    or `one_a_line`. No number is ever cut; a text is folded where it is one word that is too long.
    """
    from rich.console import Console, Group

    if fits(table, width):
        return table
    measuring = Console(width=width, file=io.StringIO())
    blocks = _paragraphs(table, width, keys, one_a_line, measuring)
    title = [measuring.render_str(str(table.title))] if table.title else []
    caption = [measuring.render_str(str(table.caption), style="dim")] if table.caption else []
    return Group(*title, *blocks, *caption)


def _paragraphs(
    table: "Table", width: int, keys: int, one_a_line: bool, console: "Console"
) -> "Iterator[RenderableType]":
    from rich.padding import Padding
    from rich.text import Text

    labels = [str(column.header).replace("-\n", "").replace("\n", " ") for column in table.columns]
    rows = zip(*(column.cells for column in table.columns), strict=True)
    for row, settings in zip(rows, table.rows, strict=True):
        cells = [cell if isinstance(cell, Text) else console.render_str(str(cell)) for cell in row]
        head = Text(" ").join(cells[:keys])
        head.stylize(settings.style or "bold")
        yield head
        items = [
            Text.assemble((f"{label} " if label else "", "dim"), cell)
            for label, cell in zip(labels[keys:], cells[keys:], strict=True)
            if cell.plain
        ]
        if one_a_line:
            yield from (Padding(item, (0, 0, 0, len(_INDENT))) for item in items)
        else:
            yield from _lines(items, width)


def _lines(items: "list[Text]", width: int) -> "Iterator[Text]":
    """Yield lines with as many items each as fit, so that none is broken."""
    from rich.text import Text

    line = Text(_INDENT)
    for item in items:
        if line.cell_len > len(_INDENT) and line.cell_len + 2 + item.cell_len > width:
            yield line
            line = Text(_INDENT)
        line = Text.assemble(line, "  " if line.cell_len > len(_INDENT) else "", item)
    if line.cell_len > len(_INDENT):
        yield line


def _wrap_width(stream: TextIO) -> int | None:
    """Return the width of the terminal, or of `COLUMNS`; None where lines stay whole."""
    if columns := os.environ.get("COLUMNS", ""):
        return int(columns) if columns.isdecimal() and int(columns) > 0 else None
    try:
        return os.get_terminal_size(stream.fileno()).columns if stream.isatty() else None
    except (OSError, ValueError):
        return None
