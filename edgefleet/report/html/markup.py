"""Makes HTML out of elements. What is not made here is escaped, and the secrets of URLs in it are hidden."""

import re
from collections.abc import Iterable, Sequence
from html import escape

from edgewire.redact import hide_urls

# What no page may hold: controls, halves of surrogate pairs, and what turns the direction of the text around it.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
_EMPTY = {"meta"}

LONGEST = 2000
"""Characters of a text from outside that are shown; the rest is cut off, with a sign of it."""


class Markup(str):
    """Holds HTML that is complete and safe; a plain string is escaped where it is put into one."""

    __slots__ = ()


def plain_text(value: object) -> str:
    """Return a value as people may read it in a page, before it is escaped: cut where it is long, without secrets."""
    said = hide_urls(str(value))
    return _UNPRINTABLE.sub("\ufffd", said if len(said) <= LONGEST else said[:LONGEST] + " …")


def show_text(value: object) -> Markup:
    """Return a value as it stands in a page; one that is `Markup` as it is."""
    return value if isinstance(value, Markup) else Markup(escape(plain_text(value)))


def join(parts: Iterable[object]) -> Markup:
    """Return the parts one after the other."""
    return Markup("".join(map(show_text, parts)))


def element(tag: str, *children: object, **attributes: object) -> Markup:
    """Return an element. `class_` stands for `class`, `_` in a name for `-`; an attribute that is None is left out."""
    shown = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{show_text(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{tag}{shown}>" + ("" if tag in _EMPTY else f"{join(children)}</{tag}>"))


def figure_cell(number: float | None, path: str | None = None, *, state: str | None = None) -> Markup:
    """Return a number for people; `path` is where `--json` has the same number."""
    return element("span", show_number(number), class_=state, data_figure=path)


def show_number(number: float | None) -> str:
    """Return a number with its thousands parted; a dash for none."""
    if number is None:
        return "–"
    return f"{number:,}" if isinstance(number, int) else f"{number:,.10g}"


def show_ms(milliseconds: float) -> str:
    """Return a length of time in the unit that suits it, to three digits."""
    for least, size, unit in ((3_600_000, 3_600_000, "h"), (60_000, 60_000, "min"), (1000, 1000, "s")):
        if milliseconds >= least:
            return f"{milliseconds / size:.3g} {unit}"
    return f"{milliseconds:.3g} ms"


def table(caption: str, head: Sequence[object], rows: Iterable[Sequence[object]], *, names: int = 1) -> Markup:
    """Return a table that scrolls where it is too wide; the first `names` columns say what a row is of."""
    lines = []
    for row in rows:
        first = [element("th", row[0], scope="row")]
        named = [element("td", cell) for cell in row[1:names]]
        cells = [element("td", cell, class_="n") for cell in row[names:]]
        lines.append(element("tr", *first, *named, *cells, class_="sum" if row[0] == "all" else None))
    titles = [element("th", cell, scope="col", class_=None if at < names else "n") for at, cell in enumerate(head)]
    content = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *titles)),
        element("tbody", *lines),
    )
    return element("div", content, class_="scroll", tabindex=0, role="region", aria_label=caption)
