"""Holds the frame of a report: head, style, verdict, tiles, sections. Nothing is loaded, and one script runs.

That script draws the charts. It is the code that draws them on the page of a run, put together into one.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgefleet.report.html.markup import Markup, element, join

_SCRIPTS = ("charts.js", "run_charts.js", "report.js")
"""In the order in which they need each other."""


def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _without_modules(script: str) -> str:
    """Return a module as it stands behind those that it imports from."""
    return re.sub(r"^export ", "", re.sub(r"^import [^;]*;\n", "", script, flags=re.MULTILINE), flags=re.MULTILINE)


def _source(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


_STYLE = _read("charts.css") + _read("style.css")
_SCRIPT = "".join(_without_modules(_read(name)) for name in _SCRIPTS)
# Nothing may be loaded, and nothing else may run, whatever stands in the page.
_POLICY = (
    f"default-src 'none'; style-src {_source(_STYLE)}; script-src {_source(_SCRIPT)}; base-uri 'none'; "
    "form-action 'none'"
)

_ICONS = {"good": "M4 12.5l5 5L20 6.5", "bad": "M6 6l12 12M18 6L6 18", "warn": "M12 5v9M12 18.6v.2"}


@dataclass(frozen=True, slots=True)
class Sentence:
    """Holds a sentence of a verdict; `state` is good, bad, warn, or empty where it only tells."""

    text: str
    state: str = ""


def head(kicker: str, title: str, word: str, state: str, sentences: Iterable[Sentence]) -> Markup:
    """Return the top of a report: what it is about, and the verdict with its sentences."""
    path = element("path", d=_ICONS[state])
    icon = element("svg", path, viewBox="0 0 24 24", aria_hidden="true")
    said = [
        element("li", sentence.text[:1].upper() + sentence.text[1:], class_=sentence.state or None)
        for sentence in sentences
    ]
    return element(
        "header",
        element("p", kicker, class_="kicker"),
        element("h1", title),
        element("p", icon, element("span", word), class_="word"),
        element("ul", *said, class_="said") if said else "",
        class_=f"top {state}",
    )


def tiles(figures: Sequence[tuple[str, object, bool]]) -> Markup:
    """Return the figures that matter most: a name, the figure, and whether it is bad."""
    return element(
        "dl",
        *(
            element("div", element("dt", name), element("dd", figure, class_="bad" if bad else None))
            for name, figure, bad in figures
        ),
        class_="tiles",
    )


def section(title: str, *content: object) -> Markup:
    """Return a part of a report, or nothing where it has no content."""
    parts = [part for part in content if part]
    name = "".join(sign for sign in title.lower().replace(" ", "-") if sign.isalnum() or sign == "-")
    return element("section", element("h2", title, id=name), *parts, aria_labelledby=name) if parts else Markup()


def charts(*figures: Markup) -> Markup:
    """Return charts side by side where there is room."""
    return element("div", *figures, class_="charts") if any(figures) else Markup()


_NO_SCRIPT = element(
    "noscript", element("p", "No script runs here: charts are not drawn. The table below each says the same.")
)


def facts(rows: Iterable[tuple[str, object]]) -> Markup:
    """Return names with what belongs to them; rows without content are left out."""
    shown = [join([element("dt", name), element("dd", value)]) for name, value in rows if value not in ("", None)]
    return element("dl", *shown, class_="facts")


def document(title: str, *content: object) -> bytes:
    """Return the whole page as UTF-8."""
    page = element(
        "html",
        element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="referrer", content="no-referrer"),
            element("title", title),
            element("style", Markup(_STYLE)),
        ),
        element("body", element("main", _NO_SCRIPT, *content), element("script", Markup(_SCRIPT), type="module")),
        lang="en",
    )
    return f"<!DOCTYPE html>\n{page}\n".encode()
